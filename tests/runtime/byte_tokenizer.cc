#include "runtime/byte_tokenizer.h"

#include <stdexcept>

#include "base/utf8.h"

namespace sluice::test {

const tokenizer::Tokenizer& byte_tokenizer() {
  static const tokenizer::Tokenizer tokenizer = [] {
    tokenizer::GgufVocabulary vocabulary;
    vocabulary.model = "gpt2";
    vocabulary.pre = "qwen35";
    // GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 and up, in
    // order.
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      std::string text;
      append_utf8(printable ? static_cast<char32_t>(byte) : next++, text);
      vocabulary.tokens.push_back(text);
      vocabulary.types.push_back(1);
    }
    for (const auto& [text, type] : {std::pair{"<|im_end|>", 3}, {"<think>", 4}, {"</think>", 4}}) {
      vocabulary.tokens.emplace_back(text);
      vocabulary.types.push_back(type);
    }
    auto made = tokenizer::Tokenizer::from_gguf(vocabulary);
    if (!made.ok()) throw std::runtime_error(made.error().message());
    return std::move(*made);
  }();
  return tokenizer;
}

}  // namespace sluice::test
