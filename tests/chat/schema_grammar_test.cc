// JSON Schema keyword by keyword: what each lets through, and what is refused by name
// (docs/structured-output.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "chat/grammar_harness.h"

namespace sluice::chat::grammar {
namespace {

using ::testing::HasSubstr;

Result<CompiledOutput> compile(const std::string& schema, bool strict = false) {
  static OutputCompiler compiler(small_trie());
  const auto json = parse_json(schema);
  EXPECT_TRUE(json.ok()) << schema;
  return compiler.compile(
      {.format = StructuredOutput::Format::kJsonSchema, .schema = *json, .strict = strict});
}

void check(const std::string& schema, const std::vector<std::string>& good,
           const std::vector<std::string>& bad, bool strict = false) {
  const auto compiled = compile(schema, strict);
  ASSERT_TRUE(compiled.ok()) << schema << ": " << compiled.error().message();
  for (const std::string& text : good)
    EXPECT_TRUE(accepts(compiled->masks, text)) << schema << "\n" << text;
  for (const std::string& text : bad)
    EXPECT_FALSE(accepts(compiled->masks, text)) << schema << "\n" << text;
}

std::string refusal(const std::string& schema, bool strict = true) {
  const auto compiled = compile(schema, strict);
  return compiled.ok() ? "accepted" : compiled.error().message();
}

TEST(SchemaGrammar, AnyValue) {
  for (const char* schema : {"{}", "true", R"({"title": "x", "description": "y"})"}) {
    check(schema,
          {"null", "true", "-0.5e+10", "0", "\"\"", R"("a\"\\\/\b\f\n\r\t\u00e9é🙂")",
           R"("\ud83d\ude42")", "[]", "{}", R"({"a": [1, {"b": []}], "a" : 2})", " \n[ 1 ,\n  2 ]",
           "\n\n{}"},
          {"",
           "nul",
           "01",
           "1.",
           ".5",
           "+1",
           "1e",
           "\"",
           "\"\n\"",
           R"("\x")",
           R"("\ud83d")",
           R"("\ud83dx")",
           R"("\ude42")",
           "[1,]",
           "[,]",
           "{\"a\"}",
           "{a: 1}",
           "{\"a\": 1,}",
           "[1 2]",
           "{} ",
           "[] []",
           "\"\xC3\"",
           "\"\xED\xA0\x80\"",
           "\"\xFF\"",
           "NaN",
           "'a'",
           "\n\n\n{}"});
  }
  EXPECT_THAT(refusal("false"), HasSubstr("no finite text"));
}

TEST(SchemaGrammar, WhiteSpaceIsBounded) {
  check("{}",
        {"[" + std::string(32, ' ') + "1]",
         "[\n" + std::string(32, ' ') + "\n" + std::string(32, '\t') + "1]"},
        {"[" + std::string(33, ' ') + "1]", "[\n\n\n1]", "[\r1]"});
  OutputCompiler compiler(small_trie());
  const auto none = compiler.compile(
      {.format = StructuredOutput::Format::kJsonObject, .white_space = WhiteSpace::kNone});
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(accepts(none->masks, "\n\n{\"a\":[1,2]}"));
  EXPECT_FALSE(accepts(none->masks, "{\"a\": 1}"));
}

TEST(SchemaGrammar, Types) {
  check(R"({"type": "integer"})", {"0", "-7", "123456789012345678901"},
        {"1.0", "1e3", "01", "\"1\"", "null"});
  check(R"({"type": "number"})", {"0", "-7.25", "1e3"}, {"true", "\"1\""});
  check(R"({"type": "boolean"})", {"true", "false"}, {"True", "0"});
  check(R"({"type": "null"})", {"null"}, {"0"});
  check(R"({"type": "string"})", {"\"\"", "\"abc\""}, {"1", "abc"});
  check(R"({"type": ["integer", "null"]})", {"1", "null"}, {"\"1\"", "true"});
  check(R"({"type": "array"})", {"[]", "[1, \"a\"]"}, {"{}"});
  check(R"({"type": "object"})", {"{}", "{\"a\": 1}"}, {"[]"});
  check(R"({"type": "integer", "nullable": true})", {"1", "null"}, {"\"\""});
  EXPECT_THAT(refusal(R"({"properties": {"a": {"type": "int"}}})", false),
              HasSubstr("/properties/a: the type 'int' is unknown"));
  EXPECT_THAT(refusal(R"({"type": 5})", false), HasSubstr("'type'"));
}

TEST(SchemaGrammar, Objects) {
  const std::string schema =
      R"({"type": "object", "properties": {"name": {"type": "string"}, "id": {"type": "integer"},
      "na": {"type": "null"}}, "required": ["id"], "additionalProperties": false})";
  check(schema,
        {R"({"id": 1})", R"({"name": "x", "id": 1})", R"({"name":"x","id":1,"na":null})",
         R"({"id": 1, "na": null})"},
        {"{}", R"({"name": "x"})", R"({"id": 1, "name": "x"})", R"({"id": 1, "id": 1})",
         R"({"id": "1"})", R"({"id": 1,})", R"({"id": 1, "other": 1})", R"({"na": null, "id": 1})",
         R"({, "id": 1})", R"({"n": 1, "id": 1})"});
  check(R"({"properties": {"a": true, "b": true}})",
        {"{}", R"({"a": 1})", R"({"b": 1})", R"({"a": [], "b": {}})", R"({"x": 1})",
         R"({"a": 1, "ab": 2, "": 3})"},
        {R"({"x": 1, "a": 2})", R"({"a": 1, "a": 2})", R"({"x": 1, "\u0061": 2})", "[]"});
  check(
      R"({"properties": {"a": true}, "additionalProperties": {"type": "integer"}, "required": ["z"]})",
      {R"({"a": 1, "z": 2})", R"({"z": 2, "y": 3})"},
      {R"({"a": 1})", R"({"z": "2"})", R"({"z": 2, "y": "3"})", R"({"z": 2, "z": 2})"});
  check(R"({"properties": {"é": {"type": "null"}, "a\"b": {"type": "null"}}})",
        {R"({"é": null})", R"({"a\"b": null})", R"({"è": 1})", R"({"éé": 1})"},
        {R"({"é": 1})", R"({"a\"b": 1})"});
  // Strict: only what is named.
  check(R"({"type": "object", "properties": {"a": true}})", {"{}", R"({"a": 1})"}, {R"({"b": 1})"},
        true);
  check(R"({"properties": {"a": true}, "additionalProperties": true})", {R"({"b": 1})"}, {}, true);
  // A property that nothing can satisfy cannot be begun.
  check(R"({"properties": {"a": false, "b": true}, "additionalProperties": false})",
        {"{}", R"({"b": 1})"}, {R"({"a": 1})"});
}

