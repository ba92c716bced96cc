// Any bytes as a GGUF file: refused, or tensors that lie inside the file and metadata whose typed
// access is safe.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "checkpoint/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = sluice::checkpoint::parse_gguf(bytes, "fuzz.gguf");
  if (!file.ok()) return 0;
  for (const auto& tensor : file->tensors) {
    if (tensor.bytes.data() < bytes.data() ||
        tensor.bytes.data() + tensor.bytes.size() > bytes.data() + size) {
      std::abort();
    }
    if (tensor.elements() <= 0) std::abort();
  }
  for (const auto& [key, value] : file->metadata.entries()) {
    static_cast<void>(file->metadata.unsigned_integer(key));
    static_cast<void>(file->metadata.real(key));
    static_cast<void>(file->metadata.boolean(key));
    static_cast<void>(file->metadata.string(key));
    static_cast<void>(file->metadata.strings(key));
    static_cast<void>(file->metadata.integers(key));
  }
  return 0;
}
