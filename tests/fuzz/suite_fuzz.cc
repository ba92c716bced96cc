// Answers and items of a suite from any bytes: no crash, and calls that were read are read again
// from the text that they stand for.
#include <cstdlib>
#include <string>

#include "base/check.h"
#include "tools/eval/suite.h"

namespace {

using namespace sluice;

std::string written(const std::vector<tools::AnswerCall>& calls) {
  std::string text;
  for (const tools::AnswerCall& call : calls) {
    text += (text.empty() ? "" : "\n") + std::string("<tool_call>\n<function=") + call.name + ">\n";
    for (const auto& [key, value] : call.arguments)
      text += "<parameter=" + key + ">\n" + value + "\n</parameter>\n";
    text += "</function>\n</tool_call>";
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const tools::Answer answer = tools::read_answer(text);
  if (!answer.malformed && !answer.calls.empty()) {
    const tools::Answer again = tools::read_answer(written(answer.calls));
    SLUICE_CHECK(!again.malformed && again.calls == answer.calls, "{}", text);
  }
  if (const auto json = parse_json(text); json.ok()) {
    if (const auto item = tools::read_suite_item(*json); item.ok())
      (void)item->check.passes(answer);
    if (const auto check = tools::AnswerCheck::read(*json); check.ok()) (void)check->passes(answer);
  }
  return 0;
}
