#include "tools/distill/bpe/tokenizer_files.h"

#include <string>

#include "base/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/family_splitter.h"
#include "tools/distill/bpe/family_tokens.h"

namespace sluice::tools::bpe {
namespace {

// Bytes as a string of the byte alphabet.
std::string alphabet_text(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes)
    append_utf8(tokenizer::alphabet_character(static_cast<uint8_t>(byte)), text);
  return text;
}

Json object(std::initializer_list<Json::Member> members) {
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

Json added_token(const FamilyToken& token) {
  return object({{"content", token.content},
                 {"single_word", false},
                 {"lstrip", false},
                 {"rstrip", false},
                 {"normalized", false},
                 {"special", token.special}});
}

int64_t first_added(const std::vector<Merge>& merges) {
  return 256 + static_cast<int64_t>(merges.size());
}

}  // namespace

Json tokenizer_json(const std::vector<Merge>& merges) {
  const std::vector<std::string> tokens = token_bytes(merges);
  Json::Object vocabulary;  // set() would search each key among thousands
  for (size_t i = 0; i < tokens.size(); ++i)
    vocabulary.emplace_back(alphabet_text(tokens[i]), static_cast<int64_t>(i));
  Json list = Json::array();
  for (const Merge& merge : merges) {
    list.push_back(Json::Array{alphabet_text(tokens[static_cast<size_t>(merge.left)]),
                               alphabet_text(tokens[static_cast<size_t>(merge.right)])});
  }
  Json added = Json::array();
  int64_t id = first_added(merges);
  for (const FamilyToken& token : kFamilyTokens) {
    Json entry = object({{"id", id++}});
    const Json rest = added_token(token);
    for (const auto& [key, value] : rest.members()) entry.set(key, value);
    added.push_back(std::move(entry));
  }
  const Json split = object({{"type", "Split"},
                             {"pattern", object({{"Regex", tokenizer::kQwen35Pattern}})},
                             {"behavior", "Isolated"},
                             {"invert", false}});
  return object({{"version", "1.0"},
                 {"truncation", nullptr},
                 {"padding", nullptr},
                 {"added_tokens", std::move(added)},
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
                                   {"vocab", Json(std::move(vocabulary))},
                                   {"merges", std::move(list)}})}});
}

Json tokenizer_config(const std::vector<Merge>& merges, int64_t context) {
  Json decoder = Json::object();
  int64_t id = first_added(merges);
  for (const FamilyToken& token : kFamilyTokens)
    decoder.set(std::to_string(id++), added_token(token));
  return object({{"add_prefix_space", false},
                 {"added_tokens_decoder", std::move(decoder)},
                 {"bos_token", nullptr},
                 {"clean_up_tokenization_spaces", false},
                 {"eos_token", "<|im_end|>"},
                 {"errors", "replace"},
                 {"model_max_length", context},
                 {"pad_token", "<|endoftext|>"},
                 {"split_special_tokens", false},
                 {"tokenizer_class", "Qwen2Tokenizer"},
                 {"unk_token", nullptr},
                 {"add_bos_token", false},
                 {"pretokenize_regex", tokenizer::kQwen35Pattern}});
}

}  // namespace sluice::tools::bpe
