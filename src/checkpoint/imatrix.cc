#include "checkpoint/imatrix.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "base/file.h"
#include "checkpoint/gguf.h"
#include "checkpoint/rules.h"

namespace sluice::checkpoint {
namespace {

constexpr int32_t kMaxEntries = 100'000;
constexpr int32_t kMaxNameBytes = 63;
constexpr int32_t kMaxValues = 1 << 24;

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts", kPlainSums = ".in_sum";

Error refuse(std::string_view file, std::string why) {
  return bad_input(std::string(file), "importance matrix: " + std::move(why), "Collect it again");
}

// Reads the legacy form from front to back.
class LegacyReader {
 public:
  LegacyReader(std::span<const std::byte> bytes, std::string_view file)
      : bytes_(bytes), file_(file) {}

  bool at_end() const { return at_ == bytes_.size(); }

  Result<int32_t> integer(const char* what, int32_t least, int32_t most) {
    int32_t value = 0;
    if (bytes_.size() - at_ < sizeof value)
      return refuse(file_, fmt::format("the file ends before the {}", what));
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    if (value < least || value > most) {
      return refuse(file_,
                    fmt::format("the {} is {}, not from {} to {}", what, value, least, most));
    }
    return value;
  }

  Result<std::span<const std::byte>> take(const char* what, size_t size) {
    if (bytes_.size() - at_ < size)
      return refuse(file_, fmt::format("the file ends inside the {}", what));
    at_ += size;
    return bytes_.subspan(at_ - size, size);
  }

