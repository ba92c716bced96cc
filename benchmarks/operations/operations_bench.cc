// Times of the CPU backend's operations other than products, at the shapes of the 27B model, beside
// the machine's limits in the same run.
//
//   operations_bench --benchmark_enable_random_interleaving=true --benchmark_repetitions=9
//                    --benchmark_report_aggregates_only=true
//
// Interleaving matters: on shared machines the limit moves within seconds, so a figure is worth
// something only beside the limit of the same minute. SLUICE_CPU forces the instruction set;
// SLUICE_BENCH_THREADS would be a second switch for what taskset does already: the team has as many
// members as this process may use cores.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "base/memory.h"
#include "base/threads.h"
#include "ops/backend.h"
#include "take.h"

namespace sluice {
namespace {

// 27B (spec/architecture.md section 1).
constexpr int64_t kGdnLayers = 48, kKeyHeads = 16, kValueHeads = 48, kDim = 128;
constexpr int64_t kQueryHeads = 24, kKvHeads = 4, kHeadDim = 256;
constexpr int64_t kHidden = 5120, kFeedForward = 17408;
constexpr int64_t kMaxRows = 512;

ops::Backend& backend() {
  static const auto instance = take(cpu::create_cpu_backend({.threads = usable_cores()}));
  return *instance;
}

// A view of random values, in a buffer of its own that lives as long as the process.
ops::View filled(int64_t rows, int64_t columns, float spread = 1.0f) {
  static std::vector<std::unique_ptr<ops::DeviceBuffer>> buffers;
  static std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0f, spread);
  buffers.push_back(take(backend().allocate(static_cast<size_t>(rows * columns) * sizeof(float))));
  const ops::View view = {buffers.back().get(), 0, rows, columns, columns};
  std::vector<float> values(static_cast<size_t>(rows * columns));
  for (float& value : values) value = normal(random);
  backend().upload(view, values);
  return view;
}

ops::Batch one_sequence(int64_t rows, int64_t first_index, ops::Role role, int32_t commit) {
  ops::Batch batch;
  ops::Segment segment;
  segment.row_count = static_cast<int32_t>(rows);
  segment.first_index = static_cast<int32_t>(first_index);
  segment.role = role;
  segment.commit = commit;
  const int64_t pages = (first_index + rows + ops::kGrid - 1) / ops::kGrid;
  segment.page_count = static_cast<int32_t>(pages);
  for (int64_t page = 0; page < pages; ++page) batch.pages.push_back(static_cast<int32_t>(page));
  for (int64_t r = 0; r < rows; ++r) {
    const auto index = static_cast<int32_t>(first_index + r);
    batch.rows.push_back({.token = 0, .segment = 0, .index = index, .rope = {index, index, index}});
  }
  batch.segments.push_back(segment);
  return batch;
}

void set_bytes(benchmark::State& state, double bytes) {
  state.counters["GB/s"] = benchmark::Counter(
      bytes * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

// ---- limits

constexpr size_t kLimitBytes = size_t{151} << 20;

struct LimitMemory {
  PageBlock block{kLimitBytes};
  ThreadPool pool{usable_cores()};

  LimitMemory() {  // not measured: the first touch
    pool.for_range(floats(), 1024, [&](int64_t begin, int64_t end) {
      std::fill(data() + begin, data() + end, 1.0f);
    });
  }
  int64_t floats() const { return static_cast<int64_t>(kLimitBytes / sizeof(float)); }
  float* data() const { return reinterpret_cast<float*>(block.data()); }
};

LimitMemory& limit_memory() {
  static LimitMemory memory;
  return memory;
}

// Both directions summed.
void limit_read_write(benchmark::State& state) {
  LimitMemory& memory = limit_memory();
  for (auto unused : state) {
    static_cast<void>(unused);
    memory.pool.for_range(memory.floats(), 1024, [&](int64_t begin, int64_t end) {
      float* const data = memory.data();
      for (int64_t i = begin; i < end; ++i) data[i] = data[i] * 0.999f + 1.0f;
    });
  }
  set_bytes(state, 2.0 * static_cast<double>(kLimitBytes));
}

void limit_read(benchmark::State& state) {
  LimitMemory& memory = limit_memory();
  for (auto unused : state) {
    static_cast<void>(unused);
    memory.pool.for_range(memory.floats(), 1024, [&](int64_t begin, int64_t end) {
      const float* const data = memory.data();
      float sums[64] = {};
      for (int64_t i = begin; i + 64 <= end; i += 64) {
        for (int64_t lane = 0; lane < 64; ++lane) sums[lane] += data[i + lane];
      }
      benchmark::DoNotOptimize(sums);
    });
  }
  set_bytes(state, static_cast<double>(kLimitBytes));
}

// ---- GDN

struct GdnSetup {
  ops::View query = filled(kMaxRows, kKeyHeads* kDim, 0.008f);
  ops::View key = filled(kMaxRows, kKeyHeads* kDim, 0.088f);
  ops::View value = filled(kMaxRows, kValueHeads* kDim);
  ops::View beta = filled(kMaxRows, kValueHeads, 0.1f);
  ops::View g = filled(kMaxRows, kValueHeads, 0.0f);
  ops::View out = filled(kMaxRows, kValueHeads* kDim);
  std::unique_ptr<ops::RecurrentState> state;

  GdnSetup() {
    // A decay near one: states neither vanish (denormals) nor grow.
    backend().upload(g, std::vector<float>(static_cast<size_t>(kMaxRows * kValueHeads), -0.02f));
    ops::RecurrentSpec spec;
    spec.layers = kGdnLayers;
    spec.key_heads = kKeyHeads;
    spec.value_heads = kValueHeads;
    spec.key_dim = spec.value_dim = kDim;
    spec.slots = 4;
    spec.pending_rows = 4;
    state = take(backend().create_recurrent_state(spec));
    for (int64_t slot = 0; slot < spec.slots; ++slot) backend().reset_slot(*state, slot);
  }

  ops::GdnDeltaArgs args(const ops::Batch& batch, int64_t layer) const {
    const int64_t rows = batch.row_count();
    return {&batch,
            query.first_rows(rows),
            key.first_rows(rows),
            value.first_rows(rows),
            beta.first_rows(rows),
            g.first_rows(rows),
            state.get(),
            layer,
            out.first_rows(rows)};
  }
};

GdnSetup& gdn_setup() {
  static GdnSetup setup;
  return setup;
}

// `new rows` after as many accepted ones, one sequence, all 48 layers. Bytes: one read and one
// write of the state.
void gdn_decode(benchmark::State& state) {
  GdnSetup& setup = gdn_setup();
  const int64_t rows = state.range(0);
  ops::Batch batch = one_sequence(rows, 128, ops::Role::kAnswer, 0);
  for (int64_t layer = 0; layer < kGdnLayers; ++layer) {
    backend().gdn_delta(setup.args(batch, layer));
  }
  batch.segments[0].commit = static_cast<int32_t>(rows);
  for (auto unused : state) {
    static_cast<void>(unused);
    for (int64_t layer = 0; layer < kGdnLayers; ++layer) {
      backend().gdn_delta(setup.args(batch, layer));
    }
  }
  set_bytes(state, 2.0 * static_cast<double>(kGdnLayers * kValueHeads * kDim * kDim * 4));
}

// One layer, a prompt of 512 rows.
void gdn_prompt(benchmark::State& state) {
  GdnSetup& setup = gdn_setup();
  const ops::Batch batch = one_sequence(kMaxRows, 0, ops::Role::kPrompt, 0);
  backend().reset_slot(*setup.state, 0);
  for (auto unused : state) {
    static_cast<void>(unused);
    backend().gdn_delta(setup.args(batch, 0));
  }
  state.counters["us/row"] = benchmark::Counter(
      static_cast<double>(kMaxRows) * 1e-6 * static_cast<double>(state.iterations()),
      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void gdn_conv(benchmark::State& state) {
  GdnSetup& setup = gdn_setup();
  const int64_t rows = state.range(0), channels = setup.state->spec().conv_channels();
  static const ops::View raw = filled(kMaxRows, channels), out = filled(kMaxRows, channels);
  static const ops::View weight = filled(channels, 4);
  const ops::Batch batch = one_sequence(rows, 0, ops::Role::kPrompt, 0);
  backend().reset_slot(*setup.state, 0);
  for (auto unused : state) {
    static_cast<void>(unused);
    backend().gdn_conv(
        {&batch, raw.first_rows(rows), weight, setup.state.get(), 0, out.first_rows(rows)});
  }
  set_bytes(state, static_cast<double>(2 * rows * channels * 4));
}

// ---- attention

struct AttentionSetup {
  static constexpr int64_t kContext = 32768;
  ops::View query_gate = filled(kMaxRows, 2 * kQueryHeads * kHeadDim);
  ops::View query = filled(kMaxRows, kQueryHeads* kHeadDim);
  ops::View key = filled(kMaxRows, kKvHeads*kHeadDim), value = filled(kMaxRows, kKvHeads*kHeadDim);
  ops::View norm = filled(1, kHeadDim);
  ops::View out = filled(kMaxRows, kQueryHeads* kHeadDim);
  ops::RotaryTable rotary;
  std::unique_ptr<ops::KvCache> cache;

  explicit AttentionSetup(ops::KvFormat format) {
    for (int m = 0; m < 32; ++m) {
      rotary.inverse_frequencies.push_back(1.0f / static_cast<float>(m + 1));
      rotary.components.push_back(0);
    }
    ops::KvSpec spec;
    spec.layers = 1;
    spec.heads = kKvHeads;
    spec.head_dim = kHeadDim;
    spec.pages = (kContext + kMaxRows) / ops::kGrid;
    spec.format = format;
    cache = take(backend().create_kv_cache(spec));
    for (int64_t first = 0; first < kContext; first += kMaxRows) write(first);
  }

  void write(int64_t first) {
    const ops::Batch batch = one_sequence(kMaxRows, first, ops::Role::kPrompt, 0);
    backend().attention_input({&batch,
                               query_gate,
                               key,
                               value,
                               norm,
                               norm,
                               1e-6f,
                               &rotary,
                               cache.get(),
                               0,
                               query,
                               {},
                               {}});
  }
};

AttentionSetup& attention_setup(ops::KvFormat format) {
  static AttentionSetup bf16(ops::KvFormat::kBF16), fp8(ops::KvFormat::kFp8);
  return format == ops::KvFormat::kBF16 ? bf16 : fp8;
}

// One layer, `rows` new rows after 32K tokens.
void attention_decode(benchmark::State& state, ops::KvFormat format) {
  AttentionSetup& setup = attention_setup(format);
  const int64_t rows = state.range(0);
  const ops::Batch batch =
      one_sequence(rows, AttentionSetup::kContext - rows, ops::Role::kAnswer, 0);
  for (auto unused : state) {
    static_cast<void>(unused);
    backend().attention({&batch, setup.query.first_rows(rows), setup.cache.get(), 0, 0,
                         setup.out.first_rows(rows)});
  }
  set_bytes(state, static_cast<double>(setup.cache->spec().bytes_per_page()) *
                       static_cast<double>(AttentionSetup::kContext / ops::kGrid));
}

// One layer, a prompt chunk of 512 rows after 3,584 tokens.
void attention_prompt(benchmark::State& state) {
  AttentionSetup& setup = attention_setup(ops::KvFormat::kBF16);
  constexpr int64_t kBefore = 3584;
  const ops::Batch batch = one_sequence(kMaxRows, kBefore, ops::Role::kPrompt, 0);
  for (auto unused : state) {
    static_cast<void>(unused);
    backend().attention({&batch, setup.query, setup.cache.get(), 0, 0, setup.out});
  }
  const double pairs = kMaxRows * (kBefore + (kMaxRows + 1) / 2.0);
  state.counters["GMAC/s"] = benchmark::Counter(
      pairs * 2 * kQueryHeads * kHeadDim * 1e-9 * static_cast<double>(state.iterations()),
      benchmark::Counter::kIsRate);
}

void attention_input(benchmark::State& state) {
  AttentionSetup& setup = attention_setup(ops::KvFormat::kBF16);
  for (auto unused : state) {
    static_cast<void>(unused);
    setup.write(0);
  }
}

// ---- rows

void rms_norm(benchmark::State& state) {
  const int64_t rows = state.range(0);
  static const ops::View x = filled(kMaxRows, kHidden), delta = filled(kMaxRows, kHidden, 0.0f),
                         weight = filled(1, kHidden), out = filled(kMaxRows, kHidden);
  for (auto unused : state) {
    static_cast<void>(unused);
    backend().rms_norm(
        {x.first_rows(rows), delta.first_rows(rows), weight, 1e-6f, out.first_rows(rows)});
  }
}

void swiglu(benchmark::State& state) {
  const int64_t rows = state.range(0);
  static const ops::View gate = filled(64, kFeedForward), up = filled(64, kFeedForward),
                         out = filled(64, kFeedForward);
  for (auto unused : state) {
    static_cast<void>(unused);
    backend().swiglu({gate.first_rows(rows), up.first_rows(rows), out.first_rows(rows)});
  }
}

// A barrier of the team and nothing between: wanted are at most 2 us.
void team_barrier(benchmark::State& state) {
  ThreadPool pool(usable_cores());
  for ([[maybe_unused]] const auto step : state) pool.run([](int, int) {});
}

BENCHMARK(team_barrier)->UseRealTime()->Unit(benchmark::kNanosecond);
BENCHMARK(limit_read)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(limit_read_write)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(gdn_decode)->Arg(1)->Arg(4)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(gdn_prompt)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(gdn_conv)->Arg(1)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(attention_decode, bf16, ops::KvFormat::kBF16)
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(attention_decode, fp8, ops::KvFormat::kFp8)
    ->Arg(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(attention_prompt)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(attention_input)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(rms_norm)->Arg(1)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(swiglu)->Arg(1)->Arg(64)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sluice

BENCHMARK_MAIN();
