// Time of token masks on a real vocabulary: structured_output_bench TOKENIZER_JSON
//
// Prints one line of JSON per grammar: compile time, memory, and the time of one mask at each token
// of a document that conforms, processor time in microseconds. One thread.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "chat/grammar/structured_output.h"
#include "chat/grammar/token_constraint.h"

namespace {

using namespace sluice;
using namespace sluice::chat;
using namespace sluice::chat::grammar;

double microseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

struct Case {
  const char* name;
  StructuredOutput request;
  std::string document;
};

Json json(const char* text) { return *parse_json(text); }

std::vector<Case> cases() {
  const std::string prose =
      "It was a bright cold day, and the clocks, \\\"all of them\\\", were striking; naïve façades "
      "– 東京 – stood "
      "{as ever}, [unmoved], at 12:30, 50% off.\\nA second line.";
  const Json person = json(
      R"({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"},
      "tags": {"type": "array", "items": {"type": "string"}}, "role": {"enum": ["admin", "user", "guest"]},
      "bio": {"type": "string", "maxLength": 250}, "home": {"type": "object", "properties": {"street": {"type": "string"},
      "zip": {"type": ["string", "null"]}}, "required": ["street", "zip"]}}, "required": ["name", "age", "tags", "role", "bio", "home"]})");
  const Json tree =
      json(R"({"$defs": {"node": {"type": "object", "properties": {"text": {"type": "string"},
      "kids": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "string"}, {"type": "null"}]}}},
      "required": ["text"]}}, "$ref": "#/$defs/node"})");
  std::string nested = "{\"text\": \"" + prose + "\", \"kids\": [\"leaf\", null]}";
  for (int depth = 0; depth < 6; ++depth)
    nested = "{\"text\": \"level\", \"kids\": [" + nested + ", \"a b\"]}";
  const auto tools = tool_declarations(json(R"([
      {"name": "write_file", "strict": true, "parameters": {"properties": {"path": {"type": "string"}, "content": {"type": "string"},
        "mode": {"type": "integer"}, "lines": {"type": "array", "items": {"type": "integer"}}}, "required": ["path", "content"]}},
      {"name": "now", "parameters": {"properties": {"zone": {"type": "string"}}}}])"));
  using Format = StructuredOutput::Format;
  std::vector<Case> all(4);
  all[0] = {"json_object",
            {.format = Format::kJsonObject},
            "{\n  \"a\": [1, 2.5, true, {\"b\": null}],\n  \"text\": \"" + prose + "\"\n}"};
  all[1] = {"json_schema",
            {.format = Format::kJsonSchema, .schema = person, .strict = true},
            "{\"name\": \"" + prose +
                "\", \"age\": 42, \"tags\": [\"x\", \"y z\"], \"role\": \"user\", \"bio\": \"" +
                prose + "\", \"home\": {\"street\": \"Main street 5\", \"zip\": null}}"};
  all[2] = {"recursive", {.format = Format::kJsonSchema, .schema = tree}, nested};
  all[3] = {"tool calls",
            {.calls = StructuredOutput::Calls::kRequired, .tools = tools},
            "<tool_call>\n<function=write_file>\n<parameter=path>\nsrc/a.cc\n</"
            "parameter>\n<parameter=content>\n" +
                prose +
                "\n</parameter>\n<parameter=mode>\n7\n</parameter>\n<parameter=lines>\n[1, 2, "
                "33]\n</parameter>\n</function>\n</tool_call>"};
  return all;
}

int fail(const Error& error) {
  std::fputs((error.message() + "\n").c_str(), stderr);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: structured_output_bench TOKENIZER_JSON\n", stderr);
    return 2;
  }
  const auto text = read_file(argv[1], uint64_t{1} << 30);
  if (!text.ok()) return fail(text.error());
  const auto tokenizer = tokenizer::Tokenizer::from_json(*text, nullptr);
  if (!tokenizer.ok()) return fail(tokenizer.error());
  const double begin = microseconds();
  const auto trie = std::make_shared<const TokenTrie>(TokenTrie::of(*tokenizer, tokenizer->size()));
  fmt::print("{{\"trie_ms\": {:.0f}, \"nodes\": {}, \"tokens\": {}, \"mib\": {:.1f}}}\n",
             (microseconds() - begin) / 1e3, trie->nodes().size(), trie->tokens().size(),
             static_cast<double>(trie->memory_bytes()) / (1 << 20));
  OutputCompiler compiler(trie);
  for (const Case& one : cases()) {
    const double before = microseconds();
    const auto compiled = compiler.compile(one.request);
    if (!compiled.ok()) return fail(compiled.error());
    const double compile_ms = (microseconds() - before) / 1e3;
    TokenConstraint constraint(compiled->masks, {.stop = {248046}});
    const auto ids = tokenizer->encode(one.document);
    if (!ids.ok()) return fail(ids.error());
    std::vector<uint64_t> mask((static_cast<size_t>(tokenizer->size()) + 63) / 64);
    std::vector<double> times;
    for (const TokenId id : *ids) {
      const double start = microseconds();
      constraint.mask(mask);
      times.push_back(microseconds() - start);
      const auto bit = static_cast<size_t>(id);
      if ((mask[bit / 64] >> (bit % 64) & 1) == 0 || !constraint.advance(id))
        return fail(
            failed(one.name, fmt::format("token {} at {} is not allowed", id, times.size() - 1)));
    }
    if (!constraint.can_end())
      return fail(failed(one.name, "the document does not end the grammar"));
    std::sort(times.begin(), times.end());
    const auto at = [&](double share) {
      return times[static_cast<size_t>(share * static_cast<double>(times.size() - 1))];
    };
    fmt::print(
        "{{\"grammar\": \"{}\", \"states\": {}, \"compile_ms\": {:.1f}, \"mib\": {:.1f}, "
        "\"steps\": {}, \"median_us\": {:.0f}, \"p99_us\": {:.0f}, \"max_us\": {:.0f}}}\n",
        one.name, compiled->masks->automaton().states.size(), compile_ms,
        static_cast<double>(compiled->masks->memory_bytes()) / (1 << 20), times.size(), at(0.5),
        at(0.99), at(1));
  }
  return 0;
}
