// Damaged and hostile tokenizer files: each is refused with an error that names the thing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "tokenizer/small_tokenizer.h"

namespace sluice::tokenizer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string refusal(const std::string& text, const Json* config = nullptr) {
  const auto tokenizer = Tokenizer::from_json(text, config);
  if (tokenizer.ok()) return "accepted";
  EXPECT_EQ(tokenizer.error().code, ErrorCode::kBadInput);
  return tokenizer.error().message();
}

// The small tokenizer with one thing changed.
std::string changed(const std::function<void(Json&)>& change) {
  Json json = test::small_tokenizer_json();
  change(json);
  return json.dump();
}
std::string refusal_of(const std::function<void(Json&)>& change) {
  return refusal(changed(change));
}

Json& at(Json& json, std::initializer_list<const char*> path) {
  Json* place = &json;
  for (const char* key : path) {
    place = key[0] >= '0' && key[0] <= '9' ? &place->items().at(static_cast<size_t>(std::stoi(key)))
                                           : place->find(key);
    if (place == nullptr) throw std::runtime_error(std::string("no ") + key);
  }
  return *place;
}
Json number(const char* spelling) { return Json::number_from_spelling(spelling); }

TEST(ForgedTokenizerJson, TheUnchangedOneIsAccepted) {
  EXPECT_EQ(refusal_of([](Json&) {}), "accepted");
}

TEST(ForgedTokenizerJson, Ids) {
  const auto with_id = [](Json id) {
    return refusal_of([&](Json& json) { at(json, {"model", "vocab"}).set("zz", id); });
  };
  EXPECT_EQ(with_id(500), "accepted");
  EXPECT_EQ(with_id(1048575), "accepted");
  EXPECT_THAT(with_id(5), HasSubstr("tokens \"&\" and \"zz\" have the same id 5"));
  for (const char* id :
       {"-1", "1048576", "2147483648", "4294967296", "18446744073709551616", "1.5", "5e2"}) {
    const std::string spelled = id;
    EXPECT_THAT(
        refusal_of([&](Json& json) {
          at(json, {"model", "vocab"}).set("zz", number(id));
        }),
        AllOf(HasSubstr("the id of token \"zz\" is " + spelled), HasSubstr("0 to 1048575")));
  }
  EXPECT_THAT(with_id("7"), HasSubstr("the id of token \"zz\" in model.vocab is a string"));
  EXPECT_THAT(with_id(Json::array()),
              HasSubstr("the id of token \"zz\" in model.vocab is an array"));
  EXPECT_THAT(with_id(Json::object()),
              HasSubstr("the id of token \"zz\" in model.vocab is an object"));
  EXPECT_THAT(with_id(Json()), HasSubstr("the id of token \"zz\" is a null"));
  EXPECT_THAT(with_id(true), HasSubstr("the id of token \"zz\" is a boolean"));
}

TEST(ForgedTokenizerJson, Vocabulary) {
  std::string twice = changed([](Json&) {});
  twice.insert(twice.find("\"vocab\":{") + 9, "\"\\u0061\":900,");
  EXPECT_THAT(refusal(twice),
              HasSubstr("token \"a\" occurs twice in the vocabulary, with ids 900 and 64"));
  EXPECT_THAT(refusal_of([](Json& json) {
                at(json, {"model", "vocab"}).set("", 900);
              }),
              HasSubstr("the token of id 900 is empty"));
  EXPECT_THAT(refusal_of([](Json& json) {
                at(json,
                   {
                       "model",
                       "vocab",
                   })
                    .members()
                    .erase(at(json, {"model", "vocab"}).members().begin() + 64);
              }),
              HasSubstr("the vocabulary has no token \"a\" for the byte 0x61"));
  EXPECT_THAT(refusal_of([](Json& json) {
                at(json, {"model", "vocab"}) = Json::object();
              }),
              HasSubstr("has no token"));
  EXPECT_THAT(refusal_of([](Json& json) {
                at(json, {"model", "vocab"}) = Json::array();
              }),
              HasSubstr("model.vocab is missing"));
  std::string two = changed([](Json&) {});
  two.insert(two.find("\"vocab\":{"), "\"vocab\":{},");
  EXPECT_THAT(refusal(two), HasSubstr("model.vocab occurs twice"));
}

TEST(ForgedTokenizerJson, Merges) {
  const auto with_merge = [](Json merge) {
    return refusal_of([&](Json& json) { at(json, {"model", "merges"}).push_back(merge); });
  };
  EXPECT_THAT(with_merge("i n"), HasSubstr("merge 150 (\"i\" with \"n\") occurs twice"));
  EXPECT_THAT(with_merge("q zzz"),
              HasSubstr("merge 150 (\"q\" with \"zzz\"): \"zzz\" is not in the vocabulary"));
  EXPECT_THAT(with_merge("q q"), HasSubstr("\"qq\" is not in the vocabulary"));
  EXPECT_THAT(with_merge(Json(Json::Array{"q", "q"})),
              HasSubstr("\"qq\" is not in the vocabulary"));
  for (const char* merge : {"", " ", "ab", "a ", " b", "a b c", "a  b"}) {
    EXPECT_THAT(with_merge(merge), HasSubstr("not two tokens with one space")) << merge;
  }
  for (const Json& merge :
       {Json(1), Json(1.5), Json(), Json(true), Json::object(), Json::array(),
        Json(Json::Array{"a"}), Json(Json::Array{"a", "b", "c"}), Json(Json::Array{"a", 1}),
        Json(Json::Array{"a", ""}), Json(Json::Array{Json::array(), "a"})}) {
    EXPECT_THAT(with_merge(merge), HasSubstr("model.merges[150] is neither a string nor a pair"))
        << merge.dump();
  }
  EXPECT_THAT(refusal_of([](Json& json) {
                at(json, {"model", "merges"}) = Json();
              }),
              HasSubstr("model.merges is missing"));
}

