// Full attention (architecture.md 4.4, 4.5).
//
// The context is cut into parts of 1,024 tokens on an absolute grid. Each part is summed from
// scratch, page by page, and parts are merged in ascending order: the same operations whether one
// thread walks through all parts or many threads share them, and whatever other rows do.
#include <algorithm>
#include <limits>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/parallel.h"
#include "base/check.h"

namespace sluice::cpu {
namespace {

constexpr int64_t kPartPages = 16;
constexpr int64_t kPartTokens = kPartPages * ops::kGrid;
// Rows of a segment that go through a page together, so that it is read once for all of them.
constexpr int64_t kBlockRows = 8;
static_assert(sizeof(SoftmaxState) == 2 * sizeof(float));

int32_t page_of(const ops::Batch& batch, const ops::Segment& segment, int64_t page) {
  SLUICE_CHECK(page >= 0 && page < segment.page_count, "page {} of {}", page, segment.page_count);
  const int64_t place = segment.first_page + page;
  SLUICE_CHECK(place < static_cast<int64_t>(batch.pages.size()), "page list entry {} of {}", place,
               batch.pages.size());
  return batch.pages[static_cast<size_t>(place)];
}

void clear(SoftmaxState* states, float* out, int64_t heads, int64_t head_dim) {
  std::fill_n(states, heads, SoftmaxState{-std::numeric_limits<float>::infinity(), 0.0f});
  std::fill_n(out, heads * head_dim, 0.0f);
}

}  // namespace

// ---- queries, keys, values

// One head of one row: query heads first, then kv heads.
struct CpuBackend::HeadTask {
  const ops::AttentionInputArgs& args;
  PagedKvCache& cache;
  const RowKernels& kernels;
  const RotaryAngles& angles;
  Rows query_gate, key, value, query, query_normed, key_normed;
  const float *query_weight, *key_weight;
  int64_t dim, query_heads;

  void norm_and_rotate(const float* in, const float* weight, int64_t row, float* normed,
                       float* out) const {
    kernels.rms_norm(in, weight, args.eps, out, dim);
    if (normed != nullptr) std::copy_n(out, dim, normed);
    kernels.rotate(out, angles.cosines(row), angles.sines(row), angles.pairs());
  }

  void query_head(int64_t r, int64_t h) const {
    float* const normed = query_normed.data == nullptr ? nullptr : query_normed.row(r) + h * dim;
    norm_and_rotate(query_gate.row(r) + 2 * h * dim, query_weight, r, normed,
                    query.row(r) + h * dim);
  }

  void kv_head(int64_t r, int64_t h) const {
    float* const normed = key_normed.data == nullptr ? nullptr : key_normed.row(r) + h * dim;
    float* const k = key.row(r) + h * dim;
    norm_and_rotate(k, key_weight, r, normed, k);
    const ops::Row& row = args.batch->rows[static_cast<size_t>(r)];
    const auto& segment = args.batch->segments[static_cast<size_t>(row.segment)];
    const int32_t page = page_of(*args.batch, segment, row.index / ops::kGrid);
    const int64_t place = row.index % ops::kGrid;
    cache.write(KvPart::kKeys, args.layer, page, h, place, k);
    cache.write(KvPart::kValues, args.layer, page, h, place, value.row(r) + h * dim);
  }
};

void CpuBackend::do_attention_input(const ops::AttentionInputArgs& args) {
  PagedKvCache& cache = own(*args.cache);
  angles_.prepare(*args.rotary, args.batch->rows);
  const int64_t dim = cache.spec().head_dim, kv_heads = cache.spec().heads;
  const HeadTask task = {args,
                         cache,
                         rows_,
                         angles_,
                         rows_of(args.query_gate),
                         rows_of(args.key),
                         rows_of(args.value),
                         rows_of(args.query),
                         rows_of(args.query_normed),
                         rows_of(args.key_normed),
                         rows_of(args.query_norm).data,
                         rows_of(args.key_norm).data,
                         dim,
                         args.query.columns / dim};
  const int64_t heads = task.query_heads + kv_heads, items = args.query.rows * heads;
  static_items(pool_, items, items * dim < kSerialFloats, [&](int64_t item, int) {
    const int64_t row = item / heads, head = item % heads;
    if (head < task.query_heads) {
      task.query_head(row, head);
    } else {
      task.kv_head(row, head - task.query_heads);
    }
  });
}

// ---- attention

// A unit is a block of rows of one segment with one kv head; its outputs accumulate in args.out,
// [heads of the group, head_dim] per row.
struct CpuBackend::AttentionRun {
  struct Unit {
    const ops::Segment* segment;
    int64_t first_row;  // in the batch
    int64_t rows;
    int64_t kv_head;
    int64_t first_index;  // of the first row

