// The step, and how sequences come and go.
#include "runtime/engine_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <string_view>

#include "base/check.h"

namespace sluice::runtime {
namespace {

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

Engine::Loop::Loop(const model::TextModel& m, const tokenizer::Tokenizer* t, const EngineShape& s,
                   MillisecondClock c)
    : model(m),
      tokenizer(t),
      shape(s),
      markers(find_markers(t)),
      allowed(mask_words(static_cast<size_t>(m.config().vocabulary))),
      clock(std::move(c)),
      depths(m.mtp() != nullptr ? s.draft_depth : 0, s.adaptive_depth, clock),
      pace(s.prompt_rows, s.keep_pace) {
  for (int64_t slot = s.sequences - 1; slot >= 0; --slot)
    free_slots.push_back(static_cast<int32_t>(slot));
}

Status Engine::Loop::take_memory() {
  ops::Backend& backend = model.backend();
  const bool drafts = shape.draft_depth > 0 && model.mtp() != nullptr;
  const CacheShape extra =
      CacheShape::of(shape.prefix_cache, model.config(),
                     model.kv_spec(1, shape.kv).bytes_per_page(), drafts, shape.saved_states);
  const int64_t pages = shape.pages_per_sequence() * shape.sequences + extra.pages;
  SLUICE_ASSIGN(cache, backend.create_kv_cache(model.kv_spec(pages, shape.kv)));
  SLUICE_ASSIGN(recurrent, backend.create_recurrent_state(
                               model.recurrent_spec(shape.sequences, shape.draft_depth + 1)));
  SLUICE_ASSIGN(workspace, model::Workspace::create(model.config(), backend, shape.max_rows(),
                                                    shape.max_logit_rows()));
  if (drafts) {
    SLUICE_ASSIGN(drafter, MtpDrafter::create(model, shape.max_rows(), shape.draft_rows));
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
  const double begin = shape.keep_pace ? clock() : 0;
  const StepPlan plan = plan_step();
  depths.begin_step();
  const ops::View hidden = model.forward(plan.batch, *cache, *recurrent, *workspace);
  sample_step(plan, hidden);
  depths.on_verified(plan);
  if (drafter) propose(plan, hidden);
  remember(plan);
  retire();
  prefixes->write_ahead();
  if (shape.keep_pace) note_pace(plan, clock() - begin);
  return true;
}

StepPlan Engine::Loop::plan_step() {
  std::vector<Sequence*> sequences;
  bool answers = false;
  for (const auto& sequence : running) {
    sequences.push_back(sequence.get());
    answers = answers || !sequence->reading_prompt();
  }
  StepPlan plan = schedule(sequences, pace.rows(answers));
  ++steps;
  for (const ScheduledSegment& segment : plan.segments) {
    if (segment.answer) continue;
    segment.sequence->last_read = steps;
    prompt_rows_read += segment.row_count;
  }
  return plan;
}

void Engine::Loop::note_pace(const StepPlan& plan, double ms) {
  const int64_t answer_rows = plan.batch.answer_rows();
  pace.on_step(answer_rows > 0, plan.batch.row_count() - answer_rows, ms);
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
    if (arriving && cancelled.erase(arriving->id) > 0) {
      prefixes->forget_fetch();
      never_started.push_back(std::move(arriving));
    }
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
    if (!arriving) arriving = next_waiting();
    if (!arriving || !fetched(*arriving)) return;
    running.push_back(std::move(arriving));
    start(*running.back());
  }
}

// Beside answers the files of what begins are read in as many steps as leave these their pace.
// Nobody passes it meanwhile: the pages that it holds are those of the place that is free for it.
bool Engine::Loop::fetched(const Sequence& sequence) {
  const bool answers = std::any_of(running.begin(), running.end(),
                                   [](const auto& other) { return !other->reading_prompt(); });
  if (!prefixes->fetching()) {
    // Otherwise begin() reads at once.
    const bool in_pieces = shape.keep_pace && answers && prefixes->begin_fetch(sequence);
    if (!in_pieces) return true;
  }
  const double budget = pace.fetch_ms(answers);
  if (budget == 0) return false;
  const double begin = clock();
  const bool more = prefixes->fetch_some(sequence, [&] { return clock() - begin >= budget; });
  pace.on_fetch(clock() - begin);
  return !more;
}

// Places in the inbox: by priority, then clients with the fewest running, then as they came.
std::vector<size_t> Engine::Loop::waiting_in_turn() const {
  std::map<std::string_view, int64_t> held;
  for (const auto& sequence : running) ++held[sequence->request.client];
  std::vector<size_t> places(inbox.size());
  std::iota(places.begin(), places.end(), size_t{0});
  const auto urgency = [&](size_t place) {
    const Request& request = inbox[place]->request;
    return std::pair(request.priority, held[request.client]);
  };
  std::stable_sort(places.begin(), places.end(),
                   [&](size_t a, size_t b) { return urgency(a) < urgency(b); });
  return places;
}

// The first in turn, but for those that begin like a prompt that is being read just now: when that
// has been read they will find it.
std::unique_ptr<Sequence> Engine::Loop::next_waiting() {
  constexpr size_t kLookAhead = 16;
  const std::lock_guard lock(inbox_mutex);
  std::vector<size_t> places = waiting_in_turn();
  places.resize(std::min(places.size(), kLookAhead));
  for (const size_t i : places) {
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
  if (drafter) drafter->vocabulary().on_prompt(request.prompt);
  sequence.rows_before = prompt_rows_read;
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
    sequence.draft_counts.head_rows +=
        drafter->vocabulary().rows() * static_cast<int64_t>(sequence.drafts.size());
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
  note_use();
}

void Engine::Loop::note_use() {
  const CacheUse now = prefixes->use();
  const std::lock_guard lock(use_mutex);
  use = now;
}

}  // namespace sluice::runtime
