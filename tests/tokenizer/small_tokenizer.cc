#include "tokenizer/small_tokenizer.h"

#include <unicode/uchar.h>

#include <array>
#include <stdexcept>

#include "base/file.h"
#include "base/utf8.h"
#include "support/paths.h"

namespace sluice::tokenizer::test {

std::string read_data(std::string_view name) {
  auto text = read_file(sluice::test::tests_folder() / "tokenizer" / "data" / name, 1 << 20);
  if (!text.ok()) throw std::runtime_error(text.error().message());
  return std::move(text).value();
}

Json small_tokenizer_json() { return parse_json(read_data("small_tokenizer.json")).value(); }

Tokenizer small_tokenizer() {
  auto tokenizer = Tokenizer::from_json(read_data("small_tokenizer.json"), nullptr);
  if (!tokenizer.ok()) throw std::runtime_error(tokenizer.error().message());
  return std::move(tokenizer).value();
}

std::vector<TokenId> ids_of(const Json& list) {
  std::vector<TokenId> ids;
  for (const Json& id : list.items()) ids.push_back(static_cast<TokenId>(id.as_int64().value()));
  return ids;
}

std::string random_text(std::mt19937& random, size_t characters, int newest) {
  static const std::array<std::u32string, 12> kPools = {
      U"abcdefghijklmnopqrstuvwxyz",
      U"THERELLMDVS'''stremdvl \u017F",
      U"  \t\n\r\v\f\u0085\u00A0\u1680",
      U"\u2003\u2028\u2029\u202F\u3000\u180E\u200B ",
      U"0123456789\u0663\u096A\u2167\u00B2\u00BD",
      U"!?.,;:'\"()[]{}<|>/_-+=*#@$%&\n\r",
      U"\u00E9\u00E0\u00FC\u00C5\u212B\u0041\u0065\u006F\u1E69",
      U"\u0300\u0301\u0308\u030A\u0316\u0323\u0327\u0345",
      U"\u0F71\u0F72\u0F73\u0F75\u0F81\u0344\u0340\u0958",
      U"\u1100\u1161\u11A8\uAC00\uAC01\uD7A3\u4F60\u597D\u3002",
      U"\u0939\u093F\u094D\u0BCD\u0E44\u0E17\u05B0\uFB2C",
      U"\U0001F469\u200D\U0001F3FD\U0001D15E\U0001D165\uFE0F"};
  std::string text;
  for (size_t i = 0; i < characters;) {
    if (random() % 8 == 0) {
      const auto c = static_cast<UChar32>(random() % (random() % 2 == 0 ? 0x3000 : 0x110000));
      UVersionInfo age;
      u_charAge(c, age);
      if (U_IS_SURROGATE(c) || age[0] > newest) continue;
      append_utf8(static_cast<char32_t>(c), text);
      ++i;
      continue;
    }
    const std::u32string& pool = kPools[random() % kPools.size()];
    for (size_t run = 1 + random() % 5; run > 0 && i < characters; --run, ++i) {
      append_utf8(pool[random() % pool.size()], text);
    }
  }
  return text;
}

std::string repeated(std::string_view unit, size_t bytes) {
  std::string text;
  text.reserve(bytes);
  while (text.size() + unit.size() <= bytes) text += unit;
  return text;
}

}  // namespace sluice::tokenizer::test