TEST(SchemaGrammar, Arrays) {
  check(R"({"type": "array", "items": {"type": "integer"}})", {"[]", "[1]", "[1, 2 , 3]"},
        {"[\"1\"]", "[1,]", "[,1]"});
  check(R"({"items": {"type": "integer"}, "minItems": 2, "maxItems": 3})", {"[1,2]", "[1,2,3]"},
        {"[]", "[1]", "[1,2,3,4]"});
  check(R"({"items": true, "maxItems": 0})", {"[]", "[ ]"}, {"[1]"});
  check(R"({"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false})",
        {"[]", "[1]", "[1, \"a\"]"}, {"[\"a\"]", "[1, \"a\", 2]"});
  check(
      R"({"prefixItems": [{"type": "integer"}], "items": {"type": "null"}, "minItems": 2, "maxItems": 3})",
      {"[1, null]", "[1, null, null]"}, {"[1]", "[1, 1]", "[1, null, null, null]"});
  check(R"({"items": [{"type": "integer"}], "additionalItems": false})", {"[1]"}, {"[1, 1]"});
  check(R"({"prefixItems": [true, true, true], "maxItems": 1})", {"[]", "[1]"}, {"[1, 1]"});
  EXPECT_THAT(refusal(R"({"items": true, "minItems": 3, "maxItems": 2})"),
              HasSubstr("no finite text"));
  EXPECT_THAT(refusal(R"({"items": true, "minItems": 100000})"), HasSubstr("1024"));
  EXPECT_THAT(refusal(R"({"items": true, "minItems": -1})"), HasSubstr("'minItems' is -1"));
}

