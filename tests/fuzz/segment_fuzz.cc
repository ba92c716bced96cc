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
  // Random bytes do not get past checksums and lengths: put those right, and what is behind them is
  // tried. Offsets are those of segment_file.cc.
  if (size < kSegmentFixedBytes) return 0;
  std::vector<std::byte> file(input.begin(), input.end());
  const auto write = [&](size_t offset, const auto& value) {
    std::memcpy(file.data() + offset, &value, sizeof value);
  };
  constexpr char kMagic[] = {'s', 'l', 'u', 'i', 'c', 'e', 'k', 'v'};
  const uint32_t pages = data[84] % 9, rest = data[92] % 64, space = data[12];
  const uint32_t whole = pages + (rest > 0 ? 1 : 0), pieces = whole + 2;
  write(0, kMagic);
  write(8, uint32_t{1});
  write(12, space);
  write(16, uint64_t{0});
  write(24, uint64_t{0});
  write(84, pages);
  write(92, rest);
  write(96, pieces);
  write(104, uint64_t{whole} * 4 + 8);
  const size_t header = kSegmentFixedBytes + (size_t{pages} * 64 + rest) * 4 + pieces * 8 + space;
  file.resize(header + size_t{whole} * 4 + 8);
  write(112, piece_checksum(std::span(file).first(header).subspan(kSegmentFixedBytes)));
  const auto seal = [&] {
    write(120, piece_checksum(std::span(file).first(kSegmentFixedBytes - 8)));
  };
  seal();
  try_file(file);
  // And with what the flags, the parent and the page before must be.
  write(100, uint32_t{1});
  write(88, uint32_t{data[88]} % (pages + 1));
  write(80, uint32_t{data[80]} % (9 - pages));
  const bool first = data[80] % (9 - pages) == 0;
  write(64, uint64_t{first ? 0u : 1u});
  write(72, uint64_t{0});
  seal();
  try_file(file);
  return 0;
}
