// From a request's response_format and tools to a grammar for the sampler (serving-openai.md 4.5,
// serving-tools.md 3.5).
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "chat/grammar/json_grammar.h"
#include "chat/grammar/token_masks.h"
#include "chat/tool_declaration.h"

namespace sluice::chat::grammar {

struct StructuredOutput {
  enum class Format {
    kFree,
    kJsonObject,
    kJsonSchema,
    kChoice,  // one of the texts in `schema`, an array of strings, as it stands
  };
  enum class Calls {
    kNone,      // no grammar for calls
    kLazy,      // text is free; a call, once opened, is held to its grammar (strict tools)
    kOptional,  // with a format: the document, or calls
    kRequired,  // one or more; the format is ignored
    kOne,       // exactly one (a named tool, or no parallel calls); the format is ignored
  };
  Format format = Format::kFree;
  Json schema = {};     // of kJsonSchema and kChoice
  bool strict = false;  // of the schema
  WhiteSpace white_space = WhiteSpace::kBounded;
  Calls calls = Calls::kNone;
  std::vector<ToolDeclaration> tools = {};  // those that may be called
};

struct CompiledOutput {
  std::shared_ptr<const TokenMasks> masks;
  std::vector<std::string> ignored;  // keywords that are not enforced, with their places
  bool lazy = false;                 // ConstraintOptions::lazy
};

struct CompilerLimits {
  size_t remembered = 64;                      // grammars
  size_t remembered_bytes = size_t{64} << 20;  // of their masks; the last one always stays
  MaskLimits masks = {.steps = 100'000'000, .bytes = size_t{64} << 20};  // of one grammar
};

// Compiles, and remembers what it compiled. Thread-safe; meant to be called off the engine's
// thread: a large schema takes some hundred milliseconds.
class OutputCompiler {
 public:
  explicit OutputCompiler(std::shared_ptr<const TokenTrie> trie, const CompilerLimits& limits = {});

  // Errors are kUsage and name the place and the keyword, or say what is too large. A request that
  // binds nothing is a broken contract.
  Result<CompiledOutput> compile(const StructuredOutput& request);

 private:
  Result<CompiledOutput> compile_anew(const StructuredOutput& request) const;

  const std::shared_ptr<const TokenTrie> trie_;
  const CompilerLimits limits_;
  std::mutex mutex_;
  std::list<std::pair<std::string, CompiledOutput>> recent_;  // the last used first
  size_t recent_bytes_ = 0;
};

}  // namespace sluice::chat::grammar
