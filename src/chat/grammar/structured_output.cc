#include "chat/grammar/structured_output.h"

#include <algorithm>

#include "base/check.h"
#include "chat/grammar/schema_compiler.h"
#include "chat/grammar/tool_grammar.h"

namespace sluice::chat::grammar {
namespace {

// Everything that the grammar depends on.
std::string key_of(const StructuredOutput& request) {
  Json key = Json::array();
  for (const int part : {static_cast<int>(request.format), static_cast<int>(request.calls),
                         static_cast<int>(request.white_space)})
    key.push_back(part);
  key.push_back(request.strict);
  key.push_back(request.schema);
  for (const ToolDeclaration& tool : request.tools) {
    key.push_back(tool.name);
    key.push_back(tool.parameters);
    key.push_back(tool.strict);
  }
  return key.dump();
}

}  // namespace

OutputCompiler::OutputCompiler(std::shared_ptr<const TokenTrie> trie, const CompilerLimits& limits)
    : trie_(std::move(trie)), limits_(limits) {}

Result<CompiledOutput> OutputCompiler::compile(const StructuredOutput& request) {
  std::string key = key_of(request);
  {
    const std::lock_guard lock(mutex_);
    const auto known = std::find_if(recent_.begin(), recent_.end(),
                                    [&](const auto& entry) { return entry.first == key; });
    if (known != recent_.end()) {
      recent_.splice(recent_.begin(), recent_, known);
      return known->second;
    }
  }
  SLUICE_ASSIGN(CompiledOutput compiled, compile_anew(request));
  const std::lock_guard lock(mutex_);
  recent_.emplace_front(std::move(key), compiled);
  recent_bytes_ += compiled.masks->memory_bytes();
  while (recent_.size() > 1 &&
         (recent_.size() > limits_.remembered || recent_bytes_ > limits_.remembered_bytes)) {
    recent_bytes_ -= recent_.back().second.masks->memory_bytes();
    recent_.pop_back();
  }
  return compiled;
}

Result<CompiledOutput> OutputCompiler::compile_anew(const StructuredOutput& request) const {
  using Calls = StructuredOutput::Calls;
  using Format = StructuredOutput::Format;
  Expressions g;
  JsonGrammar json(g, request.white_space);
  CompiledOutput output;
  std::vector<Expr> ways;
  const bool only_calls = request.calls == Calls::kRequired || request.calls == Calls::kOne ||
                          request.calls == Calls::kLazy;
  SLUICE_CHECK(only_calls || request.format != Format::kFree, "nothing to compile");
  if (!only_calls && request.format == Format::kJsonObject) ways.push_back(json.object());
  if (!only_calls && request.format == Format::kChoice) {
    for (const Json& text : request.schema.items()) ways.push_back(g.literal(text.string()));
  }
  SchemaCompiler schema(g, json, request.schema, {.strict = request.strict});
  if (!only_calls && request.format == Format::kJsonSchema) {
    SLUICE_ASSIGN(const Expr document, schema.compile(request.schema, ""));
    ways.push_back(document);
    output.ignored = schema.ignored();
  }
  if (request.calls != Calls::kNone) {
    ToolGrammar tools(g, json);
    SLUICE_ASSIGN(const Expr body,
                  tools.call_of_one(request.tools, request.calls == Calls::kRequired ||
                                                       request.calls == Calls::kOne));
    const Expr call = json.shared(body);
    const bool one = request.calls == Calls::kOne || request.calls == Calls::kLazy;
    const Expr more = g.repeat(g.sequence({g.optional(g.literal("\n")), call}), 0, std::nullopt);
    ways.push_back(one ? call : g.sequence({call, more}));
    output.ignored.insert(output.ignored.end(), tools.ignored().begin(), tools.ignored().end());
  }
  // The model writes an empty line before its answer.
  JsonGrammar leading(g, WhiteSpace::kBounded);
  const Expr document = g.choice(std::move(ways));
  const Rule root = g.declare();
  g.define(root,
           request.calls == Calls::kLazy ? document : g.sequence({leading.space(), document}));
  auto automaton = build_automaton(g, root);
  if (!automaton.ok()) {
    Error error = std::move(automaton).error();
    error.what = "schema";
    return error;
  }
  auto masks = TokenMasks::build(std::move(automaton).value(), trie_, limits_.masks);
  if (!masks.ok()) {
    Error error = std::move(masks).error();
    error.what = "schema";
    return error;
  }
  output.masks = std::move(*masks);
  output.lazy = request.calls == Calls::kLazy;
  return output;
}

}  // namespace sluice::chat::grammar
