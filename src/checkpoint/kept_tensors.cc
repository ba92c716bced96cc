#include "checkpoint/kept_tensors.h"

#include <algorithm>
#include <cstring>

#include "base/file.h"

namespace sluice::checkpoint {

Result<KeptPart> find_kept(const std::filesystem::path& file, std::string_view header,
                           const TensorSequence& sequence, size_t first,
                           std::span<const uint64_t> places, const IsIntact& intact) {
  KeptPart kept{first, 0};
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return kept;
  SLUICE_ASSIGN(const MappedFile mapping, MappedFile::open(file));
  const std::span<const std::byte> bytes = mapping.bytes();
  if (bytes.size() < header.size() || std::memcmp(bytes.data(), header.data(), header.size()) != 0)
    return kept;
  kept.bytes = header.size();
  for (const uint64_t begin : places) {
    const uint64_t size = sequence.size(kept.end);
    if (begin > bytes.size() || size > bytes.size() - begin) break;
    const auto part = bytes.subspan(static_cast<size_t>(begin), static_cast<size_t>(size));
    if (!intact(kept.end, sequence.specs()[kept.end], part)) break;
    mapping.drop(part);
    kept.bytes = std::max(kept.bytes, begin + size);
    ++kept.end;
  }
  return kept;
}

}  // namespace sluice::checkpoint
