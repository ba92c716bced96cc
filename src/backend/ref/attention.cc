// Full attention (architecture.md 4.4, 4.5): query and key norm, rotation, cache, causal softmax.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/ref/kv_cache.h"
#include "backend/ref/ref_backend.h"
#include "backend/ref/scalar.h"
#include "base/check.h"

namespace sluice::ref {
namespace {

PagedKvCache& own(ops::KvCache* cache) {
  auto* mine = dynamic_cast<PagedKvCache*>(cache);
  SLUICE_CHECK(mine != nullptr, "a cache of another backend");
  return *mine;
}

// The page that holds a cache index of a segment's sequence.
int32_t page_of(const ops::Batch& batch, const ops::Segment& segment, int64_t index) {
  const int64_t page = index / ops::kGrid;
  SLUICE_CHECK(index >= 0 && page < segment.page_count, "index {} in {} pages", index,
               segment.page_count);
  const int64_t place = segment.first_page + page;
  SLUICE_CHECK(place >= 0 && place < static_cast<int64_t>(batch.pages.size()),
               "page list entry {} of {}", place, batch.pages.size());
  return batch.pages[static_cast<size_t>(place)];
}

void norm_head(const float* x, const float* weight, int64_t dim, double eps, float* out) {
  const double factor = rms_factor(x, dim, eps);
  for (int64_t i = 0; i < dim; ++i) out[i] = static_cast<float>(x[i] * factor * weight[i]);
}

// cos and sin of one token's angles. The product of position and frequency is a float32 product,
// and cos and sin are of that rounded angle: a wider product moves logits at long context
// (architecture.md 4.5).
struct Rotation {
  std::vector<float> cosine, sine;

  Rotation(const ops::RotaryTable& table, const int32_t (&position)[3]) {
    for (size_t m = 0; m < table.inverse_frequencies.size(); ++m) {
      SLUICE_CHECK(table.components[m] < 3, "position component {}", table.components[m]);
      const float angle =
          static_cast<float>(position[table.components[m]]) * table.inverse_frequencies[m];
      const auto of = [&](double value) {
        return static_cast<float>(value) * table.attention_factor;
      };
      cosine.push_back(of(std::cos(double{angle})));
      sine.push_back(of(std::sin(double{angle})));
    }
  }

  // The half-split form inside the head's first 2 * pairs dimensions; the rest stays.
  void apply(float* head) const {
    const size_t pairs = cosine.size();
    for (size_t m = 0; m < pairs; ++m) {
      const double low = head[m], high = head[m + pairs], c = cosine[m], s = sine[m];
      head[m] = static_cast<float>(low * c - high * s);
      head[m + pairs] = static_cast<float>(high * c + low * s);
    }
  }
};

// Norm and rotation of all heads of one row; `normed` (no rotation) may be null.
void prepare_heads(const float* in, int64_t in_stride, int64_t heads, int64_t dim,
                   const float* weight, double eps, const Rotation& rotation, float* normed,
                   float* out) {
  for (int64_t h = 0; h < heads; ++h) {
    float* head = out + h * dim;
    norm_head(in + h * in_stride, weight, dim, eps, head);
    if (normed != nullptr) std::copy_n(head, dim, normed + h * dim);
    rotation.apply(head);
  }
}

// Keys and values of one sequence and one kv head, [count, dim].
struct Context {
  std::vector<float> keys, values;

