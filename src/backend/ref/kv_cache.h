// Keys and values of the reference backend: per layer and page, [2 (key, value), heads, kGrid,
// head_dim], each element stored in the cache's format.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "ops/backend.h"

namespace sluice::ref {

enum class KvPart : int { kKey, kValue };

class PagedKvCache final : public ops::KvCache {
 public:
  explicit PagedKvCache(const ops::KvSpec& spec);

  // One token's vector of one head: head_dim values. `place` is the token's index inside its page.
  void write(int64_t layer, int32_t page, KvPart part, int64_t head, int64_t place,
             const float* values);
  void read(int64_t layer, int32_t page, KvPart part, int64_t head, int64_t place,
            float* values) const;

  // The first `count` indices of a page list, [count, heads, head_dim].
  std::vector<float> export_part(int64_t layer, KvPart part, std::span<const int32_t> pages,
                                 int64_t count) const;
  void copy_page(int32_t from, int32_t to);
  // A page's bytes, layer by layer.
  void export_page(int32_t page, std::span<std::byte> bytes) const;
  void import_page(int32_t page, std::span<const std::byte> bytes);

 private:
  // Byte offset of such a vector; checks every index.
  size_t offset(int64_t layer, int32_t page, KvPart part, int64_t head, int64_t place) const;
  float scale(int64_t layer, KvPart part) const;
  std::span<std::byte> layer_of_page(int64_t layer, int32_t page) const;

  size_t element_bytes_;
  std::unique_ptr<std::byte[]> storage_;
};

}  // namespace sluice::ref
