#include "backend/ref/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "backend/ref/ref_backend.h"
#include "base/check.h"
#include "codec/number_formats.h"

namespace sluice::ref {
namespace {

size_t element_bytes(ops::KvFormat format) {
  switch (format) {
    case ops::KvFormat::kF32:
      return 4;
    case ops::KvFormat::kBF16:
      return 2;
    case ops::KvFormat::kFp8:
      return 1;
  }
  SLUICE_CHECK(false, "kv format {}", static_cast<int>(format));
}

}  // namespace

PagedKvCache::PagedKvCache(const ops::KvSpec& spec)
    : KvCache(spec),
      element_bytes_(element_bytes(spec.format)),
      storage_(
          std::make_unique<std::byte[]>(spec.bytes_per_page() * static_cast<size_t>(spec.pages))) {}

size_t PagedKvCache::offset(int64_t layer, int32_t page, KvPart part, int64_t head,
                            int64_t place) const {
  const ops::KvSpec& s = spec();
  SLUICE_CHECK(layer >= 0 && layer < s.layers, "layer {} of {}", layer, s.layers);
  SLUICE_CHECK(page >= 0 && page < s.pages, "page {} of {}", page, s.pages);
  SLUICE_CHECK(head >= 0 && head < s.heads, "head {} of {}", head, s.heads);
  SLUICE_CHECK(place >= 0 && place < ops::kGrid, "place {} of {}", place, ops::kGrid);
  const int64_t block = (layer * s.pages + page) * 2 + static_cast<int64_t>(part);
  const int64_t vector = (block * s.heads + head) * ops::kGrid + place;
  return static_cast<size_t>(vector * s.head_dim) * element_bytes_;
}

float PagedKvCache::scale(int64_t layer, KvPart part) const {
  const auto& scales = part == KvPart::kKey ? spec().key_scales : spec().value_scales;
  return scales.empty() ? 1.0f : scales[static_cast<size_t>(layer)];
}

void PagedKvCache::write(int64_t layer, int32_t page, KvPart part, int64_t head, int64_t place,
                         const float* values) {
  std::byte* to = storage_.get() + offset(layer, page, part, head, place);
  const float divisor = scale(layer, part);
  for (int64_t i = 0; i < spec().head_dim; ++i, to += element_bytes_) {
    switch (spec().format) {
      case ops::KvFormat::kF32:
        std::memcpy(to, &values[i], sizeof(float));
        break;
      case ops::KvFormat::kBF16: {
        const uint16_t bits = codec::f32_to_bf16(values[i]);
        std::memcpy(to, &bits, sizeof bits);
        break;
      }
      case ops::KvFormat::kFp8:  // spec/formats-safetensors.md 3.12
        *to = std::byte{codec::f32_to_e4m3(values[i] / divisor)};
        break;
    }
  }
}

void PagedKvCache::read(int64_t layer, int32_t page, KvPart part, int64_t head, int64_t place,
                        float* values) const {
  const std::byte* from = storage_.get() + offset(layer, page, part, head, place);
  const float factor = scale(layer, part);
  for (int64_t i = 0; i < spec().head_dim; ++i, from += element_bytes_) {
    switch (spec().format) {
      case ops::KvFormat::kF32:
        std::memcpy(&values[i], from, sizeof(float));
        break;
      case ops::KvFormat::kBF16: {
        uint16_t bits;
        std::memcpy(&bits, from, sizeof bits);
        values[i] = codec::bf16_to_f32(bits);
        break;
      }
      case ops::KvFormat::kFp8:
        values[i] = codec::kE4m3Values[std::to_integer<uint8_t>(*from)] * factor;
        break;
    }
  }
}

std::vector<float> PagedKvCache::export_part(int64_t layer, KvPart part,
                                             std::span<const int32_t> pages, int64_t count) const {
  SLUICE_CHECK(count >= 0 && count <= static_cast<int64_t>(pages.size()) * ops::kGrid,
               "{} tokens of {} pages", count, pages.size());
  const ops::KvSpec& s = spec();
  std::vector<float> values(static_cast<size_t>(count * s.heads * s.head_dim));
  for (int64_t index = 0; index < count; ++index) {
    for (int64_t head = 0; head < s.heads; ++head) {
      read(layer, pages[static_cast<size_t>(index / ops::kGrid)], part, head, index % ops::kGrid,
           values.data() + (index * s.heads + head) * s.head_dim);
    }
  }
  return values;
}

void PagedKvCache::copy_page(int32_t from, int32_t to) {
  for (int64_t layer = 0; layer < spec().layers; ++layer) {
    const std::span<const std::byte> source = layer_of_page(layer, from);
    std::memmove(layer_of_page(layer, to).data(), source.data(), source.size());
  }
}

std::span<std::byte> PagedKvCache::layer_of_page(int64_t layer, int32_t page) const {
  return {storage_.get() + offset(layer, page, KvPart::kKey, 0, 0),
          spec().bytes_per_page() / static_cast<size_t>(spec().layers)};
}

void PagedKvCache::export_page(int32_t page, std::span<std::byte> bytes) const {
  SLUICE_CHECK(bytes.size() == spec().bytes_per_page(), "{} bytes for a page of {}", bytes.size(),
               spec().bytes_per_page());
  for (int64_t layer = 0; layer < spec().layers; ++layer) {
    const std::span<const std::byte> kept = layer_of_page(layer, page);
    std::copy(kept.begin(), kept.end(), bytes.begin());
    bytes = bytes.subspan(kept.size());
  }
}

void PagedKvCache::import_page(int32_t page, std::span<const std::byte> bytes) {
  SLUICE_CHECK(bytes.size() == spec().bytes_per_page(), "{} bytes for a page of {}", bytes.size(),
               spec().bytes_per_page());
  for (int64_t layer = 0; layer < spec().layers; ++layer) {
    const std::span<std::byte> kept = layer_of_page(layer, page);
    std::copy_n(bytes.begin(), kept.size(), kept.begin());
    bytes = bytes.subspan(kept.size());
  }
}

// ---- RefBackend's part of it

namespace {
const PagedKvCache& own(const ops::KvCache& cache) {
  const auto* mine = dynamic_cast<const PagedKvCache*>(&cache);
  SLUICE_CHECK(mine != nullptr, "a cache of another backend");
  return *mine;
}

PagedKvCache& own(ops::KvCache& cache) {
  auto* mine = dynamic_cast<PagedKvCache*>(&cache);
  SLUICE_CHECK(mine != nullptr, "a cache of another backend");
  return *mine;
}
}  // namespace

Result<std::unique_ptr<ops::KvCache>> RefBackend::create_kv_cache(const ops::KvSpec& spec) {
  SLUICE_CHECK(spec.layers > 0 && spec.heads > 0 && spec.head_dim > 0 && spec.pages >= 0,
               "layers {} heads {} head_dim {} pages {}", spec.layers, spec.heads, spec.head_dim,
               spec.pages);
  for (const auto* scales : {&spec.key_scales, &spec.value_scales}) {
    SLUICE_CHECK(scales->empty() || static_cast<int64_t>(scales->size()) == spec.layers,
                 "{} scales for {} layers", scales->size(), spec.layers);
    SLUICE_CHECK(std::all_of(scales->begin(), scales->end(), [](float s) { return s > 0; }),
                 "a key or value scale is not positive");
  }
  return or_does_not_fit<ops::KvCache>("key-value cache",
                                       spec.bytes_per_page() * static_cast<size_t>(spec.pages),
                                       [&] { return std::make_unique<PagedKvCache>(spec); });
}

std::vector<float> RefBackend::export_keys(const ops::KvCache& cache, int64_t layer,
                                           std::span<const int32_t> pages, int64_t count) {
  return own(cache).export_part(layer, KvPart::kKey, pages, count);
}

std::vector<float> RefBackend::export_values(const ops::KvCache& cache, int64_t layer,
                                             std::span<const int32_t> pages, int64_t count) {
  return own(cache).export_part(layer, KvPart::kValue, pages, count);
}

void RefBackend::copy_page(ops::KvCache& cache, int32_t from, int32_t to) {
  own(cache).copy_page(from, to);
}

void RefBackend::export_page(const ops::KvCache& cache, int32_t page, std::span<std::byte> bytes) {
  own(cache).export_page(page, bytes);
}

void RefBackend::import_page(ops::KvCache& cache, int32_t page, std::span<const std::byte> bytes) {
  own(cache).import_page(page, bytes);
}

}  // namespace sluice::ref
