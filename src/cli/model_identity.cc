#include "cli/model_identity.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>

#include "cli/version.h"

namespace sluice::cli {
namespace {

uint64_t hash(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

// Evenly over the tensor, its end included.
uint64_t hash_of_samples(std::span<const std::byte> bytes) {
  constexpr size_t kSamples = 16, kBytes = 64;
  if (bytes.size() <= kSamples * kBytes) return hash(bytes);
  uint64_t all = 0;
  for (size_t i = 0; i < kSamples; ++i) {
    const auto sample = bytes.subspan((bytes.size() - kBytes) / (kSamples - 1) * i, kBytes);
    all = XXH3_64bits_withSeed(sample.data(), sample.size(), all);
  }
  return all;
}

std::string length_and_date(const std::filesystem::path& file) {
  std::error_code ignored;
  const auto date = std::filesystem::last_write_time(file, ignored).time_since_epoch().count();
  return fmt::format("file {} {}\n", std::filesystem::file_size(file, ignored), date);
}

}  // namespace

std::string model_identity(const checkpoint::Checkpoint& model) {
  std::string identity = version_text(true) + length_and_date("/proc/self/exe");
  for (const auto& file : model.files()) identity += length_and_date(file);
  if (const auto config = model.side_json("config.json"); config.ok() && *config)
    identity += (*config)->dump() + "\n";
  const MappedFile* last = nullptr;
  for (const checkpoint::StoredTensor& tensor : model.tensors()) {
    // In file order: the first tensor of a file ends what stands before all of them.
    const MappedFile& mapping = model.mapping(tensor);
    if (&mapping != last) {
      const auto header = static_cast<size_t>(tensor.bytes.data() - mapping.bytes().data());
      identity += fmt::format("header {:x}\n", hash(mapping.bytes().first(header)));
    }
    last = &mapping;
    identity += fmt::format("{:x}\n", hash_of_samples(tensor.bytes));
  }
  return identity;
}

}  // namespace sluice::cli
