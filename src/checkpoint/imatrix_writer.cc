#include "checkpoint/imatrix_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/file.h"
#include "checkpoint/gguf_writer.h"

namespace sluice::checkpoint {
namespace {

constexpr size_t kMaxLegacyName = 63;

std::vector<float> rounded(const ImportanceSums& entry) {
  return {entry.squares.begin(), entry.squares.end()};
}

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

Status write_legacy(const std::filesystem::path& file, const ImportanceRecord& record,
                    bool overwrite) {
  std::string out;
  put(out, static_cast<int32_t>(record.entries.size()));
  for (const ImportanceSums& entry : record.entries) {
    if (entry.tensor.size() > kMaxLegacyName) {
      return failed(file.string(),
                    fmt::format("{} is longer than the {} bytes that a name may have here",
                                entry.tensor, kMaxLegacyName),
                    "Write the GGUF form");
    }
    put(out, static_cast<int32_t>(entry.tensor.size()));
    out += entry.tensor;
    const auto calls = static_cast<int32_t>((entry.rows + record.chunk_size - 1) /
                                            std::max(record.chunk_size, 1u));
    put(out, calls);
    put(out, static_cast<int32_t>(entry.squares.size()));
    for (const float sum : rounded(entry))
      put(out, sum / static_cast<float>(entry.rows) * static_cast<float>(calls));
  }
  put(out, static_cast<int32_t>(record.chunks));
  put(out, static_cast<int32_t>(record.dataset.size()));
  out += record.dataset;
  return write_file(file, std::as_bytes(std::span(out)), overwrite);
}

Status write_gguf(const std::filesystem::path& file, const ImportanceRecord& record,
                  bool overwrite) {
  GgufMetadata metadata;
  metadata.add("general.type", std::string("imatrix"));
  metadata.add("imatrix.datasets", GgufArray(std::vector<std::string>{record.dataset}));
  metadata.add("imatrix.chunk_count", uint64_t{record.chunks});
  metadata.add("imatrix.chunk_size", uint64_t{record.chunk_size});
  std::vector<TensorSpec> specs;
  for (const ImportanceSums& entry : record.entries) {
    const auto columns = static_cast<int64_t>(entry.squares.size());
    specs.push_back({entry.tensor + ".in_sum2", DType::kF32, {columns}});
    specs.push_back({entry.tensor + ".counts", DType::kF32, {1}});
  }
  GgufOptions options;
  options.overwrite = overwrite;
  SLUICE_ASSIGN(auto writer, GgufWriter::create(file, metadata, std::move(specs), options));
  for (const ImportanceSums& entry : record.entries) {
    const std::vector<float> sums = rounded(entry);
    const auto count = static_cast<float>(entry.rows);
    SLUICE_TRY(writer.append(entry.tensor + ".in_sum2", std::as_bytes(std::span(sums))));
    SLUICE_TRY(writer.append(entry.tensor + ".counts", std::as_bytes(std::span(&count, 1))));
  }
  return writer.finish();
}

}  // namespace

Status write_importance(const std::filesystem::path& file, ImportanceForm form,
                        ImportanceRecord record, bool overwrite) {
  std::erase_if(record.entries, [](const ImportanceSums& entry) { return entry.rows == 0; });
  if (record.entries.empty()) return failed(file.string(), "nothing was gathered to write");
  std::sort(record.entries.begin(), record.entries.end(),
            [](const auto& a, const auto& b) { return a.tensor < b.tensor; });
  return form == ImportanceForm::kGguf ? write_gguf(file, record, overwrite)
                                       : write_legacy(file, record, overwrite);
}

}  // namespace sluice::checkpoint
