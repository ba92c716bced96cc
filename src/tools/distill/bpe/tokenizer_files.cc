#include "tools/distill/bpe/tokenizer_files.h"

#include <string>

#include "base/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/family_splitter.h"
#include "tokenizer/tokenizer_json_writer.h"
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
    added.push_back(tokenizer::added_token_json(token.content, token.special, id++));
  }
  return tokenizer::tokenizer_json({.vocabulary = std::move(vocabulary),
                                    .merges = std::move(list),
                                    .added_tokens = std::move(added),
                                    .pattern = tokenizer::kQwen35Pattern});
}

Json tokenizer_config(const std::vector<Merge>& merges, int64_t context) {
  Json decoder = Json::object();
  int64_t id = first_added(merges);
  for (const FamilyToken& token : kFamilyTokens) {
    decoder.set(std::to_string(id++), tokenizer::added_token_json(token.content, token.special));
  }
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
