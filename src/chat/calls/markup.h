// The model's output between tokens and text: UTF-8 in which a marker token is one byte.
//
// Markers are ids, not text. Bytes from 0xF8 on never occur in UTF-8, so a marker can stand in the
// text as one of them, and everything behind the tokens is a machine over characters: the same for
// any chunking, and testable without a tokenizer.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice::chat {

inline constexpr char kThinkOpen = '\xF8';   // <think>
inline constexpr char kThinkClose = '\xF9';  // </think>
inline constexpr char kCallOpen = '\xFA';    // <tool_call>
inline constexpr char kCallClose = '\xFB';   // </tool_call>
inline constexpr char kEndStopped = '\xFC';  // the end, by a stop token or the like
inline constexpr char kEndCut = '\xFD';      // the end, by a limit

inline bool is_marker(char c) { return static_cast<unsigned char>(c) >= 0xF8; }
inline bool is_end(char c) { return c == kEndStopped || c == kEndCut; }
// White space between pieces of markup. What a model writes there is ASCII.
inline bool is_gap(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

// The text of markers where they are data. Ends have none.
inline std::string_view marker_text(char marker) {
  switch (marker) {
    case kThinkOpen:
      return "<think>";
    case kThinkClose:
      return "</think>";
    case kCallOpen:
      return "<tool_call>";
    case kCallClose:
      return "</tool_call>";
    default:
      return {};
  }
}

inline void append_plain(std::string_view marked, std::string& out) {
  for (const char c : marked) {
    if (is_marker(c)) {
      out += marker_text(c);
    } else {
      out += c;
    }
  }
}

// Marked text that is read from the front and into which a reader may put back what it looked at.
class MarkedText {
 public:
  void append(std::string_view text) {
    text_.erase(0, at_);
    at_ = 0;
    text_ += text;
  }
  bool empty() const { return at_ == text_.size(); }
  char take() { return text_[at_++]; }
  void put_back(std::string_view text) {
    if (text.size() <= at_) {
      at_ -= text.size();
      text_.replace(at_, text.size(), text);
    } else {
      text_.replace(0, at_, text);
      at_ = 0;
    }
  }

 private:
  std::string text_;
  size_t at_ = 0;
};

}  // namespace sluice::chat
