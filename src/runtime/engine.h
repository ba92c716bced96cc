// The one door between requests and the model: submit a prompt, step, receive tokens.
//
// Everything above (command line, servers) speaks to this file only; nothing above knows pages,
// slots or batches.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/text/text_model.h"
#include "runtime/memory_plan.h"
#include "runtime/sampler/sampler.h"
#include "runtime/sampler/token_mask.h"
#include "runtime/thought/thought_control.h"
#include "tokenizer/tokenizer.h"

namespace sluice::runtime {

struct Request {
  std::vector<TokenId> prompt;
  SamplingParameters sampling;
  int64_t max_tokens = -1;  // -1: until the context is full
  bool ignore_eos = false;
  std::vector<TokenId> stop_ids;          // beside the model's own
  std::vector<std::string> stop_strings;  // matched on the answer's text, across token borders
  std::optional<ThoughtOptions> thought;  // nothing: no budget, no loop breaker
  // What the answer has to follow; nothing: it is free. Where the grammar is complete the answer
  // ends, also below min_tokens.
  std::shared_ptr<const TokenGrammar> grammar;
  // Log probabilities of the prompt's own tokens, each with so many top entries; -1: none. The
  // logits of every row of the prompt are computed then.
  int prompt_logprobs = -1;

  // Where messages and tool results end in the prompt, in tokens, ascending: places from which
  // another prompt may go on. A hint: it changes speed only.
  std::vector<int64_t> borders;
  // An answer that comes back in a prompt is continued from the state that its making left. Off, it
  // is read anew as prompt, and every byte is what a cold start would give.
  bool reuse_answers = true;
  // Prompts of different spaces share nothing.
  std::string cache_space;

  int64_t priority = 0;  // the lower goes first: into the batch, and to have its prompt read
  std::string client;    // whose it is: of one priority, clients take turns
};

struct TokenEvent {
  SampledToken token;
  std::string text;  // what may be shown now: whole characters, nothing of a stop string
  bool forced = false;
};

enum class FinishReason : uint8_t { kStop, kLength, kCancelled };
std::string_view finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled"

struct DraftCounts {
  int depth = 0;                            // greatest depth allowed
  int64_t steps = 0;                        // verification steps with at least one draft
  std::vector<int64_t> proposed, accepted;  // by draft position
  int64_t head_rows = 0;  // of the output head that were multiplied, over all that was proposed

  double mean_head_rows() const;  // for one proposal; 0 without any
};

struct RequestReport {
  FinishReason finish = FinishReason::kStop;
  std::optional<std::string> stop_string;   // the one that matched
  std::optional<TokenId> stop_id;           // the stop token that ended it
  std::optional<std::string> thought_stop;  // why a thought was closed by force
  std::string last_text;                    // text held back until the end was known
  int64_t prompt_tokens = 0, output_tokens = 0, thought_tokens = 0;
  int64_t cached_tokens = 0;       // of the prompt's, those that were not read
  int64_t cached_disk_tokens = 0;  // of these, those that came from the disk tier
  int64_t cached_answer_tokens =
      0;                          // of the cached, those that an answer left or that lay behind one
  int64_t recomputed_tokens = 0;  // read although an earlier request had them, as far as is known
  double queue_ms = 0, prompt_ms = 0, first_token_ms = 0,
         decode_ms = 0;  // first_token from submission
  DraftCounts draft;
};

// Called from inside step(), on its thread. Must not call back into the engine except submit() and
// cancel().
class Listener {
 public:
  virtual ~Listener() = default;
  // It has got its place; so many tokens of the prompt need not be read.
  virtual void on_start(int64_t /*cached*/) {}
  virtual void on_prompt(int64_t /*done*/, int64_t /*total*/) {}
  // With prompt_logprobs: the prompt's tokens from the second on, in order, before any on_token().
  virtual void on_prompt_token(const SampledToken& /*token*/) {}
  virtual void on_token(const TokenEvent& event) = 0;
  // What the next step will verify: proposals for the tokens after the `tokens` there are now
  // (prompt and answer). How many held shows in the tokens that follow.
  virtual void on_drafts(int64_t /*tokens*/, std::span<const TokenId> /*proposed*/) {}
  virtual void on_finish(const RequestReport& report) = 0;
};

using RequestId = uint64_t;

// What the disk tier of the prefix cache holds now, and did since it was opened.
struct DiskUse {
  bool on = false;
  int64_t files = 0, foreign = 0;  // of these, those of other models or builds
  uint64_t bytes = 0, most_bytes = 0;
  // Files written; states given up unwritten because the disk was too slow or the budget too small;
  // files that the disk did not take; files found damaged and removed.
  uint64_t written = 0, dropped = 0, failed = 0, damaged = 0;
};

// What the prefix cache holds, now.
struct CacheUse {
  int64_t states = 0, most_states = 0;  // saved recurrent states
  int64_t pages = 0, most_pages = 0;    // pages with known tokens; those of running sequences, too
  int64_t pages_in_use = 0;             // that running sequences hold, shared ones once
  DiskUse disk;
};

class Engine {
 public:
  // Takes all the memory it will ever need (the shape's plan). `model` and `tokenizer` must outlive
  // the engine. Without a tokenizer (nullptr) answers have ids and no text, and a request with stop
  // strings is refused. `clock` (milliseconds from any moment on; nothing: the system's) is what
  // adaptive draft depths are measured with.
  static Result<std::unique_ptr<Engine>> create(const model::TextModel& model,
                                                const tokenizer::Tokenizer* tokenizer,
                                                const EngineShape& shape,
                                                std::function<double()> clock = nullptr);
  ~Engine();

  const EngineShape& shape() const;

  // Checks the request and queues it; thread-safe. `listener` must live until on_finish. Errors
  // name the field.
  Result<RequestId> submit(Request request, Listener& listener);
  // Ends a request within one step, with FinishReason::kCancelled; unknown ids are ignored.
  // Thread-safe.
  void cancel(RequestId id);

  // One step over all running requests. False when there was nothing to do.
  bool step();
  void run_until_idle();

  // When step() has nothing to do: hands prompts that are in memory only to the disk tier's writer.
  // True while there is more to do or something is being written; call it again soon then. The
  // thread of step().
  bool save_some();

  CacheUse cache_use() const;  // as of the last step; thread-safe

  // Pages, slots, checkpoints and references add up. For tests and idle moments.
  bool intact() const;

 private:
  class Loop;
  explicit Engine(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace sluice::runtime
