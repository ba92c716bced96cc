// Packed products of every format on every instruction set of this machine, against a product in
// double precision of what the codec decodes, within bounds computed from the arithmetic
// (product.h).
#include "backend/cpu/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "backend/cpu/detect.h"
#include "backend/cpu/pack/packed_matrix.h"
#include "backend/cpu/pieces.h"
#include "backend/matmul_matrices.h"
#include "codec/activation.h"
#include "codec/codec.h"
#include "codec/ggml_fp4.h"
#include "codec/ggml_iq4.h"
#include "codec/ggml_k.h"
#include "codec/ggml_legacy.h"

namespace sluice::test {
namespace {

using cpu::InstructionSet;
using ops::ActivationMode;

constexpr double kEpsilon = 0x1p-24;

struct Rows {
  int64_t rows = 0, columns = 0;
  std::vector<float> values;

  const float* row(int64_t r) const { return values.data() + r * columns; }
};

// Normal values; every seventh row with outliers 1000 times as large, every eleventh with very
// small values and zeros, so that scales of all sizes occur.
Rows random_rows(int64_t rows, int64_t columns, uint64_t seed) {
  Rows out{rows, columns, std::vector<float>(static_cast<size_t>(rows * columns))};
  Random random(seed);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < columns; ++k) {
      float value = random.normal();
      if (r % 7 == 3 && random.next() % 97 == 0) value *= 1000;
      if (r % 11 == 5) value = random.next() % 3 == 0 ? 0.0f : value * 0x1p-140f;
      if (r % 11 == 9 && k >= 40) value = 0;
      out.values[static_cast<size_t>(r * columns + k)] = value;
    }
  }
  return out;
}

// out [rows, N], filled with NaN before, so that an unwritten place shows.
std::vector<float> product(const Rows& x, const ops::Matrix& weight, ThreadPool& pool,
                           int64_t answer_rows = -1) {
  std::vector<std::byte> scratch(cpu::matmul_scratch_bytes(x.rows, x.columns));
  std::vector<float> out(static_cast<size_t>(x.rows * weight.rows()), std::nanf(""));
  const cpu::DenseProduct products[] = {{&weight, out.data(), weight.rows()}};
  cpu::matmul(x.values.data(), x.rows, x.columns, x.columns, answer_rows < 0 ? x.rows : answer_rows,
              products, scratch, pool);
  return out;
}

