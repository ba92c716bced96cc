#include "backend/cpu/amx/tile_twin.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string>

namespace sluice::cpu::amx {
namespace {

struct Tile {
  alignas(64) uint8_t bytes[kTileRows][kTileBytes] = {};
};

struct State {
  bool configured = false;
  TileConfig config;
  Tile tiles[kTiles];
  int64_t products = 0;
};

thread_local State state;

constexpr const char* kRules[] = {
    "a tile instruction without a configuration",
    "an unknown palette",
    "a reserved byte of the configuration is not zero",
    "a start row",
    "rows without columns, or columns without rows",
    "more than 16 rows",
    "more than 64 bytes of columns",
    "a tile without a shape",
    "column bytes that are not a multiple of 4",
    "rows of C and A differ",
    "columns of C and B differ",
    "columns of A are not 4 bytes per row of B",
};

void require(bool kept, TileRule rule) {
  if (!kept) throw TileFault(rule);
}

template <typename T, size_t kCount>
bool all_zero(const T (&values)[kCount]) {
  return std::all_of(values, values + kCount, [](T value) { return value == 0; });
}

int rows_of(int tile) { return state.config.rows[tile]; }
int column_bytes_of(int tile) { return state.config.column_bytes[tile]; }

void require_shape(int tile) {
  require(state.configured, TileRule::kConfigured);
  require(rows_of(tile) > 0, TileRule::kShape);
}

void require_product(int c, int a, int b) {
  for (const int tile : {c, a, b}) require_shape(tile);
  for (const int tile : {c, a, b}) {
    require(column_bytes_of(tile) % 4 == 0, TileRule::kColumnsOfDwords);
  }
  require(rows_of(c) == rows_of(a), TileRule::kRowsOfCAndA);
  require(column_bytes_of(c) == column_bytes_of(b), TileRule::kColumnsOfCAndB);
  require(column_bytes_of(a) == 4 * rows_of(b), TileRule::kDepth);
  ++state.products;
}

int32_t widen(uint8_t byte, bool is_signed) {
  return is_signed ? static_cast<int8_t>(byte) : static_cast<int32_t>(byte);
}

float flush(float value) {
  return std::abs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0f, value) : value;
}

float from_bf16(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return flush(std::bit_cast<float>(uint32_t{bits} << 16));
}

}  // namespace

TileFault::TileFault(TileRule rule)
    : ContractViolation(std::string("tile unit: ") + kRules[static_cast<size_t>(rule)]),
      rule_(rule) {}

void twin_config(const TileConfig& config) {
  require(config.palette <= 1, TileRule::kPalette);
  if (config.palette == 0) return twin_release();
  require(config.start_row == 0, TileRule::kStartRow);
  require(all_zero(config.reserved) && all_zero(config.reserved_column_bytes) &&
              all_zero(config.reserved_rows),
          TileRule::kReserved);
  for (int tile = 0; tile < kTiles; ++tile) {
    require(config.rows[tile] <= kTileRows, TileRule::kRowCount);
    require(config.column_bytes[tile] <= kTileBytes, TileRule::kColumnBytes);
    require((config.rows[tile] == 0) == (config.column_bytes[tile] == 0),
            TileRule::kRowsAndColumns);
  }
  state.config = config;
  state.configured = true;
  for (Tile& tile : state.tiles) tile = {};
}

void twin_release() {
  state.configured = false;
  for (Tile& tile : state.tiles) tile = {};
}

void twin_zero(int tile) {
  require_shape(tile);
  state.tiles[tile] = {};
}

void twin_load(int tile, const void* base, int64_t stride) {
  require_shape(tile);
  Tile loaded;
  const auto* from = static_cast<const uint8_t*>(base);
  for (int row = 0; row < rows_of(tile); ++row) {
    std::memcpy(loaded.bytes[row], from + row * stride, static_cast<size_t>(column_bytes_of(tile)));
  }
  state.tiles[tile] = loaded;
}

void twin_store(int tile, void* base, int64_t stride) {
  require_shape(tile);
  auto* to = static_cast<uint8_t*>(base);
  for (int row = 0; row < rows_of(tile); ++row) {
    std::memcpy(to + row * stride, state.tiles[tile].bytes[row],
                static_cast<size_t>(column_bytes_of(tile)));
  }
}

void twin_dot_bytes(int c, int a, int b, bool a_is_signed, bool b_is_signed) {
  require_product(c, a, b);
  const int columns = column_bytes_of(c) / 4, depth = rows_of(b);
  // [k][column], so that the inner loop becomes vector code.
  alignas(64) int32_t from_b[kTileBytes][kTileRows];
  for (int k = 0; k < 4 * depth; ++k) {
    const uint8_t* line = state.tiles[b].bytes[k / 4] + k % 4;
    for (int n = 0; n < kTileRows; ++n) from_b[k][n] = widen(line[4 * n], b_is_signed);
  }
  Tile result;
  for (int row = 0; row < rows_of(c); ++row) {
    uint32_t sums[kTileRows];
    std::memcpy(sums, state.tiles[c].bytes[row], sizeof sums);
    for (int k = 0; k < 4 * depth; ++k) {
      const int32_t from_a = widen(state.tiles[a].bytes[row][k], a_is_signed);
      for (int n = 0; n < kTileRows; ++n) sums[n] += static_cast<uint32_t>(from_a * from_b[k][n]);
    }
    std::memcpy(result.bytes[row], sums, static_cast<size_t>(4 * columns));
  }
  state.tiles[c] = result;
}

void twin_dot_bf16(int c, int a, int b) {
  require_product(c, a, b);
  const int columns = column_bytes_of(c) / 4, depth = rows_of(b);
  Tile result;
  for (int row = 0; row < rows_of(c); ++row) {
    const uint8_t* from_a = state.tiles[a].bytes[row];
    float sums[kTileRows];
    std::memcpy(sums, state.tiles[c].bytes[row], sizeof sums);
    for (int n = 0; n < columns; ++n) {
      float parts[2] = {0.0f, 0.0f};
      for (int k = 0; k < depth; ++k) {
        for (int i = 0; i < 2; ++i) {
          const float left = from_bf16(from_a + 4 * k + 2 * i);
          const float right = from_bf16(state.tiles[b].bytes[k] + 4 * n + 2 * i);
          parts[i] = flush(std::fma(left, right, parts[i]));
        }
      }
      sums[n] = flush(flush(sums[n]) + flush(parts[0] + parts[1]));
    }
    std::memcpy(result.bytes[row], sums, static_cast<size_t>(4 * columns));
  }
  state.tiles[c] = result;
}

int64_t twin_products() { return state.products; }

}  // namespace sluice::cpu::amx
