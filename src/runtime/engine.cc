#include "runtime/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <unordered_set>

#include "base/check.h"
#include "runtime/cache/prefix_cache.h"
#include "runtime/scheduler/scheduler.h"
#include "runtime/sequence.h"
#include "runtime/spec/draft_depths.h"
#include "runtime/spec/mtp_drafter.h"

namespace sluice::runtime {
namespace {

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

// Markers that presence and frequency penalties leave alone (serving-sampling.md 6.2), by their
// text.
std::vector<TokenId> find_markers(const tokenizer::Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return {};
  std::vector<TokenId> markers;
  for (const char* text :
       {"<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>"}) {
    if (const auto id = tokenizer->find_added(text)) markers.push_back(*id);
  }
  std::sort(markers.begin(), markers.end());
  return markers;
}

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

class Engine::Loop {
 public:
  Loop(const model::TextModel& m, const tokenizer::Tokenizer* t, const EngineShape& s,
       MillisecondClock clock)
      : model(m),
        tokenizer(t),
        shape(s),
        markers(find_markers(t)),
        allowed(mask_words(static_cast<size_t>(m.config().vocabulary))),
        depths(m.mtp() != nullptr ? s.draft_depth : 0, s.adaptive_depth, std::move(clock)) {
    for (int64_t slot = s.sequences - 1; slot >= 0; --slot)
      free_slots.push_back(static_cast<int32_t>(slot));
  }

  Status take_memory();
  Status check(const Request& request) const;
  bool step();

  const model::TextModel& model;
  const tokenizer::Tokenizer* const tokenizer;  // may be null
  const EngineShape shape;
  const std::vector<TokenId> markers;
  std::vector<uint64_t> allowed;  // the mask of the row being sampled
  DraftDepths depths;

  std::unique_ptr<ops::KvCache> cache;
  std::unique_ptr<ops::RecurrentState> recurrent;
  std::unique_ptr<model::Workspace> workspace;
  std::unique_ptr<MtpDrafter> drafter;
  std::unique_ptr<PrefixCache> prefixes;

  std::vector<int32_t> free_slots;
  std::vector<std::unique_ptr<Sequence>> running;  // in order of arrival

  std::mutex inbox_mutex;  // guards the three below
  std::deque<std::unique_ptr<Sequence>> inbox;
  std::unordered_set<RequestId> cancelled;
  RequestId last_id = 0;

  std::mutex use_mutex;  // guards the one below
  CacheUse use;

