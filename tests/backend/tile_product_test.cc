// Products by tiles, through the portable body of the tile unit, have the bits of the product over
// the same lanes: every format, all tails, every number of rows, both modes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "backend/cpu/amx/tile_twin.h"
#include "backend/cpu/detect.h"
#include "backend/cpu/pack/packed_matrix.h"
#include "backend/cpu/prepare.h"
#include "backend/cpu/product.h"
#include "backend/matmul_matrices.h"
#include "backend/tile_inputs.h"

namespace sluice::test {
namespace {

using cpu::InstructionSet;
using cpu::Prepared;
using ops::ActivationMode;

bool has_integer_codes(const cpu::PackedMatrix& matrix) {
  return matrix.view().unit.codes < cpu::CodeKind::kBF16;
}

int64_t columns_near(const MatrixForm& form, int64_t wanted) {
  return (wanted + form.column_step - 1) / form.column_step * form.column_step;
}

class TileProduct : public testing::TestWithParam<bool> {
 protected:
  static bool digit() { return GetParam(); }
  static Prepared prepared() { return digit() ? Prepared::kDigit : Prepared::kWide; }

  cpu::PackedMatrix pack(const EncodedMatrix& matrix) {
    return {matrix, InstructionSet::kPortable,
            digit() ? ActivationMode::kDigit : ActivationMode::kWide, pool_};
  }

  void expect_same(const Inputs& inputs, const cpu::PackedMatrix& matrix) {
    for (const Lanes& lanes : lanes_) {
      const int64_t before = cpu::amx::twin_products();
      const std::vector<float> by_tiles = inputs.times(matrix.view(), lanes.tiles);
      EXPECT_GT(cpu::amx::twin_products(), before);
      EXPECT_TRUE(same_bits(by_tiles, inputs.times(matrix.view(), lanes.plain)))
          << cpu::instruction_set_name(lanes.set);
    }
  }

