// What packers, preparation of activations and product kernels agree on: packed units and plain
// structs.
//
// Included by files that are compiled for wider instruction sets, so it has no function bodies and
// no standard containers (style.md 3.4).
//
// A packed matrix is a row of groups of 16 output rows; lane = output row. A group is a row of
// units along K (256 columns for integer codes, 128 for float codes), contiguous, 64-byte aligned;
// columns and rows beyond the matrix are zero codes. "Line" is 64 bytes. docs/formats/packed.md has
// the pictures.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::cpu {

inline constexpr int kGroupRows = 16;        // output rows of a group
inline constexpr int kLine = 64;             // bytes: a dword for each row of the group
inline constexpr int kIntegerColumns = 256;  // K of a unit of integer codes
inline constexpr int kFloatColumns = 128;    // K of a unit of float codes
inline constexpr int kGranule = 32;          // columns that share at least one scale

// How a unit stores its codes. Lines lie in the order in which kernels read them: one ascending
// stream is what the hardware prefetches best (docs/decisions/cpu-products.md).
//
// Nibbles: line 8p + j, byte b of lane r holds row r's columns 64p + 4j + b (low) and 64p + 32 + 4j
// + b (high): a pair p of granules shares 8 lines. Bytes: lines 16p + 2j and 16p + 2j + 1 hold 4
// columns of granules 2p and 2p + 1 a dword.
enum class CodeKind : uint8_t {
  kNibble,       // value 0..15
  kNibbleTable,  // value table[nibble]
  kFive,  // nibbles; behind each line of pair 0 one more: bit g of column 32g + l's byte is its
          // fifth
  kSix,   // nibbles; behind each line j of pair 2h one more: bits 2(g mod 4) of granules 4h..4h+3;
          // value - 32
  kByte,  // signed
  kBF16,  // float: 64 lines, a dword has two columns, the even one low
  kF16,   // float: per column 16 halves
  kF32,   // float: per column 16 floats
  kE4M3,  // float: 32 lines, 4 columns a dword
};

inline constexpr int kCodeKinds = 9;

// How a unit stores its scales: arrays [scale_groups][16 rows], scale_groups per 256 columns.
enum class ScaleKind : uint8_t {
  kNone,  // 1
  kF16,
  kBF16,
  kF32,
  kE4M3,
  kE8M0,
  kSuper,  // int8 times the row's f16 d
  kK4,     // ggml's 6-bit scales and minima, as 12 bytes a row, times f16 d and dmin; [12][16 rows]
};

// What is subtracted per scale group: value = scale * code - min.
enum class MinKind : uint8_t {
  kNone,
  kF16,        // stored with the opposite sign: value = scale * code + m
  kZeroPoint,  // int8: min = scale * zero point
  kSuper,      // uint8 times the row's f16 dmin
  kK4,
};

// Byte offsets inside a unit; sections that a kind lacks are empty.
struct UnitShape {
  CodeKind codes = CodeKind::kByte;
  ScaleKind scales = ScaleKind::kNone;
  MinKind mins = MinKind::kNone;
  uint8_t scale_groups =
      1;  // per unit: 1, 2, 4, 8 or 16 (integer codes); float codes: 1, or 4 with kE8M0
  uint32_t columns = 0;       // kIntegerColumns or kFloatColumns
  uint32_t super_offset = 0;  // f16 d[16], f16 dmin[16]
  uint32_t scale_offset = 0;
  uint32_t min_offset = 0;
  uint32_t code_offset = 0;
  uint32_t bytes = 0;
};

// A packed matrix as kernels see it. Borrows.
struct PackedView {
  UnitShape unit;
  const uint8_t* units = nullptr;      // [groups][units_per_group][unit.bytes]
  const float* row_scales = nullptr;   // [groups][16], a last factor of each output row
  const float* tile_scales = nullptr;  // float codes: [groups][units_per_group], or null
  int64_t units_per_group = 0;
  int64_t rows = 0;  // N
  int64_t groups = 0;
  int8_t table[16] = {};  // kNibbleTable
};

// What all forms of a unit of activations have behind their codes.
struct ActivationSums {
  float scale[8];  // per 32 columns; [0] alone where one covers the unit
  // What a minimum is multiplied by: the sum of 32 (16) codes as a float, for one digit times its
  // scale.
  float minima32[8];
  float minima16[16];
  // -128 times the sum of the codes: what weights that are stored 128 too high add too much.
  int32_t offsets32[8];
  int32_t offsets16[16];
  // One digit, per 16 (32) columns: -32 times the sums of columns 0 and 1 and of 2 and 3 of every
  // four, modulo 2^16.
  int16_t starts16[16][2];
  int16_t starts32[8][2];
};

// An activation row's 256 columns as a 15-bit integer a = round(x / scale), |a| <= 16319, in two
// digits a = 128 high + low. The bound keeps high in +-127 and low in -64..63, so that neither the
// unsigned by signed byte product nor its sign form can saturate (spec/cpu-kernels-avx2.md 2.3).
struct WideUnit {
  int8_t high[kIntegerColumns];
  int8_t low[kIntegerColumns];
  ActivationSums sums;
};

