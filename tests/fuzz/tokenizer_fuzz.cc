// A tokenizer file of any bytes is refused or works; any text on a small vocabulary comes back
// normalized. Input beginning with '{' is a tokenizer.json, any other: one byte of options, two
// literal ranges, then text.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/nfc.h"
#include "tokenizer/tokenizer.h"

namespace {

using sluice::tokenizer::EncodeOptions;
using sluice::tokenizer::GgufVocabulary;
using sluice::tokenizer::StreamDecoder;
using sluice::tokenizer::TextRange;
using sluice::tokenizer::TokenId;
using sluice::tokenizer::Tokenizer;

const Tokenizer& small_tokenizer() {
  static const Tokenizer tokenizer = [] {
    GgufVocabulary vocabulary{"gpt2", "qwen35", {}, {}, {}};
    const auto add = [&](std::string text, int64_t type) {
      vocabulary.tokens.push_back(std::move(text));
      vocabulary.types.push_back(type);
    };
    for (unsigned byte = 0; byte < 256; ++byte) {
      std::string text;
      sluice::append_utf8(sluice::tokenizer::alphabet_character(static_cast<uint8_t>(byte)), text);
      add(text, 1);
    }
    for (const auto& [left, right] :
         {std::pair{"a", "a"}, {"aa", "a"}, {"b", "a"}, {"a", "b"}, {"aa", "aa"}, {"Ġ", "a"}}) {
      vocabulary.merges.push_back(std::string(left) + " " + right);
      add(std::string(left) + right, 1);
    }
    add("[PAD262]", 5);
    for (const char* special : {"<|im_start|>", "<|im_end|>", "<a"}) add(special, 3);
    for (const char* tag : {"<a>", "<a>b"}) add(tag, 4);
    return Tokenizer::from_gguf(vocabulary).value();
  }();
  return tokenizer;
}

void check_round_trip(const Tokenizer& tokenizer, std::string_view text,
                      const EncodeOptions& options) {
  const auto bad = sluice::find_invalid_utf8(text);
  const auto ids = tokenizer.encode(text, options);
  // A pattern of the fuzzer's own may run into its step limit.
  SLUICE_CHECK(ids.ok() != bad.has_value() || !ids.ok(), "{} bytes", text.size());
  if (!ids.ok()) {
    SLUICE_CHECK(!ids.error().message().empty(), "an error without words");
    return;
  }
  for (const bool skip_special : {false, true}) {
    StreamDecoder decoder(tokenizer, skip_special);
    std::string streamed;
    for (const TokenId id : *ids) streamed += decoder.push(id);
    streamed += decoder.finish();
    SLUICE_CHECK(streamed == tokenizer.decode(*ids, skip_special), "{} ids", ids->size());
  }
}

void check_text(const uint8_t* data, size_t size) {
  constexpr size_t kHead = 5;
  if (size < kHead) return;
  const std::string_view text(reinterpret_cast<const char*>(data + kHead), size - kHead);
  std::array<size_t, 4> bounds;
  for (size_t i = 0; i < bounds.size(); ++i) bounds[i] = std::min<size_t>(data[i + 1], text.size());
  std::sort(bounds.begin(), bounds.end());
  const std::array<TextRange, 2> literal = {TextRange{bounds[0], bounds[1]},
                                            TextRange{bounds[2], bounds[3]}};
  EncodeOptions options;
  options.recognise_added = (data[0] & 1) != 0;
  if ((data[0] & 2) != 0) options.literal = literal;
  const Tokenizer& tokenizer = small_tokenizer();
  check_round_trip(tokenizer, text, options);
  if (sluice::find_invalid_utf8(text)) return;
  std::string normal;
  if (!sluice::tokenizer::normalize_nfc(text, normal)) normal = text;
  std::string again;
  SLUICE_CHECK(!sluice::tokenizer::normalize_nfc(normal, again), "normal text is not stable");
  const auto plain = tokenizer.encode(text, {.recognise_added = false, .literal = {}});
  SLUICE_CHECK(plain.ok() && tokenizer.decode(*plain, false) == normal, "{} bytes", text.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  if (data[0] != '{') {
    check_text(data, size);
    return 0;
  }
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = Tokenizer::from_json(file, nullptr);
  if (!tokenizer.ok()) {
    SLUICE_CHECK(!tokenizer.error().message().empty(), "an error without words");
    return 0;
  }
  check_round_trip(*tokenizer, file, {});
  check_round_trip(*tokenizer, "the <think> d\xC3\xA9j\xC3\xA0 \xE4\xBD\xA0 12\n\n",
                   {.recognise_added = false, .literal = {}});
  return 0;
}
