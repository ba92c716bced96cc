// Any text as a shard index: refused, or plain file names only.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto map = sluice::checkpoint::parse_safetensors_index(text, "fuzz.index.json");
  if (!map.ok()) return 0;
  for (const auto& [tensor, file] : *map) {
    if (file.empty() || file.find('/') != std::string::npos || file.find("..") != std::string::npos)
      std::abort();
  }
  return 0;
}
