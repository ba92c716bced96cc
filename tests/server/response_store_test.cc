#include "server/response_store.h"

#include <gtest/gtest.h>

namespace sluice::server {
namespace {

StoredResponse response(size_t bytes) { return {Json(std::string(bytes, 'x')), Json::array()}; }

TEST(ResponseStore, TheOldestGoesWhenTheBytesAreSpent) {
  ResponseStore store(250);
  store.put("a", response(100));
  store.put("b", response(100));
  ASSERT_NE(store.find("a"), nullptr);
  store.put("c", response(100));
  EXPECT_EQ(store.find("a"), nullptr);
  EXPECT_NE(store.find("b"), nullptr);
  EXPECT_NE(store.find("c"), nullptr);
}

TEST(ResponseStore, ErasedAndReplacedOnesTakeNoRoom) {
  ResponseStore store(250);
  store.put("a", response(100));
  EXPECT_TRUE(store.erase("a"));
  EXPECT_FALSE(store.erase("a"));
  store.put("b", response(100));
  store.put("b", response(50));
  store.put("c", response(100));
  EXPECT_EQ(store.find("b")->body.string().size(), 50u);
  EXPECT_NE(store.find("c"), nullptr);
}

TEST(ResponseStore, WhatIsLargerThanAllOfItIsNotKept) {
  ResponseStore store(10);
  store.put("a", response(100));
  EXPECT_EQ(store.find("a"), nullptr);
}

}  // namespace
}  // namespace sluice::server
