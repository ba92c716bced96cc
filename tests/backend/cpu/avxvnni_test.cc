// The AVX-VNNI kernel gives the bits of the AVX2 kernel: in the encoding of AVX-512 (EVEX), which
// more processors have, and in its own (VEX) where there is AVX-VNNI.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cpu/avxvnni_in_evex.h"
#include "backend/cpu/detect.h"
#include "backend/cpu/matmul.h"
#include "backend/cpu/pack/packed_matrix.h"
#include "backend/cpu/prepare.h"
#include "backend/matmul_matrices.h"

namespace sluice::test {
namespace {

using cpu::InstructionSet;
using cpu::Prepared;

bool supported(InstructionSet set) {
  const auto sets = cpu::supported_instruction_sets();
  return std::find(sets.begin(), sets.end(), set) != sets.end();
}

std::vector<float> matmul_product(const cpu::PackedMatrix& weight, const std::vector<float>& x,
                                  int64_t rows, ThreadPool& pool) {
  std::vector<std::byte> scratch(cpu::matmul_scratch_bytes(rows, weight.columns()));
  std::vector<float> out(static_cast<size_t>(rows * weight.rows()), std::nanf(""));
  const cpu::DenseProduct products[] = {{&weight, out.data(), weight.rows()}};
  cpu::matmul(x.data(), rows, weight.columns(), weight.columns(), rows, products, scratch, pool);
  return out;
}

std::vector<float> avxvnni_product(const cpu::PackedMatrix& weight, const std::vector<float>& x,
                                   int64_t rows, bool digit, ThreadPool& pool) {
  cpu::ProductCall call;
  call.weight = &weight.view();
  call.digit = digit;
  call.words = avxvnni_reads_words(weight.view(), digit, rows);
  const Prepared form = call.words ? (digit ? Prepared::kDigitWords : Prepared::kWideWords)
                                   : (digit ? Prepared::kDigit : Prepared::kWide);
  PageBlock units(cpu::prepared_bytes(form, rows, weight.columns()));
  std::vector<float> factors(static_cast<size_t>(rows));
  std::vector<float> out(static_cast<size_t>(rows * weight.rows()), std::nanf(""));
  cpu::prepare(form, InstructionSet::kAvx2, {x.data(), rows, weight.columns(), weight.columns()},
               units.data(), factors.data(), pool);
  call.activations = units.data();
  call.row_factors = factors.data();
  call.rows = call.last_row = rows;
  call.last_group = weight.view().groups;
  call.out = out.data();
  call.stride = weight.rows();
  avxvnni_in_evex(call);
  return out;
}

TEST(AvxVnni, HasTheBitsOfAvx2) {
  if (!supported(InstructionSet::kAvx512Vnni)) {
    GTEST_SKIP() << "no AVX-512 VNNI here to run the kernel in that encoding";
  }
  ThreadPool pool(1);
  for (const MatrixForm& form : all_forms()) {
    const int64_t columns = (530 + form.column_step - 1) / form.column_step * form.column_step;
    const RandomMatrix source(form, 37, columns, 51);
    std::vector<float> x(static_cast<size_t>(13 * columns));
    Random random(53);
    for (float& value : x) value = random.normal() * (random.next() % 97 == 0 ? 1000.0f : 1.0f);
    for (const bool digit : {false, true}) {
      const cpu::PackedMatrix weight(
          source.encoded(), InstructionSet::kAvx2,
          digit ? ops::ActivationMode::kDigit : ops::ActivationMode::kWide, pool);
      if (weight.view().unit.codes >= cpu::CodeKind::kBF16) continue;
      for (const int64_t rows : {1, 2, 3, 4, 5, 6, 8, 13}) {
        const std::vector<float> expected = matmul_product(weight, x, rows, pool),
                                 out = avxvnni_product(weight, x, rows, digit, pool);
        ASSERT_EQ(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)), 0)
            << form.name << (digit ? " digit" : " wide") << " M " << rows;
      }
    }
  }
}

// The kernel in its own encoding (VEX), as matmul() takes it.
TEST(AvxVnni, HasTheBitsOfAvx2InItsOwnEncoding) {
  if (!supported(InstructionSet::kAvxVnni)) GTEST_SKIP() << "no AVX-VNNI here";
  ThreadPool pool(1);
  for (const MatrixForm& form : all_forms()) {
    const int64_t columns = (530 + form.column_step - 1) / form.column_step * form.column_step;
    const RandomMatrix source(form, 37, columns, 51);
    std::vector<float> x(static_cast<size_t>(33 * columns));
    Random random(53);
    for (float& value : x) value = random.normal() * (random.next() % 97 == 0 ? 1000.0f : 1.0f);
    for (const auto mode : {ops::ActivationMode::kWide, ops::ActivationMode::kDigit}) {
      const cpu::PackedMatrix by_avx2(source.encoded(), InstructionSet::kAvx2, mode, pool),
          by_vnni(source.encoded(), InstructionSet::kAvxVnni, mode, pool);
      for (const int64_t rows : {1, 2, 3, 4, 5, 6, 8, 13, 33}) {
        const std::vector<float> expected = matmul_product(by_avx2, x, rows, pool),
                                 out = matmul_product(by_vnni, x, rows, pool);
        ASSERT_EQ(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)), 0)
            << form.name << " M " << rows;
      }
    }
  }
}

}  // namespace
}  // namespace sluice::test
