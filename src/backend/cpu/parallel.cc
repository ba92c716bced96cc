#include "backend/cpu/parallel.h"

#include <memory>

namespace sluice::cpu {

std::span<NextItem> next_items(int members) {
  thread_local std::unique_ptr<NextItem[]> items;
  thread_local size_t count = 0;
  const auto wanted = static_cast<size_t>(members);
  if (count < wanted) {
    items = std::make_unique<NextItem[]>(wanted);
    count = wanted;
  }
  return {items.get(), wanted};
}

}  // namespace sluice::cpu
