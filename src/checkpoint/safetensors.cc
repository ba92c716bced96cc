#include "checkpoint/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <tuple>
#include <unordered_set>

#include "base/utf8.h"
#include "checkpoint/json_events.h"
#include "checkpoint/rules.h"

namespace sluice::checkpoint {
namespace {

constexpr uint64_t kLargestInteger = 1ull << 53;

// A tensor as the header states it; offsets are relative to the data section.
struct Entry {
  std::string name, dtype;
  std::vector<uint64_t> shape, offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

// Builds the entries while the header is read. What is allowed depends only on the place reached.
class HeaderEvents : public JsonEvents {
 public:
  explicit HeaderEvents(std::string_view file) : file_(file) {}

  std::vector<Entry> entries;
  std::vector<std::pair<std::string, std::string>> metadata;

  Status begin_object() override {
    if (place_ == Place::kStart) {
      place_ = Place::kRoot;
      return {};
    }
    if (place_ != Place::kRoot) return wrong_type("an object");
    place_ = in_metadata_ ? Place::kMetadata : Place::kTensor;
    return {};
  }

  Status end_object() override {
    if (place_ == Place::kTensor) SLUICE_TRY(finish_tensor());
    place_ = Place::kRoot;  // after the root's own end nothing follows
    return {};
  }

  Status begin_array() override {
    if (place_ != Place::kTensor || field_ == Field::kDtype) return wrong_type("an array");
    place_ = Place::kNumbers;
    return {};
  }

  Status end_array() override {
    place_ = Place::kTensor;
    if (field_ == Field::kOffsets && current().offsets.size() != 2) {
      return refuse("ST-6", fmt::format("data_offsets has {} numbers, two are needed",
                                        current().offsets.size()));
    }
    return {};
  }

  Status key(std::string text) override {
    switch (place_) {
      case Place::kRoot:
        return root_key(text);
      case Place::kMetadata:
        return metadata_key(std::move(text));
      default:
        return tensor_key(text);
    }
  }

  Status string(std::string text) override {
    if (place_ == Place::kMetadata) {
      metadata.back().second = std::move(text);
      return {};
    }
    if (place_ != Place::kTensor || field_ != Field::kDtype) return wrong_type("a string");
    current().dtype = std::move(text);
    return {};
  }

  Status number(std::string_view spelling) override {
    if (place_ != Place::kNumbers) return wrong_type("a number");
    uint64_t value = 0;
    const auto [end, problem] =
        std::from_chars(spelling.data(), spelling.data() + spelling.size(), value);
    if (problem != std::errc() || end != spelling.data() + spelling.size() ||
        value > kLargestInteger) {
      return refuse("ST-6",
                    fmt::format("{} in {} is not an integer from 0 to 2^53 written in digits",
                                spelling.substr(0, 40), field_name()));
    }
    std::vector<uint64_t>& list = field_ == Field::kShape ? current().shape : current().offsets;
    if (field_ == Field::kShape && list.size() == kMaxRank) {
      return refuse("ST-13", fmt::format("the shape has more than {} dimensions", kMaxRank));
    }
    if (field_ == Field::kOffsets && list.size() == 2) {
      return refuse("ST-6", "data_offsets has more than two numbers");
    }
    list.push_back(value);
    return {};
  }

  Status literal(std::string_view spelling) override { return wrong_type(spelling); }

 private:
  enum class Place { kStart, kRoot, kTensor, kNumbers, kMetadata };
  enum class Field { kDtype, kShape, kOffsets };

  Entry& current() { return entries.back(); }
  const char* field_name() const {
    return field_ == Field::kDtype ? "dtype" : field_ == Field::kShape ? "shape" : "data_offsets";
  }

  Error refuse(std::string_view rule, std::string why) {
    return tensor_violation(rule, file_, current().name, std::move(why));
  }

  Error wrong_type(std::string_view seen) {
    if (in_metadata_) {
      return file_violation(
          "ST-12", file_,
          fmt::format("__metadata__ must be an object of strings, it holds {}", seen), kWriteAgain);
    }
    if (place_ == Place::kRoot) {
      return refuse("ST-6", fmt::format("its entry is {}, an object was expected", seen));
    }
    return refuse("ST-6", fmt::format("{} holds {}", field_name(), seen));
  }