    int64_t parts() const { return (first_index + rows - 1) / kPartTokens + 1; }
  };

  const ops::AttentionArgs& args;
  const PagedKvCache& cache;
  const AttentionKernels& kernels;
  Rows query, out;
  int64_t dim, group;
  FetchDistance fetch = {};
  int64_t block_rows = 1;
  std::vector<Unit> units;

  int64_t state_count() const { return block_rows * group; }
  // Floats of a partial result: states and sums of one unit.
  int64_t record_floats() const { return state_count() * (dim + 2); }

  float* unit_out(const Unit& unit, int64_t row) const {
    return out.row(unit.first_row + row) + unit.kv_head * group * dim;
  }

  void list_units() {
    for (const ops::Segment& segment : args.batch->segments) {
      SLUICE_CHECK(segment.row_count == 0 || segment.first_index >= args.first_index,
                   "a row at index {} has nothing to attend to from index {}", segment.first_index,
                   args.first_index);
      for (int64_t first = 0; first < segment.row_count; first += block_rows) {
        const int64_t rows = std::min(block_rows, segment.row_count - first);
        for (int64_t head = 0; head < cache.spec().heads; ++head) {
          units.push_back(
              {&segment, segment.first_row + first, rows, head, segment.first_index + first});
        }
      }
    }
  }

  void begin(const Unit& unit, SoftmaxState* states) const {
    for (int64_t row = 0; row < unit.rows; ++row) {
      clear(states + row * group, unit_out(unit, row), group, dim);
    }
  }

  // One part of the context into a record.
  void sum_part(const Unit& unit, int64_t part, float* record) const {
    auto* const states = reinterpret_cast<SoftmaxState*>(record);
    float* const sums = record + 2 * state_count();
    clear(states, sums, unit.rows * group, dim);
    const int64_t last_index = unit.first_index + unit.rows - 1;
    const int64_t first_page = std::max(part * kPartPages, int64_t{args.first_index} / ops::kGrid);
    const int64_t end_page = std::min((part + 1) * kPartPages, last_index / ops::kGrid + 1);
    for (int64_t page = first_page; page < end_page; ++page) {
      const auto view_of = [&](int64_t index) {
        return cache.view(args.layer, page_of(*args.batch, *unit.segment, index), unit.kv_head);
      };
      PageView view = view_of(page);
      // The first lines of a page are asked for while the one before is read.
      if (page + 1 < end_page) view.end = cache.stream_end(view, view_of(page + 1));
      for (int64_t row = 0; row < unit.rows; ++row) {
        const int64_t at = page * ops::kGrid;
        const int64_t begin = std::max<int64_t>(args.first_index - at, 0);
        const int64_t end = std::min<int64_t>(unit.first_index + row + 1 - at, ops::kGrid);
        if (begin >= end) continue;
        view.fetch = row == 0 ? fetch : FetchDistance{};  // the others find the page in cache
        kernels.attend_page(view, query.row(unit.first_row + row) + unit.kv_head * group * dim,
                            group, begin, end, states + row * group, sums + row * group * dim);
      }
    }
  }

  void merge(const Unit& unit, const float* record, SoftmaxState* states) const {
    const auto* const partial = reinterpret_cast<const SoftmaxState*>(record);
    const float* const sums = record + 2 * state_count();
    for (int64_t row = 0; row < unit.rows; ++row) {
      kernels.merge(partial + row * group, sums + row * group * dim, group, dim,
                    states + row * group, unit_out(unit, row));
    }
  }

  void finish(const Unit& unit, const SoftmaxState* states) const {
    for (int64_t row = 0; row < unit.rows; ++row) {
      kernels.finish(states + row * group, cache.value_factor(args.layer), group, dim,
                     unit_out(unit, row));
    }
  }