 private:
  void admit();
  std::unique_ptr<Sequence> next_waiting();
  void start(Sequence& sequence);
  void sample_step(const StepPlan& plan, const ops::View& hidden);
  void sample_row(const ScheduledSegment& segment, int64_t offset, TokenId best,
                  std::span<float> logits);
  void take_token(Sequence& sequence, const SampledToken& token, bool forced);
  void finish(Sequence& sequence, FinishReason reason);
  void propose(const StepPlan& plan, const ops::View& hidden);
  void remember(const StepPlan& plan);
  void retire();
};

Status Engine::Loop::take_memory() {
  ops::Backend& backend = model.backend();
  const bool drafts = shape.draft_depth > 0 && model.mtp() != nullptr;
  const CacheShape extra = CacheShape::of(shape.prefix_cache, model.config(),
                                          model.kv_spec(1, shape.kv).bytes_per_page(), drafts);
  const int64_t pages = shape.pages_per_sequence() * shape.sequences + extra.pages;
  SLUICE_ASSIGN(cache, backend.create_kv_cache(model.kv_spec(pages, shape.kv)));
  SLUICE_ASSIGN(recurrent, backend.create_recurrent_state(
                               model.recurrent_spec(shape.sequences, shape.draft_depth + 1)));
  SLUICE_ASSIGN(workspace, model::Workspace::create(model.config(), backend, shape.max_rows(),
                                                    shape.max_logit_rows()));
  if (drafts) {
    SLUICE_ASSIGN(drafter, MtpDrafter::create(model, shape.max_rows()));
  }
  SLUICE_ASSIGN(prefixes, PrefixCache::create(model, shape, extra, *cache, *recurrent, drafts));
  use = prefixes->use();
  return {};
}

Status Engine::Loop::check(const Request& request) const {
  SLUICE_TRY(check_sampling(request.sampling));
  if (request.prompt.empty()) return usage_error("prompt", "is empty", "Give at least one token");
  const auto length = static_cast<int64_t>(request.prompt.size());
  if (length >= shape.context) {
    return usage_error("prompt",
                       fmt::format("{} tokens leave no room for an answer in a context of {}",
                                   length, shape.context),
                       "Shorten it or raise --context");
  }
  for (const TokenId token : request.prompt) {
    if (token < 0 || token >= model.config().vocabulary) {
      return usage_error("prompt", fmt::format("token {} is outside the vocabulary of {}", token,
                                               model.config().vocabulary));
    }
  }
  if (!std::is_sorted(request.borders.begin(), request.borders.end()) ||
      (!request.borders.empty() &&
       (request.borders.front() < 0 || request.borders.back() > length))) {
    return usage_error("borders", fmt::format("do not ascend from 0 to {}", length));
  }
  if (tokenizer == nullptr && !request.stop_strings.empty()) {
    return usage_error("stop", "the model has no tokenizer, so its answers have no text",
                       "Stop by ids");
  }
  if (request.max_tokens == 0 || request.max_tokens < -1) {
    return usage_error("max_tokens",
                       fmt::format("{} is not a positive number", request.max_tokens));
  }
  return {};
}

// The whole loop: admit, one flat batch, sample and verify, propose, remember, retire.
bool Engine::Loop::step() {
  admit();
  if (running.empty()) return false;
  std::vector<Sequence*> sequences;
  for (const auto& sequence : running) sequences.push_back(sequence.get());
  const StepPlan plan = schedule(sequences, shape.prompt_rows);
  depths.begin_step();
  const ops::View hidden = model.forward(plan.batch, *cache, *recurrent, *workspace);
  sample_step(plan, hidden);
  depths.on_verified(plan);
  if (drafter) propose(plan, hidden);
  remember(plan);
  retire();
  return true;
}

void Engine::Loop::admit() {
  std::vector<std::unique_ptr<Sequence>>
      never_started;  // reported without the lock: a listener may submit
  {
    const std::lock_guard lock(inbox_mutex);
    for (auto& waiting : inbox) {
      if (cancelled.erase(waiting->id) > 0) never_started.push_back(std::move(waiting));
    }
    std::erase(inbox, nullptr);
    for (const auto& sequence : running) {
      if (cancelled.erase(sequence->id) > 0) finish(*sequence, FinishReason::kCancelled);
    }
    cancelled.clear();
  }
  for (const auto& sequence : never_started) {
    finish(*sequence, FinishReason::kCancelled);
    sequence->listener->on_finish(sequence->report);
  }
  retire();
  while (!free_slots.empty()) {
    auto next = next_waiting();
    if (!next) return;
    running.push_back(std::move(next));
    start(*running.back());
  }
}

// The first that waits, but for those that begin like a prompt that is being read just now: when
// that has been read they will find it.
std::unique_ptr<Sequence> Engine::Loop::next_waiting() {
  constexpr size_t kLookAhead = 16;
  const std::lock_guard lock(inbox_mutex);
  for (size_t i = 0; i < std::min(inbox.size(), kLookAhead); ++i) {
    Sequence& candidate = *inbox[i];
    if (const auto reader = prefixes->reader_of_same(candidate, running)) {
      // Once only, so that nobody waits behind a row of such readers.
      if (candidate.waited_for == 0) candidate.waited_for = *reader;
      if (candidate.waited_for == *reader) continue;
    }
    auto next = std::move(inbox[i]);
    inbox.erase(inbox.begin() + static_cast<ptrdiff_t>(i));
    return next;
  }
  return nullptr;
}

void Engine::Loop::start(Sequence& sequence) {
  const Request& request = sequence.request;
  sequence.started = Clock::now();
  sequence.tokens = request.prompt;
  sequence.prompt_length = static_cast<int64_t>(request.prompt.size());
  sequence.token_limit = shape.context;
  if (request.max_tokens > 0) {
    sequence.token_limit = std::min(shape.context, sequence.prompt_length + request.max_tokens);
  }
  if (request.sampling.repetition_penalty != 1) sequence.counts.add_prompt(request.prompt);
  if (request.thought) {
    sequence.thought.emplace(*request.thought, request.prompt,
                             sequence.token_limit - sequence.prompt_length);
  }
  if (request.grammar) sequence.mask = request.grammar->begin();
  sequence.slot = free_slots.back();
  free_slots.pop_back();
  const ops::View hidden = prefixes->begin(sequence);
  if (!hidden.empty()) drafter->fill_row(sequence, hidden, *cache, *workspace);
  sequence.listener->on_start(sequence.begin);
  depths.start(sequence);
  sequence.draft_counts.depth = drafter ? shape.draft_depth : 0;
  sequence.draft_counts.proposed.assign(static_cast<size_t>(sequence.draft_counts.depth), 0);
  sequence.draft_counts.accepted = sequence.draft_counts.proposed;
}

namespace {

// A row whose logits are wanted: row `offset` of a segment.
struct LogitRow {
  const ScheduledSegment* segment;
  int64_t offset;
};

std::vector<LogitRow> rows_to_sample(const StepPlan& plan) {
  std::vector<LogitRow> rows;
  for (const ScheduledSegment& segment : plan.segments) {
    const Sequence& sequence = *segment.sequence;
    const bool ends_prompt = sequence.processed + segment.row_count == sequence.prompt_length;
    int64_t first = segment.answer ? 0 : segment.row_count - (ends_prompt ? 1 : 0);
    if (sequence.request.prompt_logprobs >= 0) first = 0;
    for (int64_t offset = first; offset < segment.row_count; ++offset)
      rows.push_back({&segment, offset});
  }
  return rows;
}

}  // namespace

// Samples the rows of the step in order and verifies drafts by sample-and-match: the token drawn
// for a row is the answer's next token; while it equals the draft, the next row is the right
// continuation too.
void Engine::Loop::sample_step(const StepPlan& plan, const ops::View& hidden) {
  const std::vector<LogitRow> wanted = rows_to_sample(plan);
  for (const ScheduledSegment& segment : plan.segments) {
    Sequence& sequence = *segment.sequence;
    sequence.commit = 0;
    sequence.row_follows = true;
    if (segment.answer) continue;  // how many rows count is decided by sampling
    sequence.processed += segment.row_count;
    sequence.listener->on_prompt(sequence.processed, sequence.prompt_length);
  }
  const auto vocabulary = static_cast<size_t>(model.config().vocabulary);
  const auto most = static_cast<size_t>(workspace->max_logit_rows());
  for (size_t begin = 0; begin < wanted.size(); begin += most) {
    const auto part = std::span(wanted).subspan(begin, std::min(most, wanted.size() - begin));
    std::vector<int32_t> rows;
    bool argmax_is_enough = true;
    for (const LogitRow& row : part) {
      rows.push_back(static_cast<int32_t>(row.segment->first_row + row.offset));
      const Request& request = row.segment->sequence->request;
      argmax_is_enough = argmax_is_enough && request.sampling.plain_greedy() && !request.grammar &&
                         (row.segment->answer || request.prompt_logprobs < 0);
    }
    const ops::View logits = model.logits(hidden, rows, *workspace);
    std::vector<TokenId> best(part.size(), -1);
    std::vector<float> values;
    if (argmax_is_enough) {
      model.backend().argmax({.logits = logits, .tokens = best});
    } else {
      values = model.backend().download(logits);
    }
    for (size_t i = 0; i < part.size(); ++i) {
      const auto row_values = argmax_is_enough
                                  ? std::span<float>()
                                  : std::span(values).subspan(i * vocabulary, vocabulary);
      sample_row(*part[i].segment, part[i].offset, best[i], row_values);
    }
  }
}

// `best` is the argmax, used where `logits` is empty (plain greedy).
void Engine::Loop::sample_row(const ScheduledSegment& segment, int64_t offset, TokenId best,
                              std::span<float> logits) {
  Sequence& sequence = *segment.sequence;
  if (sequence.finished || !sequence.row_follows) return;
  if (!segment.answer &&
      sequence.processed - segment.row_count + offset + 1 < sequence.prompt_length) {
    // A row within the prompt: it predicts a token that is known.
    const auto next = static_cast<size_t>(sequence.processed - segment.row_count + offset + 1);
    sequence.listener->on_prompt_token(
        report_logprobs(logits, sequence.tokens[next], sequence.request.prompt_logprobs));
    return;
  }
  const SamplingParameters& parameters = sequence.request.sampling;
  const TokenId forced = sequence.thought ? sequence.thought->forced().value_or(-1) : -1;
  const bool masked = forced < 0 && sequence.mask && sequence.mask->binds();
  if (masked) {
    sequence.mask->fill(allowed);
    // A vocabulary that lacks what the grammar needs.
    if (!allows_any(allowed)) return finish(sequence, FinishReason::kStop);
  }
  SampledToken token{best, 0, {}};
  if (forced >= 0) {
    token.id = forced;
    if (parameters.logprobs >= 0) token = report_logprobs(logits, forced, parameters.logprobs);
  } else if (!logits.empty()) {
    token = sample(logits, {.parameters = &parameters,
                            .counts = &sequence.counts,
                            .allowed = masked ? std::span(allowed) : std::span<uint64_t>(),
                            .stop_ids = model.config().stop_ids,
                            .unpenalised = markers,
                            .position = static_cast<uint64_t>(sequence.output_tokens())});
  }
  if (segment.answer) {
    ++sequence.commit;
    ++sequence.processed;
    const auto draft = static_cast<size_t>(offset);
    sequence.row_follows = draft < sequence.drafts.size() && sequence.drafts[draft] == token.id;
    if (sequence.row_follows) ++sequence.draft_counts.accepted[draft];
  }
  take_token(sequence, token, forced >= 0);
}

// Appends a token, reports it, and decides whether the answer ends with it.
void Engine::Loop::take_token(Sequence& sequence, const SampledToken& token, bool forced) {
  if (sequence.output_tokens() == 0) sequence.first_token = Clock::now();
  sequence.tokens.push_back(token.id);
  sequence.counts.add_output(token.id);
  if (sequence.thought) {
    sequence.thought->push(token.id, tokenizer != nullptr ? tokenizer->bytes(token.id) : "");
  }
  // A forced token comes whatever the grammar says.
  const bool followed = !sequence.mask || sequence.mask->accept(token.id);
  SLUICE_CHECK(followed || forced, "token {} was drawn against the mask", token.id);

  const Request& request = sequence.request;
  const auto contains = [&](const std::vector<TokenId>& ids) {
    return std::find(ids.begin(), ids.end(), token.id) != ids.end();
  };
  const bool stops =
      contains(request.stop_ids) || (!request.ignore_eos && contains(model.config().stop_ids));
  TokenEvent event{token, {}, forced};
  if (!stops) event.text = sequence.matcher.push(sequence.decode(token.id));
  sequence.listener->on_token(event);

  if (stops) {
    sequence.report.stop_id = token.id;
    finish(sequence, FinishReason::kStop);
  } else if (sequence.matcher.matched()) {
    sequence.report.stop_string = sequence.matcher.matched();
    finish(sequence, FinishReason::kStop);
  } else if (sequence.mask && sequence.mask->complete()) {
    finish(sequence, FinishReason::kStop);
  } else if (sequence.tokens_left() == 0) {
    finish(sequence, FinishReason::kLength);
  }
}

void Engine::Loop::finish(Sequence& sequence, FinishReason reason) {
  if (sequence.finished) return;
  sequence.finished = reason;
  const Clock::time_point now = Clock::now();
  RequestReport& report = sequence.report;
  report.finish = reason;
  report.last_text = sequence.matcher.push(sequence.decoder ? sequence.decoder->finish() : "");
  report.last_text += sequence.matcher.finish();
  report.prompt_tokens = static_cast<int64_t>(sequence.request.prompt.size());
  report.output_tokens = std::max<int64_t>(sequence.output_tokens(), 0);
  report.queue_ms = milliseconds(sequence.submitted, sequence.started);
  if (report.output_tokens > 0) {
    report.prompt_ms = milliseconds(sequence.started, sequence.first_token);
    report.first_token_ms = milliseconds(sequence.submitted, sequence.first_token);
    report.decode_ms = milliseconds(sequence.first_token, now);
  }
  report.draft = sequence.draft_counts;
  if (sequence.thought) {
    report.thought_tokens = sequence.thought->thought_tokens();
    report.thought_stop = sequence.thought->stop_reason();
  }
}

void Engine::Loop::propose(const StepPlan& plan, const ops::View& hidden) {
  std::vector<KeptRows> kept;
  for (const ScheduledSegment& segment : plan.segments) {
    Sequence& sequence = *segment.sequence;
    sequence.drafts.clear();
    const int64_t count = segment.answer ? sequence.commit : segment.row_count;
    if (count == 0) continue;  // the grammar could not go on
    prefixes->note_hidden(sequence, hidden, segment.first_row + count - 1);
    // Pages that are kept need the head's rows too.
    if (sequence.finished && !prefixes->on()) continue;
    // A row needs the token behind it, which a grammar without a first token has not given.
    const bool ends = sequence.processed == static_cast<int64_t>(sequence.tokens.size());
    const int64_t followed = count - (ends ? 1 : 0);
    if (followed == 0) continue;
    kept.push_back(
        {&sequence, segment.first_row, followed, sequence.processed - count, segment.answer});
  }
  depths.choose(kept);
  drafter->propose(kept, hidden, *cache, *workspace);
  depths.on_drafted(kept);
  for (const KeptRows& rows : kept) {
    Sequence& sequence = *rows.sequence;
    if (sequence.drafts.empty()) continue;
    ++sequence.draft_counts.steps;
    for (size_t i = 0; i < sequence.drafts.size(); ++i) ++sequence.draft_counts.proposed[i];
    sequence.listener->on_drafts(static_cast<int64_t>(sequence.tokens.size()), sequence.drafts);
  }
}

void Engine::Loop::remember(const StepPlan& plan) {
  for (const ScheduledSegment& segment : plan.segments) prefixes->after_step(*segment.sequence);
}

// Gives back what finished sequences held, and reports them.
void Engine::Loop::retire() {
  std::erase_if(running, [&](const std::unique_ptr<Sequence>& sequence) {
    if (!sequence->finished) return false;
    prefixes->end(*sequence);
    if (sequence->slot >= 0) free_slots.push_back(sequence->slot);
    sequence->listener->on_finish(sequence->report);
    return true;
  });
  const std::lock_guard lock(use_mutex);
  use = prefixes->use();
}

Result<std::unique_ptr<Engine>> Engine::create(const model::TextModel& model,
                                               const tokenizer::Tokenizer* tokenizer,
                                               const EngineShape& shape,
                                               std::function<double()> clock) {
  SLUICE_CHECK(shape.context > 0 && shape.sequences > 0 && shape.draft_depth >= 0 &&
                   shape.prompt_rows > 0 && shape.prompt_rows % ops::kGrid == 0,
               "context {} sequences {} draft depth {} prompt rows {}", shape.context,
               shape.sequences, shape.draft_depth, shape.prompt_rows);
  if (!clock) clock = [] { return milliseconds({}, Clock::now()); };
  auto loop = std::make_unique<Loop>(model, tokenizer, shape, std::move(clock));
  SLUICE_TRY(loop->take_memory());
  return std::unique_ptr<Engine>(new Engine(std::move(loop)));
}

Engine::Engine(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
Engine::~Engine() = default;

const EngineShape& Engine::shape() const { return loop_->shape; }

Result<RequestId> Engine::submit(Request request, Listener& listener) {
  SLUICE_TRY(loop_->check(request));
  const std::lock_guard lock(loop_->inbox_mutex);
  const RequestId id = ++loop_->last_id;
  auto sequence = std::make_unique<Sequence>(id, std::move(request), &listener, loop_->tokenizer);
  sequence->submitted = sequence->started = Clock::now();
  loop_->inbox.push_back(std::move(sequence));
  return id;
}

void Engine::cancel(RequestId id) {
  const std::lock_guard lock(loop_->inbox_mutex);
  loop_->cancelled.insert(id);
}

bool Engine::step() {
  if (loop_->step()) return true;
#ifndef NDEBUG
  SLUICE_CHECK(intact(), "{} sequences, {} free slots", loop_->running.size(),
               loop_->free_slots.size());
#endif
  return false;
}

void Engine::run_until_idle() {
  while (step()) {
  }
}

CacheUse Engine::cache_use() const {
  const std::lock_guard lock(loop_->use_mutex);
  return loop_->use;
}

bool Engine::intact() const {
  const auto slots = static_cast<int64_t>(loop_->free_slots.size() + loop_->running.size());
  return slots == loop_->shape.sequences && loop_->prefixes->intact(loop_->running);
}

}  // namespace sluice::runtime
