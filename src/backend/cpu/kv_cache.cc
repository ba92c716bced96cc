#include "backend/cpu/kv_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "backend/cpu/block.h"
#include "base/check.h"
#include "codec/number_formats.h"

namespace sluice::cpu {
namespace {

constexpr int64_t kTokenLanes = 32;  // tokens of a key row, dimensions of a value block

size_t bytes_of(ops::KvFormat format) {
  switch (format) {
    case ops::KvFormat::kF32:
      return 4;
    case ops::KvFormat::kBF16:
      return 2;
    case ops::KvFormat::kFp8:
      return 1;
  }
  SLUICE_CHECK(false, "key-value format {}", static_cast<int>(format));
}

bool positive(const std::vector<float>& scales) {
  return std::all_of(scales.begin(), scales.end(), [](float scale) { return scale > 0.0f; });
}

}  // namespace

Result<std::unique_ptr<ops::KvCache>> PagedKvCache::create(const ops::KvSpec& spec,
                                                           ThreadPool& pool) {
  SLUICE_CHECK(spec.layers > 0 && spec.heads > 0 && spec.head_dim > 0 && spec.pages >= 0,
               "layers {} heads {} head_dim {} pages {}", spec.layers, spec.heads, spec.head_dim,
               spec.pages);
  for (const auto* scales : {&spec.key_scales, &spec.value_scales}) {
    SLUICE_CHECK(scales->empty() || static_cast<int64_t>(scales->size()) == spec.layers,
                 "{} scales for {} layers", scales->size(), spec.layers);
    SLUICE_CHECK(positive(*scales), "a key or value scale is not positive");
  }
  const size_t page = spec.bytes_per_page(), pages = static_cast<size_t>(spec.pages);
  const size_t bytes = pages > std::numeric_limits<size_t>::max() / page
                           ? std::numeric_limits<size_t>::max()
                           : page * pages;
  SLUICE_ASSIGN(PageBlock block, take_shared_block("key-value cache", bytes, pool));
  return std::unique_ptr<ops::KvCache>(new PagedKvCache(spec, std::move(block)));
}

PagedKvCache::PagedKvCache(const ops::KvSpec& spec, PageBlock block)
    : KvCache(spec),
      block_(std::move(block)),
      element_bytes_(bytes_of(spec.format)),
      part_bytes_(static_cast<size_t>(ops::kGrid * spec.head_dim) * element_bytes_) {}

float PagedKvCache::scale(KvPart part, int64_t layer) const {
  if (spec().format != ops::KvFormat::kFp8) return 1.0f;
  const auto& scales = part == KvPart::kKeys ? spec().key_scales : spec().value_scales;
  return scales.empty() ? 1.0f : scales[static_cast<size_t>(layer)];
}

std::byte* PagedKvCache::part_of(KvPart part, int64_t layer, int32_t page, int64_t head) const {
  SLUICE_CHECK(page >= 0 && page < spec().pages, "page {} of {}", page, spec().pages);
  const int64_t heads = (int64_t{page} * spec().layers + layer) * spec().heads + head;
  return block_.data() + static_cast<size_t>(2 * heads + (part == KvPart::kValues)) * part_bytes_;
}

int64_t PagedKvCache::element(KvPart part, int64_t place, int64_t dimension) const {
  const int64_t dim = spec().head_dim;
  if (part == KvPart::kKeys) {
    return (place / kTokenLanes * dim + dimension) * kTokenLanes + place % kTokenLanes;
  }
  const int64_t first = dimension / kTokenLanes * kTokenLanes;
  const int64_t width = std::min(kTokenLanes, dim - first);
  return first * ops::kGrid + place * width + dimension - first;
}

void PagedKvCache::write(KvPart part, int64_t layer, int32_t page, int64_t head, int64_t place,
                         const float* values) {
  std::byte* const to = part_of(part, layer, page, head);
  const int64_t dim = spec().head_dim;
  const auto put = [&](int64_t dimension, auto value) {
    std::memcpy(to + static_cast<size_t>(element(part, place, dimension)) * sizeof value, &value,
                sizeof value);
  };
  switch (spec().format) {
    case ops::KvFormat::kF32:
      for (int64_t i = 0; i < dim; ++i) put(i, values[i]);
      break;
    case ops::KvFormat::kBF16:
      for (int64_t i = 0; i < dim; ++i) put(i, codec::f32_to_bf16(values[i]));
      break;
    case ops::KvFormat::kFp8: {
      const float divisor = scale(part, layer);
      for (int64_t i = 0; i < dim; ++i) put(i, codec::f32_to_e4m3(values[i] / divisor));
      break;
    }
  }
}

void PagedKvCache::read(KvPart part, int64_t layer, int32_t page, int64_t head, int64_t place,
                        float* values) const {
  const std::byte* const from = part_of(part, layer, page, head);
  const auto get = [&](int64_t dimension, auto& value) {
    std::memcpy(&value, from + static_cast<size_t>(element(part, place, dimension)) * sizeof value,
                sizeof value);
  };
  for (int64_t i = 0; i < spec().head_dim; ++i) {
    switch (spec().format) {
      case ops::KvFormat::kF32:
        get(i, values[i]);
        break;
      case ops::KvFormat::kBF16: {
        uint16_t bits;
        get(i, bits);
        values[i] = codec::bf16_to_f32(bits);
        break;
      }
      case ops::KvFormat::kFp8: {
        uint8_t code;
        get(i, code);
        values[i] = codec::kE4m3Values[code] * scale(part, layer);
        break;
      }
    }
  }
}

PageView PagedKvCache::view(int64_t layer, int32_t page, int64_t head) const {
  const float by_dim = 1.0f / std::sqrt(static_cast<float>(spec().head_dim));
  return {part_of(KvPart::kKeys, layer, page, head), part_of(KvPart::kValues, layer, page, head),
          spec().format, spec().head_dim,
          by_dim * scale(KvPart::kKeys, layer) * stored_scale(spec().format)};
}

StreamEnd PagedKvCache::stream_end(const PageView& view, const PageView& next) const {
  // Values lie behind their keys.
  const auto end = reinterpret_cast<uintptr_t>(view.values) + part_bytes_;
  return {end, reinterpret_cast<uintptr_t>(next.keys) - end};
}

float PagedKvCache::value_factor(int64_t layer) const {
  return scale(KvPart::kValues, layer) * stored_scale(spec().format);
}

std::vector<float> PagedKvCache::export_part(KvPart part, int64_t layer,
                                             std::span<const int32_t> pages, int64_t count) const {
  SLUICE_CHECK(layer >= 0 && layer < spec().layers, "layer {} of {}", layer, spec().layers);
  SLUICE_CHECK(count >= 0 && count <= static_cast<int64_t>(pages.size()) * ops::kGrid,
               "{} tokens of {} pages", count, pages.size());
  const int64_t heads = spec().heads, dim = spec().head_dim;
  std::vector<float> values(static_cast<size_t>(count * heads * dim));
  for (int64_t index = 0; index < count; ++index) {
    const int32_t page = pages[static_cast<size_t>(index / ops::kGrid)];
    for (int64_t head = 0; head < heads; ++head) {
      read(part, layer, page, head, index % ops::kGrid,
           values.data() + (index * heads + head) * dim);
    }
  }
  return values;
}

void PagedKvCache::copy_page(int32_t from, int32_t to) {
  std::memmove(page(to).data(), page(from).data(), spec().bytes_per_page());
}

std::span<std::byte> PagedKvCache::page(int32_t index) const {
  return {part_of(KvPart::kKeys, 0, index, 0), spec().bytes_per_page()};
}

PagedKvCache& own(ops::KvCache& cache) {
  auto* mine = dynamic_cast<PagedKvCache*>(&cache);
  SLUICE_CHECK(mine != nullptr, "a cache of another backend");
  return *mine;
}

const PagedKvCache& own(const ops::KvCache& cache) {
  const auto* mine = dynamic_cast<const PagedKvCache*>(&cache);
  SLUICE_CHECK(mine != nullptr, "a cache of another backend");
  return *mine;
}

}  // namespace sluice::cpu
