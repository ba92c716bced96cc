#include "backend/cpu/pack/row_unit.h"

#include <cstring>

namespace sluice::cpu {
namespace {

uint32_t code_bytes(CodeKind kind) {
  switch (kind) {
    case CodeKind::kNibble:
    case CodeKind::kNibbleTable:
    case CodeKind::kE4M3:
      return 32 * kLine;
    case CodeKind::kFive:
      return 40 * kLine;
    case CodeKind::kSix:
      return 48 * kLine;
    case CodeKind::kByte:
    case CodeKind::kBF16:
    case CodeKind::kF16:
      return 64 * kLine;
    case CodeKind::kF32:
      return 128 * kLine;
  }
  return 0;
}

uint32_t whole_lines(uint32_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

}  // namespace

int scale_bytes(ScaleKind kind) {
  switch (kind) {
    case ScaleKind::kF32:
      return 4;
    case ScaleKind::kF16:
    case ScaleKind::kBF16:
      return 2;
    case ScaleKind::kE4M3:
    case ScaleKind::kE8M0:
    case ScaleKind::kSuper:
    case ScaleKind::kK4:
      return 1;
    case ScaleKind::kNone:
      break;
  }
  return 0;
}

int min_bytes(MinKind kind) {
  switch (kind) {
    case MinKind::kF16:
      return 2;
    case MinKind::kZeroPoint:
    case MinKind::kSuper:
      return 1;
    case MinKind::kNone:
    case MinKind::kK4:
      break;
  }
  return 0;
}

UnitShape lay_out(UnitShape shape) {
  const bool is_float = shape.codes >= CodeKind::kBF16;
  shape.columns = is_float ? kFloatColumns : kIntegerColumns;
  const bool has_super = shape.scales == ScaleKind::kSuper || shape.scales == ScaleKind::kK4;
  const uint32_t elements =
      shape.scales == ScaleKind::kK4 ? 12u : static_cast<uint32_t>(shape.scale_groups);
  const auto rows = static_cast<uint32_t>(kGroupRows);
  shape.super_offset = 0;
  shape.scale_offset = has_super ? kLine : 0;
  shape.min_offset =
      shape.scale_offset + elements * rows * static_cast<uint32_t>(scale_bytes(shape.scales));
  shape.code_offset = whole_lines(
      shape.min_offset + shape.scale_groups * rows * static_cast<uint32_t>(min_bytes(shape.mins)));
  shape.bytes = shape.code_offset + code_bytes(shape.codes);
  return shape;
}

void join_nibbles(const uint8_t* codes, uint8_t* bytes) {
  for (int pair = 0; pair < 4; ++pair) {
    for (int i = 0; i < kGranule; ++i) {
      bytes[kGranule * pair + i] =
          static_cast<uint8_t>(codes[64 * pair + i] | codes[64 * pair + kGranule + i] << 4);
    }
  }
}

void interleave_granules(const uint8_t* codes, uint8_t* bytes) {
  for (int granule = 0; granule < 8; ++granule) {
    uint8_t* first = bytes + 64 * (granule / 2) + 4 * (granule % 2);
    for (int j = 0; j < 8; ++j) std::memcpy(first + 8 * j, codes + kGranule * granule + 4 * j, 4);
  }
}

}  // namespace sluice::cpu
