// Any template over any request: the input is "template \0 JSON". Nothing crashes, hangs or leaves
// the data ranges out of order. Small bounds, since what the engine does within its own is not at
// question here.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"
#include "chat/jinja/error.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/parser.h"
#include "chat/normalise.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  using namespace sluice::chat;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = input.find('\0');
  const std::string_view source = input.substr(0, split);
  const std::string_view text = split == std::string_view::npos ? "{}" : input.substr(split + 1);
  if (find_invalid_utf8(source)) return 0;
  const auto request = parse_json(text);
  const Json json = request.ok() ? *request : Json::object();
  if (const auto normal = normalise(json); normal.ok())
    SLUICE_CHECK(normal->messages.is_array(), "messages");

  jinja::Interpreter::Variables variables;
  variables.emplace_back("x", jinja::Value::from_json(json));
  for (const char* name : {"messages", "tools"}) {
    const Json* value = json.find(name);
    variables.emplace_back(name, value ? jinja::Value::from_json(*value) : jinja::Value::none());
  }
  jinja::Limits limits;
  limits.steps = 20'000;
  limits.memory_bytes = 4 << 20;
  limits.output_bytes = 1 << 20;
  try {
    const jinja::Template program = jinja::parse_template(source);
    jinja::Interpreter interpreter(program, variables, std::tm{}, limits);
    const jinja::Text rendered = interpreter.render();
    size_t total = 0;
    rendered.for_each_run([&](std::string_view piece, bool) { total += piece.size(); });
    SLUICE_CHECK(total == rendered.size(), "runs cover {} of {}", total, rendered.size());
    SLUICE_CHECK(!find_invalid_utf8(rendered.view()), "output is not UTF-8");
  } catch (const jinja::JinjaError& error) {
    SLUICE_CHECK(error.line() >= 1, "an error without a place: {}", error.text());
  }
  return 0;
}