  // Units as they are: each is walked through by one member.
  void share_units(ThreadPool& pool, float* scratch) const {
    dynamic_items(pool, static_cast<int64_t>(units.size()), [&](int64_t item, int member) {
      const Unit& unit = units[static_cast<size_t>(item)];
      float* const record = scratch + member * kAttentionFloats;
      auto* const states = reinterpret_cast<SoftmaxState*>(record + record_floats());
      begin(unit, states);
      for (int64_t part = 0; part < unit.parts(); ++part) {
        sum_part(unit, part, record);
        merge(unit, record, states);
      }
      finish(unit, states);
    });
  }

  // Too few units for the team: parts are shared out, in waves of as many records as fit.
  void share_parts(ThreadPool& pool, float* scratch) const {
    const auto count = static_cast<int64_t>(units.size());
    auto* const states = reinterpret_cast<SoftmaxState*>(scratch);
    float* const records = scratch + 2 * state_count() * count;
    const int64_t room = kAttentionFloats * pool.size() - 2 * state_count() * count;
    const int64_t wave = room / record_floats();
    struct Task {
      int64_t unit, part;
    };
    std::vector<Task> tasks;
    for (int64_t u = 0; u < count; ++u) {
      const Unit& unit = units[static_cast<size_t>(u)];
      begin(unit, states + u * state_count());
      for (int64_t part = 0; part < unit.parts(); ++part) tasks.push_back({u, part});
    }
    const auto total = static_cast<int64_t>(tasks.size());
    for (int64_t first = 0; first < total; first += wave) {
      const int64_t now = std::min(wave, total - first);
      const auto task = [&](int64_t i) { return tasks[static_cast<size_t>(first + i)]; };
      dynamic_items(pool, now, [&](int64_t i, int) {
        sum_part(units[static_cast<size_t>(task(i).unit)], task(i).part,
                 records + i * record_floats());
      });
      for (int64_t i = 0; i < now; ++i) {
        merge(units[static_cast<size_t>(task(i).unit)], records + i * record_floats(),
              states + task(i).unit * state_count());
      }
    }
    for (int64_t u = 0; u < count; ++u) {
      finish(units[static_cast<size_t>(u)], states + u * state_count());
    }
  }
};

void CpuBackend::do_attention(const ops::AttentionArgs& args) {
  const PagedKvCache& cache = own(static_cast<const ops::KvCache&>(*args.cache));
  const int64_t dim = cache.spec().head_dim, group = args.query.columns / dim / cache.spec().heads;
  SLUICE_CHECK(args.query.columns == group * dim * cache.spec().heads,
               "query columns {}, kv heads {} of {}", args.query.columns, cache.spec().heads, dim);
  AttentionRun run = {
      args, cache, attention_, rows_of(args.query), rows_of(args.out), dim, group, fetch_.attention,
      1,    {}};
  // A record and running states of a unit must fit a member's share.
  const int64_t per_row = group * (dim + 4);
  SLUICE_CHECK(per_row <= kAttentionFloats, "{} query heads of {} share a kv head", group, dim);
  int64_t longest = 1;
  for (const ops::Segment& segment : args.batch->segments) {
    longest = std::max<int64_t>(longest, segment.row_count);
  }
  run.block_rows = std::min({kBlockRows, kAttentionFloats / per_row, longest});
  run.list_units();
  if (pool_.size() == 1 || static_cast<int64_t>(run.units.size()) >= 2 * pool_.size()) {
    run.share_units(pool_, attention_scratch(0));
  } else {
    run.share_parts(pool_, attention_scratch(0));
  }
}

void CpuBackend::do_attention_gate(const ops::AttentionGateArgs& args) {
  const Rows heads = rows_of(args.heads), gate = rows_of(args.query_gate), out = rows_of(args.out);
  const int64_t dim = args.head_dim, count = heads.columns / dim;
  static_items(pool_, heads.rows * count, heads.rows * heads.columns < kSerialFloats,
               [&](int64_t item, int) {
                 const int64_t r = item / count, h = item % count;
                 rows_.sigmoid_gate(heads.row(r) + h * dim, gate.row(r) + (2 * h + 1) * dim,
                                    out.row(r) + h * dim, dim);
               });
}

}  // namespace sluice::cpu
