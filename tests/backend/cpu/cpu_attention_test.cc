// Attention of the CPU backend over long contexts and in every cache format, against double
// precision over what the cache really holds; the cache's roundings; rotary angles far out.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rotary.h"
#include "codec/number_formats.h"
#include "ops/arrays.h"

namespace sluice::cpu {
namespace {

using ops::KvFormat;
using ops::testing::Array;
using ops::testing::bits_of;
using ops::testing::make_batch;
using ops::testing::page_list;
using ops::testing::Piece;
using ops::testing::random_values;

constexpr double kUnit = 0x1p-24;

std::unique_ptr<ops::Backend> make(InstructionSet set, int threads) {
  auto backend = create_cpu_backend(
      {.threads = threads, .activations = ops::ActivationMode::kWide, .instruction_set = set});
  EXPECT_TRUE(backend.ok());
  return std::move(backend).value();
}

struct Shape {
  int64_t heads = 6, kv_heads = 2, dim = 64;
};

// A cache with `tokens` random keys and values of one layer, written in prompts of 500.
struct Filled {
  Shape shape;
  std::unique_ptr<ops::KvCache> cache;
  std::vector<int32_t> pages;

  Filled(ops::Backend& backend, Shape s, KvFormat format, int64_t tokens) : shape(s) {
    const int64_t count = (tokens + ops::kGrid - 1) / ops::kGrid;
    pages = page_list(0, static_cast<int>(count));
    std::reverse(pages.begin(), pages.end());  // so that order in memory is not that of tokens
    ops::KvSpec spec{.layers = 1,
                     .heads = s.kv_heads,
                     .head_dim = s.dim,
                     .pages = count,
                     .format = format,
                     .key_scales = {},
                     .value_scales = {}};
    if (format == KvFormat::kFp8) {
      spec.key_scales = {0.03f};
      spec.value_scales = {0.007f};
    }
    auto made = backend.create_kv_cache(spec);
    EXPECT_TRUE(made.ok());
    cache = std::move(made).value();
    for (int64_t first = 0; first < tokens; first += 500) {
      write(backend, first, std::min<int64_t>(500, tokens - first));
    }
  }

