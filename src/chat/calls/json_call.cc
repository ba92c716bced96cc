#include "chat/calls/json_call.h"

#include "base/json.h"
#include "chat/calls/loose_json.h"
#include "chat/calls/markup.h"

namespace sluice::chat {

JsonCallReader::State JsonCallReader::push(char c) {
  const State state = step(c);
  append_plain({&c, 1}, text_);
  return state;
}

JsonCallReader::State JsonCallReader::step(char c) {
  if (is_end(c)) return State::kBroken;
  if (in_string_) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = false;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      return State::kBroken;
    }
    return State::kMore;
  }
  if (is_marker(c)) return State::kBroken;
  // After the first brace only a key can follow; an empty object names no function.
  if (text_ == "{" && c != '"' && !is_gap(c)) return State::kBroken;
  if (c == '"') {
    in_string_ = true;
  } else if (c == '{' || c == '[') {
    ++depth_;
  } else if ((c == '}' || c == ']') && --depth_ == 0) {
    return State::kComplete;
  }
  return State::kMore;
}

std::optional<JsonCall> JsonCallReader::call() const {
  const auto json = parse_json(text_);
  if (!json.ok()) return std::nullopt;
  const Json* name = json->find("name");
  if (!name || !name->is_string() || name->string().empty()) return std::nullopt;
  const Json* written = json->find("arguments");
  if (!written) written = json->find("parameters");
  Json arguments = written ? *written : Json::object();
  if (arguments.is_string()) {
    if (const auto inner = parse_loose_json(arguments.string()); inner && inner->is_object())
      arguments = *inner;
  }
  if (arguments.is_null()) arguments = Json::object();
  // The same name as for arguments in a request that are no object (rule N6): a client may send
  // this back.
  if (!arguments.is_object()) {
    Json wrapped = Json::object();
    wrapped.set("_raw_arguments", arguments.is_string() ? arguments : Json(arguments.dump()));
    arguments = std::move(wrapped);
  }
  JsonCall call{name->string(), {}};
  append_spaced_json(arguments, call.arguments);
  return call;
}

}  // namespace sluice::chat
