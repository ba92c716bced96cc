// Storage types: how the bytes of one stored tensor are laid out, before anything is said of their
// meaning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluice {

// The dtypes of safetensors (spec/formats-safetensors.md 1.2) and the block types of ggml
// (spec/formats-gguf.md 1). Names as `dtype_name` prints them are the containers' own spelling.
enum class DType : uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kF8E4M3FNUZ,
  kF8E5M2FNUZ,
  kF6E2M3,
  kF6E3M2,
  kF4,
  kI8,
  kU8,
  kI16,
  kU16,
  kI32,
  kU32,
  kI64,
  kU64,
  kBool,
  kC64,
  // ggml block types; plain ggml types map to the above.
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
  kGgmlMXFP4,
  kGgmlNVFP4,
};

struct DTypeInfo {
  DType type;
  std::string_view name;  // "BF16", "Q4_K"
  int block_elements;     // elements per block along the contiguous dimension (1 for plain types, 2
                          // for F4, ...)
  int block_bytes;        // bytes of such a block
};

const DTypeInfo& dtype_info(DType type);
inline std::string_view dtype_name(DType type) { return dtype_info(type).name; }

// Bytes of `elements` elements, or nothing if they are not whole blocks or the product overflows 64
// bits.
std::optional<uint64_t> dtype_bytes(DType type, uint64_t elements);

}  // namespace sluice
