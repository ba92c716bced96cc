#include "tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/bpe.h"
#include "tokenizer/nfc.h"
#include "tokenizer/splitter.h"
#include "tokenizer/tokenizer_source.h"
#include "tokenizer/unicode_classes.h"
#include "tokenizer/vocabulary.h"
#include "tokenizer/word_cache.h"

namespace sluice::tokenizer {

struct Tokenizer::Data {
  Vocabulary vocabulary;
  Splitter splitter;
  bool nfc;
  WordCache cache;

  static Result<std::unique_ptr<Data>> build(const TokenizerSource& source) {
    Result<Splitter> splitter = Splitter::from_pattern(source.pattern);
    if (!splitter.ok()) {
      return bad_input(source.origin, "pre-tokenizer " + splitter.error().message());
    }
    SLUICE_ASSIGN(Vocabulary vocabulary, Vocabulary::build(source));
    return std::unique_ptr<Data>(
        new Data{std::move(vocabulary), std::move(splitter).value(), source.nfc, {}});
  }
};

namespace {

// Literal ranges of a text as ranges of a normalized part of it. A bound inside a replaced stretch
// moves out to the end of that stretch: what came partly from a literal range is literal.
std::vector<TextRange> map_ranges(std::span<const TextRange> literal, TextRange part,
                                  const std::vector<NfcChange>& changes) {
  std::vector<TextRange> mapped;
  size_t change = 0;              // the first that ends behind the position looked at
  size_t source = 0, target = 0;  // ends of the change before it
  const auto advance = [&](size_t position) {
    while (change < changes.size() && changes[change].source_end <= position) {
      source = changes[change].source_end;
      target = changes[change++].target_end;
    }
    return change < changes.size() && changes[change].source_begin < position;
  };
  for (const TextRange range : literal) {
    if (range.end <= part.begin || range.begin >= part.end || range.begin == range.end) continue;
    const size_t begin = std::max(range.begin, part.begin) - part.begin;
    const size_t end = std::min(range.end, part.end) - part.begin;
    TextRange& out = mapped.emplace_back();
    out.begin = advance(begin) ? changes[change].target_begin : target + (begin - source);
    out.end = advance(end) ? changes[change].target_end : target + (end - source);
  }
  return mapped;
}

// One call of encode().
class Encoder {
 public:
  Encoder(const Vocabulary& vocabulary, const Splitter& splitter, bool nfc, const WordCache& cache,
          std::vector<TokenId>& out)
      : vocabulary_(vocabulary), splitter_(splitter), nfc_(nfc), cache_(cache), out_(out) {}

  // Everything: added tokens are taken out of the raw text first, the rest is normalized part by
  // part.
  Status with_added(std::string_view text, std::span<const TextRange> literal) {
    size_t next_literal = 0, position = 0;
    while (const auto match =
               vocabulary_.raw_matcher().find(text, position, literal, next_literal)) {
      SLUICE_TRY(part(text, {position, match->begin}, literal));
      out_.push_back(match->id);
      position = match->end;
    }
    return part(text, {position, text.size()}, literal);
  }

  Status plain(std::string_view text) {
    std::string normalized;
    return pieces(nfc_ && normalize_nfc(text, normalized) ? normalized : text);
  }

 private:
  // Text between two added tokens.
  Status part(std::string_view text, TextRange range, std::span<const TextRange> literal) {
    const std::string_view raw = text.substr(range.begin, range.end - range.begin);
    const AddedTokenMatcher& matcher = vocabulary_.normalized_matcher();
    if (matcher.empty()) return plain(raw);
    std::string storage;
    std::vector<NfcChange> changes;
    const std::string_view normalized =
        nfc_ && normalize_nfc(raw, storage, &changes) ? std::string_view(storage) : raw;
    const std::vector<TextRange> mapped = map_ranges(literal, range, changes);
    size_t next_literal = 0, position = 0;
    while (const auto match = matcher.find(normalized, position, mapped, next_literal)) {
      SLUICE_TRY(pieces(normalized.substr(position, match->begin - position)));
      out_.push_back(match->id);
      position = match->end;
    }
    return pieces(normalized.substr(position));
  }

  Status pieces(std::string_view text) {
    ends_.clear();
    SLUICE_TRY(splitter_.split(text, ends_));
    size_t begin = 0;
    for (const uint32_t end : ends_) {
      piece(text.substr(begin, end - begin));
      begin = end;
    }
    return {};
  }

