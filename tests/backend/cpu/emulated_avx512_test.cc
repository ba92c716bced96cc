// The AVX-512 kernels' own sources over emulated registers (emulated_avx512/), so that they are
// tested on machines without AVX-512 too: every format and mode gives the bits of the AVX2 kernels,
// which share their arithmetic and which matmul_test holds against double precision. Where the
// processor has AVX-512, the native kernels must give these bits as well.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "backend/cpu/detect.h"
#include "backend/cpu/matmul.h"
#include "backend/cpu/pack/packed_matrix.h"
#include "backend/cpu/pieces.h"
#include "backend/cpu/prepare.h"
#include "backend/matmul_matrices.h"

namespace sluice::cpu {

namespace emulated_avx512 {
void float_product(const ProductCall& call);
}
namespace emulated_avx512vnni {
void integer_product(const ProductCall& call);
}

namespace {

using ops::ActivationMode;
using test::MatrixForm;

bool has(InstructionSet set) {
  const auto sets = supported_instruction_sets();
  return std::find(sets.begin(), sets.end(), set) != sets.end();
}

bool is_float(const UnitShape& shape) { return shape.codes >= CodeKind::kBF16; }

// Normal values, with a row of outliers, one of denormals and zeros, and one that is zero but for
// its head.
std::vector<float> random_rows(int64_t rows, int64_t columns) {
  std::vector<float> values(static_cast<size_t>(rows * columns));
  test::Random random(7);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t k = 0; k < columns; ++k) {
      float value = random.normal();
      if (row % 7 == 3 && random.next() % 97 == 0) value *= 1000;
      if (row % 11 == 5) value = random.next() % 3 == 0 ? 0.0f : value * 0x1p-140f;
      if (row % 11 == 9 && k >= 40) value = 0;
      values[static_cast<size_t>(row * columns + k)] = value;
    }
  }
  return values;
}