  std::vector<Lanes> lanes_ = supported_lanes();
  ThreadPool pool_{1};
};

TEST_P(TileProduct, EveryForm) {
  int forms = 0;
  for (const MatrixForm& form : all_forms()) {
    SCOPED_TRACE(form.name);
    const int64_t columns = columns_near(form, 600);
    const RandomMatrix matrix(form, 33, columns, 3);
    const cpu::PackedMatrix packed = pack(matrix.encoded());
    if (!has_integer_codes(packed)) continue;
    ++forms;
    Inputs inputs(33, columns, prepared(), 5);
    for (const int64_t rows : {33, 19, 5}) {
      SCOPED_TRACE(rows);
      inputs.prepare(rows);
      expect_same(inputs, packed);
    }
  }
  EXPECT_GT(forms, 30);
}

TEST_P(TileProduct, ColumnTails) {
  for (const MatrixForm& form : all_forms()) {
    SCOPED_TRACE(form.name);
    int64_t tried = 0;
    for (const int64_t wanted : {1, 15, 16, 17, 32, 33, 63, 64, 96, 127, 129, 255, 257, 288}) {
      const int64_t columns = columns_near(form, wanted);
      if (columns == tried || columns > 512) continue;
      tried = columns;
      SCOPED_TRACE(columns);
      const RandomMatrix matrix(form, 5, columns, 7);
      const cpu::PackedMatrix packed = pack(matrix.encoded());
      if (has_integer_codes(packed)) expect_same(Inputs(4, columns, prepared(), 9), packed);
    }
  }
}

// One form for each way in which kernels differ: bytes or a panel, scales per 16 or 32, minima.
TEST_P(TileProduct, EveryNumberOfRows) {
  for (const MatrixForm& form : all_forms()) {
    if (form.format != Format::kQ4_K && form.format != Format::kQ6_K &&
        form.format != Format::kQ8_0 && form.format != Format::kQ2_K) {
      continue;
    }
    const int64_t columns = columns_near(form, 288);
    const RandomMatrix matrix(form, 17, columns, 11);
    const cpu::PackedMatrix packed = pack(matrix.encoded());
    Inputs inputs(273, columns, prepared(), 13);
    // Beyond one and two blocks of 128 rows, the last of them shorter than a tile.
    for (const int64_t rows : {273, 260, 130, 128}) {
      SCOPED_TRACE(testing::Message() << form.name << " M " << rows);
      inputs.prepare(rows);
      expect_same(inputs, packed);
    }
    const cpu::ProductFunction tiles = lanes_.back().tiles;
    inputs.prepare(64);
    const std::vector<float> whole = inputs.times(packed.view(), tiles);
    for (int64_t rows = 63; rows > 0; --rows) {
      inputs.prepare(rows);
      const std::vector<float> part = inputs.times(packed.view(), tiles);
      ASSERT_EQ(std::memcmp(part.data(), whole.data(), part.size() * sizeof(float)), 0)
          << form.name << " M " << rows;
    }
  }
}

// A whole block of rows has more columns than are multiplied with the same groups at a time, and
// there are more groups than these.
TEST_P(TileProduct, ChunksOfColumns) {
  for (const MatrixForm& form : all_forms()) {
    if (form.format != Format::kQ4_K && form.format != Format::kQ8_0) continue;
    SCOPED_TRACE(form.name);
    const RandomMatrix matrix(form, 171, 4096, 23);
    expect_same(Inputs(124, 4096, prepared(), 29), pack(matrix.encoded()));
  }
}

TEST_P(TileProduct, WritesItsGroupsAndRowsOnly) {
  for (const MatrixForm& form : all_forms()) {
    if (form.format != Format::kQ4_K && form.format != Format::kQ8_0) continue;
    const RandomMatrix matrix(form, 80, 256, 17);
    const Inputs inputs(21, 256, prepared(), 19);
    for (const int64_t n : {1, 15, 16, 17, 80}) {
      const cpu::PackedMatrix packed = pack(matrix.first_rows(n));
      SCOPED_TRACE(n);
      expect_same(inputs, packed);
    }
    const cpu::PackedMatrix packed = pack(matrix.encoded());
    const std::vector<float> whole = inputs.times(packed.view(), lanes_[0].tiles);
    const std::vector<float> part = inputs.times(packed.view(), lanes_[0].tiles, 2, 4);
    for (size_t i = 0; i < part.size(); ++i) {
      const size_t group = i % 80 / 16;
      if (group == 2 || group == 3) {
        ASSERT_EQ(part[i], whole[i]);
      } else {
        ASSERT_TRUE(std::isnan(part[i])) << i;
      }
    }
  }
}

TEST_P(TileProduct, ANanStaysInItsRow) {
  for (const MatrixForm& form : all_forms()) {
    if (form.format != Format::kQ6_K) continue;
    const RandomMatrix matrix(form, 16, 512, 21);
    const cpu::PackedMatrix packed = pack(matrix.encoded());
    Inputs inputs(18, 512, prepared(), 23);
    const std::vector<float> clean = inputs.times(packed.view(), lanes_[0].tiles);
    inputs.set(4, 300, std::nanf(""));
    const std::vector<float> out = inputs.times(packed.view(), lanes_[0].tiles);
    for (size_t i = 0; i < out.size(); ++i) {
      if (i / 16 == 4) {
        ASSERT_TRUE(std::isnan(out[i]));
      } else {
        ASSERT_EQ(out[i], clean[i]);
      }
    }
  }
}

// Sums of 127 * 127 run on in the tiles from group to group until they wrap.
TEST_P(TileProduct, RunningSumsWrap) {
  constexpr int64_t kUnits = 8, kColumns = kUnits * cpu::kIntegerColumns;
  const int64_t groups = digit() ? 288 : 144;
  struct alignas(64) Unit {
    uint8_t bytes[cpu::kIntegerColumns * cpu::kGroupRows];
  };
  std::vector<Unit> units(static_cast<size_t>(groups * kUnits));
  for (Unit& unit : units) std::memset(unit.bytes, 127, sizeof unit.bytes);
  struct alignas(64) Scales {
    float values[cpu::kGroupRows];
  };
  std::vector<Scales> scales(static_cast<size_t>(groups));
  for (Scales& scale : scales) std::fill_n(scale.values, cpu::kGroupRows, 1.0f);
  cpu::PackedView weight;
  weight.unit.columns = cpu::kIntegerColumns;
  weight.unit.bytes = sizeof(Unit);
  weight.units = units[0].bytes;
  weight.row_scales = scales[0].values;
  weight.units_per_group = kUnits;
  weight.rows = groups * cpu::kGroupRows;
  weight.groups = groups;
  Inputs inputs(1, kColumns, prepared(), 1);
  inputs.fill(1.0f);
  // Each of the four tiles gets 32 products a turn; a unit has four turns, two with one digit.
  ASSERT_GT(127.0 * 127 * 32 * (digit() ? 2 : 4) * static_cast<double>(kUnits * groups), 0x1p31);
  for (const Lanes& lanes : lanes_) {
    EXPECT_TRUE(same_bits(inputs.times(weight, lanes.tiles), inputs.times(weight, lanes.plain)));
  }
}

std::string mode_name(const testing::TestParamInfo<bool>& mode) {
  return mode.param ? "digit" : "wide";
}

INSTANTIATE_TEST_SUITE_P(Modes, TileProduct, testing::Bool(), mode_name);

}  // namespace
}  // namespace sluice::test