TEST(ForgedTokenizerJson, AddedTokens) {
  const auto with = [](const char* key, Json value) {
    return refusal_of([&](Json& json) { at(json, {"added_tokens", "1"}).set(key, value); });
  };
  EXPECT_THAT(with("id", 3),
              HasSubstr("added token \"<|im_start|>\" has id 3, which is token \"$\""));
  EXPECT_THAT(with("id", 406), HasSubstr("has id 406, as another added token has"));
  EXPECT_THAT(with("id", number("2147483648")),
              HasSubstr("\"<|im_start|>\" is 2147483648, not an integer"));
  EXPECT_THAT(with("id", Json()), HasSubstr("\"<|im_start|>\" is a null"));
  EXPECT_THAT(with("content", 1), HasSubstr("added_tokens[1].content is \"1\", not a string"));
  EXPECT_THAT(with("content", ""), HasSubstr("has 0 bytes"));
  EXPECT_THAT(with("content", std::string(1025, 'x')),
              HasSubstr("has 1025 bytes; supported: 1 to 1024"));
  EXPECT_THAT(with("content", "<|im_end|>"), HasSubstr("added token \"<|im_end|>\" occurs twice"));
  EXPECT_THAT(with("content", "in"),
              HasSubstr("added token \"in\" has id 407, but 258 in the vocabulary"));
  EXPECT_THAT(with("special", "yes"),
              HasSubstr("added_tokens[1].special is \"yes\", not true or false"));
  for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
    EXPECT_THAT(with(flag, true),
                HasSubstr(std::string("has ") + flag + "=true, which is not supported"));
  }
  // U+0958 doubles when normalized.
  std::string doubling;
  while (doubling.size() + 3 <= 1024) doubling += "\u0958";
  EXPECT_THAT(refusal_of([&](Json& json) {
                at(json, {"added_tokens", "1"}).set("content", doubling);
                at(json, {"added_tokens", "1"}).set("normalized", true);
              }),
              HasSubstr("2046 bytes when normalized"));
  EXPECT_THAT(refusal_of([](Json& json) { at(json, {"added_tokens"}) = "none"; }),
              HasSubstr("added_tokens is not a list"));
}

TEST(ForgedTokenizerJson, SettingsThatWouldChangeIdsAreRefusedByName) {
  const auto with = [](std::initializer_list<const char*> path, const char* key, Json value) {
    return refusal_of([&](Json& json) { at(json, path).set(key, value); });
  };
  EXPECT_THAT(with({"model"}, "type", "Unigram"),
              HasSubstr("model.type is \"Unigram\"; supported: \"BPE\""));
  EXPECT_THAT(with({"model"}, "dropout", 0.1), HasSubstr("model.dropout is \"0.1\""));
  EXPECT_THAT(with({"model"}, "unk_token", "<unk>"), HasSubstr("model.unk_token is \"<unk>\""));
  EXPECT_THAT(with({"model"}, "continuing_subword_prefix", "##"),
              HasSubstr("model.continuing_subword_prefix"));
  EXPECT_THAT(with({"model"}, "end_of_word_suffix", "</w>"), HasSubstr("model.end_of_word_suffix"));
  EXPECT_THAT(with({"model"}, "byte_fallback", true), HasSubstr("model.byte_fallback is \"true\""));
  EXPECT_THAT(with({"model"}, "ignore_merges", true), HasSubstr("model.ignore_merges is \"true\""));
  EXPECT_THAT(with({"normalizer"}, "type", "NFKC"), HasSubstr("normalizer.type is \"NFKC\""));
  EXPECT_THAT(with({"decoder"}, "type", "Metaspace"), HasSubstr("decoder.type is \"Metaspace\""));
  EXPECT_THAT(with({"post_processor"}, "type", "TemplateProcessing"),
              HasSubstr("post_processor.type"));
  EXPECT_THAT(with({"pre_tokenizer"}, "type", "Whitespace"),
              HasSubstr("pre_tokenizer.type is \"Whitespace\""));
  EXPECT_THAT(with({"pre_tokenizer", "pretokenizers", "0"}, "behavior", "Removed"),
              HasSubstr("behavior is \"Removed\""));
  EXPECT_THAT(with({"pre_tokenizer", "pretokenizers", "0"}, "invert", true),
              HasSubstr("invert is \"true\""));
  EXPECT_THAT(with({"pre_tokenizer", "pretokenizers", "0", "pattern"}, "Regex", R"(\w+)"),
              HasSubstr(R"("\w" at byte 0)"));
  EXPECT_THAT(with({"pre_tokenizer", "pretokenizers", "0"}, "pattern", "x"),
              HasSubstr("pattern is \"x\""));
  EXPECT_THAT(with({"pre_tokenizer", "pretokenizers", "1"}, "add_prefix_space", true),
              HasSubstr("pretokenizers[1].add_prefix_space is \"true\"; supported: false"));
  EXPECT_THAT(with({"pre_tokenizer", "pretokenizers", "1"}, "use_regex", true),
              HasSubstr("use_regex"));
  EXPECT_THAT(with({"pre_tokenizer"}, "pretokenizers", Json::array()),
              HasSubstr("not a list of two"));
  for (const char* member : {"model", "decoder", "pre_tokenizer"}) {
    EXPECT_THAT(with({}, member, Json()), HasSubstr(std::string(member) + " is missing"));
  }
  EXPECT_EQ(with({}, "normalizer", Json()), "accepted");
  EXPECT_EQ(with({}, "post_processor", Json()), "accepted");
}