std::vector<float> product(InstructionSet set, const EncodedMatrix& matrix, ActivationMode mode,
                           const std::vector<float>& x, ThreadPool& pool) {
  const auto packed = pack_matrix(matrix, set, mode, pool);
  const int64_t rows = static_cast<int64_t>(x.size()) / matrix.columns;
  std::vector<std::byte> scratch(matmul_scratch_bytes(rows, matrix.columns));
  std::vector<float> out(static_cast<size_t>(rows * matrix.rows), std::nanf(""));
  const DenseProduct products[] = {{packed.value().get(), out.data(), matrix.rows}};
  matmul(x.data(), rows, matrix.columns, matrix.columns, rows, products, scratch, pool);
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Activations of one packed matrix as the AVX-512 kernels read them.
class Inputs {
 public:
  Inputs(const PackedMatrix& matrix, const std::vector<float>& x, int64_t rows, ThreadPool& pool)
      : rows_(rows), factors_(static_cast<size_t>(rows)) {
    Prepared form = matrix.mode() == ActivationMode::kDigit ? Prepared::kDigit : Prepared::kWide;
    if (is_float(matrix.view().unit)) form = Prepared::kFloat;
    if (matrix.view().unit.codes == CodeKind::kE4M3) form = Prepared::kScaledFloat;
    digit_ = form == Prepared::kDigit;
    constexpr size_t kAlignment = 64;
    memory_.resize(prepared_bytes(form, rows, matrix.columns()) + kAlignment);
    const auto start = reinterpret_cast<uintptr_t>(memory_.data());
    units_ = memory_.data() + (kAlignment - start % kAlignment) % kAlignment;
    prepare(form, InstructionSet::kPortable, {x.data(), rows, matrix.columns(), matrix.columns()},
            units_, factors_.data(), pool);
  }

  // [rows, N] of the groups [first, last); the rest stays NaN.
  std::vector<float> emulated_product(const PackedView& weight, int64_t first, int64_t last) const {
    std::vector<float> out(static_cast<size_t>(rows_ * weight.rows), std::nanf(""));
    ProductCall call;
    call.weight = &weight;
    call.activations = units_;
    call.row_factors = factors_.data();
    call.digit = digit_;
    call.rows = rows_;
    call.first_group = first;
    call.last_group = last;
    call.out = out.data();
    call.stride = weight.rows;
    for (int64_t block = 0; block < row_blocks(rows_); ++block) {
      call.first_row = row_block_begin(rows_, block);
      call.last_row = row_block_begin(rows_, block + 1);
      is_float(weight.unit) ? emulated_avx512::float_product(call)
                            : emulated_avx512vnni::integer_product(call);
    }
    return out;
  }

 private:
  int64_t rows_;
  std::vector<float> factors_;
  std::vector<std::byte> memory_;
  std::byte* units_ = nullptr;
  bool digit_ = false;
};

class EmulatedAvx512 : public ::testing::TestWithParam<std::tuple<ActivationMode, size_t>> {
 protected:
  void SetUp() override {
    if (!has(InstructionSet::kAvx2)) GTEST_SKIP() << "the emulated registers need AVX2";
  }

  static ActivationMode mode() { return std::get<0>(GetParam()); }
  static const MatrixForm& form() { return test::all_forms()[std::get<1>(GetParam())]; }
  static int64_t columns_near(int64_t wanted) {
    return (wanted + form().column_step - 1) / form().column_step * form().column_step;
  }

  // Compares the emulated kernel's groups [first, last) with the whole way of AVX2, and that of the
  // processor's own AVX-512 with it where there is one.
  void expect_same_bits(int64_t rows, int64_t n, int64_t columns, int64_t first, int64_t last) {
    SCOPED_TRACE(testing::Message() << "M " << rows << " N " << n << " K " << columns << " groups "
                                    << first << " to " << last);
    const test::RandomMatrix matrix(form(), n, columns, static_cast<uint64_t>(n + columns));
    const std::vector<float> x = random_rows(rows, columns);
    const std::vector<float> expected =
        product(InstructionSet::kAvx2, matrix.encoded(), mode(), x, pool_);
    const PackedMatrix packed(matrix.encoded(), InstructionSet::kAvx512Vnni, mode(), pool_);
    const bool floats = is_float(packed.view().unit);
    if (has(floats ? InstructionSet::kAvx512 : InstructionSet::kAvx512Vnni)) {
      EXPECT_TRUE(same_bits(
          product(InstructionSet::kAvx512Vnni, matrix.encoded(), mode(), x, pool_), expected))
          << "native";
    }
    const Inputs inputs(packed, x, rows, pool_);
    const std::vector<float> out = inputs.emulated_product(packed.view(), first, last);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t o = 0; o < n; ++o) {
        const auto at = static_cast<size_t>(row * n + o);
        if (o / kGroupRows < first || o / kGroupRows >= last) {
          ASSERT_TRUE(std::isnan(out[at])) << "written beside its groups: row " << row << ", " << o;
        } else {
          ASSERT_EQ(std::bit_cast<uint32_t>(out[at]), std::bit_cast<uint32_t>(expected[at]))
              << "row " << row << " output " << o;
        }
      }
    }
  }

  ThreadPool pool_{1};
};

TEST_P(EmulatedAvx512, EveryNumberOfRows) {
  for (int64_t rows = 1; rows <= 16; ++rows) expect_same_bits(rows, 5, columns_near(288), 0, 1);
}

TEST_P(EmulatedAvx512, TailsOfBothSides) {
  for (const int64_t columns : {1, 33, 128, 160, 257}) {
    expect_same_bits(1, 1, columns_near(columns), 0, 1);
    expect_same_bits(5, 1, columns_near(columns), 0, 1);
  }
  for (int64_t group = 0; group < 3; ++group) {
    expect_same_bits(3, 35, columns_near(64), group, group + 1);
  }
  for (const int64_t rows : {4, 9, 16}) expect_same_bits(rows, 49, columns_near(64), 0, 4);
}

// More rows than kernels keep results for at a time.
TEST_P(EmulatedAvx512, ManyRows) {
  if (form().format == Format::kQ4_K || form().format == Format::kBF16) {
    expect_same_bits(150, 3, 256, 0, 1);
  }
}

std::string name_of(const ::testing::TestParamInfo<EmulatedAvx512::ParamType>& info) {
  return std::string(std::get<0>(info.param) == ActivationMode::kDigit ? "digit_" : "wide_") +
         test::all_forms()[std::get<1>(info.param)].name;
}

std::vector<std::tuple<ActivationMode, size_t>> all_cases() {
  std::vector<std::tuple<ActivationMode, size_t>> cases;
  for (size_t i = 0; i < test::all_forms().size(); ++i) {
    cases.emplace_back(ActivationMode::kWide, i);
    if (!has_float_codes(test::all_forms()[i].format))
      cases.emplace_back(ActivationMode::kDigit, i);
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Forms, EmulatedAvx512, ::testing::ValuesIn(all_cases()), name_of);

}  // namespace
}  // namespace sluice::cpu
