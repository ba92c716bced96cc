// What tokenizer.json and tokenizer_config.json mean. Every setting that would change ids or text
// is either followed or refused by name; none is ignored.
#include <fmt/format.h>

#include <charconv>
#include <initializer_list>
#include <unordered_map>

#include "tokenizer/tokenizer_json_parser.h"
#include "tokenizer/tokenizer_source.h"

namespace sluice::tokenizer {
namespace {

const std::string kOrigin = "tokenizer.json";
const std::string kConfigOrigin = "tokenizer_config.json";

Error wrong(const std::string& why) { return bad_input(kOrigin, why); }

bool is_null(const Json* value) { return value == nullptr || value->is_null(); }
bool is_string(const Json* value, std::string_view wanted) {
  return value != nullptr && value->is_string() && value->string() == wanted;
}

std::string shown(const Json* value) {
  if (value == nullptr) return "missing";
  return value->is_string() ? quoted(value->string()) : quoted(value->dump());
}

// `object` must have one of the wanted values at `key`; a missing member counts as null.
Status expect(const Json& object, std::string_view path, std::string_view key,
              std::initializer_list<Json> wanted) {
  const Json* value = object.find(key);
  std::string list;
  for (const Json& candidate : wanted) {
    if (value != nullptr ? *value == candidate : candidate.is_null()) return {};
    list += (list.empty() ? "" : " or ") + candidate.dump();
  }
  return wrong(fmt::format("{}.{} is {}; supported: {}", path, key, shown(value), list));
}

Result<bool> read_normalizer(const Json& root) {
  const Json* normalizer = root.find("normalizer");
  if (is_null(normalizer)) return false;
  if (is_string(normalizer->find("type"), "NFC")) return true;
  return wrong(fmt::format("normalizer.type is {}; supported: \"NFC\", or null as the normalizer",
                           shown(normalizer->find("type"))));
}

// Sequence[Split(regex, isolated), ByteLevel without a regex of its own].
Result<std::string> read_pattern(const Json& root) {
  const Json* sequence = root.find("pre_tokenizer");
  if (is_null(sequence)) return wrong("pre_tokenizer is missing");
  SLUICE_TRY(expect(*sequence, "pre_tokenizer", "type", {"Sequence"}));
  const Json* steps = sequence->find("pretokenizers");
  if (steps == nullptr || !steps->is_array() || steps->items().size() != 2) {
    return wrong("pre_tokenizer.pretokenizers is not a list of two; supported: Split, ByteLevel");
  }
  const Json& split = steps->items()[0];
  const Json& bytes = steps->items()[1];
  const std::string first = "pre_tokenizer.pretokenizers[0]";
  const std::string second = "pre_tokenizer.pretokenizers[1]";
  SLUICE_TRY(expect(split, first, "type", {"Split"}));
  SLUICE_TRY(expect(split, first, "behavior", {"Isolated"}));
  SLUICE_TRY(expect(split, first, "invert", {false}));
  SLUICE_TRY(expect(bytes, second, "type", {"ByteLevel"}));
  SLUICE_TRY(expect(bytes, second, "add_prefix_space", {false}));
  SLUICE_TRY(expect(bytes, second, "use_regex", {false}));
  const Json* pattern = split.find("pattern");
  const Json* regex = pattern != nullptr ? pattern->find("Regex") : nullptr;
  if (regex == nullptr || !regex->is_string()) {
    return wrong(
        fmt::format("{}.pattern is {}; supported: {{\"Regex\": \"...\"}}", first, shown(pattern)));
  }
  return regex->string();
}

Status check_model(const Json& root) {
  const Json* model = root.find("model");
  if (model == nullptr || !model->is_object()) return wrong("model is missing or not an object");
  SLUICE_TRY(expect(*model, "model", "type", {"BPE", nullptr}));
  SLUICE_TRY(expect(*model, "model", "dropout", {nullptr}));
  SLUICE_TRY(expect(*model, "model", "unk_token", {nullptr}));
  SLUICE_TRY(expect(*model, "model", "continuing_subword_prefix", {nullptr, ""}));
  SLUICE_TRY(expect(*model, "model", "end_of_word_suffix", {nullptr, ""}));
  SLUICE_TRY(expect(*model, "model", "byte_fallback", {false, nullptr}));
  SLUICE_TRY(expect(*model, "model", "ignore_merges", {false, nullptr}));
  return {};
}

Status check_ends(const Json& root) {
  const Json* decoder = root.find("decoder");
  if (is_null(decoder)) return wrong("decoder is missing; supported: ByteLevel");
  SLUICE_TRY(expect(*decoder, "decoder", "type", {"ByteLevel"}));
  // Others add tokens to what was encoded, which no model of this family does.
  const Json* processor = root.find("post_processor");
  if (!is_null(processor)) SLUICE_TRY(expect(*processor, "post_processor", "type", {"ByteLevel"}));
  return {};
}

// The flags of an added token, in either file.
Result<AddedTokenSource> read_added(const std::string& origin, const std::string& path,
                                    const Json& entry) {
  const Json* content = entry.find("content");
  if (content == nullptr || !content->is_string()) {
    return bad_input(origin, fmt::format("{}.content is {}, not a string", path, shown(content)));
  }
  AddedTokenSource added;
  added.token.content = content->string();
  const auto flag = [&](const char* key) -> Result<bool> {
    const Json* value = entry.find(key);
    if (is_null(value)) return false;
    if (value->is_boolean()) return value->boolean();
    return bad_input(origin,
                     fmt::format("{}.{} is {}, not true or false", path, key, shown(value)));
  };
  for (const char* key : {"lstrip", "rstrip", "single_word"}) {
    SLUICE_ASSIGN(const bool set, flag(key));
    if (!set) continue;
    return bad_input(origin, fmt::format("added token {} has {}=true, which is not supported",
                                         quoted(content->string()), key));
  }
  SLUICE_ASSIGN(added.token.special, flag("special"));
  SLUICE_ASSIGN(added.normalized, flag("normalized"));
  return added;
}

Status read_added_tokens(const Json& root, std::vector<AddedTokenSource>& out) {
  const Json* list = root.find("added_tokens");
  if (is_null(list)) return {};
  if (!list->is_array()) return wrong("added_tokens is not a list");
  for (size_t i = 0; i < list->items().size(); ++i) {
    const Json& entry = list->items()[i];
    SLUICE_ASSIGN(AddedTokenSource added,
                  read_added(kOrigin, fmt::format("added_tokens[{}]", i), entry));
    const Json* id = entry.find("id");
    SLUICE_ASSIGN(added.token.id,
                  checked_id(kOrigin, added.token.content, id != nullptr ? *id : Json()));
    out.push_back(std::move(added));
  }
  return {};
}

// Tokens that only tokenizer_config.json names. Where both files name one, they must agree on its
// id; the flags of tokenizer.json stand, as they do in Hugging Face's library.
Status read_config_tokens(const Json& config, std::vector<AddedTokenSource>& out) {
  const Json* table = config.find("added_tokens_decoder");
  if (is_null(table)) return {};
  if (!table->is_object()) return bad_input(kConfigOrigin, "added_tokens_decoder is not an object");
  std::unordered_map<std::string, TokenId> known;
  for (const AddedTokenSource& added : out) known.emplace(added.token.content, added.token.id);
  for (const auto& [key, entry] : table->members()) {
    SLUICE_ASSIGN(AddedTokenSource added,
                  read_added(kConfigOrigin, "added_tokens_decoder." + quoted(key), entry));
    const bool digits = !key.empty() && key.find_first_not_of("0123456789") == std::string::npos;
    SLUICE_ASSIGN(added.token.id, checked_id(kConfigOrigin, added.token.content,
                                             digits ? Json::number_from_spelling(key) : Json(key)));
    const auto same = known.find(added.token.content);
    if (same == known.end()) {
      out.push_back(std::move(added));
    } else if (same->second != added.token.id) {
      return bad_input(kConfigOrigin,
                       fmt::format("added token {} has id {}, but {} in tokenizer.json",
                                   quoted(added.token.content), added.token.id, same->second));
    }
  }
  return {};
}

}  // namespace

Result<TokenizerSource> read_tokenizer_json(std::string_view text, const Json* config) {
  SLUICE_ASSIGN(ParsedTokenizerJson parsed, parse_tokenizer_json(text));
  const Json& root = parsed.tree;
  if (!root.is_object()) {
    return wrong(fmt::format("the file is a JSON {}, not an object", root.kind_name()));
  }
  SLUICE_TRY(check_model(root));
  if (!parsed.has_vocabulary) return wrong("model.vocab is missing or not an object");
  if (!parsed.has_merges) return wrong("model.merges is missing or not a list");
  SLUICE_TRY(check_ends(root));
  TokenizerSource source;
  source.origin = kOrigin;
  SLUICE_ASSIGN(source.nfc, read_normalizer(root));
  SLUICE_ASSIGN(source.pattern, read_pattern(root));
  SLUICE_TRY(read_added_tokens(root, source.added));
  if (config != nullptr) SLUICE_TRY(read_config_tokens(*config, source.added));
  source.tokens = std::move(parsed.tokens);
  source.ids = std::move(parsed.ids);
  source.merges = std::move(parsed.merges);
  return source;
}

}  // namespace sluice::tokenizer
