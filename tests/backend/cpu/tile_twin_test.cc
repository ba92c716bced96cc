// The tile unit's portable twin: results as the vendor's manual gives them, and a fault wherever
// hardware faults.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "backend/cpu/amx/tile_twin-inl.h"

namespace sluice::test {
namespace {

namespace amx = cpu::amx;
using amx::TileConfig;
using amx::TileRule;
using amx::Tiles;

// C tile 0, A tile 1, B tile 2: `rows` x `columns` outputs over `depth` dwords of K.
TileConfig shapes(int rows, int columns, int depth) {
  TileConfig config;
  const auto set = [&](int tile, int tile_rows, int bytes) {
    config.rows[tile] = static_cast<uint8_t>(tile_rows);
    config.column_bytes[tile] = static_cast<uint16_t>(bytes);
  };
  set(0, rows, 4 * columns);
  set(1, rows, 4 * depth);
  set(2, depth, 4 * columns);
  return config;
}

std::optional<TileRule> broken_by(const std::function<void()>& instruction) {
  try {
    instruction();
  } catch (const amx::TileFault& fault) {
    return fault.rule();
  }
  return std::nullopt;
}

using Bytes = std::array<uint8_t, 1024>;

Bytes numbered() {
  Bytes bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37 + i / 64 + 1);
  return bytes;
}

class TileTwin : public testing::Test {
 protected:
  void TearDown() override { Tiles::release(); }

