#include "checkpoint/kept_tensors.h"

#include <cstring>

#include "base/file.h"

namespace sluice::checkpoint {

Result<KeptPart> find_kept(const std::filesystem::path& file, std::string_view header,
                           const TensorSequence& sequence, size_t first, size_t end,
                           uint64_t alignment, const IsIntact& intact) {
  KeptPart kept{first, 0};
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return kept;
  SLUICE_ASSIGN(const MappedFile mapping, MappedFile::open(file));
  const std::span<const std::byte> bytes = mapping.bytes();
  if (bytes.size() < header.size() || std::memcmp(bytes.data(), header.data(), header.size()) != 0)
    return kept;
  kept.bytes = header.size();
  while (kept.end < end) {
    const uint64_t begin = (kept.bytes + alignment - 1) / alignment * alignment;
    const uint64_t size = sequence.size(kept.end);
    if (begin > bytes.size() || size > bytes.size() - begin) break;
    const auto part = bytes.subspan(static_cast<size_t>(begin), static_cast<size_t>(size));
    if (!intact(kept.end, sequence.specs()[kept.end], part)) break;
    mapping.drop(part);
    kept.bytes = begin + size;
    ++kept.end;
  }
  return kept;
}

}  // namespace sluice::checkpoint
