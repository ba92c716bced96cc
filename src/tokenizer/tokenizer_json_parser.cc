#include "tokenizer/tokenizer_json_parser.h"

#include <fmt/format.h>

#include <boost/json/basic_parser_impl.hpp>
#include <string>
#include <utility>

#include "tokenizer/merge_table.h"

namespace sluice::tokenizer {
namespace {

using BoostError = boost::json::error_code;
using BoostText = boost::json::string_view;

constexpr size_t kMaxDepth = 32;
const std::string kOrigin = "tokenizer.json";

// Receives boost::json's parse events.
class Handler {
 public:
  static constexpr size_t max_object_size = static_cast<size_t>(-1);
  static constexpr size_t max_array_size = static_cast<size_t>(-1);
  static constexpr size_t max_key_size = static_cast<size_t>(-1);
  static constexpr size_t max_string_size = static_cast<size_t>(-1);

  explicit Handler(size_t file_bytes) {
    // What a file of this family needs; growing would copy megabytes.
    parsed_.tokens.reserve(file_bytes / 64, file_bytes / 8);
    parsed_.ids.reserve(file_bytes / 64);
    parsed_.merges.reserve(file_bytes / 32, file_bytes / 8);
  }

  ParsedTokenizerJson take() { return std::move(parsed_); }
  const std::optional<Error>& error() const { return error_; }

  bool on_document_begin(BoostError&) { return true; }
  bool on_document_end(BoostError&) { return true; }

  bool on_object_begin(BoostError& error) {
    if (place_ == Place::kVocabulary) return wrong_id("an object", error);
    if (place_ != Place::kTree) return wrong_merge(error);
    if (is_model_member("vocab")) {
      if (std::exchange(parsed_.has_vocabulary, true)) return twice("vocab", error);
      place_ = Place::kVocabulary;
      return true;
    }
    stack_.push_back({Json::object(), {}});
    return true;
  }
  bool on_object_end(size_t, BoostError&) {
    if (place_ == Place::kVocabulary) {
      place_ = Place::kTree;
      return true;
    }
    return close();
  }

  bool on_array_begin(BoostError& error) {
    switch (place_) {
      case Place::kVocabulary:
        return wrong_id("an array", error);
      case Place::kPair:
        return wrong_merge(error);
      case Place::kMerges:
        place_ = Place::kPair;
        pair_size_ = 0;
        return true;
      case Place::kTree:
        break;
    }
    if (is_model_member("merges")) {
      if (std::exchange(parsed_.has_merges, true)) return twice("merges", error);
      place_ = Place::kMerges;
      return true;
    }
    stack_.push_back({Json::array(), {}});
    return true;
  }
  bool on_array_end(size_t, BoostError& error) {
    if (place_ == Place::kPair) {
      if (pair_size_ != 2) return wrong_merge(error);
      place_ = Place::kMerges;
      ++merges_;
      return true;
    }
    if (place_ == Place::kMerges) {
      place_ = Place::kTree;
      return true;
    }
    return close();
  }

  bool on_key_part(BoostText part, size_t, BoostError&) { return append(part); }
  bool on_key(BoostText part, size_t, BoostError&) {
    append(part);
    if (place_ == Place::kVocabulary) {
      parsed_.tokens.push(text_);
    } else {
      stack_.back().key = text_;
    }
    text_.clear();
    return true;
  }
  bool on_string_part(BoostText part, size_t, BoostError&) { return append(part); }
  bool on_string(BoostText part, size_t, BoostError& error) {
    append(part);
    const std::string text = std::exchange(text_, {});
    switch (place_) {
      case Place::kVocabulary:
        return wrong_id("a string", error);
      case Place::kMerges:
        return add_merge(text, error);
      case Place::kPair:
        if (text.empty() || ++pair_size_ > 2) return wrong_merge(error);
        parsed_.merges.push(text);
        return true;
      case Place::kTree:
        break;
    }
    return add(Json(text));
  }
  bool on_number_part(BoostText part, BoostError&) { return append(part); }
  bool on_int64(int64_t value, BoostText part, BoostError& error) {
    if (place_ == Place::kVocabulary && value >= 0 && value <= kMaxTokenId) {
      text_.clear();
      parsed_.ids.push_back(static_cast<TokenId>(value));
      return true;
    }
    return number(part, error);
  }
  bool on_uint64(uint64_t, BoostText part, BoostError& error) { return number(part, error); }
  bool on_double(double, BoostText part, BoostError& error) { return number(part, error); }
  bool on_bool(bool value, BoostError& error) { return scalar(Json(value), error); }
  bool on_null(BoostError& error) { return scalar(Json(), error); }
  bool on_comment_part(BoostText, BoostError&) { return true; }
  bool on_comment(BoostText, BoostError&) { return true; }

