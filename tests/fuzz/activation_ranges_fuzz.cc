// Any bytes as a file of activation ranges: refused, or ranges that are written and read back
// equal.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tools/quantize/activation_ranges.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sluice::quantize::ActivationRanges;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto ranges = ActivationRanges::parse(text, "fuzz.json");
  if (!ranges.ok()) return 0;
  const auto again = ActivationRanges::parse(ranges->text(), "again.json");
  if (!again.ok() || !(*again == *ranges)) std::abort();
  return 0;
}
