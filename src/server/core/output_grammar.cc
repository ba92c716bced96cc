#include "server/core/output_grammar.h"

#include <algorithm>

#include "base/log.h"
#include "chat/calls/markup.h"
#include "chat/grammar/token_constraint.h"
#include "chat/grammar/token_trie.h"

namespace sluice::server {
namespace {

using chat::grammar::CompiledOutput;
using chat::grammar::StructuredOutput;
using chat::grammar::TokenConstraint;

// The runtime does not know chat: this is where the two meet.
class ConstraintMask final : public runtime::TokenMask {
 public:
  explicit ConstraintMask(TokenConstraint constraint) : constraint_(std::move(constraint)) {}
  bool binds() const override { return constraint_.binds(); }
  void fill(std::span<uint64_t> allowed) override { constraint_.mask(allowed); }
  bool accept(TokenId token) override { return constraint_.advance(token); }
  bool complete() const override { return constraint_.must_end(); }
  size_t position() const override { return constraint_.position(); }
  void rollback(size_t position) override { constraint_.rollback(position); }

 private:
  TokenConstraint constraint_;
};

class ConstraintGrammar final : public runtime::TokenGrammar {
 public:
  explicit ConstraintGrammar(TokenConstraint start) : start_(std::move(start)) {}
  std::unique_ptr<runtime::TokenMask> begin() const override {
    return std::make_unique<ConstraintMask>(start_);
  }

 private:
  const TokenConstraint start_;
};

std::vector<chat::ToolDeclaration> callable(const ToolPolicy& policy) {
  std::vector<chat::ToolDeclaration> tools;
  for (const chat::ToolDeclaration& tool : policy.declarations) {
    const bool named = policy.choice == ToolPolicy::Choice::kNamed;
    const bool allowed =
        named ? tool.name == policy.name
              : policy.allowed.empty() || std::find(policy.allowed.begin(), policy.allowed.end(),
                                                    tool.name) != policy.allowed.end();
    if (allowed) tools.push_back(tool);
  }
  return tools;
}

StructuredOutput::Format format_of(OutputConstraint::Kind kind) {
  switch (kind) {
    case OutputConstraint::Kind::kJsonObject:
      return StructuredOutput::Format::kJsonObject;
    case OutputConstraint::Kind::kJsonSchema:
      return StructuredOutput::Format::kJsonSchema;
    case OutputConstraint::Kind::kChoice:
      return StructuredOutput::Format::kChoice;
  }
  return StructuredOutput::Format::kFree;
}

}  // namespace

std::optional<StructuredOutput> structured_output(const GenerationRequest& request) {
  using Calls = StructuredOutput::Calls;
  const ToolPolicy& policy = request.tools;
  StructuredOutput output;
  if (policy.active()) output.tools = callable(policy);
  if (policy.forced()) {
    const bool one = policy.choice == ToolPolicy::Choice::kNamed || !policy.parallel;
    output.calls = one ? Calls::kOne : Calls::kRequired;
    return output;
  }
  if (request.constraint) {
    output.format = format_of(request.constraint->kind);
    output.schema = request.constraint->value;
    output.strict = request.constraint->strict;
    if (!request.constraint->any_white_space) output.white_space = chat::grammar::WhiteSpace::kNone;
    if (policy.active()) output.calls = Calls::kOptional;
    return output;
  }
  const bool strict = std::any_of(output.tools.begin(), output.tools.end(),
                                  [](const auto& tool) { return tool.strict; });
  if (!strict && (policy.allowed.empty() || !policy.active())) return std::nullopt;
  output.calls = Calls::kLazy;
  return output;
}

Result<CompiledOutput> OutputGrammars::compile(const GenerationRequest& request,
                                               const StructuredOutput& output) {
  if (output.calls != StructuredOutput::Calls::kNone) {
    for (const char marker : {chat::kCallOpen, chat::kCallClose}) {
      const auto id = model_.tokenizer->find_added(chat::marker_text(marker));
      if (!id || *id >= model_.vocabulary)
        return usage_error("tools", "this model has no tokens for calls");
    }
  }
  std::call_once(once_, [this] {
    compiler_ = std::make_unique<chat::grammar::OutputCompiler>(
        std::make_shared<const chat::grammar::TokenTrie>(
            chat::grammar::TokenTrie::of(*model_.tokenizer, model_.vocabulary)));
  });
  auto compiled = compiler_->compile(output);
  if (!compiled.ok()) {
    const Error& error = compiled.error();
    const bool tool =
        output.format == StructuredOutput::Format::kFree || error.what.starts_with("tool ");
    return usage_error(tool ? "tools" : request.constraint->field, error.what + ": " + error.why,
                       error.remedy);
  }
  for (const std::string& keyword : compiled->ignored)
    log_message(LogLevel::kDebug, "a schema's keyword is not enforced: " + keyword);
  return compiled;
}

std::shared_ptr<const runtime::TokenGrammar> token_grammar(const CompiledOutput& compiled,
                                                           const GenerationRequest& request,
                                                           const ModelText& model,
                                                           bool thinking_open) {
  chat::grammar::ConstraintOptions options;
  options.think_close = model.tokenizer->find_added("</think>");
  options.starts_in_reasoning = thinking_open && options.think_close.has_value();
  options.lazy = compiled.lazy;
  options.call_open = model.tokenizer->find_added("<tool_call>");
  if (!request.stop.ignore_eos) options.stop = model.stop_ids;
  // A stop token that is text ends the answer where the grammar has it; any other may come where
  // the grammar can end.
  for (const TokenId id : request.stop.ids) {
    if (compiled.masks->trie().bytes(id).empty()) options.stop.push_back(id);
  }
  return std::make_shared<ConstraintGrammar>(TokenConstraint(compiled.masks, std::move(options)));
}

}  // namespace sluice::server
