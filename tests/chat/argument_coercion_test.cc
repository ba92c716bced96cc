// Raw parameter text by schema: the rules of serving-tools.md 3.3, R13 of its list of defects.
#include "chat/calls/argument_coercion.h"

#include <gtest/gtest.h>

#include <string>

#include "chat/calls/loose_json.h"

namespace sluice::chat {
namespace {

Json json(const std::string& text) {
  auto parsed = parse_json(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed.ok() ? *parsed : Json();
}

// `raw` as the parameter "p" with this schema.
std::string coerced(const std::string& schema, const std::string& raw) {
  Json parameters = json(R"({"type": "object", "properties": {}, "$defs": {
      "count": {"type": "integer"}, "loop": {"$ref": "#/$defs/loop"}, "a/b": {"type": "boolean"}}})");
  parameters.find("properties")->set("p", json(schema));
  return coerce_argument(raw, parameter_type(parameters, "p"));
}

TEST(Coercion, StringsAreVerbatim) {
  const std::string schema = R"({"type": "string"})";
  EXPECT_EQ(coerced(schema, "null"), "\"null\"");
  EXPECT_EQ(coerced(schema, "5"), "\"5\"");
  EXPECT_EQ(coerced(schema, "  a\tb \n"), "\"  a\\tb \\n\"");
  EXPECT_EQ(coerced(schema, "&lt;a&gt; \"q\" \\ \x01"), "\"&lt;a&gt; \\\"q\\\" \\\\ \\u0001\"");
  EXPECT_EQ(coerced(schema, "Köln"), "\"Köln\"");
  EXPECT_EQ(coerced("{}", "12"), "\"12\"");  // nothing is known of it
}

TEST(Coercion, Integers) {
  const std::string schema = R"({"type": "integer"})";
  EXPECT_EQ(coerced(schema, " 12\n"), "12");
  EXPECT_EQ(coerced(schema, "-7"), "-7");
  EXPECT_EQ(coerced(schema, "+7"), "7");
  EXPECT_EQ(coerced(schema, "007"), "7");
  EXPECT_EQ(coerced(schema, "123456789012345678901234567890"), "123456789012345678901234567890");
  EXPECT_EQ(coerced(schema, "5.0"), "5");
  EXPECT_EQ(coerced(schema, "2e3"), "2000");
  EXPECT_EQ(coerced(schema, "1.25e2"), "125");
  EXPECT_EQ(coerced(schema, "0"), "0");
  EXPECT_EQ(coerced(schema, "0.0"), "0");
  for (const char* no_integer :
       {"5.5", "1e-1", "1e9999", "1e99999999999", "five", "", "-", ".", "0x10", "1 2", "True"})
    EXPECT_EQ(coerced(schema, no_integer), Json(no_integer).dump());
}

TEST(Coercion, Numbers) {
  const std::string schema = R"({"type": "number"})";
  EXPECT_EQ(coerced(schema, "1.50"), "1.50");  // as written
  EXPECT_EQ(coerced(schema, "1e5"), "1e5");
  EXPECT_EQ(coerced(schema, "1E+400"), "1E+400");
  EXPECT_EQ(coerced(schema, ".5"), "0.5");
  EXPECT_EQ(coerced(schema, "-.5"), "-0.5");
  EXPECT_EQ(coerced(schema, "5."), "5");
  EXPECT_EQ(coerced(schema, "+5.25e-3"), "5.25e-3");
  EXPECT_EQ(coerced(schema, "01.5"), "1.5");
  for (const char* no_number : {"NaN", "Infinity", "-inf", "1.2.3", "e5", "1e"})
    EXPECT_EQ(coerced(schema, no_number), Json(no_number).dump());
}

TEST(Coercion, BooleansAndNull) {
  EXPECT_EQ(coerced(R"({"type": "boolean"})", " True "), "true");
  EXPECT_EQ(coerced(R"({"type": "boolean"})", "FALSE"), "false");
  EXPECT_EQ(coerced(R"({"type": "boolean"})", "yes"), "\"yes\"");  // never an invented false
  EXPECT_EQ(coerced(R"({"type": ["string", "null"]})", "null"), "null");
  EXPECT_EQ(coerced(R"({"type": "string", "nullable": true})", "None"), "null");
  EXPECT_EQ(coerced(R"({"type": "integer"})", "null"), "\"null\"");
}

TEST(Coercion, ObjectsAndArrays) {
  EXPECT_EQ(coerced(R"({"type": "object"})", "{\"b\":1.0,\"a\":[true,null]}"),
            "{\"b\": 1.0, \"a\": [true, null]}");
  EXPECT_EQ(coerced(R"({"type": "array"})", "\n['a', \"b\", True, None, (1, 2,), {'k': .5,},]\n"),
            Json("\n['a', \"b\", True, None, (1, 2,), {'k': .5,},]\n").dump());
  EXPECT_EQ(coerced(R"({"type": "array"})", "['a', \"b\", True, None, (1, 2,), {'k': 0.5,},]"),
            R"(["a", "b", true, null, [1, 2], {"k": 0.5}])");
  EXPECT_EQ(coerced(R"({"type": "object"})", R"("{\"a\": 1}")"), R"({"a": 1})");  // twice encoded
  EXPECT_EQ(coerced(R"({"type": "object"})", "[1]"), "\"[1]\"");
  EXPECT_EQ(coerced(R"({"items": {"type": "string"}})", "[]"), "[]");
  EXPECT_EQ(coerced(R"({"properties": {}})", "{}"), "{}");
}

TEST(Coercion, UnionsTryFromTheNarrowest) {
  const std::string schema =
      R"({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]})";
  EXPECT_EQ(coerced(schema, "5"), "5");
  EXPECT_EQ(coerced(schema, "null"), "null");
  EXPECT_EQ(coerced(schema, " five "), "\" five \"");
  EXPECT_EQ(coerced(R"({"type": ["number", "integer"]})", "5.0"), "5");
  EXPECT_EQ(coerced(R"({"oneOf": [{"type": "number"}, {"type": "array"}]})", "[1]"), "[1]");
}

TEST(Coercion, EnumAndConst) {
  EXPECT_EQ(coerced(R"({"enum": ["a", 1, 2.50, true, null]})", "1"), "1");
  EXPECT_EQ(coerced(R"({"enum": ["a", 1, 2.50, true, null]})", "2.50"), "2.50");
  EXPECT_EQ(coerced(R"({"enum": ["a", "1"]})", " a\n"), "\"a\"");
  EXPECT_EQ(coerced(R"({"enum": ["a", "1"]})", "1"), "\"1\"");
  EXPECT_EQ(coerced(R"({"type": "string", "enum": ["a"]})", "b"), "\"b\"");
  EXPECT_EQ(coerced(R"({"const": {"a": [1, 2]}})", "{\"a\":[1,2]}"), "{\"a\": [1, 2]}");
}

TEST(Coercion, ReferencesAliasesAndUnknownKeys) {
  EXPECT_EQ(coerced(R"({"$ref": "#/$defs/count"})", "5"), "5");
  EXPECT_EQ(coerced(R"({"$ref": "#/$defs/a~1b"})", "True"), "true");
  EXPECT_EQ(coerced(R"({"$ref": "#/$defs/loop"})", "5"), "\"5\"");
  EXPECT_EQ(coerced(R"({"$ref": "#/$defs/none"})", "5"), "\"5\"");
  for (const char* alias : {"int32", "uint", "long", "unsigned"})
    EXPECT_EQ(coerced(std::string(R"({"type": ")") + alias + "\"}", "5"), "5") << alias;
  for (const char* alias : {"str", "text", "varchar", "unheard of"})
    EXPECT_EQ(coerced(std::string(R"({"type": ")") + alias + "\"}", "5"), "\"5\"") << alias;
  EXPECT_EQ(coerced(R"({"type": "float"})", "5."), "5");
  EXPECT_EQ(coerced(R"({"type": "dict"})", "{}"), "{}");
  EXPECT_EQ(coerced(R"({"type": "list"})", "[]"), "[]");
  const Json open = json(R"({"properties": {}, "additionalProperties": {"type": "integer"}})");
  EXPECT_EQ(coerce_argument("5", parameter_type(open, "any")), "5");
  const Json map = json(R"({"type": "object", "n": {"type": "integer"}})");  // no "properties"
  EXPECT_EQ(coerce_argument("5", parameter_type(map, "n")), "5");
  EXPECT_EQ(coerce_argument("5", parameter_type(map, "type")), "\"5\"");
  for (const char* odd :
       {"null", "true", "[]", R"({"properties": 5})", R"({"properties": {"n": 5}})"})
    EXPECT_EQ(coerce_argument("5", parameter_type(json(odd), "n")), "\"5\"") << odd;
}

TEST(LooseJson, PythonLiterals) {
  const auto read = [](const char* text) {
    const auto value = parse_loose_json(text);
    return value ? value->dump() : "nothing";
  };
  EXPECT_EQ(read("{'a': 'it\\'s', \"b\": '\\u00e9\\x41\\n\\q', }"),
            R"({"a":"it's","b":"éA\n\\q"})");
  EXPECT_EQ(read("'\\ud83d\\ude42'"), "\"🙂\"");
  EXPECT_EQ(read("()"), "[]");
  for (const char* neither : {"", "[1", "{'a'}", "{1: 2}", "'\\ud83d'", "'\\uDC00'", "'a", "[,]",
                              "nan", "1_0", "'a' 'b'", "{'a': 1}}", "'\\U00110000'"})
    EXPECT_EQ(read(neither), "nothing") << neither;
  const std::string deep = std::string(100'000, '[') + "'";
  EXPECT_EQ(parse_loose_json(deep), std::nullopt);
}

}  // namespace
}  // namespace sluice::chat