std::unique_ptr<ops::Matrix> pack(const EncodedMatrix& matrix, InstructionSet set,
                                  ActivationMode mode, ThreadPool& pool) {
  auto packed = cpu::pack_matrix(matrix, set, mode, pool);
  EXPECT_TRUE(packed.ok());
  return std::move(packed).value();
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

bool is_float_form(const MatrixForm& form, int64_t columns) {
  // No layout for a group of 24: kept as floats (one group is a scale per row, and that has one).
  return has_float_codes(form.format) || (form.name == "int4_g24" && columns > 24);
}

// What becomes of activations before the product.
enum class Rounding { kNone, kInteger, kTwoBf16 };

// The most that it may move each of them, by place.
std::vector<double> activation_steps(const Rows& x, int64_t row, Rounding rounding,
                                     ActivationMode mode) {
  std::vector<double> steps(static_cast<size_t>(x.columns), 0.0);
  if (rounding == Rounding::kTwoBf16) {
    for (int64_t k = 0; k < x.columns; ++k)
      steps[static_cast<size_t>(k)] = std::abs(double{x.row(row)[k]}) * 0x1p-17;
  }
  if (rounding != Rounding::kInteger) return steps;
  const int64_t width = mode == ActivationMode::kDigit ? 32 : 256;
  const double levels = mode == ActivationMode::kDigit ? 127 : 16319;
  for (int64_t first = 0; first < x.columns; first += width) {
    const int64_t last = std::min(first + width, x.columns);
    double largest = 0;
    for (int64_t k = first; k < last; ++k)
      largest = std::max(largest, std::abs(double{x.row(row)[k]}));
    // Half a step, and the rounding of x / scale itself.
    for (int64_t k = first; k < last; ++k) steps[static_cast<size_t>(k)] = largest / levels * 0.51;
  }
  return steps;
}

// Compares all outputs with the product in double precision. The bound of each: what rounding the
// activations can do, plus the roundings of F32 sums over terms that are at most the row's largest
// weight (and its minimum's share, which is of that size) times |x|.
void expect_close(const Rows& x, const std::vector<float>& weights, int64_t n, Rounding rounding,
                  ActivationMode mode, const std::vector<float>& out) {
  double worst = 0;
  for (int64_t row = 0; row < x.rows; ++row) {
    const std::vector<double> steps = activation_steps(x, row, rounding, mode);
    for (int64_t o = 0; o < n; ++o) {
      const float* w = weights.data() + o * x.columns;
      double sum = 0, bound = 0, largest = 0, inputs = 0;
      for (int64_t k = 0; k < x.columns; ++k) {
        const double weight = w[k], input = x.row(row)[k];
        sum += weight * input;
        bound += std::abs(weight) * steps[static_cast<size_t>(k)];
        largest = std::max(largest, std::abs(weight));
        inputs += std::abs(input);
      }
      const double terms =
          static_cast<double>(rounding == Rounding::kInteger ? x.columns / 16 : x.columns / 2) + 24;
      bound += 2 * largest * inputs * kEpsilon * std::sqrt(terms) * 4 +
               0x1p-140 * static_cast<double>(x.columns);
      const double error = std::abs(sum - double{out[static_cast<size_t>(row * n + o)]});
      worst = std::max(worst, std::isnan(error) ? 1e9 : error / bound);
    }
  }
  EXPECT_LE(worst, 1.0);
}

class Matmul : public testing::TestWithParam<std::tuple<InstructionSet, ActivationMode, size_t>> {
 protected:
  void SetUp() override {
    const auto sets = cpu::supported_instruction_sets();
    if (std::find(sets.begin(), sets.end(), set()) == sets.end()) {
      GTEST_SKIP() << cpu::instruction_set_name(set()) << " is not supported by this machine";
    }
  }

  static InstructionSet set() { return std::get<0>(GetParam()); }
  static ActivationMode mode() { return std::get<1>(GetParam()); }
  static const MatrixForm& form() { return all_forms()[std::get<2>(GetParam())]; }

  // About `wanted` columns of a legal number.
  static int64_t columns_near(int64_t wanted) {
    return (wanted + form().column_step - 1) / form().column_step * form().column_step;
  }

  // Tiles take the activations of a prompt as two bf16 (float_tile_product-inl.h).
  static Rounding rounding(int64_t columns, bool answer) {
    if (!is_float_form(form(), columns)) return Rounding::kInteger;
    const bool by_tiles = form().format == Format::kBF16 || form().format == Format::kFp8Block ||
                          form().format == Format::kFp8Channel ||
                          form().format == Format::kFp8Tensor;
    return by_tiles && set() == InstructionSet::kAmx && !answer ? Rounding::kTwoBf16
                                                                : Rounding::kNone;
  }

  void check_values(int64_t rows, int64_t n, int64_t columns) {
    SCOPED_TRACE(testing::Message() << "M " << rows << " N " << n << " K " << columns);
    const RandomMatrix matrix(form(), n, columns, static_cast<uint64_t>(n + columns));
    ASSERT_TRUE(codec::check_matrix(matrix.encoded(), form().name).ok())
        << codec::check_matrix(matrix.encoded(), form().name).error().message();
    const auto packed = pack(matrix.encoded(), set(), mode(), pool_);
    const Rows x = random_rows(rows, columns, 7);
    for (const int64_t answer_rows : {rows, int64_t{0}}) {
      if (answer_rows == 0 && set() != InstructionSet::kAmx) continue;  // the only one that differs
      expect_close(x, matrix.decoded(), n, rounding(columns, answer_rows != 0), mode(),
                   product(x, *packed, pool_, answer_rows));
    }
  }

  ThreadPool pool_{2};
};

TEST_P(Matmul, ValuesWithinTheComputedBound) {
  check_values(19, 33, columns_near(600));
  check_values(3, 16, columns_near(256));
  check_values(1, 17, columns_near(1024));
}

TEST_P(Matmul, ColumnTails) {
  std::vector<int64_t> tried;
  for (const int64_t wanted :
       {1, 2, 3, 15, 16, 17, 31, 32, 33, 48, 63, 64, 96, 127, 128, 129, 160, 255, 257, 288, 320}) {
    const int64_t columns = columns_near(wanted);
    if (columns > 600 || (!tried.empty() && tried.back() == columns)) continue;
    tried.push_back(columns);
    check_values(2, 5, columns);
    check_values(3, 5, columns);
  }
}

TEST_P(Matmul, RowTailsAreThePrefix) {
  const int64_t columns = columns_near(288);
  const RandomMatrix matrix(form(), 257, columns, 3);
  const Rows x = random_rows(3, columns, 5);
  const auto packed = pack(matrix.encoded(), set(), mode(), pool_);
  const std::vector<float> whole = product(x, *packed, pool_);
  for (int64_t n = 1; n <= 33; ++n) {
    const auto part = pack(matrix.first_rows(n), set(), mode(), pool_);
    const std::vector<float> out = product(x, *part, pool_);
    for (int64_t row = 0; row < x.rows; ++row) {
      ASSERT_TRUE(same_bits({out.data() + row * n, static_cast<size_t>(n)},
                            {whole.data() + row * 257, static_cast<size_t>(n)}))
          << "N " << n;
    }
  }
}

TEST_P(Matmul, ARowDoesNotDependOnItsCompany) {
  const int64_t columns = columns_near(264), n = 35;
  const RandomMatrix matrix(form(), n, columns, 11);
  const Rows x = random_rows(65, columns, 13);
  const auto packed = pack(matrix.encoded(), set(), mode(), pool_);
  const std::vector<float> whole = product(x, *packed, pool_);
  const std::vector<float> prompt = product(x, *packed, pool_, 0);
  EXPECT_TRUE(set() == InstructionSet::kAmx || same_bits(prompt, whole));
  for (int64_t rows = 1; rows <= 64; ++rows) {
    Rows part = x;
    part.rows = rows;
    const std::vector<float> out = product(part, *packed, pool_, rows / 2);
    const auto answers = static_cast<size_t>(rows / 2 * n);
    ASSERT_TRUE(same_bits({out.data(), answers}, {whole.data(), answers})) << "M " << rows;
    ASSERT_TRUE(same_bits({out.data() + answers, out.size() - answers},
                          {prompt.data() + answers, out.size() - answers}))
        << "M " << rows;
  }
  Rows reversed = x;
  for (int64_t r = 0; r < x.rows; ++r)
    std::copy_n(x.row(64 - r), columns, reversed.values.data() + r * columns);
  const std::vector<float> out = product(reversed, *packed, pool_);
  for (int64_t r = 0; r < x.rows; ++r) {
    ASSERT_TRUE(same_bits({out.data() + r * n, static_cast<size_t>(n)},
                          {whole.data() + (64 - r) * n, static_cast<size_t>(n)}))
        << "row " << r;
  }
  for (int threads = 1; threads <= 8; ++threads) {
    ThreadPool pool(threads);
    const auto other = pack(matrix.encoded(), set(), mode(), pool);
    for (const int64_t rows : {1, 18, 65}) {
      Rows some = x;
      some.rows = rows;
      const std::vector<float> result = product(some, *other, pool);
      ASSERT_TRUE(same_bits(result, {whole.data(), result.size()}))
          << threads << " threads, M " << rows;
    }
  }
}

// A range of outputs, as the draft head takes one: the bits of the whole product, and nothing else.
TEST_P(Matmul, APartOfTheOutputs) {
  const int64_t columns = columns_near(264), n = 201;
  const RandomMatrix matrix(form(), n, columns, 61);
  const auto packed = pack(matrix.encoded(), set(), mode(), pool_);
  for (const int64_t rows : {1, 4, 70}) {
    const Rows x = random_rows(rows, columns, 67);
    const std::vector<float> whole = product(x, *packed, pool_);
    for (const ops::Range part : {ops::Range{0, 64}, ops::Range{64, 128}, ops::Range{192, n}}) {
      std::vector<std::byte> scratch(cpu::matmul_scratch_bytes(rows, columns));
      std::vector<float> out(static_cast<size_t>(rows * n), -77.0f);
      const cpu::DenseProduct products[] = {{packed.get(), out.data(), n, part}};
      cpu::matmul(x.values.data(), rows, columns, columns, rows, products, scratch, pool_);
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t o = 0; o < n; ++o) {
          const auto at = static_cast<size_t>(row * n + o);
          const float expected = o >= part.first && o < part.end ? whole[at] : -77.0f;
          ASSERT_TRUE(same_bits({&out[at], 1}, {&expected, 1}))
              << "M " << rows << " part " << part.first << " row " << row << " output " << o;
        }
      }
    }
  }
}