TEST(ForgedTokenizerJson, Config) {
  const auto with = [](const char* key, const char* content, const char* flag = nullptr) {
    Json entry;
    entry.set("content", content);
    if (flag != nullptr) entry.set(flag, true);
    Json config;
    config.set("added_tokens_decoder", Json::object()).set(key, entry);
    return refusal(test::read_data("small_tokenizer.json"), &config);
  };
  EXPECT_EQ(with("600", "<new>"), "accepted");
  EXPECT_EQ(with("408", "<|im_end|>"), "accepted");
  EXPECT_THAT(with("409", "<|im_end|>"),
              HasSubstr("tokenizer_config.json: added token \"<|im_end|>\" has id 409, but 408 in "
                        "tokenizer.json"));
  EXPECT_THAT(with("408", "<other>"),
              HasSubstr("added token \"<other>\" has id 408, as another added token has"));
  EXPECT_THAT(with("five", "<new>"), HasSubstr("the id of token \"<new>\" is a string"));
  EXPECT_THAT(with("2147483648", "<new>"), HasSubstr("is 2147483648, not an integer"));
  EXPECT_THAT(with("99999999999999999999999", "<new>"), HasSubstr("not an integer"));
  EXPECT_THAT(with("600", "<new>", "lstrip"), HasSubstr("added token \"<new>\" has lstrip=true"));
  Json config;
  config.set("added_tokens_decoder", Json::array());
  EXPECT_THAT(refusal(test::read_data("small_tokenizer.json"), &config),
              HasSubstr("added_tokens_decoder is not an object"));
  EXPECT_EQ(refusal(test::read_data("small_tokenizer.json"), &(config = Json::object())),
            "accepted");
}

TEST(ForgedTokenizerJson, NotJson) {
  EXPECT_THAT(refusal(""), HasSubstr("tokenizer.json: "));
  EXPECT_THAT(refusal("[]"), HasSubstr("the file is a JSON array, not an object"));
  EXPECT_THAT(refusal("{}"), HasSubstr("model is missing"));
  EXPECT_THAT(refusal("{} x"), HasSubstr("unexpected data after the value at byte 3"));
  EXPECT_THAT(refusal(std::string(100000, '[')), HasSubstr("at byte 32"));
  EXPECT_THAT(refusal("{\"model\":{\"vocab\":{\"a\xFF\":1}}}"), HasSubstr("at byte "));
  EXPECT_THAT(refusal("{\"model\":{\"vocab\":{\"\\ud800\":1}}}"), HasSubstr("at byte "));
}

// Every prefix ends somewhere inside the file; none may be accepted or do harm.
TEST(ForgedTokenizerJson, EveryPrefixIsRefused) {
  std::string text = test::read_data("small_tokenizer.json");
  text.resize(text.find_last_of('}') + 1);
  for (size_t length = 0; length < text.size(); length += 1 + length % 5) {
    ASSERT_NE(refusal(text.substr(0, length)), "accepted") << length;
  }
}

TEST(ForgedTokenizerJson, FlippedBytesAreRefusedOrStillRoundTrip) {
  const std::string good = test::read_data("small_tokenizer.json");
  std::mt19937 random(31);
  size_t accepted = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string text = good;
    for (size_t flips = 1 + random() % 3; flips > 0; --flips) {
      text[random() % text.size()] = static_cast<char>(random() % 256);
    }
    const auto tokenizer = Tokenizer::from_json(text, nullptr);
    if (!tokenizer.ok()) continue;
    ++accepted;
    const std::string sample = "the <|im_end|> in <think>ing d\u00E9j\u00E0";
    ASSERT_EQ(
        tokenizer->decode(tokenizer->encode(sample, {.recognise_added = false}).value(), false),
        sample);
  }
  EXPECT_GT(accepted, 20u);
}

}  // namespace
}  // namespace sluice::tokenizer
