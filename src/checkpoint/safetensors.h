// The safetensors container (spec/formats-safetensors.md section 1): header and index, as checked
// values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "checkpoint/stored_tensor.h"

namespace sluice::checkpoint {

// Own limits (rules ST-2, ST-13, ST-15). Writers keep them too.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;
inline constexpr uint64_t kMaxIndexBytes = 64ull << 20;
inline constexpr uint64_t kMaxSideJsonBytes = 16ull << 20;
inline constexpr size_t kMaxRank = 8;
inline constexpr size_t kMaxNameBytes = 512;
inline constexpr size_t kMaxJsonDepth = 8;

struct SafetensorsFile {
  std::vector<StoredTensor> tensors;  // by place in the data section; bytes borrow the parsed span
  std::vector<std::pair<std::string, std::string>> metadata;  // __metadata__, in order
};

// Reads the header of a whole file and checks rules ST-1 to ST-13 against the file's size; touches
// no tensor byte. `file` is named in errors. Linear in the header, whose size bounds the memory
// used.
Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes, std::string_view file);

// weight_map of an index in order of appearance: (tensor, file name). Checks the part of ST-14 that
// needs no other file, and ST-15.
using WeightMap = std::vector<std::pair<std::string, std::string>>;
Result<WeightMap> parse_safetensors_index(std::string_view text, std::string_view file);

// The dtype of that name in a header; nothing if unknown (ST-7). The names are those of dtype_name.
std::optional<DType> safetensors_dtype(std::string_view name);

// Nothing if `name` may stand in a header (ST-13), otherwise what is wrong with it.
std::optional<std::string> safetensors_name_problem(std::string_view name);

}  // namespace sluice::checkpoint