TEST(SchemaGrammar, EnumAndConst) {
  check(R"({"enum": ["a", "ab", 1, null, [1, {"x": "é\n"}]]})",
        {"\"a\"", "\"ab\"", "1", "null", "[1,{\"x\":\"é\\n\"}]", "[ 1, { \"x\" : \"é\\n\" } ]"},
        {"\"b\"", "\"abc\"", "12", "1.0", "[1]", "[1, {}]"});
  check(R"({"type": "string", "enum": ["a", 1]})", {"\"a\""}, {"1"});
  check(R"({"const": "x y"})", {"\"x y\""}, {"\"x\""});
  check(R"({"const": 1, "enum": [1, 2]})", {"1"}, {"2"});
  EXPECT_THAT(refusal(R"({"enum": ["a"], "minLength": 2})"),
              HasSubstr("'minLength' beside 'enum'"));
  EXPECT_THAT(refusal(R"({"enum": []})"), HasSubstr("no finite text"));
}

TEST(SchemaGrammar, StringLengthsCountCharacters) {
  check(R"({"type": "string", "minLength": 2, "maxLength": 3})",
        {"\"ab\"", "\"abc\"", "\"éé\"", "\"🙂🙂🙂\"", R"("\n\u00e9")", R"("\ud83d\ude42a")"},
        {"\"a\"", "\"abcd\"", "\"é\"", R"("\n")", R"("\ud83d\ude42")"});
  check(R"({"minLength": 1})", {"\"a\""}, {"\"\""});
  EXPECT_THAT(refusal(R"({"type": "string", "maxLength": 100000})"),
              HasSubstr("'maxLength' above 256"));
  EXPECT_THAT(refusal(R"({"type": "string", "minLength": 3, "maxLength": 2})"),
              HasSubstr("no finite text"));
}

TEST(SchemaGrammar, Formats) {
  const auto format = [](const std::string& name) {
    return R"({"type": "string", "format": ")" + name + "\"}";
  };
  check(format("date"), {"\"2026-11-21\""},
        {"\"2026-13-01\"", "\"2026-00-10\"", "\"2026-1-1\"", "\"x\""});
  check(format("time"), {"\"23:59:59Z\"", "\"00:00:00.123+02:00\""},
        {"\"24:00:00Z\"", "\"10:00\""});
  check(format("date-time"), {"\"2026-11-21T10:00:00Z\""}, {"\"2026-11-21\""});
  check(format("uuid"), {"\"123e4567-e89b-12d3-a456-426614174000\""}, {"\"123e4567\""});
  check(format("ipv4"), {"\"0.10.199.255\""}, {"\"256.1.1.1\"", "\"1.1.1\"", "\"01.1.1.1\""});
  check(format("email"), {"\"a.b+c@x-y.example.org\""},
        {"\"a@b\"", "\"@b.c\"", "\"a@-b.c\"", "\"a b@c.d\""});
  EXPECT_THAT(refusal(format("hostname")), HasSubstr("'format' \"hostname\""));
}

