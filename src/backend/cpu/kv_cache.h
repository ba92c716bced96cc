// Keys and values of the CPU backend.
//
// [page][layer][kv head]{keys, values}: a page is one contiguous piece (copy_page is one copy), and
// the part of a page that one head of one layer reads is contiguous too. The order inside is that
// of vector/attention_kernels.h.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "backend/cpu/vector/attention_kernels.h"
#include "base/memory.h"
#include "base/result.h"
#include "base/threads.h"
#include "ops/backend.h"

namespace sluice::cpu {

enum class KvPart { kKeys, kValues };

class PagedKvCache final : public ops::KvCache {
 public:
  static Result<std::unique_ptr<ops::KvCache>> create(const ops::KvSpec& spec, ThreadPool& pool);

  // Stores head_dim values of one token; `place` is its index inside the page. Different tokens and
  // heads may be written at the same time.
  void write(KvPart part, int64_t layer, int32_t page, int64_t head, int64_t place,
             const float* values);
  // The inverse, after the cache's rounding.
  void read(KvPart part, int64_t layer, int32_t page, int64_t head, int64_t place,
            float* values) const;

  // What the kernels need. The score scale holds head_dim^-1/2 and the keys' own scale.
  PageView view(int64_t layer, int32_t page, int64_t head) const;
  // For a page that is read before `next`.
  StreamEnd stream_end(const PageView& view, const PageView& next) const;
  // Multiplies the sum over values.
  float value_factor(int64_t layer) const;

  std::vector<float> export_part(KvPart part, int64_t layer, std::span<const int32_t> pages,
                                 int64_t count) const;
  void copy_page(int32_t from, int32_t to);
  std::span<std::byte> page(int32_t index) const;  // of the given page, all layers

 private:
  PagedKvCache(const ops::KvSpec& spec, PageBlock block);

  float scale(KvPart part, int64_t layer) const;
  std::byte* part_of(KvPart part, int64_t layer, int32_t page, int64_t head) const;
  // Element index of a token's dimension inside a part.
  int64_t element(KvPart part, int64_t place, int64_t dimension) const;

  PageBlock block_;
  size_t element_bytes_;
  size_t part_bytes_;  // keys or values of one page, layer and head
};

PagedKvCache& own(ops::KvCache& cache);
const PagedKvCache& own(const ops::KvCache& cache);

}  // namespace sluice::cpu
