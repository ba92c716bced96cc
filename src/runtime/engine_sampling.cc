// From hidden vectors to tokens: sampling, verification of drafts, and where an answer ends.
#include <algorithm>

#include "base/check.h"
#include "runtime/engine_loop.h"

namespace sluice::runtime {
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
    if (argmax_is_enough) {
      model.backend().argmax({.logits = logits, .tokens = best});
    } else {
      model.backend().download(logits, logit_values);
    }
    for (size_t i = 0; i < part.size(); ++i) {
      const auto row_values = argmax_is_enough
                                  ? std::span<float>()
                                  : std::span(logit_values).subspan(i * vocabulary, vocabulary);
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
    token = sample(logits,
                   {.parameters = &parameters,
                    .counts = &sequence.counts,
                    .allowed = masked ? std::span(allowed) : std::span<uint64_t>(),
                    .stop_ids = model.config().stop_ids,
                    .unpenalised = parameters.penalise_markers ? std::span<const TokenId>()
                                                               : std::span<const TokenId>(markers),
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
  if (drafter) drafter->vocabulary().on_answer(token.id);
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

}  // namespace sluice::runtime