  void write(ops::Backend& backend, int64_t first, int64_t rows) {
    const ops::Batch batch = batch_of(first, rows);
    const auto seed = static_cast<uint64_t>(first);
    const int64_t width = shape.kv_heads * shape.dim;
    const Array query_gate(backend, rows, 2 * shape.heads * shape.dim,
                           random_values(seed + 1, 2 * rows * shape.heads * shape.dim));
    const Array key(backend, rows, width, random_values(seed + 2, rows * width));
    const Array value(backend, rows, width, random_values(seed + 3, rows * width));
    const Array norm(backend, 1, shape.dim,
                     std::vector<float>(static_cast<size_t>(shape.dim), 1.5f));
    const Array query(backend, rows, shape.heads * shape.dim);
    ops::RotaryTable rotary;
    rotary.inverse_frequencies = {1.0f, 0.1f};
    rotary.components = {0, 0};
    backend.attention_input({&batch,
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

  ops::Batch batch_of(int64_t first, int64_t rows) const {
    Piece piece;
    piece.role = ops::Role::kPrompt;
    piece.first_index = static_cast<int32_t>(first);
    piece.tokens.assign(static_cast<size_t>(rows), 0);
    piece.pages = pages;
    return make_batch(std::vector<Piece>{piece});
  }

  // Attention of the last `rows` of `tokens`, queries from a seed.
  std::vector<float> attend(ops::Backend& backend, int64_t tokens, int64_t rows,
                            int64_t first_index = 0) const {
    const ops::Batch batch = batch_of(tokens - rows, rows);
    const Array query(backend, rows, shape.heads * shape.dim, queries(tokens, rows));
    const Array out(backend, rows, shape.heads * shape.dim);
    backend.attention({&batch, query, cache.get(), 0, first_index, out});
    EXPECT_TRUE(out.gaps_untouched());
    return out.get();
  }

  // Row by row from the row's index, so that a row has the same query in every batch.
  std::vector<float> queries(int64_t tokens, int64_t rows) const {
    std::vector<float> values;
    for (int64_t r = tokens - rows; r < tokens; ++r) {
      const auto row =
          random_values(static_cast<uint64_t>(9000 + r), shape.heads * shape.dim, -2, 2);
      values.insert(values.end(), row.begin(), row.end());
    }
    return values;
  }
};

// Compares with double precision. The bound counts roundings: a score is a chain of dim products
// and two factors; a weight doubles the score's error; outputs are chains over at most 1,024 tokens
// of a part, each page and part adding a factor.
void expect_exact_attention(ops::Backend& backend, const Filled& filled, int64_t tokens,
                            int64_t rows, int64_t first_index) {
  const Shape s = filled.shape;
  const auto out = filled.attend(backend, tokens, rows, first_index);
  const auto queries = filled.queries(tokens, rows);
  const auto keys = backend.export_keys(*filled.cache, 0, filled.pages, tokens);
  const auto values = backend.export_values(*filled.cache, 0, filled.pages, tokens);
  const int64_t group = s.heads / s.kv_heads, width = s.kv_heads * s.dim;
  const double scale = 1.0 / std::sqrt(static_cast<double>(s.dim));
  const double chain = 1024 + 16 * 3 + 4.0 * static_cast<double>(tokens / 1024 + 1);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t h = 0; h < s.heads; ++h) {
      const float* q = queries.data() + (r * s.heads + h) * s.dim;
      const int64_t end = tokens - rows + r + 1, at = h / group * s.dim;
      std::vector<double> scores;
      double peak = -1e300, error = 0;
      for (int64_t j = first_index; j < end; ++j) {
        double sum = 0, size = 0;
        for (int64_t d = 0; d < s.dim; ++d) {
          const double term = static_cast<double>(q[d]) *
                              static_cast<double>(keys[static_cast<size_t>(j * width + at + d)]);
          sum += term;
          size += std::fabs(term);
        }
        scores.push_back(sum * scale);
        peak = std::max(peak, sum * scale);
        error = std::max(error, size * scale * static_cast<double>(s.dim + 5) * kUnit);
      }
      double total = 0;
      for (double& score : scores) total += score = std::exp(score - peak);
      for (int64_t d = 0; d < s.dim; ++d) {
        double sum = 0, size = 0;
        for (int64_t j = first_index; j < end; ++j) {
          const double term = scores[static_cast<size_t>(j - first_index)] / total *
                              static_cast<double>(values[static_cast<size_t>(j * width + at + d)]);
          sum += term;
          size += std::fabs(term);
        }
        const double bound = size * (4 * error + (2 * chain + 16) * kUnit);
        ASSERT_NEAR(out[static_cast<size_t>((r * s.heads + h) * s.dim + d)], sum, bound)
            << "row " << r << " head " << h << " dim " << d;
      }
    }
  }
}

class CpuAttention : public ::testing::TestWithParam<InstructionSet> {};

TEST_P(CpuAttention, FiveThousandTokensInEveryFormat) {
  for (const KvFormat format : {KvFormat::kF32, KvFormat::kBF16, KvFormat::kFp8}) {
    const auto backend = make(GetParam(), 2);
    const Filled filled(*backend, {}, format, 5000);
    expect_exact_attention(*backend, filled, 5000, 3, 0);
  }
}

TEST_P(CpuAttention, HeadShapesThatFitNoTile) {
  const auto backend = make(GetParam(), 2);
  for (const KvFormat format : {KvFormat::kF32, KvFormat::kBF16, KvFormat::kFp8}) {
    for (const Shape shape : {Shape{6, 1, 32}, Shape{8, 2, 40}, Shape{5, 1, 24}, Shape{7, 1, 8},
                              Shape{2, 2, 96}, Shape{12, 1, 36}}) {
      const Filled filled(*backend, shape, format, 150);
      expect_exact_attention(*backend, filled, 150, 2, 0);
      expect_exact_attention(*backend, filled, 65, 65, 0);
    }
  }
}

TEST_P(CpuAttention, TokensBelowTheFirstIndexAreNotSeen) {
  const auto backend = make(GetParam(), 1);
  const Filled filled(*backend, {}, KvFormat::kBF16, 300);
  for (const int64_t first : {1, 31, 32, 63, 64, 65, 128, 200}) {
    expect_exact_attention(*backend, filled, 300, 4, first);
  }
  // The only token that is left is the row itself.
  expect_exact_attention(*backend, filled, 2, 1, 1);
  EXPECT_THROW(static_cast<void>(filled.attend(*backend, 2, 2, 1)), std::logic_error);
}

// One row and few heads on many members: parts of the context are shared out in waves.
TEST_P(CpuAttention, AnyTeamAndAnyBatchGiveTheSameBits) {
  const Shape shape{6, 1, 256};
  constexpr int64_t kTokens = 9000;
  const auto alone = make(GetParam(), 1);
  const Filled filled(*alone, shape, KvFormat::kBF16, kTokens);
  const auto expected = bits_of(filled.attend(*alone, kTokens, 1));
  const auto twelve = bits_of(filled.attend(*alone, kTokens, 12));
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(),
                         twelve.end() - static_cast<std::ptrdiff_t>(expected.size())));
  for (const int threads : {2, 3, 8}) {
    const auto team = make(GetParam(), threads);
    EXPECT_EQ(bits_of(filled.attend(*team, kTokens, 1)), expected) << threads;
    EXPECT_EQ(bits_of(filled.attend(*team, kTokens, 12)), twelve) << threads;
  }
}

TEST_P(CpuAttention, CacheRoundsAsTheFormatsDo) {
  const auto backend = make(GetParam(), 1);
  for (const KvFormat format : {KvFormat::kF32, KvFormat::kBF16, KvFormat::kFp8}) {
    const Shape shape{2, 2, 40};
    Filled filled(*backend, shape, format, 130);
    const auto values = backend->export_values(*filled.cache, 0, filled.pages, 130);
    const auto given = random_values(3, 130 * shape.kv_heads * shape.dim);  // what write() stored
    for (size_t i = 0; i < given.size(); ++i) {
      float expected = given[i];
      if (format == KvFormat::kBF16) expected = codec::round_to_bf16(given[i]);
      if (format == KvFormat::kFp8) {
        expected = codec::kE4m3Values[codec::f32_to_e4m3(given[i] / 0.007f)] * 0.007f;
      }
      ASSERT_EQ(values[i], expected) << i;
    }
  }
}

TEST_P(CpuAttention, CopiedPageIsReadLikeTheOriginal) {
  const auto backend = make(GetParam(), 2);
  Filled filled(*backend, {}, KvFormat::kFp8, 192);
  const auto expected = bits_of(filled.attend(*backend, 128, 5));
  backend->copy_page(*filled.cache, filled.pages[1], filled.pages[2]);
  filled.pages[1] = filled.pages[2];
  EXPECT_EQ(bits_of(filled.attend(*backend, 128, 5)), expected);
}

INSTANTIATE_TEST_SUITE_P(Sets, CpuAttention,
                         ::testing::ValuesIn(supported_instruction_sets().begin(),
                                             supported_instruction_sets().end()),
                         [](const auto& test) {
                           return std::string(instruction_set_name(test.param));
                         });

TEST(RotaryAngles, HoldAtAMillion) {
  ops::RotaryTable table;
  for (int m = 0; m < 32; ++m) {
    table.inverse_frequencies.push_back(
        static_cast<float>(std::pow(1e7, -static_cast<double>(m) / 32)));
    table.components.push_back(static_cast<uint8_t>(m % 3));
  }
  table.attention_factor = 1.25f;
  RotaryAngles angles;
  for (const int32_t position : {0, 1, 4095, 262143, 999999, 1000000}) {
    const ops::Row row{
        .token = 0, .segment = 0, .index = 0, .rope = {position, position + 1, position + 2}};
    angles.prepare(table, std::vector<ops::Row>{row});
    for (int64_t m = 0; m < 32; ++m) {
      // The rounded float32 product is the definition; from there on only two roundings.
      const float angle = static_cast<float>(position + static_cast<int32_t>(m % 3)) *
                          table.inverse_frequencies[static_cast<size_t>(m)];
      const double cosine = std::cos(static_cast<double>(angle)) * 1.25;
      const double sine = std::sin(static_cast<double>(angle)) * 1.25;
      ASSERT_NEAR(angles.cosines(0)[m], cosine, 2.1 * kUnit * std::fabs(cosine)) << position;
      ASSERT_NEAR(angles.sines(0)[m], sine, 2.1 * kUnit * std::fabs(sine)) << position;
    }
  }
}

TEST(RotaryAngles, KeptRowsFollowPositionAndTable) {
  ops::RotaryTable table{
      .inverse_frequencies = {1.0f}, .components = {0}, .attention_factor = 1.0f};
  const auto at = [](int32_t p) {
    return ops::Row{.token = 0, .segment = 0, .index = 0, .rope = {p, p, p}};
  };
  RotaryAngles angles;
  angles.prepare(table, std::vector<ops::Row>{at(1), at(2)});
  angles.prepare(table, std::vector<ops::Row>{at(1), at(3), at(4)});
  EXPECT_FLOAT_EQ(angles.cosines(0)[0], std::cos(1.0f));
  EXPECT_FLOAT_EQ(angles.cosines(1)[0], std::cos(3.0f));
  EXPECT_FLOAT_EQ(angles.cosines(2)[0], std::cos(4.0f));
  table.inverse_frequencies = {2.0f};
  angles.prepare(table, std::vector<ops::Row>{at(1)});
  EXPECT_FLOAT_EQ(angles.cosines(0)[0], std::cos(2.0f));
}

}  // namespace
}  // namespace sluice::cpu
