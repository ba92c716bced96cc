// From what a request asks of its answer to the grammar that the engine keeps it to.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "base/result.h"
#include "chat/grammar/structured_output.h"
#include "runtime/sampler/token_mask.h"
#include "server/core/model_text.h"
#include "server/core/request.h"

namespace sluice::server {

// What has to be compiled for this request; nothing if its answer is free.
std::optional<chat::grammar::StructuredOutput> structured_output(const GenerationRequest& request);

// The compiler for a model's vocabulary, made when a request first needs it: the tree of a large
// vocabulary takes a tenth of a second and some 30 MiB.
class OutputGrammars {
 public:
  explicit OutputGrammars(const ModelText& model) : model_(model) {}  // borrowed

  // Thread-safe. A large schema that is new takes seconds: not for a thread that others wait for.
  // Errors are kUsage and name the request's field.
  Result<chat::grammar::CompiledOutput> compile(const GenerationRequest& request,
                                                const chat::grammar::StructuredOutput& output);

 private:
  const ModelText& model_;
  std::once_flag once_;
  std::unique_ptr<chat::grammar::OutputCompiler> compiler_;
};

// For the answers to one prompt. `thinking_open`: the prompt ends within a thought.
std::shared_ptr<const runtime::TokenGrammar> token_grammar(
    const chat::grammar::CompiledOutput& compiled, const GenerationRequest& request,
    const ModelText& model, bool thinking_open);

}  // namespace sluice::server