// Tiles may make scales integers, but for rows among which one is so small that its sums would
// leave a float's range: a row has the same bits beside it, without it, and alone.
TEST_P(Matmul, ScalesAsIntegersKeepTheBits) {
  const int64_t columns = columns_near(520), n = 50;
  const RandomMatrix matrix(form(), n, columns, 53);
  const auto packed = pack(matrix.encoded(), set(), mode(), pool_);
  Rows x{23, columns, std::vector<float>(static_cast<size_t>(23 * columns))};
  Random random(59);
  for (float& value : x.values) value = random.normal();
  const std::vector<float> whole = product(x, *packed, pool_);
  Rows beside = x;
  beside.rows = 24;
  for (int64_t k = 0; k < columns; ++k) beside.values.push_back(random.normal() * 0x1p-140f);
  const std::vector<float> out = product(beside, *packed, pool_);
  EXPECT_TRUE(same_bits({out.data(), whole.size()}, whole));
  for (int64_t row = 0; row < beside.rows; ++row) {
    const Rows one{1, columns, {beside.row(row), beside.row(row) + columns}};
    ASSERT_TRUE(
        same_bits(product(one, *packed, pool_), {out.data() + row * n, static_cast<size_t>(n)}))
        << "row " << row;
  }
}

// Groups of the longest piece that the product is cut into.
int64_t most_groups(const ops::Matrix& weight, int64_t rows, int threads) {
  const cpu::PartOfWeight set[] = {{&static_cast<const cpu::PackedMatrix&>(weight).view(), {}}};
  const cpu::Pieces pieces(set, rows, threads);
  int64_t most = 0;
  for (int64_t item = 0; item < pieces.count(); ++item) {
    const cpu::Piece piece = pieces.at(item);
    most = std::max(most, piece.last_group - piece.first_group);
  }
  return most;
}

