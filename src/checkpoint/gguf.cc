#include "checkpoint/gguf.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/utf8.h"
#include "checkpoint/rules.h"

namespace sluice::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little,
              "containers are little-endian and read as they lie");

constexpr uint64_t kMaxStringBytes = 1ull << 30;
constexpr uint64_t kMaxArrayCount = 1ull << 30;
constexpr uint64_t kMaxKeyBytes = 65'535;
constexpr uint64_t kSmallestKeyValue =
    8 + 1 + 4 + 1;  // length, one byte of key, type, one byte of value
constexpr uint64_t kSmallestTensorInfo = 8 + 1 + 4 + 4 + 8;
constexpr size_t kHeaderBytes = 24;

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

// True when the text holds a byte that no name needs and that could break a terminal or a C string.
bool has_control(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

// Reads one file from front to back. Every read checks the bytes that remain.
class Parser {
 public:
  Parser(std::span<const std::byte> bytes, std::string_view file) : bytes_(bytes), file_(file) {
    result_.metadata.set_source(std::string(file));
  }

  Result<GgufFile> parse() {
    SLUICE_TRY(read_header());
    for (uint64_t i = 0; i < key_count_; ++i) {
      SLUICE_TRY(read_key_value());
      if (at_ > kMaxGgufMetadataBytes) {
        return refuse("GG-3", fmt::format("more than {} bytes of metadata", kMaxGgufMetadataBytes));
      }
    }
    SLUICE_TRY(read_alignment());
    SLUICE_TRY(read_directory());
    SLUICE_TRY(place_tensors());
    return std::move(result_);
  }

 private:
  // A tensor of the directory before it is placed in the file.
  struct Entry {
    StoredTensor tensor;
    uint64_t offset = 0, size = 0;
    std::string undecodable;  // the type's name, if there is no dtype for it
  };

  Error refuse(std::string_view rule, std::string why,
               std::string_view remedy = kFetchAgain) const {
    return file_violation(rule, file_, std::move(why), remedy);
  }

  uint64_t remaining() const { return bytes_.size() - at_; }

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
    SLUICE_ASSIGN(const uint64_t length, number<uint64_t>());
    if (length > remaining() || length > kMaxStringBytes) {
      return refuse("GG-3", fmt::format("a string of {} bytes at byte {}, {} bytes remain", length,
                                        at_ - 8, remaining()));
    }
    std::string text(reinterpret_cast<const char*>(bytes_.data()) + at_, length);
    at_ += length;
    return text;
  }

  Status read_header() {
    if (bytes_.size() >= 8 && std::memcmp(bytes_.data(), "version ", 8) == 0) {
      return refuse("GG-1", "this is a Git LFS pointer, not the weights", "Run: git lfs pull");
    }
    if (bytes_.size() < 4 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) {
      return refuse("GG-1", "it does not begin with the letters GGUF");
    }
    if (bytes_.size() < kHeaderBytes) {
      return refuse("GG-1",
                    fmt::format("{} bytes, the header alone has {}", bytes_.size(), kHeaderBytes));
    }
    at_ = 4;
    result_.version = *number<uint32_t>();
    if (result_.version != 0 && (result_.version & 0xffff) == 0) {
      return refuse(
          "GG-1", fmt::format("a big-endian GGUF (version field {:#010x})", result_.version),
          "Convert it to little-endian, for example with gguf_convert_endian.py of llama.cpp");
    }
    if (result_.version != 2 && result_.version != 3) {
      return refuse("GG-1",
                    fmt::format("GGUF version {}, sluice reads versions 2 and 3", result_.version),
                    result_.version < 2 ? "Convert the model again with a current tool"
                                        : "Use a newer sluice, or convert the model to version 3");
    }
    tensor_count_ = *number<uint64_t>();
    key_count_ = *number<uint64_t>();
    if (tensor_count_ > kMaxTensors || key_count_ > kMaxGgufKeys) {
      return refuse("GG-2",
                    fmt::format("{} tensors and {} keys are announced, the limits are {} and {}",
                                tensor_count_, key_count_, kMaxTensors, kMaxGgufKeys));
    }
    // Written as divisions: the products of announced counts could overflow.
    if (key_count_ > remaining() / kSmallestKeyValue ||
        tensor_count_ > remaining() / kSmallestTensorInfo) {
      return refuse("GG-2", fmt::format("{} tensors and {} keys are announced, {} bytes remain",
                                        tensor_count_, key_count_, remaining()));
    }
    return {};
  }

  Status read_key_value() {
    SLUICE_ASSIGN(std::string key, string());
    if (key.empty() || key.size() > kMaxKeyBytes || has_control(key) ||
        std::ranges::any_of(key, [](char c) { return static_cast<unsigned char>(c) > 0x7e; })) {
      return refuse("GG-4",
                    fmt::format("key {} of {} bytes: keys are 1 to {} printable ASCII characters",
                                quote(key), key.size(), kMaxKeyBytes));
    }
    if (result_.metadata.find(key) != nullptr) {
      return refuse("GG-4", fmt::format("key {} occurs twice", quote(key)), kWriteAgain);
    }
    SLUICE_ASSIGN(GgufType type, value_type(key));
    if (type != GgufType::kArray) {
      SLUICE_ASSIGN(GgufValue value, scalar(key, type));
      result_.metadata.add(std::move(key), std::move(value), type);
      return {};
    }
    SLUICE_ASSIGN(type, value_type(key));
    if (type == GgufType::kArray) {
      return refuse("GG-5", fmt::format("key {} is an array of arrays", quote(key)), kWriteAgain);
    }
    SLUICE_ASSIGN(GgufArray value, array(key, type));
    result_.metadata.add(std::move(key), std::move(value), type);
    return {};
  }

  Result<GgufType> value_type(const std::string& key) {
    SLUICE_ASSIGN(const uint32_t id, number<uint32_t>());
    if (id > static_cast<uint32_t>(GgufType::kF64)) {
      return refuse("GG-5",
                    fmt::format("key {} has value type {}, the last known is 12", quote(key), id));
    }
    return static_cast<GgufType>(id);
  }

  Result<bool> boolean(const std::string& key) {
    SLUICE_ASSIGN(const uint8_t value, number<uint8_t>());
    if (value > 1)
      return refuse("GG-6", fmt::format("key {} holds a boolean with byte {}", quote(key), value));
    return value == 1;
  }

  // Text that sluice interprets must be UTF-8; a damaged author's name must not cost the model.
  Result<std::string> text(const std::string& key) {
    SLUICE_ASSIGN(std::string value, string());
    const std::optional<size_t> bad = find_invalid_utf8(value);
    if (!bad) return value;
    if (key.starts_with("tokenizer.") || key == "general.architecture" || key == "general.type") {
      return refuse("GG-7", fmt::format("key {} holds text that is not UTF-8 at its byte {}",
                                        quote(key), *bad));
    }
    result_.notes.push_back(fmt::format(
        "{}: the text of key {} is not UTF-8; its bad bytes are replaced", file_, quote(key)));
    return replace_invalid_utf8(value);
  }

  template <typename Stored, typename Widened>
  Result<GgufValue> widened() {
    SLUICE_ASSIGN(const Stored value, number<Stored>());
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
    for (Widened& value : values) value = static_cast<Widened>(*number<Stored>());
    return values;
  }

  Result<GgufArray> array(const std::string& key, GgufType type) {
    SLUICE_ASSIGN(const uint64_t count, number<uint64_t>());
    if (count > kMaxArrayCount || count > remaining() / stored_bytes(type)) {
      return refuse("GG-3", fmt::format("key {} announces {} elements, {} bytes remain", quote(key),
                                        count, remaining()));
    }
    elements_ += count;
    if (elements_ > kMaxGgufElements) {
      return refuse("GG-3",
                    fmt::format("more than {} array elements in the metadata", kMaxGgufElements));
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

  Status read_alignment() {
    result_.alignment = kDefaultGgufAlignment;
    const auto& entries = result_.metadata.entries();
    for (size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].first != "general.alignment") continue;
      const auto* value = std::get_if<uint64_t>(&entries[i].second);
      if (value == nullptr || result_.metadata.stored_type(i) != GgufType::kU32) {
        return refuse("GG-8", "general.alignment is not a u32", kWriteAgain);
      }
      if (!std::has_single_bit(*value) || *value < 8 || *value > 65'536) {
        return refuse(
            "GG-8",
            fmt::format("general.alignment is {}, not a power of two from 8 to 65536", *value),
            kWriteAgain);
      }
      result_.alignment = static_cast<uint32_t>(*value);
    }
    return {};
  }

  Status read_directory() {
    // The first count was against the whole file, this one against what the metadata left.
    if (tensor_count_ > remaining() / kSmallestTensorInfo) {
      return refuse("GG-2", fmt::format("{} tensors are announced, {} bytes remain", tensor_count_,
                                        remaining()));
    }
    entries_.reserve(tensor_count_);
    std::unordered_set<std::string> names;
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      SLUICE_ASSIGN(std::string name, string());
      if (name.empty() || name.size() > kMaxGgufTensorName) {
        return tensor_violation("GG-9", file_, name,
                                fmt::format("a name of {} bytes, 1 to {} are allowed", name.size(),
                                            kMaxGgufTensorName));
      }
      if (has_control(name) || find_invalid_utf8(name)) {
        return tensor_violation("GG-7", file_, name, "the name is not printable UTF-8");
      }
      if (!names.insert(name).second)
        return tensor_violation("GG-9", file_, name, "the name occurs twice");
      SLUICE_TRY(read_tensor_info(std::move(name)));
    }
    return {};
  }

  Status read_tensor_info(std::string name) {
    StoredTensor tensor;
    tensor.name = std::move(name);
    const auto refuse_tensor = [&](std::string_view rule, std::string why,
                                   std::string_view remedy = kWriteAgain) {
      return tensor_violation(rule, file_, tensor.name, std::move(why), remedy);
    };
    SLUICE_ASSIGN(const uint32_t rank, number<uint32_t>());
    if (rank < 1 || rank > 4)
      return refuse_tensor("GG-10", fmt::format("{} dimensions, 1 to 4 are allowed", rank));
    tensor.shape.resize(rank);
    int64_t elements = 1;
    for (uint32_t i = 0; i < rank; ++i) {
      SLUICE_ASSIGN(const int64_t extent, number<int64_t>());
      tensor.shape[rank - 1 - i] = extent;
      if (extent <= 0 || __builtin_mul_overflow(elements, extent, &elements)) {
        return refuse_tensor(
            "GG-10", fmt::format("ne[{}] = {}: extents are positive and their product fits 63 bits",
                                 i, extent));
      }
    }
    SLUICE_ASSIGN(const uint32_t id, number<uint32_t>());
    const std::optional<GgmlBlock> block = ggml_block(id);
    if (!block) {
      return refuse_tensor("GG-11", fmt::format("its type is {}", ggml_type_name(id)),
                           kAnotherBuild);
    }
    const auto row = static_cast<uint64_t>(tensor.shape.back());
    const auto width = static_cast<uint64_t>(block->elements);
    uint64_t size = 0;
    if (row % width != 0 ||
        __builtin_mul_overflow(static_cast<uint64_t>(elements) / width,
                               static_cast<uint64_t>(block->bytes), &size) ||
        size > INT64_MAX) {
      return refuse_tensor(
          "GG-11", fmt::format("rows of {} elements are not whole blocks of {}, or too many bytes",
                               row, ggml_type_name(id)));
    }
    SLUICE_ASSIGN(const uint64_t offset, number<uint64_t>());
    tensor.dtype = block->dtype.value_or(DType::kU8);
    entries_.push_back({std::move(tensor), offset, size, block->dtype ? "" : ggml_type_name(id)});
    return {};
  }

  Status place_tensors() {
    const uint64_t alignment = result_.alignment;
    const auto padded = [&](uint64_t size) {
      return (size + alignment - 1) / alignment * alignment;
    };
    const uint64_t data_begin = padded(at_);
    const uint64_t data_size = bytes_.size() > data_begin ? bytes_.size() - data_begin : 0;
    uint64_t expected = 0;
    result_.tensors.reserve(entries_.size());
    for (Entry& entry : entries_) {
      if (entry.offset != expected) {
        return tensor_violation(
            "GG-12", file_, entry.tensor.name,
            fmt::format("its data begin at offset {}, after the tensor before it {} was expected",
                        entry.offset, expected));
      }
      // `expected` is at most one padding beyond the file: no sum here can overflow.
      if (entry.size > data_size || entry.offset > data_size - entry.size) {
        return tensor_violation(
            "GG-13", file_, entry.tensor.name,
            fmt::format("its {} bytes at offset {} reach beyond the {} bytes of data in the file",
                        entry.size, entry.offset, data_size),
            kFetchAgain);
      }
      expected = entry.offset + padded(entry.size);
      if (entry.undecodable.empty()) {
        entry.tensor.bytes = bytes_.subspan(data_begin + entry.offset, entry.size);
        result_.tensors.push_back(std::move(entry.tensor));
      } else {
        result_.undecodable.emplace_back(std::move(entry.tensor.name),
                                         std::move(entry.undecodable));
      }
    }
    if (data_size > expected) {
      result_.notes.push_back(
          fmt::format("{}: {} bytes after the last tensor are ignored (rule GG-14)", file_,
                      data_size - expected));
    }
    return {};
  }

  const std::span<const std::byte> bytes_;
  const std::string_view file_;
  uint64_t at_ = 0;
  uint64_t tensor_count_ = 0, key_count_ = 0;
  uint64_t elements_ = 0;  // of all arrays so far
  std::vector<Entry> entries_;
  GgufFile result_;
};

}  // namespace

Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, std::string_view file) {
  return Parser(bytes, file).parse();
}

}  // namespace sluice::checkpoint
