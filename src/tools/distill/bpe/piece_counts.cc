#include "tools/distill/bpe/piece_counts.h"

#include <fmt/format.h>

#include <vector>

#include "base/utf8.h"
#include "tokenizer/family_splitter.h"
#include "tokenizer/nfc.h"
#include "tools/distill/bpe/family_tokens.h"

namespace sluice::tools::bpe {

namespace {

tokenizer::AddedTokenMatcher family_matcher() {
  std::vector<tokenizer::AddedToken> tokens;
  for (const FamilyToken& token : kFamilyTokens)
    tokens.push_back({0, token.content, token.special});
  return tokenizer::AddedTokenMatcher(std::move(tokens));
}

}  // namespace

Result<PieceCounts> PieceCounts::create() {
  SLUICE_ASSIGN(tokenizer::Splitter splitter,
                tokenizer::Splitter::from_pattern(tokenizer::kQwen35Pattern));
  return PieceCounts(std::move(splitter), family_matcher());
}

Status PieceCounts::add(std::string_view text) {
  if (const auto bad = find_invalid_utf8(text))
    return bad_input("text", fmt::format("byte {} is not UTF-8", *bad));
  size_t begin = 0, literal = 0;
  while (const auto added = added_.find(text, begin, {}, literal)) {
    SLUICE_TRY(add_plain(text.substr(begin, added->begin - begin)));
    begin = added->end;
  }
  return add_plain(text.substr(begin));
}

Status PieceCounts::add_plain(std::string_view text) {
  std::string normal;
  if (tokenizer::normalize_nfc(text, normal)) text = normal;
  std::vector<uint32_t> ends;
  SLUICE_TRY(splitter_.split(text, ends));
  size_t begin = 0;
  for (const uint32_t end : ends) {
    const std::string_view piece = text.substr(begin, end - begin);
    const auto known = counts_.find(piece);
    if (known != counts_.end()) {
      ++known->second;
    } else {
      counts_.emplace(piece, 1);
    }
    begin = end;
  }
  return {};
}

}  // namespace sluice::tools::bpe
