#include "backend/cpu/amx/available.h"

#include <bit>
#include <memory>

#include "base/log.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace sluice::cpu::amx {
namespace {

constexpr int64_t kUnits = 2, kColumns = kUnits * kIntegerColumns;
constexpr int64_t kRows = 21;  // two tiles, the second reaching back into the first

// Magnitudes so small that all sums are integers below 2^24: their floats are known whatever the
// order.
constexpr int kLargestWeight = 31, kLargestActivation = 127;

struct alignas(64) Case {
  uint8_t units[kUnits][kIntegerColumns * kGroupRows];
  WideUnit wide[kUnits][kRows];
  DigitUnit digits[kUnits][kRows];
  float row_scales[kGroupRows];
  float row_factors[kRows];
  float out[kRows][kGroupRows];
  int weights[kGroupRows][kColumns];
  int activations[kRows][kColumns];
};

// Numbers from -largest to largest.
class Numbers {
 public:
  int next(int largest) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int>(state_ >> 33) % (2 * largest + 1) - largest;
  }

 private:
  uint64_t state_ = 1;
};

void set_code(CodeKind kind, uint8_t* unit, int lane, int column, uint8_t code) {
  const int pair = column / 64, side = column / 32 % 2, j = column % 32 / 4, byte = column % 4;
  if (kind == CodeKind::kByte) {
    unit[kLine * (16 * pair + 2 * j + side) + 4 * lane + byte] = code;
  } else {
    unit[kLine * (8 * pair + j) + 4 * lane + byte] |= static_cast<uint8_t>(code << 4 * side);
  }
}

void fill_weights(CodeKind kind, const int8_t* table, Numbers& numbers, Case& data) {
  for (int lane = 0; lane < kGroupRows; ++lane) {
    for (int k = 0; k < kColumns; ++k) {
      const int number = numbers.next(kLargestWeight);
      const auto code = static_cast<uint8_t>(kind == CodeKind::kByte ? number : number & 15);
      data.weights[lane][k] = kind == CodeKind::kByte ? number : table[code];
      set_code(kind, data.units[k / kIntegerColumns], lane, k % kIntegerColumns, code);
    }
  }
}

void fill_activations(Numbers& numbers, Case& data) {
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t k = 0; k < kColumns; ++k) {
      const int number = numbers.next(kLargestActivation);
      const int64_t u = k / kIntegerColumns, column = k % kIntegerColumns;
      data.activations[row][k] = number;
      // Any split of the number serves: this one has both digits and both signs.
      const int high = numbers.next(2);
      data.wide[u][row].high[column] = static_cast<int8_t>(high);
      data.wide[u][row].low[column] = static_cast<int8_t>(number / 4);
      data.digits[u][row].digits[column] = static_cast<int8_t>(number);
      data.wide[u][row].sums32[column / kGranule] += 128 * high + number / 4;
      data.digits[u][row].sums32[column / kGranule] += number;
      data.digits[u][row].scale[column / kGranule] = 1.0f;
    }
    for (int64_t u = 0; u < kUnits; ++u) data.wide[u][row].scale = 1.0f;
    data.row_factors[row] = 1.0f;
  }
}

int activation(const Case& data, bool digit, int64_t row, int64_t k) {
  if (digit) return data.activations[row][k];
  const WideUnit& unit = data.wide[k / kIntegerColumns][row];
  return 128 * unit.high[k % kIntegerColumns] + unit.low[k % kIntegerColumns];
}

bool passes(ProductFunction product, CodeKind kind, bool digit) {
  const auto data = std::make_unique<Case>();
  PackedView weight;
  for (int i = 0; i < 16; ++i)
    weight.table[i] = static_cast<int8_t>(i * i / 8 - kLargestWeight / 2);
  Numbers numbers;
  fill_weights(kind, weight.table, numbers, *data);
  fill_activations(numbers, *data);
  for (float& scale : data->row_scales) scale = 1.0f;
  weight.unit.codes = kind;
  weight.unit.columns = kIntegerColumns;
  weight.unit.bytes = sizeof data->units[0];
  weight.units = data->units[0];
  weight.row_scales = data->row_scales;
  weight.units_per_group = kUnits;
  weight.rows = kGroupRows;
  weight.groups = 1;

  ProductCall call;
  call.weight = &weight;
  call.activations =
      digit ? static_cast<const void*>(data->digits) : static_cast<const void*>(data->wide);
  call.row_factors = data->row_factors;
  call.digit = digit;
  call.rows = kRows;
  call.last_group = 1;
  call.out = data->out[0];
  call.stride = kGroupRows;
  product(call);

  for (int64_t row = 0; row < kRows; ++row) {
    for (int lane = 0; lane < kGroupRows; ++lane) {
      int sum = 0;
      for (int k = 0; k < kColumns; ++k) {
        sum += data->weights[lane][k] * activation(*data, digit, row, k);
      }
      const float expected = static_cast<float>(sum);
      if (std::bit_cast<uint32_t>(data->out[row][lane]) != std::bit_cast<uint32_t>(expected)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

bool can_use_tiles(const TileMachine& machine) {
  constexpr uint32_t kInstructions =
      1u << 22 /* BF16 */ | 1u << 24 /* TILE */ | 1u << 25 /* INT8 */;
  constexpr uint64_t kState = uint64_t{1} << 17 /* configuration */ | uint64_t{1} << 18 /* data */;
  if ((machine.leaf_seven_edx & kInstructions) != kInstructions) return false;
  if ((machine.enabled_state & kState) != kState) return false;
  if (!machine.request()) {
    log_warning(
        "the processor has AMX, but the system did not grant its tile registers to this "
        "process: running without them");
    return false;
  }
  if (!passes_self_check(machine.product)) {
    log_warning(
        "the processor has AMX, but sluice's products by tiles gave wrong results in the "
        "self-check: running without them. Please report this processor");
    return false;
  }
  return true;
}

bool request_tiles() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  // ARCH_REQ_XCOMP_PERM and the number of the tile data's state, as in the kernel's
  // Documentation/arch/x86/xstate.rst; older C libraries do not name them.
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool passes_self_check(ProductFunction product) {
  for (const CodeKind kind : {CodeKind::kByte, CodeKind::kNibbleTable}) {
    for (const bool digit : {false, true}) {
      if (!passes(product, kind, digit)) return false;
    }
  }
  return true;
}

}  // namespace sluice::cpu::amx
