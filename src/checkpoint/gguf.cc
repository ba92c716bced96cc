#include "checkpoint/gguf.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/utf8.h"
#include "checkpoint/gguf_cursor.h"
#include "checkpoint/gguf_keys.h"
#include "checkpoint/rules.h"

namespace sluice::checkpoint {
namespace {

// Length, one byte of key, type, one byte of value.
constexpr uint64_t kSmallestKeyValue = 8 + 1 + 4 + 1;
// Length, one byte of name, rank, type, offset (rank 0 is refused later).
constexpr uint64_t kSmallestTensorInfo = 8 + 1 + 4 + 4 + 8;
constexpr size_t kHeaderBytes = 24;

// Reads one file from front to back. Every read checks the bytes that remain.
class Parser {
 public:
  Parser(std::span<const std::byte> bytes, std::string_view file)
      : bytes_(bytes), file_(file), cursor_(bytes, file) {
    result_.metadata.set_source(std::string(file));
  }

  Result<GgufFile> parse() {
    SLUICE_TRY(read_header());
    SLUICE_TRY(read_gguf_keys(cursor_, key_count_, result_.metadata, result_.notes));
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
    return cursor_.refuse(rule, std::move(why), remedy);
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
    cursor_.skip(4);
    result_.version = *cursor_.number<uint32_t>();
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
    tensor_count_ = *cursor_.number<uint64_t>();
    key_count_ = *cursor_.number<uint64_t>();
    if (tensor_count_ > kMaxTensors || key_count_ > kMaxGgufKeys) {
      return refuse("GG-2",
                    fmt::format("{} tensors and {} keys are announced, the limits are {} and {}",
                                tensor_count_, key_count_, kMaxTensors, kMaxGgufKeys));
    }
    // Written as divisions: the products of announced counts could overflow.
    if (key_count_ > cursor_.remaining() / kSmallestKeyValue ||
        tensor_count_ > cursor_.remaining() / kSmallestTensorInfo) {
      return refuse("GG-2", fmt::format("{} tensors and {} keys are announced, {} bytes remain",
                                        tensor_count_, key_count_, cursor_.remaining()));
    }
    return {};
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
    if (tensor_count_ > cursor_.remaining() / kSmallestTensorInfo) {
      return refuse("GG-2", fmt::format("{} tensors are announced, {} bytes remain", tensor_count_,
                                        cursor_.remaining()));
    }
    entries_.reserve(tensor_count_);
    std::unordered_set<std::string> names;
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      SLUICE_ASSIGN(std::string name, cursor_.string());
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
    SLUICE_ASSIGN(const uint32_t rank, cursor_.number<uint32_t>());
    if (rank < 1 || rank > 4)
      return refuse_tensor("GG-10", fmt::format("{} dimensions, 1 to 4 are allowed", rank));
    tensor.shape.resize(rank);
    int64_t elements = 1;
    for (uint32_t i = 0; i < rank; ++i) {
      SLUICE_ASSIGN(const int64_t extent, cursor_.number<int64_t>());
      tensor.shape[rank - 1 - i] = extent;
      if (extent <= 0 || __builtin_mul_overflow(elements, extent, &elements)) {
        return refuse_tensor(
            "GG-10", fmt::format("ne[{}] = {}: extents are positive and their product fits 63 bits",
                                 i, extent));
      }
    }
    SLUICE_ASSIGN(const uint32_t id, cursor_.number<uint32_t>());
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
    SLUICE_ASSIGN(const uint64_t offset, cursor_.number<uint64_t>());
    tensor.dtype = block->dtype.value_or(DType::kU8);
    entries_.push_back({std::move(tensor), offset, size, block->dtype ? "" : ggml_type_name(id)});
    return {};
  }

  Status place_tensors() {
    const uint64_t alignment = result_.alignment;
    const auto padded = [&](uint64_t size) {
      return (size + alignment - 1) / alignment * alignment;
    };
    const uint64_t data_begin = padded(cursor_.position());
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
  GgufCursor cursor_;
  uint64_t tensor_count_ = 0, key_count_ = 0;
  std::vector<Entry> entries_;
  GgufFile result_;
};

}  // namespace

Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, std::string_view file) {
  return Parser(bytes, file).parse();
}

}  // namespace sluice::checkpoint
