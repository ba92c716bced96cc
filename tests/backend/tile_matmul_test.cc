// Products of float codes by tiles, and the ranking of the set amx, with the portable body of the
// tile unit in place of the native one (cpu/tile_stand_in.cc).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "backend/cpu/amx/tile_twin.h"
#include "backend/cpu/matmul.h"
#include "backend/cpu/pack/packed_matrix.h"
#include "backend/tile_inputs.h"

namespace sluice::test {
namespace {

using cpu::InstructionSet;
using ops::ActivationMode;

// BF16, and E4M3 with scales per tile, row and matrix.
std::vector<MatrixForm> pair_forms() {
  std::vector<MatrixForm> forms;
  for (const MatrixForm& form : all_forms()) {
    if (form.format == Format::kBF16 || form.format == Format::kFp8Block ||
        form.format == Format::kFp8Channel || form.format == Format::kFp8Tensor) {
      forms.push_back(form);
    }
  }
  return forms;
}

cpu::PackedMatrix pack(const EncodedMatrix& matrix, ThreadPool& pool,
                       InstructionSet set = InstructionSet::kPortable) {
  return {matrix, set, ActivationMode::kWide, pool};
}

// Against the product in double precision. The bound: 2^-17 of each activation, and the roundings
// of sums of 16 products, of two such sums, and of the sums over K.
void expect_close(const Inputs& inputs, const std::vector<float>& weights, int64_t n,
                  const std::vector<float>& out) {
  const int64_t columns = inputs.columns();
  const double roundings = 24.0 + static_cast<double>(columns) / 16;
  for (int64_t row = 0; row < inputs.rows(); ++row) {
    for (int64_t o = 0; o < n; ++o) {
      double sum = 0, size = 0;
      for (int64_t k = 0; k < columns; ++k) {
        const double term =
            double{weights[static_cast<size_t>(o * columns + k)]} * double{inputs.row(row)[k]};
        sum += term;
        size += std::abs(term);
      }
      const double error = std::abs(sum - double{out[static_cast<size_t>(row * n + o)]});
      ASSERT_LE(error, size * (0x1p-17 + roundings * 0x1p-24)) << "row " << row << " output " << o;
    }
  }
}

TEST(PairProduct, ValuesWithinTheComputedBound) {
  ThreadPool pool(1);
  ASSERT_EQ(pair_forms().size(), 5u);
  for (const MatrixForm& form : pair_forms()) {
    for (const int64_t columns : {1, 31, 32, 33, 127, 128, 129, 200, 256, 600}) {
      SCOPED_TRACE(testing::Message() << form.name << " K " << columns);
      const RandomMatrix matrix(form, 19, columns, 3);
      const cpu::PackedMatrix packed = pack(matrix.encoded(), pool);
      const Inputs inputs(18, columns, cpu::Prepared::kPairs, 5);
      for (const Lanes& lanes : supported_lanes()) {
        expect_close(inputs, matrix.decoded(), 19, inputs.times(packed.view(), lanes.float_tiles));
      }
    }
  }
}

TEST(PairProduct, SmallAndLargeRowsKeepTheBound) {
  ThreadPool pool(1);
  for (const float size : {0x1p-126f, 0x1p-100f, 0x1p90f}) {
    const MatrixForm form = pair_forms()[0];
    const RandomMatrix matrix(form, 16, 128, 3);
    const cpu::PackedMatrix packed = pack(matrix.encoded(), pool);
    Inputs inputs(2, 128, cpu::Prepared::kPairs, 5);
    inputs.fill(size);
    const std::vector<float> out = inputs.times(packed.view(), supported_lanes()[0].float_tiles);
    inputs.fill(1.0f);
    const std::vector<float> ones = inputs.times(packed.view(), supported_lanes()[0].float_tiles);
    for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], ones[i] * size);
  }
}