// Rows of several blocks and more columns than one chunk, by pieces of more groups than are
// multiplied with a chunk (product_rows-inl.h), the last of one alone in its tile: with one thread.
// With two, pieces and blocks are shorter.
TEST_P(Matmul, BlocksOfRowsAndChunksOfColumns) {
  constexpr int64_t kChunkGroups = 8;
  const int64_t columns = columns_near(1100), n = 547;
  const RandomMatrix matrix(form(), n, columns, 17);
  const Rows x = random_rows(255, columns, 19);
  for (const auto& [threads, rows] : {std::pair<int, int64_t>{1, 255}, {2, 129}}) {
    ThreadPool pool(threads);
    const auto packed = pack(matrix.encoded(), set(), mode(), pool);
    if (threads == 1) {
      ASSERT_GT(most_groups(*packed, rows, threads), kChunkGroups);
    }
    const Rows many{rows, columns, {x.row(0), x.row(0) + rows * columns}};
    const std::vector<float> whole = product(many, *packed, pool);
    for (const int64_t first : {int64_t{0}, rows / 2 - 2, rows - 5}) {
      const Rows few{5, columns, {x.row(first), x.row(first) + 5 * columns}};
      const std::vector<float> out = product(few, *packed, pool);
      ASSERT_TRUE(same_bits(out, {whole.data() + first * n, out.size()}))
          << threads << " threads, rows from " << first;
    }
  }
}

// The error that `wide` promises (design.md section 3): at most 3e-4 of the output's size, with
// outliers.
double relative_error(const MatrixForm& form, InstructionSet set, ActivationMode mode,
                      ThreadPool& pool) {
  const int64_t n = 64, columns = 5120;
  const RandomMatrix matrix(form, n, columns, 23);
  Rows x{2, columns, std::vector<float>(static_cast<size_t>(2 * columns))};
  Random random(29);
  for (float& value : x.values) {
    value = random.normal() * (random.next() % 611 == 0 ? 30.0f : 1.0f);
  }
  const auto packed = pack(matrix.encoded(), set, mode, pool);
  const std::vector<float> out = product(x, *packed, pool), weights = matrix.decoded();
  double error = 0, size = 0;
  for (int64_t row = 0; row < x.rows; ++row) {
    for (int64_t o = 0; o < n; ++o) {
      double sum = 0;
      for (int64_t k = 0; k < columns; ++k) {
        sum += double{weights[static_cast<size_t>(o * columns + k)]} * double{x.row(row)[k]};
      }
      const double difference = sum - double{out[static_cast<size_t>(row * n + o)]};
      error += difference * difference;
      size += sum * sum;
    }
  }
  return std::sqrt(error / size);
}

