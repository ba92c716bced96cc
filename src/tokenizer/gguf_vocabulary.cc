// What a GGUF's tokenizer metadata mean (formats-gguf.md 2.1).
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "tokenizer/family_splitter.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/tokenizer_source.h"

namespace sluice::tokenizer {
namespace {

const std::string kOrigin = "GGUF tokenizer";

enum TokenType : int64_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

// The converter writes every "<|...|>" as control; these are not special in the tokenizer it
// converts, and skipping special tokens must leave them in the text.
constexpr std::array<std::string_view, 6> kNotSpecial = {"<|fim_prefix|>", "<|fim_middle|>",
                                                         "<|fim_suffix|>", "<|fim_pad|>",
                                                         "<|repo_name|>",  "<|file_sep|>"};

Error wrong(const std::string& why, std::string remedy = {}) {
  return bad_input(kOrigin, why, std::move(remedy));
}

Status read_tokens(const GgufVocabulary& vocabulary, TokenizerSource& source) {
  const size_t count = vocabulary.tokens.size();
  if (vocabulary.types.size() != count) {
    return wrong(fmt::format("{} tokens but {} entries in tokenizer.ggml.token_type", count,
                             vocabulary.types.size()));
  }
  if (count > static_cast<size_t>(kMaxTokenId) + 1) {
    return wrong(fmt::format("{} tokens, at most {}", count, kMaxTokenId + 1));
  }
  for (size_t i = 0; i < count; ++i) {
    const std::string& token = vocabulary.tokens[i];
    const auto id = static_cast<TokenId>(i);
    if (const auto bad = find_invalid_utf8(token)) {
      return wrong(fmt::format("token {} is not valid UTF-8 at its byte {}", i, *bad));
    }
    const int64_t type = vocabulary.types[i];
    if (type == kNormal) {
      source.tokens.push(token);
      source.ids.push_back(id);
    } else if (type == kControl || type == kUserDefined) {
      const bool restored =
          std::find(kNotSpecial.begin(), kNotSpecial.end(), token) != kNotSpecial.end();
      source.added.push_back({{id, token, type == kControl && !restored}, false});
    } else if (type != kUnused) {
      return wrong(
          fmt::format("token {} ({}) has type {}; supported: 1, 3, 4, 5", i, quoted(token), type));
    }
  }
  return {};
}

}  // namespace

Result<TokenizerSource> read_gguf_vocabulary(const GgufVocabulary& vocabulary) {
  if (vocabulary.model != "gpt2") {
    return wrong(fmt::format("tokenizer.ggml.model is {}; supported: \"gpt2\" (byte-level BPE)",
                             quoted(vocabulary.model)));
  }
  TokenizerSource source;
  source.origin = kOrigin;
  if (vocabulary.pre == "qwen35") {
    source.pattern = kQwen35Pattern;
  } else if (vocabulary.pre == "qwen2") {
    source.pattern = kQwen2Pattern;
  } else {
    return wrong(fmt::format("tokenizer.ggml.pre is {}; supported: \"qwen35\", \"qwen2\"",
                             quoted(vocabulary.pre)),
                 "Put the model's tokenizer.json beside the file");
  }
  // Not in the file. Both tokenizers normalize in their own tokenizer.json, so the ids that the
  // model was trained on are those of normalized text.
  source.nfc = true;
  SLUICE_TRY(read_tokens(vocabulary, source));
  for (size_t i = 0; i < vocabulary.merges.size(); ++i) {
    const std::string_view merge = vocabulary.merges[i];
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == merge.size() ||
        merge.find(' ', space + 1) != std::string_view::npos) {
      return wrong(fmt::format("merge {} is {}, not two tokens with one space between them", i,
                               quoted(merge)));
    }
    source.merges.push(merge.substr(0, space));
    source.merges.push(merge.substr(space + 1));
  }
  return source;
}

}  // namespace sluice::tokenizer
