#include "checkpoint/json_events.h"

#include <fmt/format.h>

#include <boost/json/basic_parser_impl.hpp>

namespace sluice::checkpoint {
namespace {

using BoostError = boost::json::error_code;
using Text = boost::json::string_view;

// Turns the calls of boost's parser, which may split keys, strings and numbers, into whole events.
class Adapter {
 public:
  static constexpr size_t max_object_size = static_cast<size_t>(-1);
  static constexpr size_t max_array_size = static_cast<size_t>(-1);
  static constexpr size_t max_key_size = static_cast<size_t>(-1);
  static constexpr size_t max_string_size = static_cast<size_t>(-1);

  explicit Adapter(JsonEvents& events) : events_(events) {}
  std::optional<Error>& refusal() { return refusal_; }

  bool on_document_begin(BoostError&) { return true; }
  bool on_document_end(BoostError&) { return true; }
  bool on_object_begin(BoostError& error) { return pass(events_.begin_object(), error); }
  bool on_object_end(size_t, BoostError& error) { return pass(events_.end_object(), error); }
  bool on_array_begin(BoostError& error) { return pass(events_.begin_array(), error); }
  bool on_array_end(size_t, BoostError& error) { return pass(events_.end_array(), error); }
  bool on_key_part(Text part, size_t, BoostError&) { return collect(part); }
  bool on_key(Text part, size_t, BoostError& error) { return pass(events_.key(take(part)), error); }
  bool on_string_part(Text part, size_t, BoostError&) { return collect(part); }
  bool on_string(Text part, size_t, BoostError& error) {
    return pass(events_.string(take(part)), error);
  }
  bool on_number_part(Text part, BoostError&) { return collect(part); }
  bool on_int64(int64_t, Text part, BoostError& error) { return number(part, error); }
  bool on_uint64(uint64_t, Text part, BoostError& error) { return number(part, error); }
  bool on_double(double, Text part, BoostError& error) { return number(part, error); }
  bool on_bool(bool value, BoostError& error) {
    return pass(events_.literal(value ? "true" : "false"), error);
  }
  bool on_null(BoostError& error) { return pass(events_.literal("null"), error); }
  bool on_comment_part(Text, BoostError&) { return true; }
  bool on_comment(Text, BoostError&) { return true; }

 private:
  bool collect(Text part) {
    text_.append(part.data(), part.size());
    return true;
  }
  std::string take(Text part) {
    collect(part);
    return std::exchange(text_, {});
  }
  bool number(Text part, BoostError& error) {
    if (text_.empty()) return pass(events_.number({part.data(), part.size()}), error);
    return pass(events_.number(take(part)), error);
  }
  bool pass(Status status, BoostError& error) {
    if (status.ok()) return true;
    refusal_ = std::move(status).error();
    error = boost::json::error::exception;  // any code: refusal() tells
    return false;
  }

  JsonEvents& events_;
  std::string text_;
  std::optional<Error> refusal_;
};

}  // namespace

JsonWalk walk_json(std::string_view text, size_t max_depth, JsonEvents& events) {
  boost::json::parse_options options;
  options.max_depth = max_depth;
  boost::json::basic_parser<Adapter> parser(options, events);
  BoostError error;
  JsonWalk walk;
  walk.used = parser.write_some(false, text.data(), text.size(), error);
  if (parser.handler().refusal()) {
    walk.stop = {JsonStop::Kind::kEvents, *std::move(parser.handler().refusal())};
  } else if (error) {
    const auto kind =
        error == boost::json::error::too_deep ? JsonStop::Kind::kTooDeep : JsonStop::Kind::kSyntax;
    walk.stop = {kind, bad_input({}, fmt::format("{} at byte {}", error.message(), walk.used))};
  }
  return walk;
}

}  // namespace sluice::checkpoint
