#include "checkpoint/gguf_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"

namespace sluice::checkpoint {
namespace {

constexpr uint64_t kMaxArrayCount = 1ull << 30;
constexpr uint64_t kMaxKeyBytes = 65'535;

size_t stored_bytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    default:
      return 8;  // 64-bit numbers; a string has at least its length
  }
}

class KeyReader {
 public:
  KeyReader(GgufCursor& cursor, GgufMetadata& metadata, std::vector<std::string>& notes)
      : cursor_(cursor), metadata_(metadata), notes_(notes) {}

  Status read_key_value() {
    SLUICE_ASSIGN(std::string key, cursor_.string());
    if (key.empty() || key.size() > kMaxKeyBytes || has_control(key) ||
        std::ranges::any_of(key, [](char c) { return static_cast<unsigned char>(c) > 0x7e; })) {
      return cursor_.refuse(
          "GG-4", fmt::format("key {} of {} bytes: keys are 1 to {} printable ASCII characters",
                              quote(key), key.size(), kMaxKeyBytes));
    }
    if (metadata_.find(key) != nullptr) {
      return cursor_.refuse("GG-4", fmt::format("key {} occurs twice", quote(key)), kWriteAgain);
    }
    SLUICE_ASSIGN(GgufType type, value_type(key));
    if (type != GgufType::kArray) {
      SLUICE_ASSIGN(GgufValue value, scalar(key, type));
      metadata_.add(std::move(key), std::move(value), type);
      return {};
    }
    SLUICE_ASSIGN(type, value_type(key));
    if (type == GgufType::kArray) {
      return cursor_.refuse("GG-5", fmt::format("key {} is an array of arrays", quote(key)),
                            kWriteAgain);
    }
    SLUICE_ASSIGN(GgufArray value, array(key, type));
    metadata_.add(std::move(key), std::move(value), type);
    return {};
  }

 private:
  Result<GgufType> value_type(const std::string& key) {
    SLUICE_ASSIGN(const uint32_t id, cursor_.number<uint32_t>());
    if (id > static_cast<uint32_t>(GgufType::kF64)) {
      return cursor_.refuse(
          "GG-5", fmt::format("key {} has value type {}, the last known is 12", quote(key), id));
    }
    return static_cast<GgufType>(id);
  }

  Result<bool> boolean(const std::string& key) {
    SLUICE_ASSIGN(const uint8_t value, cursor_.number<uint8_t>());
    if (value > 1)
      return cursor_.refuse("GG-6",
                            fmt::format("key {} holds a boolean with byte {}", quote(key), value));
    return value == 1;
  }

  // Text that sluice interprets must be UTF-8; a damaged author's name must not cost the model.
  Result<std::string> text(const std::string& key) {
    SLUICE_ASSIGN(std::string value, cursor_.string());
    const std::optional<size_t> bad = find_invalid_utf8(value);
    if (!bad) return value;
    if (key.starts_with("tokenizer.") || key == "general.architecture" || key == "general.type") {
      return cursor_.refuse(
          "GG-7",
          fmt::format("key {} holds text that is not UTF-8 at its byte {}", quote(key), *bad));
    }
    constexpr size_t kEnoughNotes = 4;  // a file may hold millions of bad strings
    if (notes_.size() < kEnoughNotes) {
      notes_.push_back(fmt::format("{}: text of key {} is not UTF-8; its bad bytes are replaced",
                                   cursor_.file(), quote(key)));
    }
    return replace_invalid_utf8(value);
  }

  template <typename Stored, typename Widened>
  Result<GgufValue> widened() {
    SLUICE_ASSIGN(const Stored value, cursor_.number<Stored>());
    return GgufValue(static_cast<Widened>(value));
  }

