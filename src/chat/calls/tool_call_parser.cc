#include "chat/calls/tool_call_parser.h"

#include <algorithm>
#include <utility>

namespace sluice::chat {
namespace {

constexpr std::string_view kFunction = "<function=", kFunctionNamed = "<function name=",
                           kFunctionEnd = "</function>",
                           kParameter = "<parameter=", kParameterEnd = "</parameter>";
// A longer name is none: names end at the line's end at the latest, and the API allows 128.
constexpr size_t kMaxName = 256;

bool begins(std::string_view whole, std::string_view part) {
  return whole.substr(0, part.size()) == part;
}
bool ends(std::string_view whole, std::string_view part) {
  return whole.size() >= part.size() && whole.substr(whole.size() - part.size()) == part;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_gap(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_gap(text.back())) text.remove_suffix(1);
  return text;
}

// Trimmed and without surrounding quotes.
std::string_view bare(std::string_view text) {
  text = trim(text);
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
      text.front() == text.back())
    text = text.substr(1, text.size() - 2);
  return trim(text);
}

std::string lower(std::string_view text) {
  std::string small(text);
  for (char& c : small) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return small;
}

}  // namespace

const ToolDeclaration* find_tool(const std::vector<ToolDeclaration>& tools, std::string_view name) {
  const ToolDeclaration* similar = nullptr;
  int count = 0;
  for (const ToolDeclaration& tool : tools) {
    if (tool.name == name) return &tool;
    if (lower(tool.name) != lower(name)) continue;
    similar = &tool;
    ++count;
  }
  return count == 1 ? similar : nullptr;
}

ToolCallParser::ToolCallParser(std::vector<ToolDeclaration> tools, bool parallel)
    : tools_(std::move(tools)), parallel_(parallel) {}

void ToolCallParser::open() {
  state_ = State::kPre;
  opener_ = marker_text(kCallOpen);
  text_.clear();
}

void ToolCallParser::open_named(const std::string& name, Events& events) {
  begin_call(name, events);
}

void ToolCallParser::give_up() {
  state_ = State::kIdle;
  rejected_ = std::exchange(opener_, {});
}

ToolCallParser::Outcome ToolCallParser::consume(MarkedText& input, Events& events) {
  while (!input.empty()) {
    const Outcome outcome = step(input.take(), input, events);
    if (outcome != Outcome::kMore) return outcome;
  }
  return Outcome::kMore;
}

ToolCallParser::Outcome ToolCallParser::step(char c, MarkedText& input, Events& events) {
  switch (state_) {
    case State::kPre:
      return step_pre(c, input);
    case State::kName:
      return step_name(c, input, events);
    case State::kJson:
      return step_json(c, input, events);
    case State::kBody:
      return step_body(c, input, events);
    case State::kKey:
      return step_key(c, input, events);
    case State::kValue:
      return step_value(c, input, events);
    case State::kPost:
      return step_post(c, input);
    case State::kIdle:
      break;
  }
  return leave({&c, 1}, input);
}

// White space, then "<function=" or "<function name=", or a brace.
ToolCallParser::Outcome ToolCallParser::step_pre(char c, MarkedText& input) {
  if (is_marker(c)) return reject({&c, 1}, input);
  if (text_.empty() && c == '{') {
    state_ = State::kJson;
    json_.emplace();
    json_->push(c);
  } else if (!text_.empty() || !is_gap(c)) {
    text_ += is_gap(c) ? ' ' : c;
    if (!begins(kFunction, text_) && !begins(kFunctionNamed, text_)) return reject({&c, 1}, input);
  }
  opener_ += c;
  if (text_ == kFunction || text_ == kFunctionNamed) read_name(std::move(opener_));
  return Outcome::kMore;
}

void ToolCallParser::read_name(std::string opener) {
  state_ = State::kName;
  opener_ = std::move(opener);
  text_.clear();
}

