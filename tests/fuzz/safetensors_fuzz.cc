// Any bytes as a safetensors file: refused, or tensors that lie inside the file without gap or
// overlap.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = sluice::checkpoint::parse_safetensors(bytes, "fuzz.safetensors");
  if (!file.ok()) return 0;
  size_t total = 0;
  for (const auto& tensor : file->tensors) {
    if (tensor.bytes.data() < bytes.data() ||
        tensor.bytes.data() + tensor.bytes.size() > bytes.data() + size) {
      std::abort();
    }
    total += tensor.bytes.size();
  }
  if (total > size) std::abort();
  return 0;
}