  Result<GgufValue> scalar(const std::string& key, GgufType type) {
    switch (type) {
      case GgufType::kU8:
        return widened<uint8_t, uint64_t>();
      case GgufType::kU16:
        return widened<uint16_t, uint64_t>();
      case GgufType::kU32:
        return widened<uint32_t, uint64_t>();
      case GgufType::kU64:
        return widened<uint64_t, uint64_t>();
      case GgufType::kI8:
        return widened<int8_t, int64_t>();
      case GgufType::kI16:
        return widened<int16_t, int64_t>();
      case GgufType::kI32:
        return widened<int32_t, int64_t>();
      case GgufType::kI64:
        return widened<int64_t, int64_t>();
      case GgufType::kF32:
        return widened<float, double>();
      case GgufType::kF64:
        return widened<double, double>();
      case GgufType::kBool: {
        SLUICE_ASSIGN(const bool value, boolean(key));
        return GgufValue(value);
      }
      default: {
        SLUICE_ASSIGN(std::string value, text(key));
        return GgufValue(std::move(value));
      }
    }
  }

  template <typename Stored, typename Widened>
  GgufArray widened_array(uint64_t count) {
    std::vector<Widened> values(count);
    for (Widened& value : values) value = static_cast<Widened>(*cursor_.number<Stored>());
    return values;
  }

  Result<GgufArray> array(const std::string& key, GgufType type) {
    SLUICE_ASSIGN(const uint64_t count, cursor_.number<uint64_t>());
    if (count > kMaxArrayCount || count > cursor_.remaining() / stored_bytes(type)) {
      return cursor_.refuse("GG-3", fmt::format("key {} announces {} elements, {} bytes remain",
                                                quote(key), count, cursor_.remaining()));
    }
    elements_ += count;
    if (elements_ > kMaxGgufElements) {
      return cursor_.refuse(
          "GG-3", fmt::format("more than {} array elements in the metadata", kMaxGgufElements));
    }
    switch (type) {
      case GgufType::kU8:
        return widened_array<uint8_t, uint64_t>(count);
      case GgufType::kU16:
        return widened_array<uint16_t, uint64_t>(count);
      case GgufType::kU32:
        return widened_array<uint32_t, uint64_t>(count);
      case GgufType::kU64:
        return widened_array<uint64_t, uint64_t>(count);
      case GgufType::kI8:
        return widened_array<int8_t, int64_t>(count);
      case GgufType::kI16:
        return widened_array<int16_t, int64_t>(count);
      case GgufType::kI32:
        return widened_array<int32_t, int64_t>(count);
      case GgufType::kI64:
        return widened_array<int64_t, int64_t>(count);
      case GgufType::kF32:
        return widened_array<float, double>(count);
      case GgufType::kF64:
        return widened_array<double, double>(count);
      case GgufType::kBool: {
        std::vector<bool> values(count);
        for (uint64_t i = 0; i < count; ++i) {
          SLUICE_ASSIGN(const bool value, boolean(key));
          values[i] = value;
        }
        return GgufArray(std::move(values));
      }
      default: {
        std::vector<std::string> values;
        values.reserve(count);
        for (uint64_t i = 0; i < count; ++i) {
          SLUICE_ASSIGN(std::string value, text(key));
          values.push_back(std::move(value));
        }
        return GgufArray(std::move(values));
      }
    }
  }

  GgufCursor& cursor_;
  GgufMetadata& metadata_;
  std::vector<std::string>& notes_;
  uint64_t elements_ = 0;  // of all arrays so far
};

}  // namespace

Status read_gguf_keys(GgufCursor& cursor, uint64_t count, GgufMetadata& metadata,
                      std::vector<std::string>& notes) {
  KeyReader reader(cursor, metadata, notes);
  for (uint64_t i = 0; i < count; ++i) {
    SLUICE_TRY(reader.read_key_value());
    if (cursor.position() > kMaxGgufMetadataBytes) {
      return cursor.refuse("GG-3",
                           fmt::format("more than {} bytes of metadata", kMaxGgufMetadataBytes));
    }
  }
  return {};
}

}  // namespace sluice::checkpoint
