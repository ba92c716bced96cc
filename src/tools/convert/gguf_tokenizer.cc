// tokenizer.json to the tokenizer keys of a GGUF (formats-gguf.md 2.1).
#include <fmt/format.h>

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "chat/template_source.h"
#include "tokenizer/family_splitter.h"
#include "tokenizer/tokenizer.h"
#include "tools/convert/gguf_metadata.h"

namespace sluice::convert {
namespace {

using checkpoint::GgufArray;
using checkpoint::GgufMetadata;
using checkpoint::GgufType;
using tokenizer::TokenId;

constexpr uint64_t kMaxTokenizerBytes = uint64_t{256} << 20, kMaxTemplateBytes = uint64_t{16} << 20;
constexpr int64_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;

Error wrong(std::string why) {
  return bad_input("tokenizer.json", std::move(why),
                   "GGUF can hold a byte-level BPE tokenizer of the Qwen family only");
}

// The pattern by which the text is cut, of all the splits in the pre-tokenizer.
std::optional<std::string> pattern_of(const Json& tokenizer) {
  const Json* pre = tokenizer.find("pre_tokenizer");
  const Json* parts = pre == nullptr ? nullptr : pre->find("pretokenizers");
  if (parts == nullptr || !parts->is_array()) return std::nullopt;
  for (const Json& part : parts->items()) {
    const Json* pattern = part.find("pattern");
    const Json* regex = pattern == nullptr ? nullptr : pattern->find("Regex");
    if (regex != nullptr && regex->is_string()) return regex->string();
  }
  return std::nullopt;
}

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<int64_t> types;
  std::vector<std::string> merges;
};

// The added tokens and the checks come from the tokenizer itself, which has read the file already.
Result<Vocabulary> vocabulary_of(const Json& file, const tokenizer::Tokenizer& tokenizer,
                                 int64_t rows) {
  Vocabulary out;
  const auto count = static_cast<size_t>(rows);
  out.tokens.resize(count);
  out.types.assign(count, kUnused);
  for (size_t id = 0; id < count; ++id) out.tokens[id] = fmt::format("[PAD{}]", id);
  const Json* model = file.find("model");
  const Json* table = model == nullptr ? nullptr : model->find("vocab");
  const Json* merges = model == nullptr ? nullptr : model->find("merges");
  if (table == nullptr || !table->is_object() || merges == nullptr || !merges->is_array())
    return wrong("has no vocabulary or no merges");
  const auto put = [&](TokenId id, std::string_view text, int64_t type) -> Status {
    if (id < 0 || id >= rows)
      return wrong(fmt::format("token {} has no row in the embedding of {}", id, rows));
    out.tokens[static_cast<size_t>(id)] = text;
    out.types[static_cast<size_t>(id)] = type;
    return {};
  };
  for (const auto& [text, id] : table->members())
    SLUICE_TRY(put(static_cast<TokenId>(id.as_int64().value_or(-1)), text, kNormal));
  for (const tokenizer::AddedToken& added : tokenizer.added_tokens()) {
    const bool control =
        added.special || (added.content.starts_with("<|") && added.content.ends_with("|>"));
    SLUICE_TRY(put(added.id, added.content, control ? kControl : kUserDefined));
  }
  for (const Json& merge : merges->items()) {
    if (merge.is_string()) {
      out.merges.push_back(merge.string());
    } else if (merge.is_array() && merge.items().size() == 2) {
      out.merges.push_back(
          fmt::format("{} {}", merge.items()[0].string(), merge.items()[1].string()));
    } else {
      return wrong("a merge is neither a string nor a pair");
    }
  }
  return out;
}

// An id by the tokenizer's own word for it, else as the model's config states it.
std::optional<uint64_t> id_of(const tokenizer::Tokenizer& tokenizer, const Json* tokenizer_config,
                              const Json* config, const char* name) {
  if (tokenizer_config != nullptr) {
    if (const auto text = chat::special_token(*tokenizer_config, name)) {
      if (const auto id = tokenizer.find_added(*text)) return static_cast<uint64_t>(*id);
    }
  }
  if (config == nullptr) return std::nullopt;
  const Json* text = config->find("text_config");
  for (const Json* level : {config, text}) {
    const Json* id = level == nullptr ? nullptr : level->find(fmt::format("{}_id", name));
    if (id != nullptr && id->as_uint64()) return id->as_uint64();
  }
  return std::nullopt;
}

Result<std::optional<std::string>> template_of(const Source& source, const Json* config) {
  const auto file = source.checkpoint->folder() / "chat_template.jinja";
  std::optional<std::string> jinja;
  std::error_code ignored;
  if (std::filesystem::exists(file, ignored)) {
    SLUICE_ASSIGN(jinja, read_file(file, kMaxTemplateBytes));
  }
  SLUICE_ASSIGN(auto chosen, chat::choose_template(jinja, config, std::nullopt, false));
  return chosen ? std::optional(std::move(chosen->text)) : std::nullopt;
}

}  // namespace

Status add_tokenizer_keys(const Source& source, GgufMetadata& out) {
  const auto path = source.checkpoint->folder() / "tokenizer.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return {};
  SLUICE_ASSIGN(const std::string text, read_file(path, kMaxTokenizerBytes));
  SLUICE_ASSIGN(const auto tokenizer_config, source.checkpoint->side_json("tokenizer_config.json"));
  SLUICE_ASSIGN(const auto config, source.checkpoint->side_json("config.json"));
  const Json* side = tokenizer_config ? &*tokenizer_config : nullptr;
  SLUICE_ASSIGN(const auto tokenizer, tokenizer::Tokenizer::from_json(text, side));
  SLUICE_ASSIGN(const Json file, parse_json(text));
  const std::string pattern = pattern_of(file).value_or("");
  const char* pre = pattern == tokenizer::kQwen35Pattern  ? "qwen35"
                    : pattern == tokenizer::kQwen2Pattern ? "qwen2"
                                                          : nullptr;
  if (pre == nullptr) return wrong("its pre-tokenizer is not that of the family");
  SLUICE_ASSIGN(Vocabulary vocabulary,
                vocabulary_of(file, tokenizer, source.binding.config.vocabulary));
  out.add("tokenizer.ggml.model", std::string("gpt2"));
  out.add("tokenizer.ggml.pre", std::string(pre));
  out.add("tokenizer.ggml.tokens", GgufArray(std::move(vocabulary.tokens)));
  out.add("tokenizer.ggml.token_type", GgufArray(std::move(vocabulary.types)), GgufType::kI32);
  out.add("tokenizer.ggml.merges", GgufArray(std::move(vocabulary.merges)));
  const Json* model_config = config ? &*config : nullptr;
  for (const auto& [name, key] : {std::pair{"eos_token", "eos_token_id"},
                                  {"pad_token", "padding_token_id"},
                                  {"bos_token", "bos_token_id"}}) {
    if (const auto id = id_of(tokenizer, side, model_config, name))
      out.add(fmt::format("tokenizer.ggml.{}", key), *id, GgufType::kU32);
  }
  for (const char* key : {"add_bos_token", "add_eos_token"}) {
    const Json* value = side == nullptr ? nullptr : side->find(key);
    out.add(fmt::format("tokenizer.ggml.{}", key),
            value != nullptr && value->is_boolean() && value->boolean());
  }
  SLUICE_ASSIGN(auto chat_template, template_of(source, side));
  if (chat_template) out.add("tokenizer.chat_template", std::move(*chat_template));
  return {};
}

}  // namespace sluice::convert
