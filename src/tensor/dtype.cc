#include "tensor/dtype.h"

#include <array>

#include "base/check.h"

namespace sluice {
namespace {
constexpr std::array kInfos = {
    DTypeInfo{DType::kF64, "F64", 1, 8},
    DTypeInfo{DType::kF32, "F32", 1, 4},
    DTypeInfo{DType::kF16, "F16", 1, 2},
    DTypeInfo{DType::kBF16, "BF16", 1, 2},
    DTypeInfo{DType::kF8E4M3, "F8_E4M3", 1, 1},
    DTypeInfo{DType::kF8E5M2, "F8_E5M2", 1, 1},
    DTypeInfo{DType::kF8E8M0, "F8_E8M0", 1, 1},
    DTypeInfo{DType::kF8E4M3FNUZ, "F8_E4M3FNUZ", 1, 1},
    DTypeInfo{DType::kF8E5M2FNUZ, "F8_E5M2FNUZ", 1, 1},
    DTypeInfo{DType::kF6E2M3, "F6_E2M3", 4, 3},
    DTypeInfo{DType::kF6E3M2, "F6_E3M2", 4, 3},
    DTypeInfo{DType::kF4, "F4", 2, 1},
    DTypeInfo{DType::kI8, "I8", 1, 1},
    DTypeInfo{DType::kU8, "U8", 1, 1},
    DTypeInfo{DType::kI16, "I16", 1, 2},
    DTypeInfo{DType::kU16, "U16", 1, 2},
    DTypeInfo{DType::kI32, "I32", 1, 4},
    DTypeInfo{DType::kU32, "U32", 1, 4},
    DTypeInfo{DType::kI64, "I64", 1, 8},
    DTypeInfo{DType::kU64, "U64", 1, 8},
    DTypeInfo{DType::kBool, "BOOL", 1, 1},
    DTypeInfo{DType::kC64, "C64", 1, 8},
    DTypeInfo{DType::kQ4_0, "Q4_0", 32, 18},
    DTypeInfo{DType::kQ4_1, "Q4_1", 32, 20},
    DTypeInfo{DType::kQ5_0, "Q5_0", 32, 22},
    DTypeInfo{DType::kQ5_1, "Q5_1", 32, 24},
    DTypeInfo{DType::kQ8_0, "Q8_0", 32, 34},
    DTypeInfo{DType::kQ2_K, "Q2_K", 256, 84},
    DTypeInfo{DType::kQ3_K, "Q3_K", 256, 110},
    DTypeInfo{DType::kQ4_K, "Q4_K", 256, 144},
    DTypeInfo{DType::kQ5_K, "Q5_K", 256, 176},
    DTypeInfo{DType::kQ6_K, "Q6_K", 256, 210},
    DTypeInfo{DType::kIQ4_NL, "IQ4_NL", 32, 18},
    DTypeInfo{DType::kIQ4_XS, "IQ4_XS", 256, 136},
    DTypeInfo{DType::kGgmlMXFP4, "MXFP4", 32, 17},
    DTypeInfo{DType::kGgmlNVFP4, "NVFP4", 64, 36},
};
}  // namespace

const DTypeInfo& dtype_info(DType type) {
  const DTypeInfo& info = kInfos.at(static_cast<size_t>(type));
  SLUICE_CHECK(info.type == type, "table out of order at {}", info.name);
  return info;
}

std::optional<uint64_t> dtype_bytes(DType type, uint64_t elements) {
  const DTypeInfo& info = dtype_info(type);
  const auto block = static_cast<uint64_t>(info.block_elements);
  if (elements % block != 0) return std::nullopt;
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(elements / block, static_cast<uint64_t>(info.block_bytes), &bytes))
    return std::nullopt;
  return bytes;
}

}  // namespace sluice