 private:
  enum class Place { kTree, kVocabulary, kMerges, kPair };
  struct Level {
    Json value;
    std::string key;
  };

  bool is_model_member(std::string_view name) const {
    return stack_.size() == 2 && stack_[0].key == "model" && stack_[1].key == name;
  }

  bool append(BoostText part) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool number(BoostText part, BoostError& error) {
    append(part);
    return scalar(Json::number_from_spelling(std::exchange(text_, {})), error);
  }
  bool scalar(Json value, BoostError& error) {
    if (place_ == Place::kVocabulary) {
      return fail(checked_id(kOrigin, last_token(), value).error(), error);
    }
    if (place_ != Place::kTree) return wrong_merge(error);
    return add(std::move(value));
  }
  bool close() {
    Json value = std::move(stack_.back().value);
    stack_.pop_back();
    return add(std::move(value));
  }
  bool add(Json value) {
    if (stack_.empty()) {
      parsed_.tree = std::move(value);
    } else if (stack_.back().value.is_array()) {
      stack_.back().value.push_back(std::move(value));
    } else {
      // Not Json::set(): it searches, and a hostile object with a million members would take hours.
      stack_.back().value.members().emplace_back(std::move(stack_.back().key), std::move(value));
      stack_.back().key.clear();
    }
    return true;
  }
  bool add_merge(std::string_view text, BoostError& error) {
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == text.size() ||
        text.find(' ', space + 1) != std::string_view::npos) {
      return fail(bad_input(kOrigin, fmt::format("model.merges[{}] is {}, not two tokens with one "
                                                 "space between them",
                                                 merges_, quoted(text))),
                  error);
    }
    parsed_.merges.push(text.substr(0, space));
    parsed_.merges.push(text.substr(space + 1));
    ++merges_;
    return true;
  }

  std::string_view last_token() const { return parsed_.tokens[parsed_.tokens.size() - 1]; }
  bool wrong_id(const char* kind, BoostError& error) {
    return fail(bad_input(kOrigin, fmt::format("the id of token {} in model.vocab is {}",
                                               quoted(last_token()), kind)),
                error);
  }
  bool wrong_merge(BoostError& error) {
    return fail(
        bad_input(kOrigin, fmt::format("model.merges[{}] is neither a string nor a pair of strings",
                                       merges_)),
        error);
  }
  bool twice(const char* name, BoostError& error) {
    return fail(bad_input(kOrigin, fmt::format("model.{} occurs twice", name)), error);
  }
  bool fail(Error reason, BoostError& error) {
    error_ = std::move(reason);
    error = boost::json::error::extra_data;  // stops the parser; the reason is error_
    return false;
  }

  ParsedTokenizerJson parsed_;
  Place place_ = Place::kTree;
  std::vector<Level> stack_;  // open containers of the tree
  std::string text_;          // of the string, key or number being read
  size_t merges_ = 0, pair_size_ = 0;
  std::optional<Error> error_;
};

}  // namespace

Result<ParsedTokenizerJson> parse_tokenizer_json(std::string_view text) {
  boost::json::parse_options options;
  options.max_depth = kMaxDepth;
  boost::json::basic_parser<Handler> parser(options, text.size());
  BoostError error;
  const size_t used = parser.write_some(false, text.data(), text.size(), error);
  if (const auto& reason = parser.handler().error()) return *reason;
  if (error) return bad_input(kOrigin, fmt::format("{} at byte {}", error.message(), used));
  const size_t rest = text.find_first_not_of(" \t\r\n", used);
  if (rest != std::string_view::npos) {
    return bad_input(kOrigin, fmt::format("unexpected data after the value at byte {}", rest));
  }
  return parser.handler().take();
}

}  // namespace sluice::tokenizer