TEST(MatmulAccuracy, WideKeepsThreeTenThousandths) {
  ThreadPool pool(2);
  for (const InstructionSet set : cpu::supported_instruction_sets()) {
    for (const MatrixForm& form : all_forms()) {
      if (5120 % form.column_step != 0) continue;
      EXPECT_LE(relative_error(form, set, ActivationMode::kWide, pool), 3e-4)
          << cpu::instruction_set_name(set) << " " << form.name;
    }
  }
}

// One int8 digit per 32 costs a percent: less would mean that the mode did not take effect.
TEST(MatmulAccuracy, DigitIsTheCoarserMode) {
  ThreadPool pool(2);
  for (const InstructionSet set : cpu::supported_instruction_sets()) {
    for (const MatrixForm& form : all_forms()) {
      if (form.format != Format::kQ4_K && form.format != Format::kQ8_0) continue;
      const double error = relative_error(form, set, ActivationMode::kDigit, pool);
      EXPECT_GT(error, 3e-3) << form.name;
      EXPECT_LT(error, 2e-2) << form.name;
    }
  }
}

constexpr uint8_t kOneAsF16[] = {0x00, 0x3c};

// 16 rows of the same blocks, which are nothing but bytes.
template <typename Block>
struct Repeated {
  static constexpr int64_t kRows = 16, kColumns = 512;

  Repeated(Format format, const Block& block, int64_t width)
      : blocks(static_cast<size_t>(kRows * kColumns / width), block) {
    matrix.format = format;
    matrix.rows = kRows;
    matrix.columns = kColumns;
    matrix.codes.bytes = std::as_bytes(std::span(blocks));
  }

  std::vector<Block> blocks;
  EncodedMatrix matrix;
};

// Every output is `weight` times the sum of activations of either sign, as large as they get.
void expect_full_sums(const EncodedMatrix& matrix, double weight) {
  ThreadPool pool(1);
  for (const float sign : {1.0f, -1.0f}) {
    for (const int64_t rows : {1, 5, 7}) {
      const Rows x{rows, matrix.columns,
                   std::vector<float>(static_cast<size_t>(rows * matrix.columns), sign)};
      const double expected = weight * sign * static_cast<double>(matrix.columns);
      for (const InstructionSet set : cpu::supported_instruction_sets()) {
        for (const ActivationMode mode : {ActivationMode::kWide, ActivationMode::kDigit}) {
          for (const float value : product(x, *pack(matrix, set, mode, pool), pool)) {
            ASSERT_NEAR(value, expected, std::abs(expected) * 1e-6)
                << cpu::instruction_set_name(set) << " " << format_name(matrix.format) << " weight "
                << weight << " rows " << rows;
          }
        }
      }
    }
  }
}

// The largest codes, scales and activations that there are, of either sign: sums in 16 bits may
// pass their range but must end in it (avx2/lanes-inl.h, kSums16).
TEST(MatmulExtremes, SixBitCodesFillTheirSums) {
  for (const uint8_t code : {0x00, 0xff}) {
    for (const int8_t scale : {-128, 127}) {
      codec::BlockQ6_K block = {};
      std::fill_n(block.ql, 128, code);
      std::fill_n(block.qh, 64, code);
      std::fill_n(block.scales, 16, scale);
      std::copy_n(kOneAsF16, 2, block.d);
      expect_full_sums(Repeated(Format::kQ6_K, block, 256).matrix, ((code & 63) - 32.0) * scale);
    }
  }
}

TEST(MatmulExtremes, FourAndFiveBitCodesTimesTheirScalesFillTheirSums) {
  codec::BlockQ4_K four = {};
  std::copy_n(kOneAsF16, 2, four.d);
  std::fill_n(four.scales, 12, uint8_t{0xff});  // all scales and minima 63
  std::fill_n(four.qs, 128, uint8_t{0xff});
  expect_full_sums(Repeated(Format::kQ4_K, four, 256).matrix, 15 * 63);
  codec::BlockQ5_K five = {};
  std::copy_n(kOneAsF16, 2, five.d);
  std::fill_n(five.scales, 12, uint8_t{0xff});
  std::fill_n(five.qs, 128, uint8_t{0xff});
  std::fill_n(five.qh, 32, uint8_t{0xff});
  expect_full_sums(Repeated(Format::kQ5_K, five, 256).matrix, 31 * 63);
  std::copy_n(kOneAsF16, 2, five.dmin);
  std::fill_n(five.qs, 128, uint8_t{0});
  std::fill_n(five.qh, 32, uint8_t{0});
  expect_full_sums(Repeated(Format::kQ5_K, five, 256).matrix, -63);
}

