// Any bytes as the file of a vision tower: refused, or sizes whose tensors can be listed and are no
// more than the file announces.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "tools/convert/tower_geometry.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file =
      sluice::checkpoint::parse_gguf(std::as_bytes(std::span(data, size)), "fuzz.gguf");
  if (!file.ok()) return 0;
  const auto geometry =
      sluice::convert::geometry_of_keys(file->metadata, "fuzz.gguf", file->tensors.size());
  if (!geometry.ok()) return 0;
  const auto tensors = sluice::convert::expected_tower(*geometry);
  if (tensors.size() > file->tensors.size() + 9) std::abort();
  for (const auto& tensor : tensors) {
    for (const int64_t extent : tensor.shape) {
      if (extent <= 0) std::abort();
    }
  }
  return 0;
}
