#include "checkpoint/gguf_writer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <string>
#include <type_traits>
#include <unordered_set>

#include "base/utf8.h"
#include "checkpoint/locate.h"
#include "checkpoint/rules.h"

namespace sluice::checkpoint {
namespace {

namespace fs = std::filesystem;

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_text(std::string& out, std::string_view text) {
  put(out, static_cast<uint64_t>(text.size()));
  out += text;
}

// `value` as a number of the stored type. The reader widened it from there, or the caller chose the
// type.
template <typename T>
void put_number(std::string& out, GgufType type, T value) {
  switch (type) {
    case GgufType::kU8:
      return put(out, static_cast<uint8_t>(value));
    case GgufType::kI8:
      return put(out, static_cast<int8_t>(value));
    case GgufType::kU16:
      return put(out, static_cast<uint16_t>(value));
    case GgufType::kI16:
      return put(out, static_cast<int16_t>(value));
    case GgufType::kU32:
      return put(out, static_cast<uint32_t>(value));
    case GgufType::kI32:
      return put(out, static_cast<int32_t>(value));
    case GgufType::kU64:
      return put(out, static_cast<uint64_t>(value));
    case GgufType::kI64:
      return put(out, static_cast<int64_t>(value));
    case GgufType::kF32:
      return put(out, static_cast<float>(value));
    case GgufType::kF64:
      return put(out, static_cast<double>(value));
    case GgufType::kBool:
      return put(out, static_cast<uint8_t>(value));
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  SLUICE_CHECK(false, "stored type {} does not hold numbers", static_cast<uint32_t>(type));
}

template <typename T>
void put_value(std::string& out, GgufType type, const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    put_text(out, value);
  } else {
    put_number(out, type, value);
  }
}

void put_key_value(std::string& out, std::string_view key, GgufType type, const GgufValue& value) {
  put_text(out, key);
  std::visit(
      [&](const auto& held) {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, GgufArray>) {
          put(out, static_cast<uint32_t>(GgufType::kArray));
          put(out, static_cast<uint32_t>(type));
          std::visit(
              [&](const auto& list) {
                put(out, static_cast<uint64_t>(list.size()));
                for (const typename std::decay_t<decltype(list)>::value_type& element : list) {
                  put_value(out, type, element);
                }
              },
              held);
        } else {
          put(out, static_cast<uint32_t>(type));
          put_value(out, type, held);
        }
      },
      value);
}

// Bytes of a tensor that the format can hold; the error says why it cannot.
Result<uint64_t> stored_size(const TensorSpec& spec) {
  const auto refuse = [&](std::string why) {
    return bad_input(fmt::format("tensor {}", quote(spec.name)), why + ", GGUF cannot store it");
  };
  if (spec.name.empty() || spec.name.size() > kMaxGgufTensorName || find_invalid_utf8(spec.name)) {
    return refuse(fmt::format("a name of {} bytes", spec.name.size()));
  }
  if (!ggml_of_dtype(spec.dtype)) return refuse(fmt::format("type {}", dtype_name(spec.dtype)));
  if (spec.shape.empty() || spec.shape.size() > 4)
    return refuse(fmt::format("{} dimensions", spec.shape.size()));
  int64_t elements = 1;
  for (const int64_t extent : spec.shape) {
    if (extent <= 0 || __builtin_mul_overflow(elements, extent, &elements)) {
      return refuse(fmt::format("shape [{}]", fmt::join(spec.shape, ", ")));
    }
  }
  const int width = dtype_info(spec.dtype).block_elements;
  const std::optional<uint64_t> size = dtype_bytes(spec.dtype, static_cast<uint64_t>(elements));
  if (spec.shape.back() % width != 0 || !size || *size > INT64_MAX / 2) {
    return refuse(fmt::format("shape [{}] in blocks of {}", fmt::join(spec.shape, ", "), width));
  }
  return *size;
}

}  // namespace

Result<GgufWriter> GgufWriter::plan(const fs::path& path, const GgufMetadata& metadata,
                                    std::vector<TensorSpec> specs, GgufOptions options) {
  GgufWriter writer;
  writer.metadata_ = metadata;
  writer.options_ = options;
  SLUICE_ASSIGN(const auto alignment, metadata.unsigned_integer("general.alignment"));
  writer.alignment_ = alignment.value_or(kDefaultGgufAlignment);
  if (!std::has_single_bit(writer.alignment_) || writer.alignment_ < 8 ||
      writer.alignment_ > 65'536) {
    return bad_input(path.string(),
                     fmt::format("general.alignment {} is not a power of two from 8 to 65536",
                                 writer.alignment_));
  }
  std::vector<uint64_t> sizes;
  std::unordered_set<std::string_view> names;
  writer.parts_.resize(1);
  uint64_t filled = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    SLUICE_ASSIGN(const uint64_t size, stored_size(specs[i]));
    if (!names.insert(specs[i].name).second) {
      return bad_input(fmt::format("tensor {}", quote(specs[i].name)), "the name occurs twice");
    }
    if (options.part_limit > 0 && writer.parts_.back().first != i &&
        filled + size > options.part_limit) {
      writer.parts_.push_back({i, i, {}});
      filled = 0;
    }
    writer.parts_.back().end = i + 1;
    filled += size;
    sizes.push_back(size);
  }
  constexpr size_t kMostParts = 65'535;  // split.count is a u16
  if (writer.parts_.size() > kMostParts) {
    return bad_input(path.string(), fmt::format("{} parts, the format counts to {}",
                                                writer.parts_.size(), kMostParts));
  }
  names.clear();  // they borrow from the specs
  writer.sequence_ = TensorSequence(std::move(specs), std::move(sizes));
  const int count = static_cast<int>(writer.parts_.size());
  for (int number = 1; number <= count; ++number) {
    writer.files_.push_back(
        count == 1 ? path : path.parent_path() / split_name(path.stem().string(), number, count));
  }
  return writer;
}

