#include "tokenizer/tokenizer_json_writer.h"

#include <utility>

namespace sluice::tokenizer {
namespace {

Json object(std::initializer_list<std::pair<const char*, Json>> members) {
  Json json = Json::object();
  for (const auto& [key, value] : members) json.set(key, value);
  return json;
}

Json byte_level() {
  return object({{"type", "ByteLevel"},
                 {"add_prefix_space", false},
                 {"trim_offsets", false},
                 {"use_regex", false}});
}

}  // namespace

Json added_token_json(std::string_view content, bool special, std::optional<int64_t> id) {
  Json json = Json::object();
  if (id) json.set("id", *id);
  json.set("content", Json(content));
  for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) json.set(flag, false);
  json.set("special", special);
  return json;
}

Json tokenizer_json(TokenizerContent content) {
  const Json split = object({{"type", "Split"},
                             {"pattern", object({{"Regex", Json(content.pattern)}})},
                             {"behavior", "Isolated"},
                             {"invert", false}});
  return object({{"version", "1.0"},
                 {"truncation", nullptr},
                 {"padding", nullptr},
                 {"added_tokens", std::move(content.added_tokens)},
                 {"normalizer", object({{"type", "NFC"}})},
                 {"pre_tokenizer", object({{"type", "Sequence"},
                                           {"pretokenizers", Json::Array{split, byte_level()}}})},
                 {"post_processor", byte_level()},
                 {"decoder", byte_level()},
                 {"model", object({{"type", "BPE"},
                                   {"dropout", nullptr},
                                   {"unk_token", nullptr},
                                   {"continuing_subword_prefix", ""},
                                   {"end_of_word_suffix", ""},
                                   {"fuse_unk", false},
                                   {"byte_fallback", false},
                                   {"ignore_merges", false},
                                   {"vocab", Json(std::move(content.vocabulary))},
                                   {"merges", std::move(content.merges)}})}});
}

}  // namespace sluice::tokenizer
