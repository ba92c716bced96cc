// Files made byte by byte, right or wrong, for the readers' tests.
#pragma once

#include <gmock/gmock.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::checkpoint {

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

template <typename T>
std::string raw(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

inline std::string from_hex(std::string_view hex) {
  std::string bytes;
  std::string digits;
  for (const char c : hex) {
    if (std::isxdigit(static_cast<unsigned char>(c)) != 0) digits += c;
    if (digits.size() == 2) {
      bytes += static_cast<char>(std::stoi(digits, nullptr, 16));
      digits.clear();
    }
  }
  return bytes;
}

inline void put_file(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string get_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A safetensors file with this header and data.
inline std::string safetensors(std::string_view header, std::string_view data = {}) {
  return raw(static_cast<uint64_t>(header.size())) + std::string(header) + std::string(data);
}

// A GGUF file, field by field.
class GgufForge {
 public:
  uint32_t version = 3;
  int64_t tensor_count = 0, key_count = 0;  // counted by the calls below, or forged afterwards

  static std::string string(std::string_view text) {
    return raw(static_cast<uint64_t>(text.size())) + std::string(text);
  }
  GgufForge& key(std::string_view name, uint32_t type, std::string value_bytes) {
    body_ += string(name) + raw(type) + value_bytes;
    ++key_count;
    return *this;
  }
  GgufForge& text(std::string_view name, std::string_view value) {
    return key(name, 8, string(value));
  }
  GgufForge& u32(std::string_view name, uint32_t value) { return key(name, 4, raw(value)); }
  GgufForge& u16(std::string_view name, uint16_t value) { return key(name, 2, raw(value)); }
  GgufForge& tensor(std::string_view name, std::initializer_list<int64_t> ne, uint32_t type,
                    uint64_t offset) {
    directory_ += string(name) + raw(static_cast<uint32_t>(ne.size()));
    for (const int64_t extent : ne) directory_ += raw(extent);
    directory_ += raw(type) + raw(offset);
    ++tensor_count;
    return *this;
  }
  GgufForge& data(std::string_view bytes) {
    data_ += bytes;
    return *this;
  }
  // The file; `alignment` is that of its data section.
  std::string bytes(size_t alignment = 32) const {
    std::string file =
        "GGUF" + raw(version) + raw(tensor_count) + raw(key_count) + body_ + directory_;
    if (!data_.empty()) file.resize((file.size() + alignment - 1) / alignment * alignment);
    return file + data_;
  }

 private:
  std::string body_, directory_, data_;
};

// Expects an error that names rule and file.
#define EXPECT_REFUSED(expression, rule, file)                                                  \
  do {                                                                                          \
    const auto& refused_ = (expression);                                                        \
    ASSERT_FALSE(refused_.ok()) << "accepted, rule " << (rule) << " was expected to refuse it"; \
    EXPECT_EQ(refused_.error().code, ErrorCode::kBadInput);                                     \
    EXPECT_THAT(refused_.error().why, testing::HasSubstr(std::string("(rule ") + (rule) + ")")) \
        << refused_.error().message();                                                          \
    EXPECT_THAT(refused_.error().what, testing::HasSubstr(file)) << refused_.error().message(); \
    EXPECT_FALSE(refused_.error().remedy.empty()) << refused_.error().message();                \
  } while (false)

}  // namespace sluice::checkpoint
