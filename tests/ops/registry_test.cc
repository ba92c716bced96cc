#include "backend/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/threads.h"

namespace sluice::backend {
namespace {

using ::testing::HasSubstr;

void expect_refused(const BackendOptions& options, const std::string& text) {
  const auto made = create(options);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::kUsage);
  EXPECT_THAT(made.error().message(), HasSubstr(text));
}

TEST(Registry, MakesWhatIsBuilt) {
  for (const std::string& name : built_backends()) {
    const auto made = create({.name = name, .threads = 2, .activations = {}});
    ASSERT_TRUE(made.ok()) << name;
    EXPECT_EQ((*made)->info().name, name);
    EXPECT_EQ((*made)->info().threads, 2);
  }
  const auto all = create({.name = "ref", .threads = 0, .activations = {}});
  ASSERT_TRUE(all.ok());
  EXPECT_EQ((*all)->info().threads, usable_cores());
  EXPECT_EQ((*all)->info().default_kv, ops::KvFormat::kF32);
}

TEST(Registry, RefusesByName) {
  expect_refused({.name = "metal", .threads = 1, .activations = {}}, "metal");
  expect_refused({.name = "metal", .threads = 1, .activations = {}}, "Built: ref");
  expect_refused({.name = "ref", .threads = -1, .activations = {}}, "-1");
  for (const auto mode : {ops::ActivationMode::kDigit, ops::ActivationMode::kPublished,
                          ops::ActivationMode::kByFormat}) {
    expect_refused({.name = "ref", .threads = 1, .activations = mode}, "wide");
  }
  EXPECT_TRUE(
      create({.name = "ref", .threads = 1, .activations = ops::ActivationMode::kWide}).ok());
}

}  // namespace
}  // namespace sluice::backend