 private:
  const std::span<const std::byte> bytes_;
  const std::string_view file_;
  size_t at_ = 0;
};

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<float> floats_of(std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

}  // namespace

Result<ImportanceMatrix> ImportanceMatrix::open(const std::filesystem::path& path) {
  SLUICE_ASSIGN(const MappedFile mapping, MappedFile::open(path));
  return parse(mapping.bytes(), path.string());
}

Result<ImportanceMatrix> ImportanceMatrix::parse(std::span<const std::byte> bytes,
                                                 std::string_view file) {
  const bool gguf = bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0;
  return gguf ? parse_gguf_form(bytes, file) : parse_legacy(bytes, file);
}

Status ImportanceMatrix::add(ImportanceEntry entry, std::string_view file) {
  for (const float value : entry.values) {
    if (!std::isfinite(value) || value < 0) {
      return refuse(file, fmt::format("tensor {} has the value {}", quote(entry.tensor), value));
    }
  }
  if (!by_name_.emplace(entry.tensor, entries_.size()).second) {
    return refuse(file, fmt::format("tensor {} occurs twice", quote(entry.tensor)));
  }
  entries_.push_back(std::move(entry));
  return {};
}

const ImportanceEntry* ImportanceMatrix::find(std::string_view tensor) const {
  const auto found = by_name_.find(std::string(tensor));
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

Result<ImportanceMatrix> ImportanceMatrix::parse_legacy(std::span<const std::byte> bytes,
                                                        std::string_view file) {
  LegacyReader reader(bytes, file);
  ImportanceMatrix matrix;
  SLUICE_ASSIGN(const int32_t count, reader.integer("number of entries", 1, kMaxEntries));
  for (int32_t i = 0; i < count; ++i) {
    ImportanceEntry entry;
    SLUICE_ASSIGN(const int32_t name_bytes, reader.integer("length of a name", 1, kMaxNameBytes));
    SLUICE_ASSIGN(const auto name, reader.take("name", static_cast<size_t>(name_bytes)));
    entry.tensor = text_of(name);
    SLUICE_ASSIGN(const int32_t calls, reader.integer("number of calls", 0, INT32_MAX));
    SLUICE_ASSIGN(const int32_t columns, reader.integer("number of values", 1, kMaxValues));
    SLUICE_ASSIGN(const auto values,
                  reader.take("values", static_cast<size_t>(columns) * sizeof(float)));
    entry.values = floats_of(values);
    if (calls > 0) {
      for (float& value : entry.values) value /= static_cast<float>(calls);
    }
    SLUICE_TRY(matrix.add(std::move(entry), file));
  }
  if (reader.at_end()) return matrix;  // the oldest files have no trailer
  SLUICE_ASSIGN(const int32_t chunks, reader.integer("number of chunks", 0, INT32_MAX));
  SLUICE_ASSIGN(const int32_t dataset_bytes,
                reader.integer("length of the data set's name", 0, INT32_MAX));
  SLUICE_ASSIGN(const auto dataset,
                reader.take("data set's name", static_cast<size_t>(dataset_bytes)));
  if (!reader.at_end()) return refuse(file, "there are bytes after the trailer");
  matrix.chunks_ = static_cast<uint64_t>(chunks);
  if (!dataset.empty()) matrix.datasets_.push_back(text_of(dataset));
  return matrix;
}

Result<ImportanceMatrix> ImportanceMatrix::parse_gguf_form(std::span<const std::byte> bytes,
                                                           std::string_view file) {
  SLUICE_ASSIGN(const GgufFile gguf, parse_gguf(bytes, file));
  SLUICE_ASSIGN(const auto kind, gguf.metadata.string("general.type"));
  if (kind != "imatrix") return refuse(file, "general.type of the GGUF is not imatrix");
  SLUICE_ASSIGN(const auto datasets, gguf.metadata.strings("imatrix.datasets"));
  SLUICE_ASSIGN(const auto chunks, gguf.metadata.unsigned_integer("imatrix.chunk_count"));
  SLUICE_ASSIGN(const auto chunk_size, gguf.metadata.unsigned_integer("imatrix.chunk_size"));
  if (!datasets || !chunks || !chunk_size) {
    return refuse(file, "imatrix.datasets, imatrix.chunk_count or imatrix.chunk_size is missing");
  }
  ImportanceMatrix matrix;
  matrix.datasets_ = *datasets;
  matrix.chunks_ = *chunks;
  std::unordered_map<std::string_view, const StoredTensor*> by_name;
  for (const StoredTensor& tensor : gguf.tensors) by_name.emplace(tensor.name, &tensor);
  size_t used = 0;
  for (const StoredTensor& sums : gguf.tensors) {
    if (!sums.name.ends_with(kSums)) continue;
    ImportanceEntry entry;
    entry.tensor = sums.name.substr(0, sums.name.size() - kSums.size());
    const std::string counts_name = entry.tensor + std::string(kCounts);
    const auto counts_found = by_name.find(counts_name);
    if (counts_found == by_name.end())
      return refuse(file, fmt::format("{} has no counts", quote(entry.tensor)));
    const StoredTensor& counts = *counts_found->second;
    const int64_t columns = sums.shape.back(), matrices = sums.elements() / columns;
    if (sums.dtype != DType::kF32 || counts.dtype != DType::kF32 || counts.elements() != matrices) {
      return refuse(file,
                    fmt::format("sums and counts of {} do not fit together", quote(entry.tensor)));
    }
    entry.values = floats_of(sums.bytes);
    const std::vector<float> rows = floats_of(counts.bytes);
    for (size_t i = 0; i < entry.values.size(); ++i) {
      const float count = rows[i / static_cast<size_t>(columns)];
      if (!std::isfinite(count) || count < 0) {
        return refuse(file, fmt::format("{} has the count {}", quote(entry.tensor), count));
      }
      entry.values[i] = count == 0 ? 1.0f : entry.values[i] / count;
    }
    // Newer tools add the sums of the inputs themselves, which nothing here needs.
    if (const auto plain = by_name.find(entry.tensor + std::string(kPlainSums));
        plain != by_name.end()) {
      if (plain->second->elements() != sums.elements())
        return refuse(file, fmt::format("the two sums of {} differ in size", quote(entry.tensor)));
      ++used;
    }
    SLUICE_TRY(matrix.add(std::move(entry), file));
    used += 2;
  }
  if (used == 0 || used != gguf.tensors.size()) {
    return refuse(
        file, fmt::format("{} of its {} tensors are sums and counts", used, gguf.tensors.size()));
  }
  return matrix;
}

}  // namespace sluice::checkpoint