  template <typename T>
  static std::array<T, 256> read_c() {
    std::array<T, 256> out{};
    Tiles::store<0>(out.data(), 64);
    return out;
  }
};

TEST_F(TileTwin, FaultsWithoutAConfiguration) {
  Bytes memory{};
  const std::function<void()> instructions[] = {
      [] { Tiles::zero<0>(); }, [&] { Tiles::load<1>(memory.data(), 64); },
      [&] { Tiles::store<2>(memory.data(), 64); }, [] { Tiles::dpbssd<0, 1, 2>(); },
      [] { Tiles::dpbf16ps<0, 1, 2>(); }};
  for (const auto& instruction : instructions) {
    EXPECT_EQ(broken_by(instruction), TileRule::kConfigured);
  }
  Tiles::config(shapes(16, 16, 16));
  for (const auto& instruction : instructions) EXPECT_EQ(broken_by(instruction), std::nullopt);
  Tiles::release();
  for (const auto& instruction : instructions) {
    EXPECT_EQ(broken_by(instruction), TileRule::kConfigured);
  }
  Tiles::config(shapes(16, 16, 16));
  TileConfig none;
  none.palette = 0;  // what a release does
  Tiles::config(none);
  EXPECT_EQ(broken_by(instructions[0]), TileRule::kConfigured);
}

TEST_F(TileTwin, FaultsOnImpossibleConfigurations) {
  const auto fault_of = [](const std::function<void(TileConfig&)>& change) {
    TileConfig config = shapes(16, 16, 16);
    change(config);
    return broken_by([&] { Tiles::config(config); });
  };
  EXPECT_EQ(fault_of([](TileConfig&) {}), std::nullopt);
  EXPECT_EQ(fault_of([](TileConfig& c) { c.palette = 2; }), TileRule::kPalette);
  EXPECT_EQ(fault_of([](TileConfig& c) { c.start_row = 1; }), TileRule::kStartRow);
  EXPECT_EQ(fault_of([](TileConfig& c) { c.reserved[13] = 1; }), TileRule::kReserved);
  // Shapes of tiles 8 to 15, which palette 1 does not have.
  EXPECT_EQ(fault_of([](TileConfig& c) { c.reserved_column_bytes[0] = 64; }), TileRule::kReserved);
  EXPECT_EQ(fault_of([](TileConfig& c) { c.reserved_rows[7] = 16; }), TileRule::kReserved);
  EXPECT_EQ(fault_of([](TileConfig& c) { c.rows[3] = 1; }), TileRule::kRowsAndColumns);
  EXPECT_EQ(fault_of([](TileConfig& c) { c.column_bytes[7] = 4; }), TileRule::kRowsAndColumns);
  EXPECT_EQ(fault_of([](TileConfig& c) { c.rows[0] = 17; }), TileRule::kRowCount);
  EXPECT_EQ(fault_of([](TileConfig& c) { c.column_bytes[2] = 65; }), TileRule::kColumnBytes);
  // A faulting configuration leaves the state as it was.
  EXPECT_EQ(broken_by([] { Tiles::zero<0>(); }), std::nullopt);
}

TEST_F(TileTwin, FaultsOnOperandsThatDoNotFit) {
  const auto fault_of = [](const std::function<void(TileConfig&)>& change) {
    TileConfig config = shapes(5, 3, 7);
    change(config);
    Tiles::config(config);
    const auto fault = broken_by([] { Tiles::dpbusd<0, 1, 2>(); });
    EXPECT_EQ(broken_by([] { Tiles::dpbf16ps<0, 1, 2>(); }), fault);
    return fault;
  };
  EXPECT_EQ(fault_of([](TileConfig&) {}), std::nullopt);
  EXPECT_EQ(fault_of([](TileConfig& c) { c.rows[0] = c.rows[0] + 1; }), TileRule::kRowsOfCAndA);
  EXPECT_EQ(fault_of([](TileConfig& c) { c.column_bytes[2] = 16; }), TileRule::kColumnsOfCAndB);
  EXPECT_EQ(fault_of([](TileConfig& c) { c.column_bytes[1] = 32; }), TileRule::kDepth);
  EXPECT_EQ(fault_of([](TileConfig& c) { c.rows[2] = 8; }), TileRule::kDepth);
  for (const int tile : {0, 1, 2}) {
    EXPECT_EQ(fault_of([&](TileConfig& c) { --c.column_bytes[tile]; }), TileRule::kColumnsOfDwords);
    EXPECT_EQ(fault_of([&](TileConfig& c) { c.rows[tile] = c.column_bytes[tile] = 0; }),
              TileRule::kShape);
  }
  Tiles::config(shapes(5, 3, 7));
  EXPECT_EQ(broken_by([] { Tiles::zero<3>(); }), TileRule::kShape);
}

TEST_F(TileTwin, LoadsZeroTheRestAndStoresWriteTheShapeOnly) {
  const Bytes memory = numbered();
  TileConfig config = shapes(3, 5, 2);
  Tiles::config(config);
  Tiles::load<0>(memory.data(), 40);
  Bytes out;
  out.fill(0xee);
  Tiles::store<0>(out.data(), 64);
  for (size_t row = 0; row < 16; ++row) {
    for (size_t byte = 0; byte < 64; ++byte) {
      const uint8_t expected = row < 3 && byte < 20 ? memory[40 * row + byte] : 0xee;
      ASSERT_EQ(out[64 * row + byte], expected) << row << " " << byte;
    }
  }
  // A configuration zeroes all tiles, also where the shape stays.
  Tiles::config(config);
  out.fill(0xee);
  Tiles::store<0>(out.data(), 64);
  EXPECT_EQ(out[0], 0);
  EXPECT_EQ(out[20], 0xee);
  Tiles::load<0>(memory.data(), 40);
  Tiles::zero<0>();
  Tiles::store<0>(out.data(), 64);
  EXPECT_EQ(out[0], 0);
}

// C += A B for bytes of all four kinds of sign, against sums over the bytes themselves.
TEST_F(TileTwin, ByteProducts) {
  const Bytes memory = numbered();
  const auto value = [](uint8_t byte, bool is_signed) {
    return is_signed ? static_cast<int32_t>(static_cast<int8_t>(byte)) : int32_t{byte};
  };
  const auto check = [&](int rows, int columns, int depth, bool a_signed, bool b_signed) {
    Tiles::config(shapes(rows, columns, depth));
    Tiles::load<0>(memory.data() + 7, 64);
    Tiles::load<1>(memory.data() + 128, 17);
    Tiles::load<2>(memory.data() + 3, 60);
    if (a_signed && b_signed) Tiles::dpbssd<0, 1, 2>();
    if (a_signed && !b_signed) Tiles::dpbsud<0, 1, 2>();
    if (!a_signed && b_signed) Tiles::dpbusd<0, 1, 2>();
    if (!a_signed && !b_signed) Tiles::dpbuud<0, 1, 2>();
    std::array<uint32_t, 256> out;
    out.fill(0xeeeeeeee);
    Tiles::store<0>(out.data(), 64);
    for (int m = 0; m < 16; ++m) {
      for (int n = 0; n < 16; ++n) {
        uint32_t expected = 0xeeeeeeee;
        if (m < rows && n < columns) {
          std::memcpy(&expected, memory.data() + 7 + 64 * m + 4 * n, 4);
          for (int k = 0; k < 4 * depth; ++k) {
            const int32_t a = value(memory[static_cast<size_t>(128 + 17 * m + k)], a_signed);
            const int32_t b =
                value(memory[static_cast<size_t>(3 + 60 * (k / 4) + 4 * n + k % 4)], b_signed);
            expected += static_cast<uint32_t>(a * b);
          }
        }
        ASSERT_EQ(out[static_cast<size_t>(16 * m + n)], expected) << m << " " << n;
      }
    }
  };
  for (const bool a_signed : {false, true}) {
    for (const bool b_signed : {false, true}) {
      check(15, 16, 16, a_signed, b_signed);
      check(1, 1, 1, a_signed, b_signed);
      check(4, 16, 8, a_signed, b_signed);
      check(15, 3, 5, a_signed, b_signed);
    }
  }
}

TEST_F(TileTwin, ByteSumsWrapWithoutSaturation) {
  Tiles::config(shapes(1, 1, 1));
  const int32_t start = std::numeric_limits<int32_t>::max() - 1;
  const std::array<int8_t, 4> ones = {1, 1, 1, 1};
  Tiles::load<0>(&start, 64);
  Tiles::load<1>(ones.data(), 64);
  Tiles::load<2>(ones.data(), 64);
  Tiles::dpbssd<0, 1, 2>();
  EXPECT_EQ(read_c<int32_t>()[0], std::numeric_limits<int32_t>::min() + 2);
}

uint16_t bf16(float value) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16); }

