// Any bytes as a file of the disk tier: refused, or a header whose counts are those of the file;
// written again it is the same bytes.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "runtime/cache/segment_file.h"

namespace {

using namespace sluice::runtime;

SegmentForm small_form() {
  SegmentForm form;
  form.most_pages = 8;
  form.page_bytes = 4;
  form.state_layers = 1;
  form.layer_bytes = 4;
  form.hidden_bytes = 4;
  return form;
}

void try_file(std::span<const std::byte> file) {
  const SegmentForm form = small_form();
  const auto fixed = file.first(std::min(file.size(), kSegmentFixedBytes));
  const auto length = segment_header_bytes(fixed, file.size(), form);
  if (!length.ok()) return;
  if (*length > file.size()) std::abort();
  const auto header = parse_segment_header(file.first(*length), file.size(), form);
  if (!header.ok()) return;
  if (segment_file_bytes(*header, form) != file.size()) std::abort();
  const std::vector<std::byte> again = encode_segment_header(*header, form);
  if (!std::equal(again.begin(), again.end(), file.begin())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  try_file(input);
  // Random bytes do not get past the checksums: put them right, and what is behind is tried.
  if (size < kSegmentFixedBytes) return 0;
  std::vector<std::byte> file(input.begin(), input.end());
  const auto write = [&](size_t offset, const auto& value) {
    std::memcpy(file.data() + offset, &value, sizeof value);
  };
  constexpr char kMagic[] = {'s', 'l', 'u', 'i', 'c', 'e', 'k', 'v'};
  write(0, kMagic);
  write(8, uint32_t{1});
  write(16, uint64_t{0});
  write(24, uint64_t{0});
  const auto seal = [&] {
    write(kSegmentFixedBytes - 8, piece_checksum(std::span(file).first(kSegmentFixedBytes - 8)));
  };
  seal();
  try_file(file);
  const auto length =
      segment_header_bytes(std::span(file).first(kSegmentFixedBytes), file.size(), small_form());
  if (!length.ok()) return 0;
  write(kSegmentFixedBytes - 16,
        piece_checksum(std::span(file).first(*length).subspan(kSegmentFixedBytes)));
  seal();
  try_file(file);
  return 0;
}
