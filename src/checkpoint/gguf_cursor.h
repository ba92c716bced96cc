// The one way in which the GGUF reader touches bytes: forward, and never past the end.
#pragma once

#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "checkpoint/rules.h"

namespace sluice::checkpoint {

static_assert(std::endian::native == std::endian::little,
              "containers are little-endian and read as they lie");

class GgufCursor {
 public:
  GgufCursor(std::span<const std::byte> bytes, std::string_view file)
      : bytes_(bytes), file_(file) {}

  std::string_view file() const { return file_; }
  uint64_t position() const { return at_; }
  uint64_t remaining() const { return bytes_.size() - at_; }

  Error refuse(std::string_view rule, std::string why,
               std::string_view remedy = kFetchAgain) const {
    return file_violation(rule, file_, std::move(why), remedy);
  }

  // The caller has made sure that `size` bytes remain.
  void skip(uint64_t size) { at_ += size; }

  template <typename T>
  Result<T> number() {
    if (remaining() < sizeof(T)) {
      return refuse("GG-3",
                    fmt::format("the file ends at byte {} inside its metadata", bytes_.size()));
    }
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  Result<std::string> string() {
    constexpr uint64_t kMaxStringBytes = 1ull << 30;
    SLUICE_ASSIGN(const uint64_t length, number<uint64_t>());
    if (length > remaining() || length > kMaxStringBytes) {
      return refuse("GG-3", fmt::format("a string of {} bytes at byte {}, {} bytes remain", length,
                                        at_ - 8, remaining()));
    }
    std::string text(reinterpret_cast<const char*>(bytes_.data()) + at_, length);
    at_ += length;
    return text;
  }

 private:
  const std::span<const std::byte> bytes_;
  const std::string_view file_;
  uint64_t at_ = 0;
};

// True when the text holds a byte that no name needs and that could break a terminal or a C string.
inline bool has_control(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

}  // namespace sluice::checkpoint