// Tables of four bits: offset codes, the most of either sign, and levels that bytes cannot take.
TEST(MatmulExtremes, TablesFillTheirSums) {
  for (const uint8_t code : {0x00, 0x77, 0xff}) {
    codec::BlockQ4_0 plain = {};
    std::copy_n(kOneAsF16, 2, plain.d);
    std::fill_n(plain.qs, 16, code);
    expect_full_sums(Repeated(Format::kQ4_0, plain, 32).matrix, (code & 15) - 8);
    codec::BlockQ4_1 offset = {};
    std::copy_n(kOneAsF16, 2, offset.d);
    std::fill_n(offset.qs, 16, code);
    expect_full_sums(Repeated(Format::kQ4_1, offset, 32).matrix, code & 15);
    codec::BlockGgmlMxfp4 float4 = {};
    float4.e = 127;  // 1
    std::fill_n(float4.qs, 16, code);
    const double value = code == 0 ? 0 : code == 0x77 ? 6 : -6;
    expect_full_sums(Repeated(Format::kGgmlMxfp4, float4, 32).matrix, value);
    codec::BlockIQ4_NL levels = {};
    std::copy_n(kOneAsF16, 2, levels.d);
    std::fill_n(levels.qs, 16, code);
    expect_full_sums(Repeated(Format::kIQ4_NL, levels, 32).matrix, codec::kIq4Levels[code & 15]);
  }
}

TEST(MatmulExtremes, SignedBytesFillTheirSums) {
  for (const int8_t code : {-128, 127}) {
    codec::BlockQ8_0 block = {};
    std::copy_n(kOneAsF16, 2, block.d);
    std::fill_n(block.qs, 32, code);
    expect_full_sums(Repeated(Format::kQ8_0, block, 32).matrix, code);
  }
}

struct Recipe {
  Format format;
  ActivationScheme scheme;
  TensorScale input_scale = {};
};

// `published` is the recipe applied to the rows, then the wide product: the same bits. Two weights
// with different input scales in one call must each get their own.
TEST(MatmulPublished, IsTheRecipeThenTheWideProduct) {
  const TensorScale half{TensorScale::Use::kMultiply, 0.5f},
      third{TensorScale::Use::kMultiply, 0.3f}, divisor{TensorScale::Use::kDivide, 200.0f};
  const Recipe recipes[] = {{Format::kFp8Channel, ActivationScheme::kFp8TokenDynamic},
                            {Format::kFp8Tensor, ActivationScheme::kFp8TensorStatic, half},
                            {Format::kFp8Tensor, ActivationScheme::kFp8TensorStatic, third},
                            {Format::kFp8Tensor, ActivationScheme::kFp8TensorDynamic},
                            {Format::kFp8Block, ActivationScheme::kFp8Group128},
                            {Format::kInt8, ActivationScheme::kInt8TokenDynamic},
                            {Format::kNvfp4A4, ActivationScheme::kNvfp4, divisor},
                            {Format::kMxfp4, ActivationScheme::kMxfp4},
                            {Format::kMxfp8, ActivationScheme::kMxfp8},
                            {Format::kBF16, ActivationScheme::kNone}};
  ThreadPool pool(2);
  const int64_t rows = 5, columns = 384, n = 20;
  const Rows x = random_rows(rows, columns, 31);
  for (const InstructionSet set : cpu::supported_instruction_sets()) {
    std::vector<std::unique_ptr<ops::Matrix>> published;
    std::vector<std::vector<float>> expected, outs;
    for (const Recipe& recipe : recipes) {
      const auto form =
          std::find_if(all_forms().begin(), all_forms().end(),
                       [&](const MatrixForm& f) { return f.format == recipe.format; });
      const RandomMatrix matrix(*form, n, columns, 37);
      EncodedMatrix encoded = matrix.encoded();
      encoded.activations = recipe.scheme;
      encoded.input_scale = recipe.input_scale;
      Rows coded = x;
      for (int64_t row = 0; row < rows && recipe.scheme != ActivationScheme::kNone; ++row) {
        codec::quantize_activations(
            recipe.scheme, recipe.input_scale,
            {coded.values.data() + row * columns, static_cast<size_t>(columns)});
      }
      expected.push_back(product(coded, *pack(encoded, set, ActivationMode::kWide, pool), pool));
      published.push_back(pack(encoded, set, ActivationMode::kPublished, pool));
      outs.emplace_back(static_cast<size_t>(rows * n), std::nanf(""));
    }
    std::vector<cpu::DenseProduct> products;
    for (size_t i = 0; i < published.size(); ++i)
      products.push_back({published[i].get(), outs[i].data(), n});
    std::vector<std::byte> scratch(cpu::matmul_scratch_bytes(rows, columns));
    cpu::matmul(x.values.data(), rows, columns, columns, rows, products, scratch, pool);
    for (size_t i = 0; i < outs.size(); ++i) {
      EXPECT_TRUE(same_bits(outs[i], expected[i]))
          << cpu::instruction_set_name(set) << " recipe " << i;
    }
    EXPECT_FALSE(same_bits(outs[1], outs[2]));
  }
}

