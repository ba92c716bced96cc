// The tokenizer keys of a GGUF to tokenizer.json, tokenizer_config.json and chat_template.jinja.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/file.h"
#include "tokenizer/family_splitter.h"
#include "tokenizer/tokenizer_json_writer.h"
#include "tools/convert/published_files.h"

namespace sluice::convert {
namespace {

namespace fs = std::filesystem;
using checkpoint::GgufMetadata;

// The converter to GGUF marks every "<|...|>" as control; these are not special in the tokenizers
// it converts.
constexpr std::array<std::string_view, 6> kNotSpecial = {"<|fim_prefix|>", "<|fim_middle|>",
                                                         "<|fim_suffix|>", "<|fim_pad|>",
                                                         "<|repo_name|>",  "<|file_sep|>"};
constexpr int64_t kNormal = 1, kControl = 3, kUserDefined = 4;

Json object(std::initializer_list<std::pair<const char*, Json>> members) {
  Json out = Json::object();
  for (const auto& [key, value] : members) out.set(key, value);
  return out;
}

struct Tokens {
  Json::Object vocabulary;
  Json added = Json::array();     // for tokenizer.json
  Json decoder = Json::object();  // for tokenizer_config.json
};

Tokens sort_tokens(const std::vector<std::string>& tokens, const std::vector<int64_t>& types) {
  Tokens out;
  for (size_t id = 0; id < tokens.size() && id < types.size(); ++id) {
    const std::string& text = tokens[id];
    if (types[id] == kNormal) out.vocabulary.emplace_back(text, Json(static_cast<int64_t>(id)));
    if (types[id] != kControl && types[id] != kUserDefined) continue;
    const bool special = types[id] == kControl && std::find(kNotSpecial.begin(), kNotSpecial.end(),
                                                            text) == kNotSpecial.end();
    out.decoder.set(fmt::format("{}", id), tokenizer::added_token_json(text, special));
    out.added.push_back(tokenizer::added_token_json(text, special, static_cast<int64_t>(id)));
  }
  return out;
}

Json merge_pairs(const std::vector<std::string>& merges) {
  Json pairs = Json::array();
  for (const std::string& merge : merges) {
    const size_t space = merge.find(' ');
    pairs.push_back(Json::Array{merge.substr(0, space), merge.substr(space + 1)});
  }
  return pairs;
}

Status write_text(const fs::path& path, const std::string& text) {
  return write_file(path, std::as_bytes(std::span(text)), false);
}

}  // namespace

Status write_gguf_tokenizer(const Source& source, const fs::path& folder) {
  const GgufMetadata& metadata = *source.checkpoint->gguf();
  SLUICE_ASSIGN(const auto chat_template, metadata.string("tokenizer.chat_template"));
  if (chat_template) SLUICE_TRY(write_text(folder / "chat_template.jinja", *chat_template));
  SLUICE_ASSIGN(const auto texts, metadata.strings("tokenizer.ggml.tokens"));
  SLUICE_ASSIGN(const auto types, metadata.integers("tokenizer.ggml.token_type"));
  SLUICE_ASSIGN(const auto merges, metadata.strings("tokenizer.ggml.merges"));
  SLUICE_ASSIGN(const auto pre, metadata.string("tokenizer.ggml.pre"));
  if (!texts || !types || !merges) return {};
  Tokens tokens = sort_tokens(*texts, *types);
  Json config = object({{"add_bos_token", false},
                        {"add_prefix_space", false},
                        {"added_tokens_decoder", tokens.decoder},
                        {"clean_up_tokenization_spaces", false},
                        {"errors", "replace"},
                        {"split_special_tokens", false},
                        {"tokenizer_class", "Qwen2Tokenizer"},
                        {"unk_token", nullptr}});
  for (const auto& [key, name] :
       {std::pair{"eos_token_id", "eos_token"}, {"padding_token_id", "pad_token"}}) {
    SLUICE_ASSIGN(const auto id, metadata.unsigned_integer(fmt::format("tokenizer.ggml.{}", key)));
    if (id && *id < texts->size()) config.set(name, (*texts)[static_cast<size_t>(*id)]);
  }
  const std::string_view pattern =
      pre && *pre == "qwen2" ? tokenizer::kQwen2Pattern : tokenizer::kQwen35Pattern;
  SLUICE_TRY(write_text(folder / "tokenizer_config.json", config.dump(2) + "\n"));
  return write_text(folder / "tokenizer.json",
                    tokenizer::tokenizer_json({.vocabulary = std::move(tokens.vocabulary),
                                               .merges = merge_pairs(*merges),
                                               .added_tokens = std::move(tokens.added),
                                               .pattern = pattern})
                            .dump(1) +
                        "\n");
}

}  // namespace sluice::convert
