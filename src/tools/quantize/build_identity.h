// What the bytes of a build depend on, as hashes: two runs with the same identity write the same
// bytes, so that one may go on where the other was killed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tools/convert/source.h"

namespace sluice::quantize {

// Kept apart so that a refusal can say what differs.
struct BuildIdentity {
  std::string program;  // by the bytes of its file
  std::string source;   // names, sizes and times of change of its files, directory of tensors
  std::string request;  // by the planner: all that it has decided
  friend bool operator==(const BuildIdentity&, const BuildIdentity&) = default;
};

// Program and source; the request is left empty. An error if the program cannot read its own file.
Result<BuildIdentity> identity_of(const convert::Source& source);

// One hash over values in order, each with its length.
class IdentityHash {
 public:
  void add(std::span<const std::byte> bytes);
  void add(std::string_view text);
  void add(const char* text) { add(std::string_view(text)); }
  void add(std::span<const float> values) { add(std::as_bytes(values)); }
  void add(std::span<const int64_t> values) { add(std::as_bytes(values)); }
  void add(int64_t value) { add(std::span<const int64_t>(&value, 1)); }
  std::string hex() const;

 private:
  uint64_t state_ = 0;
};

}  // namespace sluice::quantize
