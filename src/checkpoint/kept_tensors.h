// What an earlier run has left of a container, so that a writer goes on behind it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "checkpoint/tensor_sequence.h"

namespace sluice::checkpoint {

// Whether the bytes that are there for a tensor (`number` in the writer's order) are those that it
// should have. A writer asks in order and goes on at the first tensor for which it says no; a file
// cannot know by itself whether it was written to its end.
using IsIntact =
    std::function<bool(size_t number, const TensorSpec& tensor, std::span<const std::byte> bytes)>;

inline bool keeps_nothing(size_t, const TensorSpec&, std::span<const std::byte>) { return false; }

struct KeptPart {
  size_t end = 0;      // the first tensor that is missing
  uint64_t bytes = 0;  // of the file, that stay, gaps included; 0: not even its header
};

// Looks through one file of a container, which holds the tensors [first, ...) of `sequence` behind
// `header`, each at its own of `places` (bytes from the file's first), in any order. A file that is
// not there or has another header keeps nothing. Errors: it cannot be read.
Result<KeptPart> find_kept(const std::filesystem::path& file, std::string_view header,
                           const TensorSequence& sequence, size_t first,
                           std::span<const uint64_t> places, const IsIntact& intact);

}  // namespace sluice::checkpoint
