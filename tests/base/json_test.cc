#include "base/json.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

Json parse(std::string_view text) {
  Result<Json> json = parse_json(text);
  EXPECT_TRUE(json.ok()) << text << ": " << json.error().message();
  return json.ok() ? *json : Json();
}

TEST(Json, KeepsOrderAndSpelling) {
  const std::string text =
      R"({"b":1.0,"a":[1e5,-0.0,12345678901234567890123,true,null],"ü":"\u00e9\n"})";
  EXPECT_EQ(parse(text).dump(),
            R"({"b":1.0,"a":[1e5,-0.0,12345678901234567890123,true,null],"ü":"é\n"})");
}

TEST(Json, DuplicateKeyKeepsFirstPlaceAndLastValue) {
  EXPECT_EQ(parse(R"({"a":1,"b":2,"a":3})").dump(), R"({"a":3,"b":2})");
}

TEST(Json, DuplicateKeyIsRejectedOnRequestAlsoWhenEscaped) {
  const JsonLimits strict{.depth = 8, .duplicates = DuplicateKeys::kReject};
  EXPECT_FALSE(parse_json(R"({"a":1,"\u0061":2})", strict).ok());
  EXPECT_TRUE(parse_json(R"({"a":1,"b":{"a":2}})", strict).ok());
}

TEST(Json, ManyKeysStayFindable) {
  std::string text = "{";
  for (int i = 0; i < 1000; ++i)
    text += "\"k" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  text += "\"k7\":-1}";
  const Json json = parse(text);
  EXPECT_EQ(json.members().size(), 1000u);
  EXPECT_EQ(json.find("k7")->as_int64(), -1);
}

TEST(Json, IntegersByRange) {
  EXPECT_EQ(parse("18446744073709551615").as_uint64(), 18446744073709551615u);
  EXPECT_FALSE(parse("18446744073709551616").as_uint64().has_value());
  EXPECT_FALSE(parse("1.0").as_int64().has_value());
  EXPECT_FALSE(parse("1e3").as_int64().has_value());
  EXPECT_EQ(parse("1e3").as_double(), 1000.0);
  EXPECT_EQ(parse("-9223372036854775808").as_int64(), INT64_MIN);
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text : {"", "{", "[1,]", "{\"a\":}", "01", "1 2", "nul", "\"\x01\"", "\"\xff\"",
                           "{'a':1}", "NaN", "[1] x", "\"\\ud800\""}) {
    EXPECT_FALSE(parse_json(text).ok()) << text;
  }
}

TEST(Json, DepthIsBounded) {
  EXPECT_TRUE(parse_json(std::string(64, '[') + std::string(64, ']')).ok());
  EXPECT_FALSE(parse_json(std::string(66, '[') + std::string(66, ']')).ok());
  EXPECT_FALSE(parse_json(std::string(1000000, '[')).ok());
}

}  // namespace
}  // namespace sluice
