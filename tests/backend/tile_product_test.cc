// Products by tiles, through the portable body of the tile unit, have the bits of the product over
// the same lanes: every format, all tails, every number of rows, both modes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include "backend/cpu/amx/available.h"
#endif
#include "backend/cpu/amx/tile_twin.h"
#include "backend/cpu/detect.h"
#include "backend/cpu/pack/packed_matrix.h"
#include "backend/cpu/prepare.h"
#include "backend/cpu/product.h"
#include "backend/cpu/tile_products.h"
#include "backend/matmul_matrices.h"
#include "support/warnings.h"

namespace sluice::test {
namespace {

using cpu::InstructionSet;
using cpu::Prepared;
using ops::ActivationMode;

// Kernels over one set of lanes.
struct Lanes {
  InstructionSet set;
  cpu::ProductFunction tiles, plain;
};

std::vector<Lanes> supported_lanes() {
  std::vector<Lanes> lanes = {{InstructionSet::kPortable, cpu::twin::integer_product_portable,
                               cpu::portable::integer_product}};
#if defined(__x86_64__)
  const auto sets = cpu::supported_instruction_sets();
  if (std::find(sets.begin(), sets.end(), InstructionSet::kAvx512Vnni) != sets.end()) {
    lanes.push_back({InstructionSet::kAvx512Vnni, cpu::twin::integer_product_avx512vnni,
                     cpu::avx512vnni::integer_product});
  }
#endif
  return lanes;
}

// Rows as kernels read them. Every seventh has outliers, every eleventh zeros.
class Inputs {
 public:
  Inputs(int64_t rows, int64_t columns, bool digit, uint64_t seed)
      : rows_(rows), columns_(columns), digit_(digit), x_(static_cast<size_t>(rows * columns)) {
    Random random(seed);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t k = 0; k < columns; ++k) {
        float value = random.normal();
        if (row % 7 == 3 && random.next() % 97 == 0) value *= 1000;
        if (row % 11 == 9 && k >= 40) value = 0;
        x_[static_cast<size_t>(row * columns + k)] = value;
      }
    }
    prepare(rows);
  }

  // Goes on with the first `rows` rows.
  void prepare(int64_t rows) {
    const Prepared form = digit_ ? Prepared::kDigit : Prepared::kWide;
    const size_t bytes = cpu::prepared_bytes(form, rows, columns_);
    memory_.assign(bytes + 64, std::byte{0});
    units_ = memory_.data();
    while (reinterpret_cast<uintptr_t>(units_) % 64 != 0) ++units_;
    factors_.assign(static_cast<size_t>(rows), 0.0f);
    rows_ = rows;
    cpu::prepare(form, {x_.data(), rows, columns_, columns_}, units_, factors_.data(), pool_);
  }

  void fill(float value) {
    std::fill(x_.begin(), x_.end(), value);
    prepare(rows_);
  }
  void set(int64_t row, int64_t column, float value) {
    x_[static_cast<size_t>(row * columns_ + column)] = value;
    prepare(rows_);
  }

  // [rows, N], NaN where nothing was written.
  std::vector<float> times(const cpu::PackedView& weight, cpu::ProductFunction product,
                           int64_t first_group = 0, int64_t last_group = -1) const {
    std::vector<float> out(static_cast<size_t>(rows_ * weight.rows), std::nanf(""));
    cpu::ProductCall call;
    call.weight = &weight;
    call.activations = units_;
    call.row_factors = factors_.data();
    call.digit = digit_;
    call.rows = rows_;
    call.first_group = first_group;
    call.last_group = last_group < 0 ? weight.groups : last_group;
    call.out = out.data();
    call.stride = weight.rows;
    product(call);
    return out;
  }

