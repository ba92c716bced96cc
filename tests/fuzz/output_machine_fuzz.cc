// The output machine over random tokens: pieces of markup, markers and any bytes, in two chunkings.
// Nothing crashes, the events keep their grammar, arguments are prefixes of JSON, and both
// chunkings say the same.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/json.h"
#include "chat/output_harness.h"
#include "chat/output_machine.h"

namespace {

using namespace sluice;
using namespace sluice::chat;

constexpr std::string_view kPieces[] = {"<tool_call>",
                                        "</tool_call>",
                                        "<think>",
                                        "</think>",
                                        "<function=f>",
                                        "</function>",
                                        "<parameter=",
                                        "</parameter>",
                                        "<parameter=text>",
                                        "<parameter=count>",
                                        "<function=",
                                        "\n",
                                        "{\"name\": \"f\", \"arguments\": ",
                                        "}",
                                        "[1, 'a']",
                                        "True"};

const std::vector<ToolDeclaration>& tools() {
  static const auto made =
      tool_declarations(*parse_json(R"([{"name": "f", "parameters": {"properties":
      {"text": {"type": "string"}, "count": {"type": ["integer", "array", "boolean"]}}}}])"));
  return made;
}

// An opener waits sixteen tokens, so that much white space after it may tell chunkings apart.
bool has_long_gap(const std::string& text) {
  size_t gap = 0;
  for (const char c : text) {
    gap = is_gap(c) ? gap + 1 : 0;
    if (gap > 12) return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t options = data[0];
  std::string text;
  for (size_t i = 1; i < size; ++i) {
    if (data[i] < 0xE0) {
      text += static_cast<char>(data[i]);
    } else if (data[i] < 0xF0) {
      text += kPieces[data[i] - 0xE0];
    } else {
      text += static_cast<char>(0x80 + (data[i] - 0xF0) * 8);  // pieces of characters
    }
  }
  const OutputEnd how = options & 1 ? OutputEnd::kCut : OutputEnd::kStopped;
  const auto answer_to = [&](auto cut) {
    TokenTable table;
    const TokenTable::Ids ids = table.tokens(text, cut);
    OutputMachine machine(table.vocabulary(), {.starts_in_reasoning = (options & 2) != 0,
                                               .parse_tools = (options & 4) != 0,
                                               .tools = tools(),
                                               .parallel_calls = (options & 8) != 0});
    return play(machine, ids, how);
  };
  const Answer bytes = answer_to([](size_t) { return true; });
  SLUICE_CHECK(bytes.broken.empty(), "{}", bytes.broken);
  const size_t stride = 1 + (options >> 4);
  const Answer chunks = answer_to([&](size_t at) { return at % stride == 0; });
  if (!has_long_gap(text)) SLUICE_CHECK(bytes == chunks, "chunkings differ");
  return 0;
}