TEST(SchemaGrammar, Alternatives) {
  const std::string schema =
      R"({"anyOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false},
      {"type": "object", "properties": {"a": {"type": "string"}, "b": true}, "required": ["a", "b"], "additionalProperties": false}, {"type": "null"}]})";
  check(schema, {"null", R"({"a": 1})", R"({"a": "x", "b": 1})"},
        {R"({"a": 1, "b": 1})", R"({"a": "x"})", "{}"});
  check(R"({"oneOf": [{"type": "integer"}, {"type": "string"}]})", {"1", "\"1\""}, {"null"});
  // Keywords beside anyOf hold for each.
  check(
      R"({"type": "object", "properties": {"k": {"type": "integer"}}, "anyOf": [{"required": ["k"]}, {"maxItems": 1}], "additionalProperties": false})",
      {R"({"k": 1})", "{}"}, {R"({"k": "1"})"});
  check(R"({"anyOf": [false, {"type": "null"}]})", {"null"}, {"1"});
  check(R"({"type": "integer", "anyOf": [true, {"type": "string"}]})", {"1"}, {"\"a\""});
}

TEST(SchemaGrammar, AllOfIsJoined) {
  check(
      R"({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                      {"properties": {"b": {"type": "string"}, "a": {"type": "number"}}, "required": ["b"]}]})",
      {R"({"a": 1, "b": "x"})", R"({"a": 1, "b": "x", "c": 0})"},
      {R"({"a": 1})", R"({"a": 1.5, "b": "x"})", R"({"b": "x"})"});
  check(R"({"allOf": [{"type": ["integer", "string"]}, {"type": ["number", "null"]}]})", {"1"},
        {"1.5", "null", "\"a\""});
  check(R"({"allOf": [{"minItems": 1, "items": true}, {"minItems": 2}, {"maxItems": 2}]})",
        {"[1,2]"}, {"[1]", "[1,2,3]"});
  check(R"({"allOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]})", {"2"}, {"1", "3"});
  check(
      R"({"allOf": [{"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"anyOf": [{"type": "null"}, {"type": "string"}]}]})",
      {"null"}, {"1", "\"a\""});
  EXPECT_THAT(refusal(R"({"allOf": [{"pattern": "a"}, {"pattern": "b"}]})", false),
              HasSubstr("two different 'pattern'"));
  EXPECT_THAT(
      refusal(
          R"({"allOf": [{"properties": {"a": true}, "additionalProperties": false}, {"properties": {"b": true}}]})",
          false),
      HasSubstr("'additionalProperties'"));
  EXPECT_THAT(refusal(R"({"allOf": [{"type": "integer"}, {"type": "string"}]})"),
              HasSubstr("no finite text"));
}