 private:
  int64_t rows_, columns_;
  bool digit_;
  std::vector<float> x_, factors_;
  std::vector<std::byte> memory_;
  std::byte* units_ = nullptr;
  ThreadPool pool_{1};
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

bool has_integer_codes(const cpu::PackedMatrix& matrix) {
  return matrix.view().unit.codes < cpu::CodeKind::kBF16;
}

int64_t columns_near(const MatrixForm& form, int64_t wanted) {
  return (wanted + form.column_step - 1) / form.column_step * form.column_step;
}

class TileProduct : public testing::TestWithParam<bool> {
 protected:
  static bool digit() { return GetParam(); }

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
    Inputs inputs(33, columns, digit(), 5);
    for (const int64_t rows : {33, 19, 16, 5, 1}) {
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
      if (has_integer_codes(packed)) expect_same(Inputs(4, columns, digit(), 9), packed);
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
    Inputs inputs(273, columns, digit(), 13);
    // Beyond one and two blocks of 128 rows, the last of them shorter than a tile.
    for (const int64_t rows : {273, 260, 257, 144, 130, 129, 128}) {
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

TEST_P(TileProduct, WritesItsGroupsAndRowsOnly) {
  for (const MatrixForm& form : all_forms()) {
    if (form.format != Format::kQ4_K && form.format != Format::kQ8_0) continue;
    const RandomMatrix matrix(form, 80, 256, 17);
    const Inputs inputs(21, 256, digit(), 19);
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
    Inputs inputs(18, 512, digit(), 23);
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
  Inputs inputs(1, kColumns, digit(), 1);
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

#if defined(__x86_64__)

// ------------------------------------------------------------------------------- may it be used

void forget_second_tile(const cpu::ProductCall& call) {
  cpu::twin::integer_product_portable(call);
  std::memset(call.out + 16 * call.stride, 0, sizeof(float));
}

TEST(TileSelfCheck, FindsWrongResults) {
  EXPECT_TRUE(cpu::amx::passes_self_check(cpu::twin::integer_product_portable));
  for (const Lanes& lanes : supported_lanes()) {
    EXPECT_TRUE(cpu::amx::passes_self_check(lanes.tiles));
    EXPECT_TRUE(cpu::amx::passes_self_check(lanes.plain));
  }
  EXPECT_FALSE(cpu::amx::passes_self_check(forget_second_tile));
  EXPECT_FALSE(cpu::amx::passes_self_check([](const cpu::ProductCall&) {}));
}

constexpr uint32_t kAllInstructions = 1u << 22 | 1u << 24 | 1u << 25;
constexpr uint64_t kAllState = 0x60000;

TEST(TileMachine, NeedsInstructionsStateGrantAndSelfCheck) {
  const auto granted = [] { return true; };
  const auto refused = [] { return false; };
  const auto unasked = [] {
    ADD_FAILURE() << "asked the system without need";
    return true;
  };
  const auto unrun = [](const cpu::ProductCall&) { ADD_FAILURE() << "ran tiles without leave"; };
  const cpu::ProductFunction right = cpu::twin::integer_product_portable;
  Warnings warnings;
  EXPECT_TRUE(cpu::amx::can_use_tiles({kAllInstructions, kAllState | 0xe7, granted, right}));
  for (const int bit : {22, 24, 25}) {
    const uint32_t without = ~(1u << bit);
    EXPECT_FALSE(cpu::amx::can_use_tiles({without, kAllState, unasked, unrun})) << bit;
  }
  for (const int bit : {17, 18}) {
    const uint64_t without = ~(uint64_t{1} << bit);
    EXPECT_FALSE(cpu::amx::can_use_tiles({kAllInstructions, without, unasked, unrun})) << bit;
  }
  EXPECT_TRUE(warnings.said().empty());
  EXPECT_FALSE(cpu::amx::can_use_tiles({kAllInstructions, kAllState, refused, unrun}));
  ASSERT_EQ(warnings.said().size(), 1u);
  EXPECT_NE(warnings.said()[0].find("did not grant"), std::string::npos);
  EXPECT_FALSE(cpu::amx::can_use_tiles({kAllInstructions, kAllState, granted, forget_second_tile}));
  ASSERT_EQ(warnings.said().size(), 2u);
  EXPECT_NE(warnings.said()[1].find("wrong results"), std::string::npos);
}

#endif

}  // namespace
}  // namespace sluice::test
