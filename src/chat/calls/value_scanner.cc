#include "chat/calls/value_scanner.h"

#include <string_view>
#include <utility>

#include "chat/calls/markup.h"

namespace sluice::chat {
namespace {

constexpr std::string_view kParameter = "<parameter=", kParameterEnd = "</parameter>",
                           kFunctionEnd = "</function>", kInnerParameter = "<parameter";
constexpr int kMaxRepeats = 3;  // bounds what is looked at twice

bool begins(std::string_view whole, std::string_view part) {
  return whole.substr(0, part.size()) == part;
}

}  // namespace

ValueScanner::Step ValueScanner::push(char c, std::string& value) {
  return candidate_ == Candidate::kNone ? begin(c, value) : extend(c, value);
}

ValueScanner::Step ValueScanner::begin(char c, std::string& value) {
  if (c == kEndCut) return Step::kCut;
  held_ = c;
  if (c == kEndStopped) return close(0);
  if (std::exchange(first_, false) && c == '\n') {
    held_.clear();
    return Step::kMore;
  }
  if (c == '<') {
    candidate_ = Candidate::kTag;
  } else if (c == kCallClose) {
    candidate_ = Candidate::kAfterWrapper;
  } else {
    held_.clear();
    add_data(c, value);
  }
  return Step::kMore;
}

ValueScanner::Step ValueScanner::extend(char c, std::string& value) {
  held_ += c;
  switch (candidate_) {
    case Candidate::kTag:
      if (c == kEndCut) return Step::kCut;
      return tag_complete_or_more(value);
    case Candidate::kAfterParameter:
      return extend_anchor(c, value);
    case Candidate::kAfterFunction:
      if (is_gap(c)) return Step::kMore;
      if (c == kCallClose || c == kCallOpen || is_end(c)) return close(0);
      return reject(value);
    case Candidate::kAfterWrapper:
      // A marker that ends everything: the model forgot the closers before it.
      if (is_gap(c)) return Step::kMore;
      return is_end(c) ? close(0) : reject(value);
    case Candidate::kNone:
      break;
  }
  return Step::kMore;
}

ValueScanner::Step ValueScanner::tag_complete_or_more(std::string& value) {
  if (held_ == kParameterEnd) {
    candidate_ = Candidate::kAfterParameter;
    anchor_ = held_.size();
    repeats_ = 0;
    return Step::kMore;
  }
  if (begins(kParameterEnd, held_)) return Step::kMore;
  if (line_start_) {
    if (held_ == kFunctionEnd) {
      candidate_ = Candidate::kAfterFunction;
      return Step::kMore;
    }
    if (begins(kFunctionEnd, held_) || begins(kParameter, held_)) return Step::kMore;
    if (begins(held_, kParameter)) {
      const std::string_view name = std::string_view(held_).substr(kParameter.size());
      for (const std::string& open : open_names_) {
        if (name.size() == open.size() + 1 && name.back() == '>' && begins(name, open))
          return close(0);
        if (begins(open, name)) return Step::kMore;
      }
    }
  }
  return reject(value);
}

// After "</parameter>": the next tag, the function's end, the wrapper's end, the end. A second
// closer decides nothing by itself: models repeat it (llama.cpp issue 24807), and XML that is
// written into a file may end with one. It is the file's if the value opened a "<parameter" before.
ValueScanner::Step ValueScanner::extend_anchor(char c, std::string& value) {
  if (c == kEndCut) return close(kParameterEnd.size());  // cut within what follows a closer
  if (anchor_ == held_.size() - 1) {
    if (is_gap(c)) {
      ++anchor_;
      return Step::kMore;
    }
    if (c == kCallClose || is_end(c)) return close(kParameterEnd.size());
  }
  const std::string_view anchor = std::string_view(held_).substr(anchor_);
  if (anchor == kParameter || anchor == kFunctionEnd) return close(kParameterEnd.size());
  if (begins(kParameter, anchor) || begins(kFunctionEnd, anchor)) return Step::kMore;
  if (inner_ == 0 && repeats_ < kMaxRepeats && begins(kParameterEnd, anchor)) {
    if (anchor == kParameterEnd) {
      ++repeats_;
      anchor_ = held_.size();
    }
    return Step::kMore;
  }
  return reject(value);
}

ValueScanner::Step ValueScanner::reject(std::string& value) {
  rest_ = held_.substr(1);
  const char first = held_.front();
  // Only the candidate's own closer counts; those after it are read again.
  if (candidate_ == Candidate::kAfterParameter && inner_ > 0) --inner_;
  candidate_ = Candidate::kNone;
  held_.clear();
  add_data(first, value);
  return Step::kRetry;
}

ValueScanner::Step ValueScanner::close(size_t keep) {
  rest_ = held_.substr(keep);
  candidate_ = Candidate::kNone;
  held_.clear();
  return Step::kClosed;
}

void ValueScanner::add_data(char c, std::string& value) {
  if (std::exchange(newline_, false)) value += '\n';
  line_start_ = c == '\n';
  newline_ = c == '\n';
  if (newline_) return;
  append_plain({&c, 1}, value);
  if (c == '<') recent_.clear();
  if (recent_.size() < kInnerParameter.size()) {
    recent_ += c;
    if (recent_ == kInnerParameter) ++inner_;
  }
}

}  // namespace sluice::chat