TEST(MatmulModes, ByFormatIsADigitForShortCodesOnly) {
  ThreadPool pool(1);
  constexpr int64_t kRows = 2, kOutputs = 16, kColumns = 512;
  const Rows x = random_rows(kRows, kColumns, 43);
  const std::pair<Format, ActivationMode> expected[] = {
      {Format::kQ4_K, ActivationMode::kDigit}, {Format::kQ5_K, ActivationMode::kDigit},
      {Format::kQ6_K, ActivationMode::kDigit}, {Format::kNvfp4, ActivationMode::kDigit},
      {Format::kQ8_0, ActivationMode::kWide},  {Format::kInt8, ActivationMode::kWide},
  };
  for (const InstructionSet set : cpu::supported_instruction_sets()) {
    for (const auto& [format, mode] : expected) {
      const auto form = std::find_if(all_forms().begin(), all_forms().end(),
                                     [&](const MatrixForm& f) { return f.format == format; });
      const RandomMatrix matrix(*form, kOutputs, kColumns, 47);
      const auto by = [&](ActivationMode chosen) {
        return product(x, *pack(matrix.encoded(), set, chosen, pool), pool);
      };
      EXPECT_TRUE(same_bits(by(ActivationMode::kByFormat), by(mode)))
          << cpu::instruction_set_name(set) << " " << form->name;
      EXPECT_FALSE(same_bits(by(ActivationMode::kWide), by(ActivationMode::kDigit)));
    }
  }
}

// Never a finite number (prepare.h), and no other row's bits change.
TEST(MatmulInputs, AnInfinityOrNanGivesNoNumber) {
  ThreadPool pool(1);
  for (const InstructionSet set : cpu::supported_instruction_sets()) {
    for (const MatrixForm& form : all_forms()) {
      const RandomMatrix matrix(form, 4, 1536, 41);
      for (const ActivationMode mode : {ActivationMode::kWide, ActivationMode::kDigit}) {
        const auto packed = pack(matrix.encoded(), set, mode, pool);
        const Rows x = random_rows(8, 1536, 43);
        const std::vector<float> clean = product(x, *packed, pool);
        for (const float wrong : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
          Rows damaged = x;
          damaged.values[300] = wrong;
          const std::vector<float> out = product(damaged, *packed, pool);
          for (size_t o = 0; o < 4; ++o) {
            EXPECT_FALSE(std::isfinite(out[o])) << form.name << " " << wrong;
            const bool always_nan = std::isnan(wrong) || !is_float_form(form, 1536);
            EXPECT_TRUE(!always_nan || std::isnan(out[o])) << form.name << " " << wrong;
          }
          EXPECT_TRUE(same_bits(std::span(out).subspan(4), std::span(clean).subspan(4)))
              << form.name << " " << wrong;
        }
      }
    }
  }
}

// FP8 rows are lifted by a power of two, whose inverse must be a float.
TEST(MatmulInputs, LargeActivationsStayFiniteWhereResultsAre) {
  ThreadPool pool(1);
  for (const InstructionSet set : cpu::supported_instruction_sets()) {
    for (const MatrixForm& form : all_forms()) {
      const RandomMatrix matrix(form, 4, 1536, 71);
      const auto packed = pack(matrix.encoded(), set, ActivationMode::kWide, pool);
      Rows small = random_rows(1, 1536, 73), large = small;
      for (float& value : large.values) value *= 0x1p110f;
      const std::vector<float> expected = product(small, *packed, pool),
                               out = product(large, *packed, pool);
      for (size_t o = 0; o < 4; ++o) {
        EXPECT_NEAR(out[o] * 0x1p-110f, expected[o], 1e-3f * std::abs(expected[o]) + 1e-3f)
            << cpu::instruction_set_name(set) << " " << form.name;
      }
    }
  }
}

