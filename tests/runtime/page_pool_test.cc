#include "runtime/cache/page_pool.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "base/check.h"

namespace sluice::runtime {
namespace {

TEST(PagePool, RandomStepsAgainstASet) {
  PagePool pool(50);
  std::set<int32_t> held;
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    if (random() % 2 == 0) {
      const auto page = pool.take();
      ASSERT_EQ(page.has_value(), held.size() < 50);
      if (page) {
        ASSERT_TRUE(held.insert(*page).second);
      }
    } else if (!held.empty()) {
      auto entry = held.begin();
      std::advance(entry, random() % held.size());
      pool.give_back(*entry);
      held.erase(entry);
    }
    ASSERT_EQ(pool.free(), 50 - static_cast<int64_t>(held.size()));
    if (i % 100 == 0) {
      ASSERT_TRUE(pool.intact());
    }
  }
}

TEST(PagePool, GivingBackTwiceIsABug) {
  PagePool pool(2);
  const int32_t page = *pool.take();
  pool.give_back(page);
  EXPECT_THROW(pool.give_back(page), ContractViolation);
  EXPECT_THROW(pool.give_back(7), ContractViolation);
}

}  // namespace
}  // namespace sluice::runtime
