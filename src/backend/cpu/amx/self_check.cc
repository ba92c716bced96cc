#include "backend/cpu/amx/self_check.h"

#include <bit>
#include <memory>

namespace sluice::cpu::amx {
namespace {

constexpr int kUnits = 2, kMostColumns = kUnits * kIntegerColumns;
constexpr int kRows = 21;  // two tiles, the second reaching back into the first

// Magnitudes so small that all sums are integers below 2^24: their floats are known whatever the
// order.
constexpr int kLargestWeight = 31, kLargestActivation = 127, kLargestHigh = 2;

// A packed matrix of one group, its activations in every form, and both as integers.
struct alignas(64) Case {
  uint8_t units[kUnits][kIntegerColumns * kGroupRows];
  WideUnit wide[kUnits][kRows];
  DigitUnit digits[kUnits][kRows];
  PairUnit pairs[kUnits][kRows];
  float row_scales[kGroupRows];
  float row_factors[kRows];
  float tile_scales[kUnits];
  float out[kRows][kGroupRows];
  int weights[kGroupRows][kMostColumns];
  int activations[kRows][kMostColumns];
  PackedView view;
};

class Numbers {
 public:
  // From -largest to largest.
  int next(int largest) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int>(state_ >> 33) % (2 * largest + 1) - largest;
  }

 private:
  uint64_t state_ = 1;
};

uint16_t bf16(int number) {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(number)) >> 16);
}

// Writes a weight near `number` and returns the one that was written.
int set_weight(Case& data, int lane, int k, int number) {
  const int columns = static_cast<int>(data.view.unit.columns), column = k % columns;
  uint8_t* unit = data.units[k / columns];
  const int pair = column / 64, side = column / 32 % 2, j = column % 32 / 4;
  const int byte = 4 * lane + column % 4;
  switch (data.view.unit.codes) {
    case CodeKind::kByte:
      unit[kLine * (16 * pair + 2 * j + side) + byte] = static_cast<uint8_t>(number);
      return number;
    case CodeKind::kNibbleTable:
      unit[kLine * (8 * pair + j) + byte] |= static_cast<uint8_t>((number & 15) << 4 * side);
      return data.view.table[number & 15];
    case CodeKind::kBF16: {
      uint8_t* at = unit + kLine * (column / 2) + 4 * lane + 2 * (column % 2);
      at[0] = static_cast<uint8_t>(bf16(number));
      at[1] = static_cast<uint8_t>(bf16(number) >> 8);
      return number;
    }
    default: {  // E4M3
      constexpr uint8_t kOneToFour[] = {0x38, 0x40, 0x44, 0x48};
      const int size = number & 3;
      unit[kLine * (column / 4) + byte] =
          static_cast<uint8_t>(kOneToFour[size] | (number < 0 ? 0x80 : 0));
      return number < 0 ? -(size + 1) : size + 1;
    }
  }
}

// Writes two integers that stand for one activation in the form that is wanted; returns their sum.
int set_activation(Case& data, bool digit, int row, int k, int number, int high) {
  if (data.view.unit.codes >= CodeKind::kBF16) {
    PairUnit& unit = data.pairs[k / kFloatColumns][row];
    unit.high[k % kFloatColumns] = bf16(number);
    unit.low[k % kFloatColumns] = bf16(high);
    return number + high;
  }
  const int u = k / kIntegerColumns, column = k % kIntegerColumns;
  if (digit) {
    data.digits[u][row].digits[column] = static_cast<int8_t>(number);
    data.digits[u][row].sums.offsets32[column / kGranule] -= 128 * number;
    return number;
  }
  data.wide[u][row].high[column] = static_cast<int8_t>(high);
  data.wide[u][row].low[column] = static_cast<int8_t>(number / 4);
  data.wide[u][row].sums.offsets32[column / kGranule] -= 128 * (128 * high + number / 4);
  return 128 * high + number / 4;
}

void fill(Case& data, bool digit, int columns) {
  Numbers numbers;
  for (int lane = 0; lane < kGroupRows; ++lane) {
    data.row_scales[lane] = 1.0f;
    for (int k = 0; k < columns; ++k) {
      data.weights[lane][k] = set_weight(data, lane, k, numbers.next(kLargestWeight));
    }
  }
  for (int row = 0; row < kRows; ++row) {
    data.row_factors[row] = 1.0f;
    for (int k = 0; k < columns; ++k) {
      const int number = numbers.next(kLargestActivation), high = numbers.next(kLargestHigh);
      data.activations[row][k] = set_activation(data, digit, row, k, number, high);
    }
    for (int u = 0; u < kUnits; ++u) {
      data.wide[u][row].sums.scale[0] = 1.0f;
      for (float& scale : data.digits[u][row].sums.scale) scale = 1.0f;
    }
  }
}

bool passes(ProductFunction product, CodeKind kind, bool digit) {
  const auto data = std::make_unique<Case>();
  const bool is_float = kind >= CodeKind::kBF16;
  PackedView& view = data->view;
  for (int i = 0; i < 16; ++i) view.table[i] = static_cast<int8_t>(i * i / 8 - kLargestWeight / 2);
  view.unit.codes = kind;
  view.unit.columns = is_float ? kFloatColumns : kIntegerColumns;
  view.unit.bytes = sizeof data->units[0];
  view.units = data->units[0];
  view.row_scales = data->row_scales;
  for (int u = 0; u < kUnits; ++u)
    data->tile_scales[u] = kind == CodeKind::kE4M3 ? 2.0f * static_cast<float>(u + 1) : 1.0f;
  if (kind == CodeKind::kE4M3) view.tile_scales = data->tile_scales;
  view.units_per_group = kUnits;
  view.rows = kGroupRows;
  view.groups = 1;
  const int width = static_cast<int>(view.unit.columns), columns = kUnits * width;
  fill(*data, digit, columns);

  ProductCall call;
  call.weight = &view;
  call.activations = is_float ? static_cast<const void*>(data->pairs)
                     : digit  ? static_cast<const void*>(data->digits)
                              : static_cast<const void*>(data->wide);
  call.row_factors = data->row_factors;
  call.digit = digit;
  call.rows = call.last_row = kRows;
  call.last_group = 1;
  call.out = data->out[0];
  call.stride = kGroupRows;
  product(call);

  for (int row = 0; row < kRows; ++row) {
    for (int lane = 0; lane < kGroupRows; ++lane) {
      int sum = 0;
      for (int k = 0; k < columns; ++k) {
        sum += data->weights[lane][k] * data->activations[row][k] *
               static_cast<int>(data->tile_scales[k / width]);
      }
      const auto expected = static_cast<float>(sum);
      if (std::bit_cast<uint32_t>(data->out[row][lane]) != std::bit_cast<uint32_t>(expected)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

bool passes_self_check(ProductFunction integer_product, ProductFunction float_product) {
  for (const CodeKind kind : {CodeKind::kByte, CodeKind::kNibbleTable}) {
    for (const bool digit : {false, true}) {
      if (!passes(integer_product, kind, digit)) return false;
    }
  }
  return passes(float_product, CodeKind::kBF16, false) &&
         passes(float_product, CodeKind::kE4M3, false);
}

}  // namespace sluice::cpu::amx