  // By reference: GCC 12 warns wrongly about the comparison of a moved string.
  Status root_key(std::string& text) {
    in_metadata_ = text == "__metadata__";
    if (in_metadata_) {
      if (saw_metadata_) {
        return file_violation("ST-5", file_, "__metadata__ occurs twice", kWriteAgain);
      }
      saw_metadata_ = true;
      return {};
    }
    if (const auto problem = safetensors_name_problem(text)) {
      return tensor_violation("ST-13", file_, text, *problem);
    }
    if (entries.size() == kMaxTensors) {
      return file_violation("ST-13", file_, fmt::format("more than {} tensors", kMaxTensors),
                            kWriteAgain);
    }
    if (!names_.insert(text).second) {
      return tensor_violation("ST-5", file_, text, "the name occurs twice");
    }
    entries.emplace_back().name = std::move(text);
    return {};
  }

  Status metadata_key(std::string text) {
    if (metadata.size() == kMaxTensors) {
      return file_violation("ST-13", file_,
                            fmt::format("more than {} entries in __metadata__", kMaxTensors),
                            kWriteAgain);
    }
    if (!metadata_keys_.insert(text).second) {
      return file_violation("ST-5", file_,
                            fmt::format("key {} occurs twice in __metadata__", quote(text)),
                            kWriteAgain);
    }
    metadata.emplace_back(std::move(text), std::string());
    return {};
  }

  Status tensor_key(const std::string& text) {
    Entry& entry = current();
    bool* seen = nullptr;
    if (text == "dtype") {
      field_ = Field::kDtype;
      seen = &entry.has_dtype;
    } else if (text == "shape") {
      field_ = Field::kShape;
      seen = &entry.has_shape;
    } else if (text == "data_offsets") {
      field_ = Field::kOffsets;
      seen = &entry.has_offsets;
    } else {
      return refuse("ST-6", fmt::format("unknown field {}", quote(text)));
    }
    if (std::exchange(*seen, true)) {
      return refuse("ST-5", fmt::format("{} occurs twice", field_name()));
    }
    return {};
  }

  Status finish_tensor() {
    const Entry& entry = current();
    if (entry.has_dtype && entry.has_shape && entry.has_offsets) return {};
    const char* missing = !entry.has_dtype ? "dtype" : !entry.has_shape ? "shape" : "data_offsets";
    return refuse("ST-6", fmt::format("{} is missing", missing));
  }