// Both sets of lanes give the same bits where a product and a sum are not fused in one of them.
TEST(PairProduct, ARowDoesNotDependOnItsCompany) {
  ThreadPool pool(1);
  for (const MatrixForm& form : pair_forms()) {
    if (form.format == Format::kFp8Tensor) continue;
    const RandomMatrix matrix(form, 17, 300, 7);
    const cpu::PackedMatrix packed = pack(matrix.encoded(), pool);
    Inputs inputs(273, 300, cpu::Prepared::kPairs, 9);
    const std::vector<Lanes> all = supported_lanes();
    const std::vector<float> whole = inputs.times(packed.view(), all.back().float_tiles);
    if (form.format != Format::kFp8Block) {
      EXPECT_TRUE(same_bits(whole, inputs.times(packed.view(), all[0].float_tiles)));
    }
    for (const int64_t rows : {272, 257, 130, 128, 127, 80, 65, 64, 63, 49, 48, 33, 32, 31,
                               18,  17,  16,  15,  9,   8,  7,  6,  5,  4,  3,  2,  1}) {
      inputs.prepare(rows);
      const std::vector<float> part = inputs.times(packed.view(), all.back().float_tiles);
      ASSERT_EQ(std::memcmp(part.data(), whole.data(), part.size() * sizeof(float)), 0)
          << form.name << " M " << rows;
    }
  }
}

// More columns than are multiplied with the same groups at a time, and more groups than these; the
// last tile of rows reaches back.
TEST(PairProduct, ChunksOfColumns) {
  constexpr int64_t kColumns = 2176, kN = 139, kFew = 5;
  ThreadPool pool(1);
  for (const MatrixForm& form : pair_forms()) {
    SCOPED_TRACE(form.name);
    const RandomMatrix matrix(form, kN, kColumns, 3);
    const cpu::PackedMatrix packed = pack(matrix.encoded(), pool);
    const cpu::ProductFunction product = supported_lanes().back().float_tiles;
    Inputs inputs(124, kColumns, cpu::Prepared::kPairs, 5);
    const std::vector<float> whole = inputs.times(packed.view(), product);
    expect_close(inputs, matrix.decoded(), kN, whole);
    inputs.prepare(kFew);
    const std::vector<float> few = inputs.times(packed.view(), product);
    EXPECT_TRUE(same_bits(few, {whole.begin(), whole.begin() + kFew * kN}));
  }
}

TEST(PairProduct, AnInfinityOrNanGivesNanInItsRow) {
  ThreadPool pool(1);
  for (const float bad : {std::nanf(""), HUGE_VALF}) {
    const RandomMatrix matrix(pair_forms()[0], 16, 256, 11);
    const cpu::PackedMatrix packed = pack(matrix.encoded(), pool);
    Inputs inputs(18, 256, cpu::Prepared::kPairs, 13);
    const cpu::ProductFunction product = supported_lanes()[0].float_tiles;
    const std::vector<float> clean = inputs.times(packed.view(), product);
    inputs.set(4, 200, bad);
    const std::vector<float> out = inputs.times(packed.view(), product);
    for (size_t i = 0; i < out.size(); ++i) {
      if (i / 16 == 4) {
        ASSERT_TRUE(std::isnan(out[i]));
      } else {
        ASSERT_EQ(out[i], clean[i]);
      }
    }
  }
}

// ------------------------------------------------------------------------------------- the ranking

class AmxMatmul : public testing::Test {
 protected:
  void SetUp() override {
    if (supported_lanes().size() < 2) GTEST_SKIP() << "needs AVX-512 VNNI beside the twin";
  }

  // [rows, N] with rows apart by more than N, and what lies between them untouched.
  std::vector<float> product(const EncodedMatrix& matrix, InstructionSet set, int64_t rows,
                             int64_t answer_rows) {
    const auto packed = cpu::pack_matrix(matrix, set, ActivationMode::kWide, pool_);
    std::vector<std::byte> scratch(cpu::matmul_scratch_bytes(rows, matrix.columns));
    const int64_t stride = matrix.rows + 3;
    std::vector<float> out(static_cast<size_t>(rows * stride), 7.0f);
    const cpu::DenseProduct products[] = {{packed.value().get(), out.data(), stride}};
    cpu::matmul(inputs_.row(0), rows, matrix.columns, inputs_.columns(), answer_rows, products,
                scratch, pool_);
    return out;
  }

  static std::vector<float> joined(const std::vector<float>& first, const std::vector<float>& rest,
                                   int64_t values) {
    std::vector<float> out(first.begin(), first.begin() + values);
    out.insert(out.end(), rest.begin() + values, rest.end());
    return out;
  }

  const Inputs inputs_{40, 512, cpu::Prepared::kFloat, 17};
  ThreadPool pool_{2};
};