TEST(SchemaGrammar, References) {
  check(
      R"({"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}, "additionalProperties": false})",
      {R"({"a": 1})"}, {R"({"a": "1"})"});
  const std::string tree =
      R"({"$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"},
      "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
      "required": ["v"], "additionalProperties": false}}, "$ref": "#/$defs/node"})";
  check(tree,
        {R"({"v": 1})",
         R"({"v": 1, "next": {"v": 2, "next": null}, "kids": [{"v": 3}, {"v": 4, "kids": []}]})"},
        {R"({"v": 1, "next": {}})", R"({"v": 1, "kids": [1]})", R"({"next": null})"});
  check(R"({"type": "array", "items": {"$ref": "#"}})", {"[]", "[[], [[]]]"}, {"[1]"});
  check(R"({"$defs": {"a~/b": {"type": "null"}}, "$ref": "#/$defs/a~0~1b", "description": "d"})",
        {"null"}, {"1"});
  check(
      R"({"$defs": {"o": {"properties": {"a": {"type": "integer"}}}}, "$ref": "#/$defs/o", "required": ["a"]})",
      {R"({"a": 1})"}, {"{}"});
  check(R"({"prefixItems": [{"type": "null"}, {"$ref": "#/prefixItems/0"}], "items": false})",
        {"[null, null]"}, {"[null, 1]"});
  EXPECT_THAT(refusal(R"({"$ref": "#/$defs/none"})", false),
              HasSubstr("'#/$defs/none' leads nowhere"));
  EXPECT_THAT(refusal(R"({"$ref": "https://example.org/x"})", false), HasSubstr("leads nowhere"));
  EXPECT_THAT(refusal(R"({"$ref": "#"})", false), HasSubstr("no finite text"));
  EXPECT_THAT(refusal(R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})", false),
              HasSubstr("refers to itself"));
  EXPECT_THAT(refusal(R"({"allOf": [{"$ref": "#"}], "type": "object"})", false),
              HasSubstr("without end"));
  EXPECT_THAT(refusal(R"({"properties": {"a": {"$ref": "#"}}, "required": ["a"]})", false),
              HasSubstr("no finite text"));
}

TEST(SchemaGrammar, WhatIsNotSupportedIsRefusedByName) {
  for (const char* keyword : {"pattern",
                              "minimum",
                              "maximum",
                              "exclusiveMinimum",
                              "exclusiveMaximum",
                              "multipleOf",
                              "not",
                              "if",
                              "then",
                              "else",
                              "patternProperties",
                              "propertyNames",
                              "minProperties",
                              "maxProperties",
                              "dependentRequired",
                              "dependentSchemas",
                              "contains",
                              "unevaluatedProperties",
                              "unevaluatedItems",
                              "$dynamicRef",
                              "mispeled"}) {
    Json schema = Json::object(), properties = Json::object(), inner = Json::object();
    inner.set("type", "string");
    inner.set(keyword, 1);
    properties.set("p", inner);
    schema.set("properties", properties);
    EXPECT_THAT(refusal(schema.dump()),
                HasSubstr(std::string("/properties/p: '") + keyword + "' is not supported"));
    const auto lax = compile(schema.dump());
    ASSERT_TRUE(lax.ok()) << keyword;
    ASSERT_EQ(lax->ignored.size(), 1u);
    EXPECT_THAT(lax->ignored[0], HasSubstr(keyword));
  }
  check(R"({"type": "array", "uniqueItems": true})", {"[1]"}, {}, true);
  check(R"({"type": "null", "x-order": 5})", {"null"}, {}, true);
  EXPECT_THAT(refusal("5", false), HasSubstr("not number"));
  EXPECT_THAT(refusal(R"({"properties": []})", false), HasSubstr("'properties'"));
  EXPECT_THAT(refusal(R"({"required": "a"})", false), HasSubstr("'required'"));
  EXPECT_THAT(refusal(R"({"anyOf": []})", false), HasSubstr("'anyOf'"));
  EXPECT_THAT(refusal(R"({"enum": 5})", false), HasSubstr("'enum'"));
}

TEST(SchemaGrammar, SizeIsBounded) {
  // Twelve choices of two within each other are 4,096 joined schemas, twenty a million.
  std::string all = "{\"type\": \"null\"}";
  for (int i = 0; i < 20; ++i) all += R"(, {"anyOf": [{"title": "a"}, {"minItems": 1}]})";
  EXPECT_THAT(refusal("{\"allOf\": [" + all + "]}", false), HasSubstr("too large"));
  std::string nested = "true";
  for (int i = 0; i < 4; ++i)
    nested =
        R"({"type": "array", "minItems": 100, "items": {"type": "string", "maxLength": 200}, "prefixItems": [)" +
        nested + "]}";
  EXPECT_EQ(refusal(nested, false), "accepted");
  std::string wide = "{\"anyOf\": [";
  for (int i = 0; i < 300; ++i)
    wide += (i ? "," : "") + std::string(R"({"type": "string", "maxLength": )") +
            std::to_string(i % 256) + "}";
  const auto compiled = compile(wide + "]}");
  EXPECT_TRUE(compiled.ok() ||
              compiled.error().message().find("needs more than") != std::string::npos);
}

}  // namespace
}  // namespace sluice::chat::grammar