Result<GgufWriter> GgufWriter::create(const fs::path& path, const GgufMetadata& metadata,
                                      std::vector<TensorSpec> specs, GgufOptions options) {
  SLUICE_ASSIGN(GgufWriter writer, plan(path, metadata, std::move(specs), std::move(options)));
  SLUICE_TRY(writer.open_part(0));
  while (writer.next() == writer.parts_[writer.part_].end &&
         writer.part_ + 1 < writer.parts_.size()) {
    ++writer.part_;
    SLUICE_TRY(writer.open_part(writer.part_));
  }
  // What lies behind the first missing tensor is not asked about when its file is opened.
  if (writer.options_.kept) writer.options_.kept = keeps_nothing;
  return writer;
}

Result<uint64_t> GgufWriter::total_bytes(const fs::path& path, const GgufMetadata& metadata,
                                         std::vector<TensorSpec> specs, GgufOptions options) {
  SLUICE_ASSIGN(const GgufWriter writer, plan(path, metadata, std::move(specs), options));
  const auto padded = [&](uint64_t bytes) {
    return (bytes + writer.alignment_ - 1) / writer.alignment_ * writer.alignment_;
  };
  uint64_t sum = 0;
  for (size_t number = 0; number < writer.parts_.size(); ++number) {
    const Part& part = writer.parts_[number];
    sum += padded(writer.header(number).size());
    for (size_t i = part.first; i < part.end; ++i) sum += padded(writer.sequence_.size(i));
  }
  return sum;
}

// Header, metadata and directory of a part. The first one carries all keys, the others those of the
// split.
std::string GgufWriter::header(size_t number) const {
  const Part& part = parts_[number];
  std::string body;
  uint64_t keys = 0;
  const auto& entries = metadata_.entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    const std::string& key = entries[i].first;
    if (key.starts_with("split.") || (number > 0 && key != "general.alignment")) continue;
    put_key_value(body, key, metadata_.stored_type(i), entries[i].second);
    ++keys;
  }
  if (parts_.size() > 1) {
    put_key_value(body, "split.no", GgufType::kU16, GgufValue(static_cast<uint64_t>(number)));
    put_key_value(body, "split.count", GgufType::kU16,
                  GgufValue(static_cast<uint64_t>(parts_.size())));
    put_key_value(body, "split.tensors.count", GgufType::kI32,
                  GgufValue(static_cast<int64_t>(sequence_.specs().size())));
    keys += 3;
  }
  uint64_t offset = 0;
  for (size_t i = part.first; i < part.end; ++i) {
    const TensorSpec& spec = sequence_.specs()[i];
    put_text(body, spec.name);
    put(body, static_cast<uint32_t>(spec.shape.size()));
    for (auto extent = spec.shape.rbegin(); extent != spec.shape.rend(); ++extent)
      put(body, *extent);
    put(body, *ggml_of_dtype(spec.dtype));
    put(body, offset);
    offset += (sequence_.size(i) + alignment_ - 1) / alignment_ * alignment_;
  }
  std::string out = "GGUF";
  put(out, uint32_t{3});
  put(out, static_cast<uint64_t>(part.end - part.first));
  put(out, keys);
  return out + body;
}

// Where the tensors of a part begin, behind a header of so many bytes.
std::vector<uint64_t> GgufWriter::places(const Part& part, uint64_t header) const {
  std::vector<uint64_t> out;
  uint64_t end = header;
  for (size_t i = part.first; i < part.end; ++i) {
    out.push_back((end + alignment_ - 1) / alignment_ * alignment_);
    end = out.back() + sequence_.size(i);
  }
  return out;
}

Status GgufWriter::open_part(size_t number) {
  SLUICE_TRY(open_file(number, header(number)));
  return pad(*parts_[number].writer);
}

Status GgufWriter::open_file(size_t number, const std::string& begin) {
  Part& part = parts_[number];
  KeptPart kept;
  if (options_.kept) {
    SLUICE_ASSIGN(kept, find_kept(files_[number], begin, sequence_, part.first,
                                  places(part, begin.size()), options_.kept));
    sequence_.begin_at(kept.end);
    SLUICE_ASSIGN(part.writer, FileWriter::go_on(files_[number], kept.bytes));
  } else {
    SLUICE_ASSIGN(part.writer, FileWriter::create(files_[number], options_.overwrite));
  }
  return kept.bytes > 0 ? Status() : part.writer->append(begin);
}

Status GgufWriter::pad(FileWriter& file) {
  const uint64_t over = file.bytes_written() % alignment_;
  return over == 0 ? Status() : file.append(std::string(alignment_ - over, '\0'));
}

Status GgufWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  if (sequence_.current() == parts_[part_].end && part_ + 1 < parts_.size()) {
    ++part_;
    SLUICE_TRY(open_part(part_));
  }
  const bool complete = sequence_.take(name, bytes.size());
  FileWriter& file = *parts_[part_].writer;
  SLUICE_TRY(file.append(bytes));
  return complete ? pad(file) : Status();
}

Status GgufWriter::finish() {
  SLUICE_CHECK(sequence_.done(), "{} of {} tensors were written", sequence_.current(),
               sequence_.specs().size());
  for (size_t i = parts_.size(); i-- > 0;) SLUICE_TRY(parts_[i].writer->commit());
  return {};
}

}  // namespace sluice::checkpoint
