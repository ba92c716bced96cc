// The GGUF container (spec/formats-gguf.md section 1): typed metadata and tensor directory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "checkpoint/stored_tensor.h"
#include "tensor/dtype.h"

namespace sluice::checkpoint {

// A metadata value. Integers of every width are widened; arrays are homogeneous and never nested.
using GgufArray = std::variant<std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>,
                               std::vector<bool>, std::vector<std::string>>;
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray>;

// The stored type of a value, or of the elements of an array; the numbers are the file's.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

// Keys and values of one file. Keys are unique.
class GgufMetadata {
 public:
  // Keys in file order with their values.
  const std::vector<std::pair<std::string, GgufValue>>& entries() const { return entries_; }
  const GgufValue* find(std::string_view key) const;
  // Of an entry's value, or of the elements of its array.
  GgufType stored_type(size_t entry) const { return types_[entry]; }

  // Typed access. Nothing if absent; an error naming file and key if present with another type or
  // out of range (GG-15). Integers accept any stored width and sign whose value fits; an empty
  // array is a list of any type.
  Result<std::optional<uint64_t>> unsigned_integer(std::string_view key) const;
  Result<std::optional<double>> real(std::string_view key) const;
  Result<std::optional<bool>> boolean(std::string_view key) const;
  Result<std::optional<std::string>> string(std::string_view key) const;
  Result<std::optional<std::vector<std::string>>> strings(std::string_view key) const;
  // Also from an array of booleans.
  Result<std::optional<std::vector<int64_t>>> integers(std::string_view key) const;

  // For readers and writers; the key must be new. Without a type the usual one is taken: U32 and
  // I32 where the value fits (all values of an array), else U64 and I64; F32 for reals, as every
  // tool writes them.
  void add(std::string key, GgufValue value);
  void add(std::string key, GgufValue value, GgufType type);

  // The file these come from, for errors.
  void set_source(std::string file) { source_ = std::move(file); }

 private:
  Error wrong_type(std::string_view key, std::string_view expected) const;

  std::string source_;
  std::vector<std::pair<std::string, GgufValue>> entries_;
  std::vector<GgufType> types_;  // one per entry
  std::unordered_map<std::string, size_t> index_;
};

// One GGUF file as it stands.
struct GgufFile {
  uint32_t version = 0;
  uint32_t alignment = 0;
  GgufMetadata metadata;
  std::vector<StoredTensor> tensors;  // in file order; bytes borrow the parsed span
  std::vector<std::string> notes;     // what is odd but harmless
  // Left out of `tensors` for want of a decoder: name and type.
  std::vector<std::pair<std::string, std::string>> undecodable;
};

// Reads metadata and tensor directory of a whole file and checks rules GG-1 to GG-14 and GG-20;
// touches no tensor byte. `file` is named in errors. Linear in metadata and directory; memory is
// bounded by kMaxGgufMetadataBytes and kMaxGgufElements whatever the file announces.
Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, std::string_view file);

inline constexpr uint64_t kMaxGgufMetadataBytes = 256ull << 20;  // before the tensor directory
// Array elements of all keys together; GG-18 allows 2^20 tokens.
inline constexpr uint64_t kMaxGgufElements = 1ull << 24;
inline constexpr uint64_t kMaxGgufKeys = 1ull << 20;
inline constexpr uint64_t kMaxGgufTensorName = 63;  // bytes (GG-9)
inline constexpr uint64_t kDefaultGgufAlignment = 32;

// A tensor type of ggml by its number; nothing for removed and unknown ones. Without a dtype the
// size is known and the content is not: sluice has no decoder.
struct GgmlBlock {
  std::optional<DType> dtype;
  int elements = 0, bytes = 0;
};
std::optional<GgmlBlock> ggml_block(uint32_t id);
std::optional<uint32_t> ggml_of_dtype(DType type);
std::string ggml_type_name(uint32_t id);  // "IQ2_XXS", "removed type 4", "unknown type 97"

}  // namespace sluice::checkpoint
