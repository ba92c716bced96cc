// Text to token ids and back: byte-level BPE of the Qwen3.5 family, from tokenizer.json or GGUF
// metadata.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace sluice::tokenizer {

using TokenId = int32_t;

// What a GGUF says about its tokenizer (formats-gguf.md 2.1), without the container's types.
struct GgufVocabulary {
  std::string model;                // "gpt2"
  std::string pre;                  // "qwen35", "qwen2"
  std::vector<std::string> tokens;  // byte-level strings, [PADn] for unused ids
  std::vector<int64_t> types;       // 1 normal, 3 control, 4 user-defined, 5 unused
  std::vector<std::string> merges;  // "left right"
};

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;  // removed from text by skip_special
};

// Half-open byte range of a text.
struct TextRange {
  size_t begin = 0, end = 0;
};

struct EncodeOptions {
  // Off: the characters of added tokens ("<|im_end|>", "<think>") are ordinary text everywhere.
  bool recognise_added = true;
  // Ranges (sorted, disjoint) in which they are ordinary text although recognise_added is on: text
  // that came from a message. An added token is recognised only if none of its bytes lies in such a
  // range.
  std::span<const TextRange> literal = {};
};

class Tokenizer {
 public:
  // `config` is tokenizer_config.json, for added tokens that only it names; may be null.
  static Result<Tokenizer> from_json(std::string_view tokenizer_json, const Json* config);
  static Result<Tokenizer> from_gguf(const GgufVocabulary& vocabulary);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Thread-safe. The text must be well-formed UTF-8: otherwise an error with the offset of the
  // first bad byte. Time is linear in the text within log factors, whatever the text.
  Result<std::vector<TokenId>> encode(std::string_view text,
                                      const EncodeOptions& options = {}) const;

  // Bytes of one token: the text of an added token, the raw bytes of any other; empty for ids
  // without a token.
  std::string_view bytes(TokenId id) const;
  // All bytes joined; invalid UTF-8 replaced by U+FFFD.
  std::string decode(std::span<const TokenId> ids, bool skip_special) const;

  int64_t size() const;               // highest id with a token, plus one
  bool is_special(TokenId id) const;  // added with special = true
  bool is_added(TokenId id) const;
  std::span<const AddedToken> added_tokens() const;
  std::optional<TokenId> find_added(std::string_view content) const;
  size_t memory_bytes() const;  // what this object holds, for the memory plan

 private:
  struct Data;
  explicit Tokenizer(std::unique_ptr<Data> data);
  std::unique_ptr<Data> data_;
};

// Incremental decoding: text comes out as soon as it is whole characters, never half of one.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}
  std::string push(TokenId id);  // the text that this token completes; may be empty
  std::string finish();          // what is left: U+FFFD once if a character is unfinished

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;  // at most three bytes of an unfinished character
};

}  // namespace sluice::tokenizer