  const std::string_view file_;
  Place place_ = Place::kStart;
  Field field_ = Field::kDtype;
  bool in_metadata_ = false, saw_metadata_ = false;
  std::unordered_set<std::string> names_, metadata_keys_;
};

// Length of the header, rules ST-1 to ST-3.
Result<std::string_view> header_text(std::span<const std::byte> bytes, std::string_view file) {
  if (bytes.size() < 8) {
    return file_violation("ST-1", file,
                          fmt::format("{} bytes, a safetensors file has at least 8", bytes.size()));
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  if (std::memcmp(bytes.data(), "GGUF", 4) == 0) {
    return file_violation("ST-2", file, "this is a GGUF file", "Rename it to end in .gguf");
  }
  if (std::memcmp(bytes.data(), "version ", 8) == 0) {
    return file_violation("ST-2", file, "this is a Git LFS pointer, not the weights",
                          "Run: git lfs pull");
  }
  if (length > kMaxHeaderBytes || length > bytes.size() - 8) {
    return file_violation(
        "ST-2", file,
        fmt::format("a header of {} bytes is announced; the file has {} bytes and the limit is {}",
                    length, bytes.size(), kMaxHeaderBytes));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  if (length < 2 || text[0] != '{') {
    return file_violation("ST-3", file, "the header does not begin with '{'");
  }
  if (const auto bad = find_invalid_utf8(text)) {
    return file_violation("ST-3", file, fmt::format("header byte {} is not valid UTF-8", *bad));
  }
  return text;
}

// A tensor of known size and its place in the data section.
struct Placed {
  StoredTensor tensor;  // `bytes` not cut yet
  uint64_t begin = 0, end = 0;
};

// What the header states, in the types of the reader, rules ST-7 to ST-9.
Result<Placed> judge_entry(const Entry& entry, std::string_view file) {
  const auto refuse = [&](std::string_view rule, std::string why) {
    return tensor_violation(rule, file, entry.name, std::move(why));
  };
  const std::optional<DType> dtype = safetensors_dtype(entry.dtype);
  if (!dtype) return refuse("ST-7", fmt::format("unknown dtype {}", quote(entry.dtype)));
  uint64_t elements = 1;
  bool overflow = false;
  for (const uint64_t extent : entry.shape) {
    overflow = overflow || __builtin_mul_overflow(elements, extent, &elements);
  }
  const std::optional<uint64_t> size = overflow ? std::nullopt : dtype_bytes(*dtype, elements);
  if (!size || *size > UINT64_MAX / 8) {
    return refuse("ST-8", fmt::format("shape [{}] of {} has no size in whole bytes below 2^61",
                                      fmt::join(entry.shape, ", "), entry.dtype));
  }
  const uint64_t begin = entry.offsets[0], end = entry.offsets[1];
  if (begin > end || end - begin != *size) {
    return refuse("ST-9",
                  fmt::format("data_offsets [{}, {}) do not hold the {} bytes of shape [{}] of {}",
                              begin, end, *size, fmt::join(entry.shape, ", "), entry.dtype));
  }
  Placed placed{{}, begin, end};
  placed.tensor.name = entry.name;
  placed.tensor.dtype = *dtype;
  placed.tensor.shape.assign(entry.shape.begin(), entry.shape.end());
  return placed;
}

// Rules ST-10 and ST-11: sorted by place, the tensors lie without a hole from the start of the data
// to its end.
Status judge_chain(const std::vector<Placed>& sorted, uint64_t data_size, std::string_view file) {
  uint64_t reached = 0;
  for (const Placed& placed : sorted) {
    if (placed.begin != reached) {
      return tensor_violation(
          "ST-10", file, placed.tensor.name,
          fmt::format("begins at byte {} of the data, the tensor before it ends at {}: {}",
                      placed.begin, reached,
                      placed.begin < reached ? "they overlap" : "there is a hole"));
    }
    reached = placed.end;
  }
  if (reached != data_size) {
    return file_violation("ST-11", file,
                          fmt::format("the tensors take {} bytes, the file has {} after its header",
                                      reached, data_size));
  }
  return {};
}

}  // namespace

std::optional<DType> safetensors_dtype(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(DType::kC64); ++i) {
    const auto type = static_cast<DType>(i);
    if (dtype_name(type) == name) return type;
  }
  return std::nullopt;
}

std::optional<std::string> safetensors_name_problem(std::string_view name) {
  if (name.size() > kMaxNameBytes) {
    return fmt::format("a name of {} bytes, the limit is {}", name.size(), kMaxNameBytes);
  }
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return "a control character in the name";
  }
  return std::nullopt;
}

Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes, std::string_view file) {
  SLUICE_ASSIGN(const std::string_view text, header_text(bytes, file));
  HeaderEvents header(file);
  const JsonWalk walk = walk_json(text, kMaxJsonDepth, header);
  if (walk.stop) {
    if (walk.stop->kind == JsonStop::Kind::kEvents) return walk.stop->error;
    const bool deep = walk.stop->kind == JsonStop::Kind::kTooDeep;
    return file_violation(deep ? "ST-13" : "ST-4", file,
                          "the header is not JSON: " + walk.stop->error.why);
  }
  // The parser passes over any white space after the object; the format allows spaces only.
  if (walk.used != text.size() || text[text.find_last_not_of(' ')] != '}') {
    return file_violation("ST-4", file, "something other than spaces follows the header's object");
  }

  std::vector<Placed> placed;
  placed.reserve(header.entries.size());
  for (const Entry& entry : header.entries) {
    SLUICE_ASSIGN(Placed judged, judge_entry(entry, file));
    placed.push_back(std::move(judged));
  }
  // An empty tensor sorts before the one that begins at the same byte, so that both fit into the
  // chain.
  std::stable_sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  const std::span<const std::byte> data = bytes.subspan(8 + text.size());
  SLUICE_TRY(judge_chain(placed, data.size(), file));

  SafetensorsFile result;
  result.metadata = std::move(header.metadata);
  result.tensors.reserve(placed.size());
  for (Placed& next : placed) {
    next.tensor.bytes = data.subspan(next.begin, next.end - next.begin);
    result.tensors.push_back(std::move(next.tensor));
  }
  return result;
}

}  // namespace sluice::checkpoint
