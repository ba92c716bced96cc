// The one request that every protocol is translated to (serving.md, layering, step 2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "chat/tool_declaration.h"
#include "tokenizer/tokenizer.h"

namespace sluice::server {

using tokenizer::TokenId;

// A conversation as chat::normalise() takes it: messages, tools, chat_template_kwargs,
// add_generation_prompt, continue_final_message.
struct Conversation {
  Json body;
  bool always_continue = false;  // a last message of the assistant is continued without being told
  // This route keeps earlier thoughts in the prompt where the template can
  // (serving-template.md 1.6); otherwise only with tools.
  bool keeps_thoughts = false;
};

struct RawPrompt {
  std::variant<std::string, std::vector<TokenId>> content;
};

// Absent fields are filled by the server: the model's generation_config.json, then 1.0 and off.
struct SamplingFields {
  std::optional<double> temperature, top_p, min_p, presence_penalty, frequency_penalty,
      repetition_penalty;
  std::optional<int64_t> top_k, seed, min_tokens;
  std::vector<std::pair<TokenId, float>> logit_bias;
};

struct ToolPolicy {
  enum class Choice { kAuto, kNone, kRequired, kNamed };
  Choice choice = Choice::kAuto;
  std::string name;                  // with kNamed
  std::vector<std::string> allowed;  // with kAuto and kRequired: only these; empty: all
  bool parallel = true;
  std::vector<chat::ToolDeclaration> declarations;

  bool active() const { return !declarations.empty() && choice != Choice::kNone; }
  bool forced() const { return choice == Choice::kRequired || choice == Choice::kNamed; }
};

// What the answer's content has to match. A forced call goes before it.
struct OutputConstraint {
  enum class Kind { kJsonObject, kJsonSchema, kChoice };
  Kind kind = Kind::kJsonObject;
  Json value;                   // the schema; the array of texts
  bool strict = false;          // what cannot be enforced is an error, and objects are closed
  bool any_white_space = true;  // off: none between JSON's tokens
  std::string field;            // of the request: where it comes from
};

struct ThinkingPolicy {
  std::optional<bool> enabled;        // nothing: the template's default
  std::optional<std::string> effort;  // for the template
  std::optional<int64_t> budget;      // tokens; -1 unlimited; nothing: the server's default
  std::optional<std::string> budget_message;
  int64_t reserve_answer_tokens = 0;
  bool shown = true;  // off: thought, counted, and not sent
};

struct StopPolicy {
  std::vector<std::string> strings;
  std::vector<TokenId> ids;
  bool include_text = false;  // the stop string is part of the answer
  bool in_thoughts = false;   // strings are looked for there as well
  bool ignore_eos = false;
};

struct LogprobPolicy {
  int top = -1;               // -1: none at all; 0: only the sampled token's
  int prompt_top = -1;        // the same for the tokens of the prompt
  bool all_channels = false;  // of thoughts and calls too
};

struct GenerationRequest {
  std::string model;
  // One of the two. Several prompts make several answers: choice = prompt * choices + sample.
  std::optional<Conversation> conversation;
  std::vector<RawPrompt> prompts;

  SamplingFields sampling;
  int64_t choices = 1;
  std::optional<int64_t> max_tokens;  // clamped to the room that is left; nothing: all of it
  StopPolicy stop;
  LogprobPolicy logprobs;
  ToolPolicy tools;
  std::optional<OutputConstraint> constraint;
  ThinkingPolicy thinking;
  std::string cache_salt;  // prompts with different salts share nothing in the prefix cache
  int64_t priority = 0;    // the lower goes first
  bool stream = false;
  bool echo = false;           // raw prompts: the answer begins with the prompt
  bool split_channels = true;  // off: raw text, markers and all

  std::vector<std::string> unknown_fields;  // ignored; named once in the log
};

}  // namespace sluice::server