TEST(InstructionSets, SluiceCpuForcesOrFails) {
  const auto supported = cpu::supported_instruction_sets();
  ASSERT_FALSE(supported.empty());
  EXPECT_EQ(supported.front(), InstructionSet::kPortable);
  EXPECT_TRUE(std::is_sorted(supported.begin(), supported.end()));
  std::string run, skipped;
  for (int i = 0; i <= static_cast<int>(InstructionSet::kAmx); ++i) {
    const auto set = static_cast<InstructionSet>(i);
    const std::string name(cpu::instruction_set_name(set));
    ASSERT_EQ(setenv("SLUICE_CPU", name.c_str(), 1), 0);
    const auto chosen = cpu::choose_instruction_set();
    const bool has = std::find(supported.begin(), supported.end(), set) != supported.end();
    (has ? run : skipped) += " " + name;
    ASSERT_EQ(chosen.ok(), has) << name;
    if (has) {
      EXPECT_EQ(chosen.value(), set);
    } else {
      EXPECT_EQ(chosen.error().code, ErrorCode::kUsage);
      EXPECT_NE(chosen.error().message().find("portable"), std::string::npos);
    }
  }
  // scripts/run_tests.sh repeats these lines.
  std::printf("instruction sets run:%s\ninstruction sets skipped, not supported here:%s\n",
              run.c_str(), skipped.c_str());
  ASSERT_EQ(setenv("SLUICE_CPU", "sse9", 1), 0);
  const auto unknown = cpu::choose_instruction_set();
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message().find("sse9"), std::string::npos);
  ASSERT_EQ(unsetenv("SLUICE_CPU"), 0);
  EXPECT_EQ(cpu::choose_instruction_set().value(), supported.back());
}

// The plan's figure is what packing takes.
TEST(PackedBytes, AreWhatTheMatrixHolds) {
  ThreadPool pool(2);
  for (const MatrixForm& form : all_forms()) {
    const RandomMatrix matrix(form, 48, 1536, 47);
    const auto packed =
        pack(matrix.encoded(), InstructionSet::kPortable, ActivationMode::kWide, pool);
    EXPECT_EQ(packed->bytes(), cpu::packed_bytes(matrix.encoded(), InstructionSet::kPortable,
                                                 ActivationMode::kWide));
  }
}

std::string name_of(const testing::TestParamInfo<Matmul::ParamType>& info) {
  static constexpr const char* kModes[] = {"wide", "digit", "published"};
  return std::string(cpu::instruction_set_name(std::get<0>(info.param))) + "_" +
         kModes[static_cast<size_t>(std::get<1>(info.param))] + "_" +
         all_forms()[std::get<2>(info.param)].name;
}

// Every format, set and mode that has arithmetic of its own: float codes know no digits, and
// AVX-512 without VNNI multiplies integers as AVX2 does (one format watches that it still does).
// AMX is there only on machines that have it: elsewhere tile_product_test watches its kernels.
std::vector<std::tuple<InstructionSet, ActivationMode, size_t>> all_cases() {
  std::vector<std::tuple<InstructionSet, ActivationMode, size_t>> cases;
  std::vector<InstructionSet> sets = {InstructionSet::kPortable, InstructionSet::kAvx2,
                                      InstructionSet::kAvxVnni, InstructionSet::kAvx512,
                                      InstructionSet::kAvx512Vnni};
  if (cpu::supported_instruction_sets().back() == InstructionSet::kAmx) {
    sets.push_back(InstructionSet::kAmx);
  }
  for (const InstructionSet set : sets) {
    for (size_t i = 0; i < all_forms().size(); ++i) {
      const bool is_float = is_float_form(all_forms()[i], 4096);
      if (set == InstructionSet::kAvx512 && !is_float && all_forms()[i].format != Format::kQ4_K)
        continue;
      if (set == InstructionSet::kAvxVnni && is_float) continue;  // AVX2's
      cases.emplace_back(set, ActivationMode::kWide, i);
      if (!is_float) cases.emplace_back(set, ActivationMode::kDigit, i);
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Sets, Matmul, testing::ValuesIn(all_cases()), name_of);

}  // namespace
}  // namespace sluice::test