  Context(const PagedKvCache& cache, const ops::Batch& batch, const ops::Segment& segment,
          int64_t layer, int64_t head, int64_t first, int64_t end) {
    const int64_t dim = cache.spec().head_dim;
    keys.resize(static_cast<size_t>((end - first) * dim));
    values.resize(keys.size());
    for (int64_t j = first; j < end; ++j) {
      const int32_t page = page_of(batch, segment, j);
      const int64_t place = j % ops::kGrid, to = (j - first) * dim;
      cache.read(layer, page, KvPart::kKey, head, place, keys.data() + to);
      cache.read(layer, page, KvPart::kValue, head, place, values.data() + to);
    }
  }
};

// One query head over the first `count` tokens of a context.
void attend(const float* query, const Context& context, int64_t count, int64_t dim, float* out) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
  std::vector<double> weights(static_cast<size_t>(count));
  for (int64_t j = 0; j < count; ++j) {
    weights[static_cast<size_t>(j)] = dot(query, context.keys.data() + j * dim, dim) * scale;
  }
  const double peak = *std::max_element(weights.begin(), weights.end());
  double total = 0;
  for (double& weight : weights) {
    weight = std::exp(weight - peak);
    total += weight;
  }
  std::vector<double> sums(static_cast<size_t>(dim));
  for (int64_t j = 0; j < count; ++j) {
    for (int64_t i = 0; i < dim; ++i) {
      sums[static_cast<size_t>(i)] +=
          weights[static_cast<size_t>(j)] * context.values[static_cast<size_t>(j * dim + i)];
    }
  }
  for (int64_t i = 0; i < dim; ++i)
    out[i] = static_cast<float>(sums[static_cast<size_t>(i)] / total);
}

}  // namespace

void RefBackend::do_attention_input(const ops::AttentionInputArgs& args) {
  PagedKvCache& cache = own(args.cache);
  const int64_t dim = cache.spec().head_dim, kv_heads = cache.spec().heads;
  const RowsOf query_gate = rows_of(args.query_gate), query = rows_of(args.query),
               key = rows_of(args.key), value = rows_of(args.value),
               query_normed = rows_of(args.query_normed), key_normed = rows_of(args.key_normed);
  const float* query_weight = rows_of(args.query_norm).data;
  const float* key_weight = rows_of(args.key_norm).data;

  for (int64_t r = 0; r < query.rows; ++r) {
    const ops::Row& row = args.batch->rows[static_cast<size_t>(r)];
    const ops::Segment& segment = args.batch->segments[static_cast<size_t>(row.segment)];
    const Rotation rotation(*args.rotary, row.rope);
    prepare_heads(query_gate.row(r), 2 * dim, query.columns / dim, dim, query_weight, args.eps,
                  rotation, query_normed.data == nullptr ? nullptr : query_normed.row(r),
                  query.row(r));
    prepare_heads(key.row(r), dim, kv_heads, dim, key_weight, args.eps, rotation,
                  key_normed.data == nullptr ? nullptr : key_normed.row(r), key.row(r));
    const int32_t page = page_of(*args.batch, segment, row.index);
    for (int64_t h = 0; h < kv_heads; ++h) {
      const int64_t place = row.index % ops::kGrid;
      cache.write(args.layer, page, KvPart::kKey, h, place, key.row(r) + h * dim);
      cache.write(args.layer, page, KvPart::kValue, h, place, value.row(r) + h * dim);
    }
  }
}

void RefBackend::do_attention(const ops::AttentionArgs& args) {
  const PagedKvCache& cache = own(args.cache);
  const int64_t dim = cache.spec().head_dim, kv_heads = cache.spec().heads;
  const RowsOf query = rows_of(args.query), out = rows_of(args.out);
  const int64_t group = query.columns / dim / kv_heads;  // query heads per kv head

  for (const ops::Segment& segment : args.batch->segments) {
    pool_.for_range(kv_heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t g = begin; g < end; ++g) {
        const Context context(cache, *args.batch, segment, args.layer, g, args.first_index,
                              segment.first_index + segment.row_count);
        for (int64_t i = 0; i < segment.row_count; ++i) {
          const int64_t r = segment.first_row + i;
          const int64_t count = segment.first_index + i + 1 - args.first_index;
          for (int64_t h = g * group; h < (g + 1) * group; ++h) {
            attend(query.row(r) + h * dim, context, count, dim, out.row(r) + h * dim);
          }
        }
      }
    });
  }
}

void RefBackend::do_attention_gate(const ops::AttentionGateArgs& args) {
  const RowsOf heads = rows_of(args.heads), query_gate = rows_of(args.query_gate),
               out = rows_of(args.out);
  const int64_t dim = args.head_dim;
  for (int64_t r = 0; r < heads.rows; ++r) {
    for (int64_t i = 0; i < heads.columns; ++i) {
      const double gate = query_gate.at(r, (2 * (i / dim) + 1) * dim + i % dim);
      out.at(r, i) = static_cast<float>(heads.at(r, i) * sigmoid(gate));
    }
  }
}

}  // namespace sluice::ref
