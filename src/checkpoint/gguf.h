// The GGUF v3 container (spec/formats-gguf.md section 1): typed metadata and tensor directory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"

namespace sluice::checkpoint {

// A metadata value. Integers of every width are widened; arrays are homogeneous and never nested.
using GgufArray = std::variant<std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>, std::vector<bool>,
                               std::vector<std::string>>;
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray>;

class GgufMetadata {
 public:
  // Keys in file order with their values.
  const std::vector<std::pair<std::string, GgufValue>>& entries() const { return entries_; }
  const GgufValue* find(std::string_view key) const;

  // Typed access. Nothing if absent; an error naming the key if present with another type or out of range.
  // Integers accept any stored width and sign whose value fits.
  Result<std::optional<uint64_t>> unsigned_integer(std::string_view key) const;
  Result<std::optional<double>> real(std::string_view key) const;
  Result<std::optional<bool>> boolean(std::string_view key) const;
  Result<std::optional<std::string>> string(std::string_view key) const;
  Result<std::optional<std::vector<std::string>>> strings(std::string_view key) const;
  Result<std::optional<std::vector<int64_t>>> integers(std::string_view key) const;  // also from a bool array

  void add(std::string key, GgufValue value);  // for readers and writers; the key must be new

 private:
  std::vector<std::pair<std::string, GgufValue>> entries_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace sluice::checkpoint