// One output over `pairs`.
float dot(std::vector<std::array<float, 2>> a, std::vector<std::array<float, 2>> b, float c) {
  std::array<uint16_t, 32> left{};
  std::array<std::array<uint16_t, 2>, 16> rows{};
  for (size_t k = 0; k < a.size(); ++k) {
    left[2 * k] = bf16(a[k][0]);
    left[2 * k + 1] = bf16(a[k][1]);
    rows[k] = {bf16(b[k][0]), bf16(b[k][1])};
  }
  Tiles::config(shapes(1, 1, static_cast<int>(a.size())));
  Tiles::load<0>(&c, 64);
  Tiles::load<1>(left.data(), 64);
  Tiles::load<2>(rows.data(), 4);
  Tiles::dpbf16ps<0, 1, 2>();
  float out = 0;
  Tiles::store<0>(&out, 64);
  return out;
}

TEST_F(TileTwin, Bf16SumsEvenAndOddApart) {
  EXPECT_EQ(dot({{2, 3}, {5, 7}}, {{11, 13}, {17, 19}}, 0.5f), 0.5f + 22 + 39 + 85 + 133);
  // 1 is lost beside 2^24, unless the chains are apart: even 2^24 - 2^24, odd 1 + 1.
  EXPECT_EQ(dot({{0x1p24f, 1}, {-0x1p24f, 1}}, {{1, 1}, {1, 1}}, 0), 2.0f);
  // Within a chain the order is that of k.
  EXPECT_EQ(dot({{0x1p24f, 0}, {1, 0}, {-0x1p24f, 0}}, {{1, 0}, {1, 0}, {1, 0}}, 0), 0.0f);
  EXPECT_EQ(dot({{0x1p24f, 0}, {-0x1p24f, 0}, {1, 0}}, {{1, 0}, {1, 0}, {1, 0}}, 0), 1.0f);
  // C comes last: in front of the chain it would swallow the ones.
  EXPECT_EQ(dot({{1, 1}}, {{1, 1}}, 0x1p24f), 0x1p24f + 2);
  EXPECT_EQ(dot({{1, 0}}, {{1, 0}}, 0x1p24f), 0x1p24f);
}

TEST_F(TileTwin, Bf16TakesDenormalsAsZero) {
  const float small = 0x1p-130f;
  EXPECT_EQ(dot({{small, 0}}, {{0x1p100f, 0}}, 0), 0.0f);
  EXPECT_EQ(dot({{0x1p100f, 0}}, {{small, 0}}, 0), 0.0f);
  EXPECT_EQ(dot({{0x1p-70f, 0}}, {{0x1p-70f, 0}}, 0), 0.0f);
  EXPECT_EQ(dot({{1, 0}}, {{0x1p-126f, 0}}, small), 0x1p-126f);
  EXPECT_EQ(dot({{0x1p-126f, 0}}, {{1, 0}}, 0), 0x1p-126f);
}

}  // namespace
}  // namespace sluice::test