  void piece(std::string_view text) {
    if (text.size() == 1) {
      out_.push_back(vocabulary_.byte_ids()[static_cast<uint8_t>(text[0])]);
      return;
    }
    if (text.size() > WordCache::kMaxPieceBytes) {
      encode_piece(vocabulary_.merges(), vocabulary_.byte_ids(), text, out_);
      return;
    }
    const WordCache::Key key = WordCache::key_of(text);
    if (cache_.find(key, out_)) return;
    const size_t before = out_.size();
    encode_piece(vocabulary_.merges(), vocabulary_.byte_ids(), text, out_);
    cache_.store(key, std::span(out_).subspan(before));
  }

  const Vocabulary& vocabulary_;
  const Splitter& splitter_;
  const bool nfc_;
  const WordCache& cache_;
  std::vector<TokenId>& out_;
  std::vector<uint32_t> ends_;
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Data> data) : data_(std::move(data)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json, const Json* config) {
  SLUICE_ASSIGN(const TokenizerSource source, read_tokenizer_json(tokenizer_json, config));
  SLUICE_ASSIGN(std::unique_ptr<Data> data, Data::build(source));
  return Tokenizer(std::move(data));
}

Result<Tokenizer> Tokenizer::from_gguf(const GgufVocabulary& vocabulary) {
  SLUICE_ASSIGN(const TokenizerSource source, read_gguf_vocabulary(vocabulary));
  SLUICE_ASSIGN(std::unique_ptr<Data> data, Data::build(source));
  return Tokenizer(std::move(data));
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text,
                                               const EncodeOptions& options) const {
  constexpr size_t kMaxText = std::numeric_limits<int32_t>::max();
  if (text.size() > kMaxText) {
    return bad_input("text", fmt::format("{} bytes, at most {}", text.size(), kMaxText));
  }
  if (const auto bad = find_invalid_utf8(text)) {
    return bad_input("text",
                     fmt::format("not valid UTF-8: the first bad byte (0x{:02X}) is at offset {}",
                                 static_cast<uint8_t>(text[*bad]), *bad));
  }
  size_t previous = 0;
  for (const TextRange range : options.literal) {
    SLUICE_CHECK(previous <= range.begin && range.begin <= range.end && range.end <= text.size(),
                 "literal range [{}, {}) after {} in {} bytes", range.begin, range.end, previous,
                 text.size());
    previous = range.end;
  }
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4 + 8);
  Encoder encoder(data_->vocabulary, data_->splitter, data_->nfc, data_->cache, ids);
  SLUICE_TRY(options.recognise_added ? encoder.with_added(text, options.literal)
                                     : encoder.plain(text));
  return ids;
}

std::string_view Tokenizer::bytes(TokenId id) const { return data_->vocabulary.bytes(id); }

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string joined;
  for (const TokenId id : ids) {
    if (!skip_special || !is_special(id)) joined += bytes(id);
  }
  return find_invalid_utf8(joined) ? replace_invalid_utf8(joined) : joined;
}

int64_t Tokenizer::size() const { return data_->vocabulary.size(); }
bool Tokenizer::is_special(TokenId id) const { return data_->vocabulary.is_special(id); }
bool Tokenizer::is_added(TokenId id) const { return data_->vocabulary.is_added(id); }
std::span<const AddedToken> Tokenizer::added_tokens() const { return data_->vocabulary.added(); }

std::optional<TokenId> Tokenizer::find_added(std::string_view content) const {
  for (const AddedToken& token : added_tokens()) {
    if (token.content == content) return token.id;
  }
  return std::nullopt;
}

size_t Tokenizer::memory_bytes() const {
  return sizeof(Data) + data_->vocabulary.memory_bytes() + data_->splitter.memory_bytes() +
         WordCache::memory_bytes() + UnicodeClasses::get().memory_bytes();
}

std::string StreamDecoder::push(TokenId id) {
  if (skip_special_ && tokenizer_->is_special(id)) return {};
  pending_ += tokenizer_->bytes(id);
  const size_t complete = pending_.size() - incomplete_utf8_suffix(pending_);
  std::string text = replace_invalid_utf8(std::string_view(pending_).substr(0, complete));
  pending_.erase(0, complete);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text = replace_invalid_utf8(pending_);
  pending_.clear();
  return text;
}

}  // namespace sluice::tokenizer
