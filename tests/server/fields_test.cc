#include "server/core/fields.h"

#include <gtest/gtest.h>

namespace sluice::server {
namespace {

Json object(const char* text) { return *parse_body(text); }

TEST(Body, MustBeAnObject) {
  for (const char* text : {"[]", "\"x\"", "1", "", "{", "{\"a\":\"\xff\"}", "{} {}"})
    EXPECT_EQ(parse_body(text).error().code, ErrorCode::kUsage) << text;
  std::string deep = "{\"a\":";
  for (int i = 0; i < 70; ++i) deep += "[";
  for (int i = 0; i < 70; ++i) deep += "]";
  EXPECT_FALSE(parse_body(deep + "}").ok());
}

TEST(Fields, TypesBeforeValues) {
  const Json json = object(R"({"t":"a","n":2.5,"i":16.0,"b":1,"s":2,"z":null,"big":1e400})");
  Fields fields(json);
  EXPECT_EQ(fields.integer("i"), 16);
  EXPECT_EQ(fields.string("z"), std::nullopt);
  EXPECT_TRUE(fields.status().ok());
  const auto complains = [&](auto read, const char* name) {
    Fields own(json);
    read(own);
    EXPECT_EQ(own.status().error().what, name);
  };
  complains([](Fields& f) { f.real("t"); }, "t");
  complains([](Fields& f) { f.integer("n"); }, "n");
  complains([](Fields& f) { f.boolean("b"); }, "b");
  complains([](Fields& f) { f.string("s"); }, "s");
  complains([](Fields& f) { f.object("s"); }, "s");
  complains([](Fields& f) { f.array("s"); }, "s");
  complains([](Fields& f) { f.real("big"); }, "big");
}

TEST(Fields, RangesAndTheFirstComplaint) {
  const Json json = object(R"({"a":3,"b":0,"c":-1})");
  Fields fields(json, "outer");
  fields.real("b", {.low = 0, .low_open = true});
  fields.real("a", {.low = 0, .high = 2});
  EXPECT_EQ(fields.status().error().what, "outer.b");
  EXPECT_EQ(fields.unknown(), (std::vector<std::string>{"outer.c"}));
}

TEST(Fields, StringsAloneOrInAList) {
  const Json json = object(R"({"one":"a","two":["a","b"],"empty":"","bad":[1]})");
  Fields fields(json);
  EXPECT_EQ(fields.strings("one", 2).size(), 1u);
  EXPECT_EQ(fields.strings("two", 2).size(), 2u);
  EXPECT_TRUE(fields.status().ok());
  for (const char* name : {"empty", "bad"}) {
    Fields own(json);
    own.strings(name, 2);
    EXPECT_FALSE(own.status().ok()) << name;
  }
  Fields own(json);
  own.strings("two", 1);
  EXPECT_FALSE(own.status().ok());
}

TEST(Fields, RefusedOnlyIfTheyMeanSomething) {
  const Json json = object(R"({"a":false,"b":0,"c":null,"d":true})");
  Fields fields(json);
  for (const char* name : {"a", "b", "c", "absent"}) fields.refuse(name, "no");
  EXPECT_TRUE(fields.status().ok());
  fields.refuse("d", "no");
  EXPECT_FALSE(fields.status().ok());
}

}  // namespace
}  // namespace sluice::server
