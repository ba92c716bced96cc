#include "tokenizer/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/nfc.h"

namespace sluice::tokenizer {
namespace {

constexpr size_t kMaxVocabularyText = size_t{1} << 31;  // offsets are 32 bits

uint64_t hash_of(std::string_view text) {
  uint64_t hash = text.size();
  while (!text.empty()) {
    uint64_t word = 0;
    const size_t bytes = std::min<size_t>(text.size(), 8);
    std::memcpy(&word, text.data(), bytes);
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    text.remove_prefix(bytes);
  }
  return hash * 0xD6E8FEB86659FD93u;
}

// Token strings to their place in the source; only needed while merges are resolved.
class TokenIndex {
 public:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  explicit TokenIndex(const StringPool& tokens)
      : tokens_(tokens),
        slots_(std::bit_ceil(2 * tokens.size() + 2), kNone),
        shift_(64 - static_cast<unsigned>(std::countr_zero(slots_.size()))) {}

  // The token's place if it is known already, else kNone after adding it.
  uint32_t add(uint32_t token) {
    const size_t slot = slot_of(tokens_[token]);
    if (slots_[slot] != kNone) return slots_[slot];
    slots_[slot] = token;
    return kNone;
  }
  uint32_t find(std::string_view text) const { return slots_[slot_of(text)]; }

 private:
  size_t slot_of(std::string_view text) const {
    size_t slot = static_cast<size_t>(hash_of(text) >> shift_);
    while (slots_[slot] != kNone && tokens_[slots_[slot]] != text) {
      slot = (slot + 1) & (slots_.size() - 1);
    }
    return slot;
  }

  const StringPool& tokens_;
  std::vector<uint32_t> slots_;
  unsigned shift_;
};

}  // namespace

class Vocabulary::Builder {
 public:
  explicit Builder(const TokenizerSource& source) : source_(source), index_(source.tokens) {}

  Result<Vocabulary> run() {
    SLUICE_TRY(index_tokens());
    SLUICE_TRY(check_added());
    SLUICE_TRY(find_byte_ids());
    SLUICE_TRY(resolve_merges());
    SLUICE_TRY(lay_out_bytes());
    SLUICE_TRY(make_matchers());
    return std::move(out_);
  }

 private:
  static constexpr uint32_t kFree = 0xFFFFFFFF;

  Error wrong(const std::string& why) const { return bad_input(source_.origin, why); }
  TokenId id_of(uint32_t token) const { return source_.ids[token]; }

  Status index_tokens() {
    TokenId highest = -1;
    for (const TokenId id : source_.ids) highest = std::max(highest, id);
    for (const AddedTokenSource& added : source_.added) highest = std::max(highest, added.token.id);
    owner_.assign(static_cast<size_t>(highest + 1), kFree);
    for (uint32_t i = 0; i < source_.ids.size(); ++i) {
      const std::string_view token = source_.tokens[i];
      if (token.empty()) return wrong(fmt::format("the token of id {} is empty", id_of(i)));
      if (const uint32_t other = index_.add(i); other != TokenIndex::kNone) {
        return wrong(fmt::format("token {} occurs twice in the vocabulary, with ids {} and {}",
                                 quoted(token), id_of(other), id_of(i)));
      }
      uint32_t& owner = owner_[static_cast<size_t>(id_of(i))];
      if (owner != kFree) {
        return wrong(fmt::format("tokens {} and {} have the same id {}",
                                 quoted(source_.tokens[owner]), quoted(token), id_of(i)));
      }
      owner = i;
    }
    return {};
  }

  Status check_added() {
    std::unordered_set<std::string_view> contents;
    std::unordered_set<TokenId> ids;
    for (const auto& [token, normalized] : source_.added) {
      const std::string name = quoted(token.content);
      if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes) {
        return wrong(fmt::format("added token {} (id {}) has {} bytes; supported: 1 to {}", name,
                                 token.id, token.content.size(), kMaxAddedTokenBytes));
      }
      if (!contents.insert(token.content).second) {
        return wrong(fmt::format("added token {} occurs twice", name));
      }
      if (!ids.insert(token.id).second) {
        return wrong(
            fmt::format("added token {} has id {}, as another added token has", name, token.id));
      }
      const uint32_t same_text = index_.find(token.content);
      if (same_text != TokenIndex::kNone && id_of(same_text) != token.id) {
        return wrong(fmt::format("added token {} has id {}, but {} in the vocabulary", name,
                                 token.id, id_of(same_text)));
      }
      const uint32_t owner = owner_[static_cast<size_t>(token.id)];
      if (owner != kFree && owner != same_text) {
        return wrong(fmt::format("added token {} has id {}, which is token {} of the vocabulary",
                                 name, token.id, quoted(source_.tokens[owner])));
      }
    }
    return {};
  }

