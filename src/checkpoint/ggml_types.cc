// Numbers of ggml's tensor types (spec/formats-gguf.md section 1).
#include <fmt/format.h>

#include <algorithm>

#include "checkpoint/gguf.h"

namespace sluice::checkpoint {
namespace {

struct GgmlType {
  uint32_t id;
  const char* name;
  std::optional<DType> dtype;   // nothing: recognised, not decodable
  int elements = 0, bytes = 0;  // of a block, where there is no dtype
};

constexpr GgmlType kGgmlTypes[] = {
    {0, "F32", DType::kF32},          {1, "F16", DType::kF16},
    {2, "Q4_0", DType::kQ4_0},        {3, "Q4_1", DType::kQ4_1},
    {6, "Q5_0", DType::kQ5_0},        {7, "Q5_1", DType::kQ5_1},
    {8, "Q8_0", DType::kQ8_0},        {9, "Q8_1", {}, 32, 36},
    {10, "Q2_K", DType::kQ2_K},       {11, "Q3_K", DType::kQ3_K},
    {12, "Q4_K", DType::kQ4_K},       {13, "Q5_K", DType::kQ5_K},
    {14, "Q6_K", DType::kQ6_K},       {15, "Q8_K", {}, 256, 292},
    {16, "IQ2_XXS", {}, 256, 66},     {17, "IQ2_XS", {}, 256, 74},
    {18, "IQ3_XXS", {}, 256, 98},     {19, "IQ1_S", {}, 256, 50},
    {20, "IQ4_NL", DType::kIQ4_NL},   {21, "IQ3_S", {}, 256, 110},
    {22, "IQ2_S", {}, 256, 82},       {23, "IQ4_XS", DType::kIQ4_XS},
    {24, "I8", DType::kI8},           {25, "I16", DType::kI16},
    {26, "I32", DType::kI32},         {27, "I64", DType::kI64},
    {28, "F64", DType::kF64},         {29, "IQ1_M", {}, 256, 56},
    {30, "BF16", DType::kBF16},       {34, "TQ1_0", {}, 256, 54},
    {35, "TQ2_0", {}, 256, 66},       {39, "MXFP4", DType::kGgmlMXFP4},
    {40, "NVFP4", DType::kGgmlNVFP4}, {41, "Q1_0", {}, 128, 18},
    {42, "Q2_0", {}, 64, 18},
};

constexpr uint32_t kRemoved[] = {4, 5, 31, 32, 33, 36, 37, 38};

}  // namespace

std::optional<GgmlBlock> ggml_block(uint32_t id) {
  for (const GgmlType& type : kGgmlTypes) {
    if (type.id != id) continue;
    if (!type.dtype) return GgmlBlock{std::nullopt, type.elements, type.bytes};
    const DTypeInfo& info = dtype_info(*type.dtype);
    return GgmlBlock{type.dtype, info.block_elements, info.block_bytes};
  }
  return std::nullopt;
}

std::optional<uint32_t> ggml_of_dtype(DType dtype) {
  for (const GgmlType& type : kGgmlTypes) {
    if (type.dtype == dtype) return type.id;
  }
  return std::nullopt;
}

std::string ggml_type_name(uint32_t id) {
  for (const GgmlType& type : kGgmlTypes) {
    if (type.id == id) return type.name;
  }
  const bool removed = std::ranges::find(kRemoved, id) != std::end(kRemoved);
  return fmt::format("{} type {}", removed ? "removed" : "unknown", id);
}

}  // namespace sluice::checkpoint
