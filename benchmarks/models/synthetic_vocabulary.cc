#include "models/synthetic_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/family_splitter.h"

namespace sluice::benchmarks {
namespace {

constexpr int64_t kPublishedRows = 248320;
constexpr int64_t kPublishedFirstAdded = 248044;
constexpr int64_t kRowsAfterAdded = 8;  // in smaller vocabularies

enum TokenType : int64_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

struct Added {
  const char* text;
  TokenType type;  // of the GGUF
  bool special;    // of tokenizer.json
};

// In the order of their ids (spec/serving-template.md 3, spec/formats-gguf.md 2.1).
constexpr Added kAdded[] = {
    {"<|endoftext|>", kControl, true},
    {"<|im_start|>", kControl, true},
    {"<|im_end|>", kControl, true},
    {"<|object_ref_start|>", kControl, true},
    {"<|object_ref_end|>", kControl, true},
    {"<|box_start|>", kControl, true},
    {"<|box_end|>", kControl, true},
    {"<|quad_start|>", kControl, true},
    {"<|quad_end|>", kControl, true},
    {"<|vision_start|>", kControl, true},
    {"<|vision_end|>", kControl, true},
    {"<|vision_pad|>", kControl, true},
    {"<|image_pad|>", kControl, true},
    {"<|video_pad|>", kControl, true},
    {"<tool_call>", kUserDefined, false},
    {"</tool_call>", kUserDefined, false},
    {"<|fim_prefix|>", kControl, false},
    {"<|fim_middle|>", kControl, false},
    {"<|fim_suffix|>", kControl, false},
    {"<|fim_pad|>", kControl, false},
    {"<|repo_name|>", kControl, false},
    {"<|file_sep|>", kControl, false},
    {"<tool_response>", kUserDefined, false},
    {"</tool_response>", kUserDefined, false},
    {"<think>", kUserDefined, false},
    {"</think>", kUserDefined, false},
    {"<|audio_start|>", kControl, true},
    {"<|audio_end|>", kControl, true},
    {"<tts_pad>", kControl, true},
    {"<tts_text_bos>", kControl, true},
    {"<tts_text_eod>", kControl, true},
    {"<tts_text_bos_single>", kControl, true},
    {"<|audio_pad|>", kControl, true},
};
constexpr int64_t kAddedCount = static_cast<int64_t>(std::size(kAdded));
static_assert(kAddedCount == 33);

// The byte alphabet in the order of the published vocabulary: by character, so that bytes which
// print as themselves come first.
std::vector<std::string> byte_tokens() {
  std::array<char32_t, 256> characters{};
  for (int byte = 0; byte < 256; ++byte) {
    characters[static_cast<size_t>(byte)] =
        tokenizer::alphabet_character(static_cast<uint8_t>(byte));
  }
  std::ranges::sort(characters);
  std::vector<std::string> tokens;
  for (const char32_t character : characters) append_utf8(character, tokens.emplace_back());
  return tokens;
}

}  // namespace

SyntheticVocabulary synthetic_vocabulary(int64_t size) {
  SLUICE_CHECK(size >= 512, "{} rows", size);
  SyntheticVocabulary vocabulary;
  vocabulary.tokens = byte_tokens();
  vocabulary.types.assign(vocabulary.tokens.size(), kNormal);
  const int64_t first =
      size == kPublishedRows ? kPublishedFirstAdded : size - kRowsAfterAdded - kAddedCount;
  for (auto id = static_cast<int64_t>(vocabulary.tokens.size()); id < size; ++id) {
    const bool added = id >= first && id < first + kAddedCount;
    vocabulary.tokens.push_back(added ? kAdded[id - first].text : fmt::format("[PAD{}]", id));
    vocabulary.types.push_back(added ? kAdded[id - first].type : kUnused);
  }
  vocabulary.end_of_text = first;
  vocabulary.end_of_turn = first + 2;
  return vocabulary;
}

Json synthetic_tokenizer_json(const SyntheticVocabulary& vocabulary) {
  Json added = Json::array();
  Json vocab = Json::object();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    if (vocabulary.types[id] == kNormal) vocab.set(token, Json(static_cast<int64_t>(id)));
    if (vocabulary.types[id] != kControl && vocabulary.types[id] != kUserDefined) continue;
    Json entry = Json::object();
    entry.set("id", Json(static_cast<int64_t>(id)));
    entry.set("content", token);
    for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"})
      entry.set(flag, false);
    entry.set("special", kAdded[static_cast<int64_t>(id) - vocabulary.end_of_text].special);
    added.push_back(std::move(entry));
  }
  Json pattern = Json::object();
  pattern.set("Regex", tokenizer::kQwen35Pattern);
  Json split = Json::object();
  split.set("type", "Split");
  split.set("pattern", std::move(pattern));
  split.set("behavior", "Isolated");
  split.set("invert", false);
  Json byte_level = Json::object();
  byte_level.set("type", "ByteLevel");
  for (const char* flag : {"add_prefix_space", "trim_offsets", "use_regex"})
    byte_level.set(flag, false);
  Json sequence = Json::object();
  sequence.set("type", "Sequence");
  sequence.set("pretokenizers", Json(Json::Array{std::move(split), byte_level}));
  Json normalizer = Json::object();
  normalizer.set("type", "NFC");
  Json model = Json::object();
  model.set("type", "BPE");
  for (const char* absent : {"dropout", "unk_token"}) model.set(absent, nullptr);
  for (const char* empty : {"continuing_subword_prefix", "end_of_word_suffix"})
    model.set(empty, "");
  for (const char* flag : {"fuse_unk", "byte_fallback", "ignore_merges"}) model.set(flag, false);
  model.set("vocab", std::move(vocab));
  model.set("merges", Json::array());
  Json tokenizer = Json::object();
  tokenizer.set("version", "1.0");
  for (const char* absent : {"truncation", "padding"}) tokenizer.set(absent, nullptr);
  tokenizer.set("added_tokens", std::move(added));
  tokenizer.set("normalizer", std::move(normalizer));
  tokenizer.set("pre_tokenizer", std::move(sequence));
  tokenizer.set("post_processor", byte_level);
  tokenizer.set("decoder", byte_level);
  tokenizer.set("model", std::move(model));
  return tokenizer;
}

std::string synthetic_chat_template() {
  return "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + "
         "message.content + "
         "'<|im_end|>\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- "
         "'<|im_start|>assistant\\n' }}{%- endif %}";
}

}  // namespace sluice::benchmarks