  Status find_byte_ids() {
    for (unsigned byte = 0; byte < 256; ++byte) {
      std::string token;
      append_utf8(alphabet_character(static_cast<uint8_t>(byte)), token);
      const uint32_t found = index_.find(token);
      if (found == TokenIndex::kNone) {
        return wrong(fmt::format("the vocabulary has no token {} for the byte 0x{:02X}",
                                 quoted(token), byte));
      }
      out_.byte_ids_[byte] = id_of(found);
    }
    return {};
  }

  Status resolve_merges() {
    const size_t count = source_.merges.size() / 2;
    if (count > kMaxMerges) return wrong(fmt::format("{} merges, at most {}", count, kMaxMerges));
    out_.merges_.reserve(count);
    std::string merged;
    for (size_t i = 0; i < count; ++i) {
      const std::string_view left = source_.merges[2 * i], right = source_.merges[2 * i + 1];
      merged.assign(left).append(right);
      std::array<uint32_t, 3> found;
      const std::array<std::string_view, 3> texts = {left, right, merged};
      for (size_t k = 0; k < texts.size(); ++k) {
        found[k] = index_.find(texts[k]);
        if (found[k] == TokenIndex::kNone) {
          return wrong(fmt::format("merge {} ({} with {}): {} is not in the vocabulary", i,
                                   quoted(left), quoted(right), quoted(texts[k])));
        }
      }
      if (!out_.merges_.add(id_of(found[0]), id_of(found[1]), id_of(found[2]))) {
        return wrong(
            fmt::format("merge {} ({} with {}) occurs twice", i, quoted(left), quoted(right)));
      }
    }
    return {};
  }

  Status lay_out_bytes() {
    const size_t size = owner_.size();
    std::vector<const AddedTokenSource*> added(size, nullptr);
    for (const AddedTokenSource& token : source_.added) {
      added[static_cast<size_t>(token.token.id)] = &token;
    }
    out_.kinds_.assign(size, kNone);
    out_.offsets_.reserve(size + 1);
    out_.offsets_.push_back(0);
    for (size_t id = 0; id < size; ++id) {
      if (added[id] != nullptr) {
        out_.text_ += added[id]->token.content;
        out_.kinds_[id] = added[id]->token.special ? kSpecial : kAdded;
        out_.added_.push_back(added[id]->token);
      } else if (owner_[id] != kFree) {
        append_token_bytes(source_.tokens[owner_[id]], out_.text_);
        out_.kinds_[id] = kOrdinary;
      }
      if (out_.text_.size() > kMaxVocabularyText) {
        return wrong(fmt::format("the tokens have more than {} bytes", kMaxVocabularyText));
      }
      out_.offsets_.push_back(static_cast<uint32_t>(out_.text_.size()));
    }
    out_.text_.shrink_to_fit();
    out_.added_.shrink_to_fit();
    return {};
  }

  Status make_matchers() {
    std::vector<AddedToken> raw, normalized;
    for (const AddedTokenSource& added : source_.added) {
      AddedToken token = added.token;
      if (!added.normalized) {
        raw.push_back(std::move(token));
        continue;
      }
      if (std::string form; source_.nfc && normalize_nfc(token.content, form)) token.content = form;
      if (token.content.size() > kMaxAddedTokenBytes) {
        return wrong(fmt::format("added token {} has {} bytes when normalized, at most {}",
                                 quoted(added.token.content), token.content.size(),
                                 kMaxAddedTokenBytes));
      }
      normalized.push_back(std::move(token));
    }
    raw.shrink_to_fit();
    normalized.shrink_to_fit();
    out_.raw_matcher_ = AddedTokenMatcher(std::move(raw));
    out_.normalized_matcher_ = AddedTokenMatcher(std::move(normalized));
    return {};
  }

  const TokenizerSource& source_;
  TokenIndex index_;
  std::vector<uint32_t> owner_;  // by id: place of the token in source_.tokens, or kFree
  Vocabulary out_;
};

Result<Vocabulary> Vocabulary::build(const TokenizerSource& source) {
  return Builder(source).run();
}

size_t Vocabulary::memory_bytes() const {
  size_t bytes = heap_bytes(text_) + offsets_.capacity() * sizeof(uint32_t) + kinds_.capacity() +
                 merges_.memory_bytes() + added_.capacity() * sizeof(AddedToken) +
                 raw_matcher_.memory_bytes() + normalized_matcher_.memory_bytes();
  for (const AddedToken& token : added_) bytes += heap_bytes(token.content);
  return bytes;
}

}  // namespace sluice::tokenizer
