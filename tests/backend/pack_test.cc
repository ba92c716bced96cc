// Packed bytes of every format, with whole groups and units and with all kinds of edges, against
// the layout's definition (docs/formats/packed.md) applied row by row, a number at a time.
#include <gtest/gtest.h>

#include <algorithm>

#include "backend/cpu/detect.h"
#include "backend/cpu/pack/look_ahead.h"
#include "backend/cpu/pack/packed_matrix.h"
#include "backend/cpu/pack/packing.h"
#include "backend/matmul_matrices.h"

namespace sluice::test {
namespace {

using cpu::CodeKind;
using cpu::PackPlan;
using cpu::RowUnit;
using cpu::UnitShape;

// Elements of `width` bytes of one row to [count][16 rows].
void place(const uint8_t* from, int count, int width, uint8_t* to, int64_t lane) {
  for (int i = 0; i < count; ++i) {
    for (int byte = 0; byte < width; ++byte) {
      to[(i * cpu::kGroupRows + lane) * width + byte] = from[i * width + byte];
    }
  }
}

std::vector<uint8_t> expected_units(const EncodedMatrix& source) {
  const PackPlan plan = cpu::plan_for(source);
  const UnitShape& shape = plan.shape;
  const int64_t groups = (source.rows + cpu::kGroupRows - 1) / cpu::kGroupRows;
  const int64_t units = (source.columns + shape.columns - 1) / shape.columns;
  std::vector<uint8_t> bytes(static_cast<size_t>(groups * units) * shape.bytes);
  for (int64_t row = 0; row < source.rows; ++row) {
    for (int64_t u = 0; u < units; ++u) {
      RowUnit part{};
      plan.read(source, shape, row, u, part);
      const int64_t lane = row % cpu::kGroupRows, index = row / cpu::kGroupRows * units + u;
      uint8_t* unit = bytes.data() + static_cast<size_t>(index) * shape.bytes;
      const bool k4 = shape.scales == cpu::ScaleKind::kK4;
      if (k4 || shape.scales == cpu::ScaleKind::kSuper) {
        place(part.super, 2, 2, unit + shape.super_offset, lane);
      }
      place(part.scales, k4 ? 12 : shape.scale_groups, cpu::scale_bytes(shape.scales),
            unit + shape.scale_offset, lane);
      place(part.mins, shape.scale_groups, cpu::min_bytes(shape.mins), unit + shape.min_offset,
            lane);
      const int width = shape.codes == CodeKind::kF16 ? 2 : 4;
      place(part.codes, static_cast<int>(shape.bytes - shape.code_offset) / 16 / width, width,
            unit + shape.code_offset, lane);
    }
  }
  return bytes;
}

std::span<const uint8_t> units_of(const cpu::PackedMatrix& packed) {
  const cpu::PackedView& view = packed.view();
  return {view.units, static_cast<size_t>(view.groups * view.units_per_group) * view.unit.bytes};
}

// The first byte that differs, -1 if none does.
int64_t first_difference(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  if (a.size() != b.size()) return 0;
  const auto at = std::mismatch(a.begin(), a.end(), b.begin()).first;
  return at == a.end() ? -1 : at - a.begin();
}

// With the baseline's packers and with those of wider instruction sets.
void expect_layout(const EncodedMatrix& source, ThreadPool& pool, const std::string& name) {
  const std::vector<uint8_t> expected = expected_units(source);
  for (const cpu::InstructionSet set :
       {cpu::InstructionSet::kPortable, cpu::supported_instruction_sets().back()}) {
    const cpu::PackedMatrix packed(source, set, ops::ActivationMode::kWide, pool);
    EXPECT_EQ(first_difference(units_of(packed), expected), -1)
        << name << " " << source.rows << " x " << source.columns << ", "
        << cpu::instruction_set_name(set);
  }
}

TEST(Pack, BytesOfEveryFormatAreTheLayouts) {
  struct Shape {
    int64_t rows, columns;
  };
  ThreadPool pool(2);
  for (const MatrixForm& form : all_forms()) {
    // Whole groups and units, a last group of 8 rows, last units cut short, also within a word of
    // packed codes, a lone row.
    for (const Shape& wanted :
         {Shape{48, 768}, Shape{40, 512}, Shape{32, 1120}, Shape{16, 533}, Shape{1, 256}}) {
      const int64_t step = form.column_step;
      const int64_t columns = (wanted.columns + step - 1) / step * step;
      const RandomMatrix matrix(form, wanted.rows, columns, 11);
      expect_layout(matrix.encoded(), pool, form.name);
      // The first rows of a larger one: planes longer than their rows.
      if (wanted.rows == 48) expect_layout(matrix.first_rows(20), pool, form.name);
    }
  }
}

TEST(Pack, LookingAheadChangesNoByte) {
  // As many groups on one thread as a trial wants, and a last one that is not whole.
  ThreadPool pool(1);
  for (const MatrixForm& form : all_forms()) {
    const RandomMatrix matrix(form, 1030, (600 / form.column_step + 1) * form.column_step, 3);
    expect_layout(matrix.encoded(), pool, form.name);
  }
}

// What a trial finds when groups take so many seconds without and with looking ahead, but every
// fifth as long as ten.
bool found_to_pay(double without, double with) {
  cpu::LookAheadTrial trial(1000);
  int groups = 0;
  for (; trial.running(); ++groups) {
    trial.finish_group((trial.looks_ahead() ? with : without) * (groups % 5 == 0 ? 10 : 1));
  }
  EXPECT_GT(groups, 10);
  EXPECT_LT(groups, 100);
  return trial.looks_ahead();
}

TEST(Pack, LooksAheadWhereThatPays) {
  EXPECT_TRUE(found_to_pay(1.0, 0.9));
  EXPECT_FALSE(found_to_pay(1.0, 0.99));
  EXPECT_FALSE(found_to_pay(1.0, 1.2));
  const cpu::LookAheadTrial few_groups(8);
  EXPECT_FALSE(few_groups.running());
  EXPECT_FALSE(few_groups.looks_ahead());
}

TEST(Pack, NanCodesOfFp8AreZeros) {
  ThreadPool pool(1);
  const MatrixForm* form = nullptr;
  for (const MatrixForm& candidate : all_forms()) {
    if (candidate.format == Format::kFp8Channel) form = &candidate;
  }
  ASSERT_NE(form, nullptr);
  const RandomMatrix matrix(*form, 16, 128, 5);
  EncodedMatrix encoded = matrix.encoded();
  std::vector<std::byte> codes(encoded.codes.bytes.begin(), encoded.codes.bytes.end());
  codes[3] = std::byte{0x7f};
  codes[128 * 9 + 77] = std::byte{0xff};
  codes[128 * 9 + 78] = std::byte{0x7e};  // the largest number, 448
  encoded.codes.bytes = codes;
  const cpu::PackedMatrix packed(encoded, cpu::InstructionSet::kPortable,
                                 ops::ActivationMode::kWide, pool);
  // Four columns a dword, a dword for each row in a line (product.h).
  const auto code = [&](int64_t row, int64_t column) {
    return units_of(packed)[static_cast<size_t>(column / 4 * cpu::kLine + row * 4 + column % 4)];
  };
  EXPECT_EQ(code(0, 3), 0);
  EXPECT_EQ(code(9, 77), 0);
  EXPECT_EQ(code(9, 78), 0x7e);
  EXPECT_EQ(code(0, 4), std::to_integer<int>(codes[4]));
}

}  // namespace
}  // namespace sluice::test
