// Rotary tables against the reference's bits (tests/reference/model_yarn.py; architecture.md 4.5).
#include "model/rotary.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "base/file.h"
#include "base/json.h"
#include "support/paths.h"

namespace sluice::model {
namespace {

std::string bits_of(float value) { return fmt::format("{:08x}", std::bit_cast<uint32_t>(value)); }

std::optional<double> number(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value == nullptr ? std::nullopt : value->as_double();
}

TEST(Rotary, BitsOfTheReference) {
  const auto text = read_file(test::tests_folder() / "model/data/yarn.json", 1 << 20);
  ASSERT_TRUE(text.ok());
  const auto cases = parse_json(*text);
  ASSERT_TRUE(cases.ok());
  EXPECT_GE(cases->items().size(), 11u);
  for (const Json& entry : cases->items()) {
    RotaryParameters parameters;
    parameters.theta = *number(entry, "theta");
    parameters.dims = *entry.find("dims")->as_int64();
    if (const Json& keys = *entry.find("keys"); !keys.is_null()) {
      YarnParameters yarn;
      yarn.factor = *number(keys, "factor");
      yarn.original_context = *number(keys, "original_max_position_embeddings");
      yarn.attention_factor = number(keys, "attention_factor");
      yarn.beta_fast = number(keys, "beta_fast").value_or(32);
      yarn.beta_slow = number(keys, "beta_slow").value_or(1);
      yarn.mscale = number(keys, "mscale");
      yarn.mscale_all_dim = number(keys, "mscale_all_dim");
      if (const Json* truncate = keys.find("truncate")) yarn.truncate = truncate->boolean();
      parameters.yarn = yarn;
    }
    const auto table = make_rotary_table(parameters);
    ASSERT_TRUE(table.ok());
    const Json::Array& bits = entry.find("bits")->items();
    ASSERT_EQ(table->inverse_frequencies.size(), bits.size());
    for (size_t m = 0; m < bits.size(); ++m) {
      EXPECT_EQ(bits_of(table->inverse_frequencies[m]), bits[m].string())
          << entry.find("name")->string() << " pair " << m;
    }
    EXPECT_EQ(table->attention_factor, static_cast<float>(*number(entry, "attention_factor")))
        << entry.find("name")->string();
  }
}

TEST(Rotary, InterleavedComponents) {
  const auto table =
      make_rotary_table({.theta = 1e7, .dims = 64, .sections = {11, 11, 10}, .yarn = {}});
  ASSERT_TRUE(table.ok());
  int counts[3] = {0, 0, 0};
  for (size_t m = 0; m < 32; ++m) {
    const int component = table->components[m];
    ++counts[component];
    EXPECT_EQ(component, m % 3 == 1 && m < 33 ? 1 : m % 3 == 2 && m < 30 ? 2 : 0) << m;
  }
  EXPECT_EQ(counts[0], 11);
  EXPECT_EQ(counts[1], 11);
  EXPECT_EQ(counts[2], 10);
}

TEST(Rotary, RefusesWhatIsNoNumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(make_rotary_table({.theta = nan, .dims = 64, .yarn = {}}).ok());
  EXPECT_FALSE(make_rotary_table({.theta = -1, .dims = 64, .yarn = {}}).ok());
  EXPECT_FALSE(make_rotary_table({.theta = 1e7, .dims = 63, .yarn = {}}).ok());
  EXPECT_FALSE(make_rotary_table({.theta = 1e7, .dims = 0, .yarn = {}}).ok());
  for (const YarnParameters& yarn :
       {YarnParameters{.factor = 0, .original_context = 4096},
        YarnParameters{.factor = nan, .original_context = 4096},
        YarnParameters{.factor = 4, .original_context = 0},
        YarnParameters{.factor = 4, .original_context = 4096, .beta_fast = -1},
        YarnParameters{.factor = 4, .original_context = 4096, .attention_factor = nan}}) {
    EXPECT_FALSE(make_rotary_table({.theta = 1e7, .dims = 64, .yarn = yarn}).ok());
  }
}

}  // namespace
}  // namespace sluice::model