ToolCallParser::Outcome ToolCallParser::step_name(char c, MarkedText& input, Events& events) {
  if (is_marker(c)) return reject({&c, 1}, input);
  if (c == '\n' && !trim(text_).empty()) {
    begin_call(std::string(bare(text_)), events);
    return Outcome::kMore;
  }
  text_ += c;
  opener_ += c;
  if (c == '>') {
    const bool closed = ends(text_, kFunctionEnd);
    const std::string_view name =
        bare(std::string_view(text_).substr(0, text_.size() - (closed ? kFunctionEnd.size() : 1)));
    if (name.empty()) return reject({}, input);
    begin_call(std::string(name), events);
    if (closed) input.put_back(kFunctionEnd);
  } else if (ends(text_, kFunction)) {
    // The model began anew; what stood before is text, and this is an opener.
    opener_.resize(opener_.size() - kFunction.size());
    rejected_ = std::move(opener_);
    read_name(std::string(kFunction));
    return Outcome::kNotACall;
  } else if (text_.size() > kMaxName) {
    return reject({}, input);
  }
  return Outcome::kMore;
}

ToolCallParser::Outcome ToolCallParser::step_json(char c, MarkedText& input, Events& events) {
  const JsonCallReader::State state = json_->push(c);
  if (state == JsonCallReader::State::kBroken) return reject({&c, 1}, input);
  append_plain({&c, 1}, opener_);
  if (state == JsonCallReader::State::kMore) return Outcome::kMore;
  const std::optional<JsonCall> call = json_->call();
  if (!call) return reject({}, input);
  start_call(call->name, events);
  emit(call->arguments, events);
  events.push_back({OutputEvent::Kind::kToolEnd, {}, calls_ - 1});
  state_ = State::kPost;
  text_.clear();
  return Outcome::kMore;
}

ToolCallParser::Outcome ToolCallParser::step_body(char c, MarkedText& input, Events& events) {
  if (c == kEndCut) return leave({&c, 1}, input);
  if (c == kEndStopped || c == kCallClose || c == kCallOpen) {
    end_call(events);
    input.put_back({&c, 1});
    return Outcome::kMore;
  }
  text_ += c;
  if (text_ == kParameter) {
    state_ = State::kKey;
    text_.clear();
  } else if (text_ == kFunctionEnd) {
    end_call(events);
  } else if (text_ == kFunction) {
    end_call(events);
    input.put_back(kFunction);
  } else if (text_ == kParameterEnd) {
    text_.clear();  // one closer too many
  } else if (!begins(kParameter, text_) && !begins(kFunctionEnd, text_) &&
             !begins(kFunction, text_) && !begins(kParameterEnd, text_)) {
    const std::string seen = std::exchange(text_, {});
    input.put_back(std::string_view(seen).substr(1));
  }
  return Outcome::kMore;
}

ToolCallParser::Outcome ToolCallParser::step_key(char c, MarkedText& input, Events& events) {
  if (c == '>' || c == kEndStopped || c == kCallClose || c == kCallOpen) {
    split_key(c, input, events);
  } else if (c == kEndCut) {
    return leave({&c, 1}, input);
  } else {
    append_plain({&c, 1}, text_);
  }
  return Outcome::kMore;
}

// The tag of a parameter up to its '>', or to a marker. A key holds neither '=' nor '<' nor a line
// break; if it seems to, the model left out the '>' and the value has begun within it.
void ToolCallParser::split_key(char terminator, MarkedText& input, Events& events) {
  const std::string taken = std::exchange(text_, {});
  std::string_view written = taken;
  while (!written.empty() && is_gap(written.front())) written.remove_prefix(1);
  const size_t end = written.find_first_of("=<\n");
  state_ = State::kBody;
  if (terminator != '>') input.put_back({&terminator, 1});
  if (end == std::string_view::npos) {
    if (terminator == '>') begin_value(bare(written), events);  // else: a key without any value
    return;
  }
  begin_value(bare(written.substr(0, end)), events);
  if (written[end] == '\n') {
    input.put_back(std::string(written.substr(end)) + (terminator == '>' ? ">" : ""));
    return;
  }
  std::string_view value = written.substr(end + (written[end] == '=' ? 1 : 0));
  const std::string_view closer = kParameterEnd.substr(0, kParameterEnd.size() - 1);
  if (ends(value, closer)) value.remove_suffix(closer.size());
  if (begins(value, "\n")) value.remove_prefix(1);
  if (ends(value, "\n")) value.remove_suffix(1);
  value_ = value;
  end_value(events);
}