// The same columns as one digit, scale per 32.
struct DigitUnit {
  int8_t digits[kIntegerColumns];
  ActivationSums sums;
};

// The integers of either in 16 bits, in columns 0, 2, 1, 3 of every four: the order in which the
// words of a line of bytes come apart.
struct WordUnit {
  int16_t words[kIntegerColumns];
  ActivationSums sums;
};

static_assert(sizeof(WideUnit) == 832 && sizeof(DigitUnit) == 576 && sizeof(WordUnit) == 832);

// 128 columns of a row as two bf16 each, high + low = x but for 2^-17 of it, for bf16 tiles.
struct PairUnit {
  uint16_t high[kFloatColumns];
  uint16_t low[kFloatColumns];
};

static_assert(sizeof(PairUnit) == 512);

inline constexpr int kLargestCode = 16319;

// How far ahead of a stream from memory its bytes are asked for, in bytes: towards the second-level
// cache and towards the first. 0: that one not; both 0: left to the hardware. Which suits a machine
// is measured (fetch_tuning.h); no distance changes a result.
struct FetchDistance {
  int32_t far = 0;
  int32_t near = 0;
};

// Where a stream that is read piece by piece goes on: what would lie at address `at` or behind it
// lies `skip` bytes further (a tile of several groups: behind those of the others; attention: in
// the next page).
struct StreamEnd {
  uintptr_t at = 0;
  uintptr_t skip = 0;  // modulo the address space
};

// Rows that are multiplied together at most, their results in memory between units: of 128 x 16
// floats, 8 KiB of stack a group.
inline constexpr int64_t kRowBlock = 128;

// One matrix, a range of its groups, a block of the step's rows.
struct ProductCall {
  const PackedView* weight = nullptr;
  // Integer codes: WideUnit, DigitUnit or WordUnit [units][rows]. Float codes: float
  // [units][rows][128]; amx::float_product: PairUnit [units][rows].
  const void* activations = nullptr;
  const float* row_factors = nullptr;  // [rows], multiplied into the result
  bool digit = false;                  // one digit, scale per 32
  bool words = false;                  // WordUnit
  // DigitUnit: all scales are moderate (prepare.h), so that sums may be made times a power of two.
  bool moderate = false;
  // How far ahead of their reading units are asked for. Integer panels and tiles of AMX, which take
  // a unit whole, ask for the next one at least.
  FetchDistance fetch = {};
  int64_t rows = 0;  // M
  int64_t first_row = 0, last_row = 0;
  int64_t first_group = 0, last_group = 0;
  float* out = nullptr;  // [rows, N]
  int64_t stride = 0;    // floats
};

// What activations are prepared as.
enum class Prepared : uint8_t {
  kWide,         // WideUnit
  kDigit,        // DigitUnit
  kWideWords,    // WordUnit of the codes of kWide
  kDigitWords,   // WordUnit of those of kDigit
  kFloat,        // floats as they are
  kScaledFloat,  // times a power of two per row, for E4M3 codes, which kernels read as value *
                 // 2^-120
  kPairs,  // PairUnit; times a power of two per row that keeps the lower part clear of denormals
};

// How a line of codes is multiplied with a dword of activations.
enum class Product : uint8_t {
  kUnsigned,  // bytes without sign
  kSigned,    // bytes with sign
  kWords,     // 16 bits each
};

using ProductFunction = void (*)(const ProductCall& call);

// Files of one instruction set each. A row's bits depend on its own activations alone.
namespace portable {
void integer_product(const ProductCall& call);
void float_product(const ProductCall& call);
}  // namespace portable
namespace avx2 {
// A unit of activations in a form of integers, with instructions that the baseline lacks. Returns
// whether its scales are those of one digit, and moderate (prepare.h).
bool prepare_integers(Prepared form, const float* x, void* unit);
// Whether so many rows are read as WordUnit, here and below.
bool reads_words(const PackedView& weight, bool digit, int64_t rows);
void integer_product(const ProductCall& call);
void float_product(const ProductCall& call);
}  // namespace avx2
namespace avx512 {
void float_product(const ProductCall& call);
}  // namespace avx512
namespace avxvnni {
bool reads_words(const PackedView& weight, bool digit, int64_t rows);
void integer_product(const ProductCall& call);
}  // namespace avxvnni
namespace avx512vnni {
void integer_product(const ProductCall& call);
}  // namespace avx512vnni
namespace amx {
// The bits of avx512vnni::integer_product, by tiles. The process needs the system's leave
// (detect.h).
void integer_product(const ProductCall& call);
// BF16, and E4M3 without scales per 32 columns. Its bits are its own: for rows read as prompt.
void float_product(const ProductCall& call);
}  // namespace amx

}  // namespace sluice::cpu