TEST_F(AmxMatmul, IntegersHaveTheBitsOfVnniInBothRoles) {
  for (const MatrixForm& form : all_forms()) {
    if (form.format != Format::kQ4_K && form.format != Format::kQ6_K &&
        form.format != Format::kQ8_0 && form.format != Format::kNvfp4) {
      continue;
    }
    const RandomMatrix matrix(form, 37, 512, 19);
    for (const int64_t rows : {1, 3, 4, 7, 8, 16, 40}) {
      SCOPED_TRACE(testing::Message() << form.name << " M " << rows);
      const int64_t before = cpu::amx::twin_products();
      const std::vector<float> amx =
          product(matrix.encoded(), InstructionSet::kAmx, rows, rows / 2);
      EXPECT_TRUE(
          same_bits(amx, product(matrix.encoded(), InstructionSet::kAvx512Vnni, rows, rows / 2)));
      // The calling thread is a member of the pool.
      const bool tiles = cpu::amx::twin_products() > before;
      const bool half = form.format == Format::kQ6_K || form.format == Format::kNvfp4;
      EXPECT_EQ(tiles, rows >= (half ? 8 : 4));
    }
  }
}

TEST_F(AmxMatmul, FloatsGoByTilesAsPromptOnly) {
  for (const MatrixForm& form : all_forms()) {
    if (!has_float_codes(form.format)) continue;
    SCOPED_TRACE(form.name);
    const bool by_tiles =
        form.format != Format::kF16 && form.format != Format::kF32 && form.format != Format::kMxfp8;
    const RandomMatrix matrix(form, 37, 512, 23);
    const EncodedMatrix encoded = matrix.encoded();
    const std::vector<float> fused = product(encoded, InstructionSet::kAvx512, 40, 40);
    const std::vector<float> answer = product(encoded, InstructionSet::kAmx, 40, 40);
    EXPECT_TRUE(same_bits(answer, fused));
    const std::vector<float> prompt = product(encoded, InstructionSet::kAmx, 40, 0);
    EXPECT_EQ(same_bits(prompt, fused), !by_tiles);
    for (const int64_t answers : {1, 17, 39}) {
      const std::vector<float> mixed = product(encoded, InstructionSet::kAmx, 40, answers);
      EXPECT_TRUE(same_bits(mixed, joined(answer, prompt, answers * 40))) << answers;
    }
    const std::vector<float> fewer = product(encoded, InstructionSet::kAmx, 5, 2);
    for (size_t i = 0; i < fewer.size(); ++i) {
      ASSERT_EQ(fewer[i], i < 2 * 40 ? answer[i] : prompt[i]) << i;
    }
  }
}

// Weights that split the roles beside such that do not, in one call.
TEST_F(AmxMatmul, WeightsOfAllKindsInOneCall) {
  std::vector<std::unique_ptr<RandomMatrix>> matrices;
  std::vector<std::unique_ptr<ops::Matrix>> packed;
  std::vector<std::vector<float>> outs, alone;
  for (const MatrixForm& form : all_forms()) {
    if (form.format != Format::kBF16 && form.format != Format::kQ4_K &&
        form.format != Format::kMxfp8 && form.format != Format::kFp8Channel &&
        form.format != Format::kF16) {
      continue;
    }
    matrices.push_back(std::make_unique<RandomMatrix>(form, 37, 512, 29));
    packed.push_back(cpu::pack_matrix(matrices.back()->encoded(), InstructionSet::kAmx,
                                      ActivationMode::kWide, pool_)
                         .value());
    outs.emplace_back(static_cast<size_t>(40 * 40), 7.0f);
    alone.push_back(product(matrices.back()->encoded(), InstructionSet::kAmx, 40, 11));
  }
  std::vector<cpu::DenseProduct> products;
  for (size_t i = 0; i < outs.size(); ++i) {
    products.push_back({packed[i].get(), outs[i].data(), 40});
  }
  std::vector<std::byte> scratch(cpu::matmul_scratch_bytes(40, 512));
  cpu::matmul(inputs_.row(0), 40, 512, 512, 11, products, scratch, pool_);
  ASSERT_EQ(outs.size(), 5u);
  for (size_t i = 0; i < outs.size(); ++i) EXPECT_TRUE(same_bits(outs[i], alone[i])) << i;
}

}  // namespace
}  // namespace sluice::test