ToolCallParser::Outcome ToolCallParser::step_value(char c, MarkedText& input, Events& events) {
  switch (scanner_->push(c, value_)) {
    case ValueScanner::Step::kMore:
      flush_value(events);
      break;
    case ValueScanner::Step::kRetry:
      flush_value(events);
      input.put_back(scanner_->rest());
      break;
    case ValueScanner::Step::kClosed:
      input.put_back(scanner_->rest());
      end_value(events);
      break;
    case ValueScanner::Step::kCut:
      return leave({&c, 1}, input);
  }
  return Outcome::kMore;
}

ToolCallParser::Outcome ToolCallParser::step_post(char c, MarkedText& input) {
  if (text_.empty() && (is_gap(c) || c == kThinkClose)) return Outcome::kMore;
  if (text_.empty() && c == kCallClose) return leave({}, input);
  if (parallel_ && text_.empty() && c == kCallOpen) {
    open();
    return Outcome::kMore;
  }
  text_ += c;
  if (!parallel_ || !begins(kFunction, text_)) return leave(std::exchange(text_, {}), input);
  if (text_ == kFunction) read_name(std::string(kFunction));
  return Outcome::kMore;
}

ToolCallParser::Outcome ToolCallParser::reject(std::string_view unread, MarkedText& input) {
  give_up();
  input.put_back(unread);
  return Outcome::kNotACall;
}

ToolCallParser::Outcome ToolCallParser::leave(std::string_view unread, MarkedText& input) {
  state_ = State::kIdle;
  input.put_back(unread);
  return Outcome::kDone;
}

void ToolCallParser::start_call(const std::string& name, Events& events) {
  tool_ = find_tool(tools_, name);
  events.push_back({OutputEvent::Kind::kToolStart, tool_ ? tool_->name : name, calls_++});
  text_.clear();
  given_.clear();
}

void ToolCallParser::begin_call(const std::string& name, Events& events) {
  start_call(name, events);
  state_ = State::kBody;
  std::string brace;
  writer_.begin(brace);
  emit(std::move(brace), events);
}

void ToolCallParser::end_call(Events& events) {
  std::string brace;
  writer_.end(brace);
  emit(std::move(brace), events);
  events.push_back({OutputEvent::Kind::kToolEnd, {}, calls_ - 1});
  state_ = State::kPost;
  text_.clear();
}

void ToolCallParser::begin_value(std::string_view key, Events& events) {
  key_ = key;
  static const Json kUnknown;
  const Json& parameters = tool_ ? tool_->parameters : kUnknown;
  type_ = parameter_type(parameters, key_);
  repeated_ = std::find(given_.begin(), given_.end(), key_) != given_.end();
  if (!repeated_) given_.push_back(key_);
  std::vector<std::string> open_names;
  for (std::string& name : parameter_names(parameters)) {
    if (std::find(given_.begin(), given_.end(), name) == given_.end())
      open_names.push_back(std::move(name));
  }
  scanner_.emplace(std::move(open_names));
  value_.clear();
  streams_ = !repeated_ && type_.is_plain_text();
  if (streams_) {
    std::string opening;
    writer_.begin_string(key_, opening);
    emit(std::move(opening), events);
  }
  state_ = State::kValue;
}

void ToolCallParser::flush_value(Events& events) {
  if (!streams_ || value_.empty()) return;
  std::string escaped;
  writer_.append_string(value_, escaped);
  value_.clear();
  emit(std::move(escaped), events);
}

void ToolCallParser::end_value(Events& events) {
  flush_value(events);
  std::string rest;
  if (streams_) {
    writer_.end_string(rest);
  } else if (!repeated_) {
    writer_.member(key_, coerce_argument(value_, type_), rest);
  }
  emit(std::move(rest), events);
  value_.clear();
  state_ = State::kBody;
  text_.clear();
}

// Fragments of one token go out as one.
void ToolCallParser::emit(std::string fragment, Events& events) {
  if (fragment.empty()) return;
  if (!events.empty() && events.back().kind == OutputEvent::Kind::kToolArguments) {
    events.back().text += fragment;
  } else {
    events.push_back({OutputEvent::Kind::kToolArguments, std::move(fragment), calls_ - 1});
  }
}

}  // namespace sluice::chat
