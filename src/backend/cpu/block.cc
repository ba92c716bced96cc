#include "backend/cpu/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <new>

namespace sluice::cpu {
namespace {

constexpr size_t kSmall = size_t{1} << 20;

double mebibytes(uint64_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024.0); }

// `populate` touches the block.
template <typename Populate>
Result<PageBlock> take(const std::string& what, size_t bytes, const Populate& populate) {
  // Asking the system reads several files: not worth it for what always fits.
  if (bytes < kSmall) return PageBlock(bytes);
  const uint64_t available = available_memory();
  // Beyond half the address space rounding up to pages would wrap.
  const bool absurd = bytes > std::numeric_limits<size_t>::max() / 2;
  const size_t needed = absurd ? bytes : PageBlock::footprint(bytes);
  const auto refuse = [&](const std::string& why) {
    return Error{ErrorCode::kDoesNotFit, what, why,
                 "Lower the context, the number of sequences or the model's size; `sluice plan` "
                 "shows every part"};
  };
  if (absurd || needed > available) {
    return refuse(fmt::format("needs {:.1f} MiB ({} bytes), {:.1f} MiB are available",
                              mebibytes(needed), needed, mebibytes(available)));
  }
  try {
    // Taken for good: what the plan announced is in use from the start, and no step can run out of
    // it.
    PageBlock block(bytes);
    populate(block);
    return block;
  } catch (const std::bad_alloc&) {
    return refuse(fmt::format("the system refused {:.1f} MiB ({} bytes) with {:.1f} MiB available",
                              mebibytes(needed), needed, mebibytes(available)));
  }
}

}  // namespace

Result<PageBlock> take_block(const std::string& what, size_t bytes) {
  return take(what, bytes, [](PageBlock& block) { block.populate(); });
}

Result<PageBlock> take_shared_block(const std::string& what, size_t bytes, ThreadPool& pool) {
  return take(what, bytes, [&](PageBlock& block) {
    constexpr size_t kGrain = PageBlock::kPopulateGrain;
    pool.run([&](int member, int size) {
      for (size_t at = static_cast<size_t>(member) * kGrain; at < block.size();
           at += static_cast<size_t>(size) * kGrain) {
        block.populate(at, std::min(at + kGrain, block.size()));
      }
    });
  });
}

}  // namespace sluice::cpu
