// Random schemas with random documents, against a plain validator: what is valid is taken in any
// tokens, what is taken is valid, and the masks never lead into a dead end.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "chat/grammar_harness.h"
#include "chat/json_pointer.h"
#include "chat/schema_validator.h"

namespace sluice::chat::grammar {
namespace {

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}
  size_t below(size_t n) { return random_() % n; }
  bool chance(size_t n) { return below(n) == 0; }

  Json schema() {
    Json root = object_schema(0);
    Json definitions = Json::object();
    definitions.set("d", any_schema(2));
    definitions.set(
        "list",
        *parse_json(
            R"({"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/d"}, {"$ref": "#/$defs/list"}]}, "maxItems": 3})"));
    root.set("$defs", definitions);
    return root;
  }

  // A document that the schema allows, in the order of its properties; nothing if this try leads
  // nowhere.
  std::optional<Json> document(const Json& root, const Json& schema, int depth = 0) {
    if (schema.is_boolean()) return schema.boolean() ? std::optional(any_value(2)) : std::nullopt;
    if (depth > 12) return std::nullopt;
    if (const Json* reference = schema.find("$ref"))
      return document(root, *resolve_reference(root, reference->string()), depth + 1);
    if (const Json* any = schema.find("anyOf"))
      return document(root, any->items()[below(any->items().size())], depth + 1);
    if (const Json* members = schema.find("enum"))
      return members->items()[below(members->items().size())];
    const Json* type = schema.find("type");
    if (!type) return any_value(2);
    const std::string name =
        type->is_array() ? type->items()[below(type->items().size())].string() : type->string();
    if (name == "object") return object_of(root, schema, depth);
    if (name == "array") return array_of(root, schema, depth);
    if (name == "string") {
      const Json* least = schema.find("minLength");
      const Json* most = schema.find("maxLength");
      const size_t low = least ? *least->as_uint64() : 0,
                   high = most ? *most->as_uint64() : low + 5;
      return Json(text(low + below(high - low + 1)));
    }
    return scalar(name);
  }

  // The document as text, with white space here and there.
  std::string write(const Json& value) {
    std::string out;
    write_to(value, out);
    return out;
  }

 private:
  Json scalar(const std::string& type) {
    if (type == "integer") return Json(static_cast<int64_t>(below(2000)) - 1000);
    if (type == "number") return Json::number_from_spelling(chance(2) ? "-1.50e+3" : "0.25");
    if (type == "boolean") return Json(chance(2));
    return Json();
  }

  std::string text(size_t size) {
    static const std::vector<std::string> kCharacters = {"a",    "b",  "n", " ", "\"",   "\\", "é",
                                                         "🙂", "\n", "}", ",", "\x01", "東"};
    std::string result;
    for (size_t i = 0; i < size; ++i) result += kCharacters[below(kCharacters.size())];
    return result;
  }

  Json any_value(int depth) {
    const size_t kind = below(depth > 0 ? 7 : 5);
    if (kind == 0) return Json(text(below(4)));
    if (kind < 5)
      return scalar(std::vector<std::string>{"", "integer", "number", "boolean", "null"}[kind]);
    Json value = kind == 5 ? Json::array() : Json::object();
    for (size_t i = below(3); i > 0; --i) {
      if (kind == 5) {
        value.push_back(any_value(depth - 1));
      } else {
        value.set("k" + std::to_string(i), any_value(depth - 1));
      }
    }
    return value;
  }

  Json any_schema(int depth) {
    Json schema = Json::object();
    switch (below(depth > 2 ? 6 : 11)) {
      case 0:
        schema.set("type", "string");
        if (chance(3)) schema.set("minLength", static_cast<int64_t>(below(3)));
        if (chance(3)) schema.set("maxLength", static_cast<int64_t>(3 + below(3)));
        return schema;
      case 1:
        return *parse_json(R"({"type": "integer"})");
      case 2:
        return *parse_json(R"({"type": ["number", "null"]})");
      case 3:
        return *parse_json(R"({"enum": ["a", "ab", "a\"b", 1, 12, null, {"x": [true]}]})");
      case 4:
        return chance(2) ? Json(true) : *parse_json(R"({"type": "boolean"})");
      case 5:
        return *parse_json(chance(2) ? R"({"$ref": "#/$defs/d"})" : R"({"$ref": "#/$defs/list"})");
      case 6:
      case 7: {
        Json ways = Json::array();
        for (size_t i = 2 + below(2); i > 0; --i) ways.push_back(any_schema(depth + 1));
        schema.set("anyOf", ways);
        return schema;
      }
      case 8: {
        schema.set("type", "array");
        if (chance(2)) {
          Json prefix = Json::array();
          for (size_t i = 1 + below(2); i > 0; --i) prefix.push_back(any_schema(depth + 1));
          schema.set("prefixItems", prefix);
        }
        schema.set("items", any_schema(depth + 1));
        if (chance(2)) schema.set("minItems", static_cast<int64_t>(below(3)));
        if (chance(2)) schema.set("maxItems", static_cast<int64_t>(2 + below(3)));
        return schema;
      }
      default:
        return object_schema(depth + 1);
    }
  }

  Json object_schema(int depth) {
    Json schema = Json::object(), properties = Json::object(), required = Json::array();
    schema.set("type", "object");
    for (const char* name : {"name", "na", "é", "id", "x y"}) {
      if (chance(2)) continue;
      properties.set(name, any_schema(depth + 1));
      if (chance(3)) required.push_back(name);
    }
    schema.set("properties", properties);
    schema.set("required", required);
    if (chance(2)) schema.set("additionalProperties", false);
    if (chance(4)) schema.set("additionalProperties", any_schema(depth + 2));
    return schema;
  }

  std::optional<Json> object_of(const Json& root, const Json& schema, int depth) {
    Json object = Json::object();
    const Json& required = *schema.find("required");
    for (const auto& [name, property] : schema.find("properties")->members()) {
      const bool must = std::find(required.items().begin(), required.items().end(), Json(name)) !=
                        required.items().end();
      if (!must && chance(2)) continue;
      auto value = document(root, property, depth + 1);
      if (value) {
        object.set(name, *std::move(value));
      } else if (must) {
        return std::nullopt;
      }
    }
    const Json* additional = schema.find("additionalProperties");
    for (const char* name : {"n", "names", "zz"}) {
      if (!chance(4)) continue;
      if (auto value = document(root, additional ? *additional : Json(true), depth + 1))
        object.set(name, *std::move(value));
    }
    return object;
  }

  std::optional<Json> array_of(const Json& root, const Json& schema, int depth) {
    const Json* prefix = schema.find("prefixItems");
    const Json* least = schema.find("minItems");
    const Json* most = schema.find("maxItems");
    const size_t low = least ? *least->as_uint64() : 0, high = most ? *most->as_uint64() : low + 2;
    Json array = Json::array();
    for (size_t i = low + below(high - low + 1); i > 0; --i) {
      const size_t place = array.items().size();
      auto value = document(
          root,
          prefix && place < prefix->items().size() ? prefix->items()[place] : *schema.find("items"),
          depth + 1);
      if (!value) {
        if (array.items().size() < low) return std::nullopt;
        break;
      }
      array.push_back(*std::move(value));
    }
    return array;
  }

  void gap(std::string& out) {
    if (chance(4)) out += chance(2) ? " " : "\n  ";
  }
  void write_to(const Json& value, std::string& out) {
    if (!value.is_array() && !value.is_object()) {
      out += value.dump();
      return;
    }
    const char* separator = "";
    out += value.is_array() ? "[" : "{";
    gap(out);
    if (value.is_array()) {
      for (const Json& item : value.items()) {
        out += separator;
        separator = ",";
        gap(out);
        write_to(item, out);
      }
    } else {
      for (const auto& [key, member] : value.members()) {
        out += separator;
        separator = ", ";
        out += Json(key).dump();
        gap(out);
        out += ":";
        gap(out);
        write_to(member, out);
      }
    }
    if (chance(4) && *separator) out += " ";
    out += value.is_array() ? "]" : "}";
  }

  std::mt19937 random_;
};

// The text in random tokens of the vocabulary, each of which the mask must allow.
void expect_any_tokens(const std::shared_ptr<const TokenMasks>& masks, const std::string& text,
                       Generator& random) {
  TokenConstraint constraint(masks, plain_options());
  for (size_t at = 0; at < text.size();) {
    std::vector<TokenId> fitting;
    for (TokenId id = 0; id < kVocabularySize; ++id) {
      const std::string_view bytes = small_trie()->bytes(id);
      if (!bytes.empty() && text.compare(at, bytes.size(), bytes) == 0) fitting.push_back(id);
    }
    const auto mask = mask_of(constraint);
    for (const TokenId id : fitting)
      ASSERT_TRUE(allowed(mask, id)) << text << " at " << at << " token " << id;
    const TokenId id = fitting[random.below(fitting.size())];
    ASSERT_TRUE(constraint.advance(id));
    at += small_trie()->bytes(id).size();
  }
  ASSERT_TRUE(constraint.can_end()) << text;
}

// Tokens at random as the masks allow, with a liking for what closes; the text, if it ends in time.
std::optional<std::string> random_walk(const std::shared_ptr<const TokenMasks>& masks,
                                       Generator& random) {
  TokenConstraint constraint(masks, plain_options());
  std::string text;
  for (int i = 0; i < 300; ++i) {
    const auto mask = mask_of(constraint);
    std::vector<TokenId> open;
    for (TokenId id = 0; id < kVocabularySize; ++id) {
      if (!allowed(mask, id)) continue;
      const std::string_view bytes = small_trie()->bytes(id);
      const bool closes = id == kStopId || bytes == "\"" || bytes == "}" || bytes == "]";
      open.insert(open.end(), closes ? 12 : 1, id);
    }
    EXPECT_FALSE(open.empty()) << "a dead end after " << text;
    if (open.empty()) return std::nullopt;
    const TokenId id = open[random.below(open.size())];
    EXPECT_TRUE(constraint.advance(id));
    if (id == kStopId) return text;
    text += small_trie()->bytes(id);
  }
  return std::nullopt;
}

TEST(SchemaProperty, TakenIsValidAndValidIsTaken) {
  Generator random(11);
  OutputCompiler compiler(small_trie());
  int documents = 0, walks = 0, mutants = 0;
  for (int round = 0; round < 80; ++round) {
    const Json schema = random.schema();
    const auto compiled =
        compiler.compile({.format = StructuredOutput::Format::kJsonSchema, .schema = schema});
    // d may refer to itself and nothing else, or need itself without end.
    if (!compiled.ok()) continue;
    for (int i = 0; i < 6; ++i) {
      const auto document = random.document(schema, schema);
      if (!document || !valid(schema, schema, *document)) continue;
      ++documents;
      const std::string text = random.write(*document);
      ASSERT_TRUE(accepts(compiled->masks, text)) << schema.dump() << "\n" << text;
      expect_any_tokens(compiled->masks, text, random);
      for (int k = 0; k < 30; ++k) {
        std::string mutant = text;
        const size_t at = random.below(mutant.size());
        if (random.chance(2)) {
          mutant.erase(at, 1 + random.below(4));
        } else {
          mutant.insert(at, std::vector<std::string>{"1", "\"", "null", ",", "}", "\"a\": 1, ", "[",
                                                     "e"}[random.below(8)]);
        }
        if (!accepts(compiled->masks, mutant)) continue;
        ++mutants;
        const auto parsed = parse_json(mutant);
        ASSERT_TRUE(parsed.ok()) << schema.dump() << "\n" << mutant;
        ASSERT_TRUE(valid(schema, schema, *parsed)) << schema.dump() << "\n" << mutant;
      }
    }
    for (int i = 0; i < 3; ++i) {
      const auto text = random_walk(compiled->masks, random);
      if (!text) continue;
      ++walks;
      const auto parsed = parse_json(*text);
      ASSERT_TRUE(parsed.ok()) << *text;
      ASSERT_TRUE(valid(schema, schema, *parsed)) << schema.dump() << "\n" << *text;
    }
  }
  EXPECT_GT(documents, 150);
  EXPECT_GT(walks, 25);
  EXPECT_GT(mutants, 150);
}

}  // namespace
}  // namespace sluice::chat::grammar
