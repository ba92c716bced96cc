// Tool calls of the Qwen XML form, character by character (serving-tools.md 3.2).
//
// The machine is total: it never fails on any input. What turns out not to be a call is handed back
// as text; within a call, what fits nowhere is skipped.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/calls/argument_coercion.h"
#include "chat/calls/argument_writer.h"
#include "chat/calls/json_call.h"
#include "chat/calls/markup.h"
#include "chat/calls/value_scanner.h"
#include "chat/output_event.h"
#include "chat/tool_declaration.h"

namespace sluice::chat {

class ToolCallParser {
 public:
  enum class Outcome {
    kMore,      // all of the input is taken
    kNotACall,  // rejected() is text of the channel in which the opener stood
    kDone,      // after a call; the rest of the input is the channel's
  };

  // `parallel` off: nothing after the first complete call is a call.
  ToolCallParser(std::vector<ToolDeclaration> tools, bool parallel);

  bool active() const { return state_ != State::kIdle; }
  // Between an opener and the certainty that it opens a call; at first only white space came.
  bool undecided() const { return state_ >= State::kPre && state_ <= State::kJson; }
  bool waiting() const { return state_ == State::kPre && text_.empty(); }
  int calls() const { return calls_; }  // begun so far
  const std::vector<ToolDeclaration>& tools() const { return tools_; }

  // After the opening marker.
  void open();
  // A call without the marker: "<function=NAME>" was read.
  void open_named(const std::string& name, std::vector<OutputEvent>& events);
  // Takes from `input` until it is empty or the outcome is not kMore. Stays active after kNotACall
  // if a new opener stood within what was rejected.
  Outcome consume(MarkedText& input, std::vector<OutputEvent>& events);
  // An undecided opener becomes text: rejected().
  void give_up();
  const std::string& rejected() const { return rejected_; }

  // What makes the arguments of a call that was cut whole JSON.
  std::string arguments_completion() const { return writer_.completion(); }

 private:
  using Events = std::vector<OutputEvent>;
  // kPre to kJson: not yet a call.
  enum class State { kIdle, kPre, kName, kJson, kBody, kKey, kValue, kPost };

  Outcome step(char c, MarkedText& input, Events& events);
  Outcome step_pre(char c, MarkedText& input);
  Outcome step_name(char c, MarkedText& input, Events& events);
  Outcome step_json(char c, MarkedText& input, Events& events);
  Outcome step_body(char c, MarkedText& input, Events& events);
  Outcome step_key(char c, MarkedText& input, Events& events);
  Outcome step_value(char c, MarkedText& input, Events& events);
  Outcome step_post(char c, MarkedText& input);

  Outcome reject(std::string_view unread, MarkedText& input);
  Outcome leave(std::string_view unread, MarkedText& input);
  void read_name(std::string opener);
  void start_call(const std::string& name, Events& events);
  void begin_call(const std::string& name, Events& events);
  void end_call(Events& events);
  void split_key(char terminator, MarkedText& input, Events& events);
  void begin_value(std::string_view key, Events& events);
  void flush_value(Events& events);
  void end_value(Events& events);
  void emit(std::string fragment, Events& events);

  const std::vector<ToolDeclaration> tools_;
  const bool parallel_;
  State state_ = State::kIdle;
  std::string opener_;    // undecided: everything since the opener, as text
  std::string rejected_;  // the same once it is none
  std::string text_;      // name, key, or a part of a tag
  std::optional<JsonCallReader> json_;

  int calls_ = 0;
  const ToolDeclaration* tool_ = nullptr;  // nullptr: the name is not declared
  std::vector<std::string> given_;         // keys of this call
  ArgumentWriter writer_;
  std::string key_;
  ParameterType type_;
  bool streams_ = false;   // the value goes out as it comes
  bool repeated_ = false;  // the key was given before: a stream cannot take the first value back
  std::string value_;      // what is not out yet
  std::optional<ValueScanner> scanner_;
};

// The declared tool that `name` means: exactly, else the only one that equals it but for case.
const ToolDeclaration* find_tool(const std::vector<ToolDeclaration>& tools, std::string_view name);

}  // namespace sluice::chat
