#include "server/generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <ctime>
#include <limits>
#include <random>

#include "base/log.h"
#include "server/auth.h"
#include "server/choice_listener.h"
#include "server/http/json_response.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

constexpr size_t kTurnMemoryBytes = size_t{64} << 20;

const char* finish_name(const Finish& finish) {
  return finish.cause == Finish::Cause::kLength || finish.cause == Finish::Cause::kContextFull
             ? "length"
             : "stop";
}

}  // namespace

class Generator::Run {
 public:
  Run(Generator& generator, http::Exchange& exchange, Job job, RequestRecord& record)
      : generator_(generator),
        exchange_(exchange),
        job_(std::move(job)),
        record_(record),
        mailbox_(std::make_shared<Mailbox<EngineEvent>>(exchange.executor())) {
    generator_.active_.insert(this);
  }
  ~Run() {
    exchange_.on_disconnect(nullptr);
    cancel();
    generator_.active_.erase(this);
  }

  asio::awaitable<void> run();
  const std::string& id() const { return exchange_.request().id; }
  void abort(const ApiError& why) {
    abort_ = why;
    mailbox_->interrupt();
  }

 private:
  std::optional<ApiError> submit(const std::vector<PreparedPrompt>& prompts,
                                 const Compiled& compiled);
  AnswerStart start_of(const std::vector<PreparedPrompt>& prompts) const;
  asio::awaitable<void> stream();
  asio::awaitable<void> whole();
  std::vector<AnswerEvent> digest(const EngineEvent& event);
  void note_finish(size_t choice, const Finish& finish);
  void cancel();
  asio::awaitable<void> refuse(const ApiError& error);
  ApiError failure_error() const;

  // A choice's turn, for the day it comes back in a prompt.
  struct ChoiceTurn {
    chat::OpenTurn made;  // grows with the answer
    WholeChoice shown;
  };
  void remember(ChoiceTurn& turn);

  Generator& generator_;
  http::Exchange& exchange_;
  Job job_;
  RequestRecord& record_;
  std::shared_ptr<Mailbox<EngineEvent>> mailbox_;
  const std::shared_ptr<Pace> pace_ = std::make_shared<Pace>();
  std::vector<Answer> answers_;
  std::vector<runtime::RequestId> ids_;
  std::vector<ChoiceTurn> turns_;
  Replay replay_;
  std::vector<bool> over_;  // the engine has ended this choice
  std::unique_ptr<AnswerEncoder> encoder_;
  std::optional<EngineEvent::Failure> failure_;
  std::optional<ApiError> abort_;
  bool gone_ = false;
  size_t unfinished_ = 0;
};

asio::awaitable<void> Generator::Run::run() {
  // From here on the client may leave at any moment, also while its prompt is being encoded.
  exchange_.on_disconnect([this] {
    gone_ = true;
    mailbox_->interrupt();
  });
  for (const std::string& name : job_.request.unknown_fields) generator_.name_once(name);
  job_.request.stop.in_thoughts = generator_.model_.policy.stop_in_reasoning;
  job_.request.logprobs.all_channels = generator_.model_.policy.logprobs_all_channels;
  if (generator_.options_.prefix_cache && generator_.options_.reuse_answers) {
    replay_.memory = &generator_.turns_;
    replay_.scope = user_scope(exchange_.request().headers);
  }
  auto prompts = co_await generator_.prepare(job_.request, &replay_);
  if (gone_) {
    record_.finish = "abort";
    record_.disconnect = "prompt";
    co_return;
  }
  if (!prompts.ok()) {
    co_await refuse(prompts.error());
    co_return;
  }
  auto compiled = co_await generator_.compile(job_.request);
  if (gone_) {
    record_.finish = "abort";
    record_.disconnect = "prompt";
    co_return;
  }
  if (!compiled.ok()) {
    co_await refuse(compiled.error());
    co_return;
  }
  const auto refused = submit(*prompts, *compiled);
  if (refused) {
    co_await refuse(*refused);
    co_return;
  }
  encoder_ = job_.make_encoder(start_of(*prompts));
  if (job_.request.stream) {
    co_await stream();
  } else {
    co_await whole();
  }
}

AnswerStart Generator::Run::start_of(const std::vector<PreparedPrompt>& prompts) const {
  AnswerStart start;
  start.id = exchange_.request().id;
  start.created = std::time(nullptr);
  start.model = job_.request.model;
  start.choices = static_cast<int64_t>(answers_.size());
  for (const PreparedPrompt& prompt : prompts) {
    start.prompt_tokens += static_cast<int64_t>(prompt.ids.size());
    if (job_.request.echo) start.prompts.push_back(prompt.ids);
  }
  return start;
}

std::optional<ApiError> Generator::Run::submit(const std::vector<PreparedPrompt>& prompts,
                                               const Compiled& compiled) {
  static thread_local std::mt19937_64 seeds{std::random_device{}()};
  const uint64_t seed = seeds();
  const ConversationFacts facts = conversation_facts(job_.request);
  const std::string client = user_scope(exchange_.request().headers);
  int choice = 0;
  for (const PreparedPrompt& prompt : prompts) {
    std::shared_ptr<const runtime::TokenGrammar> grammar;
    if (compiled)
      grammar = token_grammar(*compiled, job_.request, generator_.model_, prompt.thinking_open);
    for (int64_t sample = 0; sample < job_.request.choices; ++sample, ++choice) {
      auto request = make_engine_request(job_.request, prompt, static_cast<uint32_t>(sample), seed,
                                         generator_.model_, generator_.options_.thinking);
      if (!request.ok()) return invalid_request(request.error());
      request->reuse_answers = generator_.options_.reuse_answers;
      request->grammar = grammar;
      request->client = client;
      answers_.emplace_back(job_.request, *generator_.model_.tokenizer, generator_.model_.stop_ids,
                            prompt.thinking_open);
      // An answer that is sent whole is taken as it comes, whatever its client does.
      const size_t most_waiting = job_.request.stream
                                      ? static_cast<size_t>(generator_.options_.client_backlog)
                                      : std::numeric_limits<size_t>::max();
      const auto listener = std::make_shared<ChoiceListener>(
          choice, mailbox_, pace_, generator_.host_, generator_.metrics_, most_waiting);
      auto id = generator_.host_.submit(std::move(*request), facts, listener);
      if (!id.ok()) return id.error();  // the destructor cancels those before
      listener->set_id(*id);
      turns_.push_back({prompt.turn, {}});
      ids_.push_back(*id);
      over_.push_back(false);
    }
  }
  unfinished_ = answers_.size();
  return std::nullopt;
}

void Generator::Run::cancel() {
  for (size_t i = 0; i < ids_.size(); ++i) {
    if (!over_[i]) generator_.host_.cancel(ids_[i]);
    over_[i] = true;
  }
}

// Events of one choice; remembers what the record needs.
std::vector<AnswerEvent> Generator::Run::digest(const EngineEvent& event) {
  const auto choice = static_cast<size_t>(event.choice);
  Answer& answer = answers_[choice];
  if (std::holds_alternative<EngineEvent::Start>(event.what) ||
      std::holds_alternative<EngineEvent::PromptToken>(event.what))
    return {};
  if (const auto* token = std::get_if<runtime::SampledToken>(&event.what)) {
    if (answer.wants_no_more()) return {};
    std::vector<TokenId>& turn = turns_[choice].made.tokens;
    if (!turn.empty()) turn.push_back(token->id);
    std::vector<AnswerEvent> events = answer.on_token(*token);
    for (const AnswerEvent& made : events) turns_[choice].shown.add(made);
    if (answer.wants_no_more()) generator_.host_.cancel(ids_[choice]);
    return events;
  }
  over_[choice] = true;
  if (const auto* failure = std::get_if<EngineEvent::Failure>(&event.what)) {
    failure_ = *failure;
    return {};
  }
  std::vector<AnswerEvent> events = answer.on_finish(std::get<runtime::RequestReport>(event.what));
  for (const AnswerEvent& made : events) turns_[choice].shown.add(made);
  note_finish(choice, *events.back().finish);
  remember(turns_[choice]);
  --unfinished_;
  return events;
}

void Generator::Run::note_finish(size_t choice, const Finish& finish) {
  const runtime::RequestReport& report = finish.report;
  if (choice % static_cast<size_t>(job_.request.choices) == 0) {
    record_.prompt_tokens += report.prompt_tokens;
    record_.cached_tokens += report.cached_tokens;
    record_.cached_disk_tokens += report.cached_disk_tokens;
    record_.cached_answer_tokens += report.cached_answer_tokens;
    record_.recomputed_tokens += report.recomputed_tokens;
  }
  record_.output_tokens += finish.completion_tokens;
  record_.reasoning_tokens += finish.reasoning_tokens;
  record_.longest_choice = std::max(record_.longest_choice, finish.completion_tokens);
  record_.tools_called |= finish.calls > 0;
  record_.draft_steps += report.draft.steps;
  auto& by_position = record_.accepted_by_position;
  by_position.resize(std::max(by_position.size(), report.draft.accepted.size()));
  for (size_t i = 0; i < report.draft.accepted.size(); ++i)
    by_position[i] += report.draft.accepted[i];
  for (const int64_t count : report.draft.proposed) record_.drafted += count;
  for (const int64_t count : report.draft.accepted) record_.accepted += count;
  record_.queue_ms = std::max(record_.queue_ms, report.queue_ms);
  record_.prompt_ms = std::max(record_.prompt_ms, report.prompt_ms);
  record_.first_token_ms = std::max(record_.first_token_ms, report.first_token_ms);
  record_.decode_ms = std::max(record_.decode_ms, report.decode_ms);
  if (record_.finish.empty()) record_.finish = finish_name(finish);
}

// Only a whole turn can come back as one: an answer that was cut is rendered anew.
void Generator::Run::remember(ChoiceTurn& turn) {
  const Finish& finish = turn.shown.finish;
  const bool whole =
      finish.cause == Finish::Cause::kEndOfTurn || finish.cause == Finish::Cause::kToolCall;
  if (replay_.memory == nullptr || turn.made.tokens.empty() || !whole) return;
  // A grammar, or the limit of one call, ends a turn before the model writes its end.
  const auto end = generator_.model_.tokenizer->find_added("<|im_end|>");
  if (end && !finish.report.stop_id) turn.made.tokens.push_back(*end);
  replay_.memory->remember(replay_.scope, turn.made.place, turn.shown.message(),
                           std::move(turn.made.tokens));
}

ApiError Generator::Run::failure_error() const {
  if (abort_) return *abort_;
  ApiError error;
  error.kind = failure_ ? failure_->kind : ApiError::Kind::kInternal;
  error.message = failure_ ? failure_->why : "internal error";
  if (error.kind == ApiError::Kind::kQueueFull) error.retry_after = 1;
  return error;
}

asio::awaitable<void> Generator::Run::refuse(const ApiError& error) {
  record_.finish = "error";
  record_.rejected = error.kind == ApiError::Kind::kQueueFull;
  http::Response response = job_.error_shape(error, exchange_.request().id);
  co_await exchange_.respond(std::move(response));
}

asio::awaitable<void> Generator::Run::stream() {
  http::Headers headers{{"content-type", "text/event-stream; charset=utf-8"},
                        {"cache-control", "no-cache"},
                        {"x-accel-buffering", "no"}};
  if (!co_await exchange_.begin_stream(200, std::move(headers))) gone_ = true;
  std::string text = encoder_->begin();
  int64_t silent = 0;
  while (true) {
    if (!text.empty() && !gone_) {
      pace_->writing = true;
      if (!co_await exchange_.send(std::exchange(text, {}))) gone_ = true;
      pace_->writing = false;
    }
    if (gone_ || failure_ || abort_ || unfinished_ == 0) break;
    const auto events = co_await mailbox_->take(generator_.options_.ping_interval);
    silent += generator_.options_.ping_interval.count() / 1000;
    if (!events.empty()) silent = 0;
    // All that has come goes out in one write: a slow socket makes fewer, longer ones.
    for (const EngineEvent& event : events) {
      if (const auto* start = std::get_if<EngineEvent::Start>(&event.what))
        text += encoder_->started(start->cached_tokens);
      for (const AnswerEvent& made : digest(event)) text += encoder_->event(event.choice, made);
    }
    if (events.empty() && !gone_ && !abort_) text += encoder_->keep_alive(silent);
  }
  if (pace_->too_slow) record_.disconnect = "slow";
  if (gone_) {
    if (!pace_->too_slow) record_.disconnect = record_.output_tokens > 0 ? "decode" : "stream";
    record_.finish = "abort";
    co_return;
  }
  if (failure_ || abort_) {
    record_.finish = "error";
    text = encoder_->failure(failure_error());
  } else {
    text = encoder_->end();
  }
  co_await exchange_.send(std::move(text));
  co_await exchange_.end_stream();
}

asio::awaitable<void> Generator::Run::whole() {
  std::vector<WholeChoice> choices(answers_.size());
  while (unfinished_ > 0 && !gone_ && !failure_ && !abort_) {
    const auto events = co_await mailbox_->take(generator_.options_.ping_interval);
    for (const EngineEvent& event : events) {
      WholeChoice& choice = choices[static_cast<size_t>(event.choice)];
      if (const auto* prompt = std::get_if<EngineEvent::PromptToken>(&event.what))
        choice.prompt_tokens.push_back(prompt->token);
      for (const AnswerEvent& made : digest(event)) choice.add(made);
    }
  }
  if (gone_) {
    record_.disconnect = "whole";
    record_.finish = "abort";
    co_return;
  }
  if (failure_ || abort_) {
    const ApiError error = failure_error();
    co_await refuse(error);
    co_return;
  }
  http::Response response = http::json_response(encoder_->whole(choices));
  co_await exchange_.respond(std::move(response));
}

Generator::Generator(const ModelText& model, const ServerOptions& options, EngineHost& host,
                     asio::thread_pool& workers, asio::thread_pool& compilers, Metrics& metrics)
    : model_(model),
      options_(options),
      host_(host),
      workers_(workers),
      compilers_(compilers),
      metrics_(metrics),
      grammars_(model),
      turns_(kTurnMemoryBytes) {
  if (!options.disk.on() || !options.reuse_answers) return;
  turn_files_.emplace(options.disk.folder, chat::TurnOwner{options.disk.model, model.vocabulary});
  turn_files_->restore(turns_);
  turns_.tell([this](const chat::KeptTurn& turn) { turn_files_->append(turn); });
}

asio::awaitable<Answerable<std::vector<PreparedPrompt>>> Generator::prepare(
    const GenerationRequest& request, const Replay* replay) {
  // Rendering and encoding a long conversation takes a while; connections must not wait for it.
  std::optional<Answerable<std::vector<PreparedPrompt>>> prompts;
  auto work = [&]() -> asio::awaitable<void> {
    prompts.emplace(prepare_prompts(request, model_, replay != nullptr ? *replay : Replay()));
    co_return;
  };
  co_await asio::co_spawn(workers_, work, asio::use_awaitable);
  co_return std::move(*prompts);
}

asio::awaitable<Answerable<Generator::Compiled>> Generator::compile(
    const GenerationRequest& request) {
  const auto output = structured_output(request);
  if (!output) co_return Compiled();
  std::optional<Result<chat::grammar::CompiledOutput>> compiled;
  auto work = [&]() -> asio::awaitable<void> {
    compiled.emplace(grammars_.compile(request, *output));
    co_return;
  };
  co_await asio::co_spawn(compilers_, work, asio::use_awaitable);
  if (!compiled->ok()) co_return invalid_request(compiled->error());
  co_return Compiled(std::move(**compiled));
}

asio::awaitable<void> Generator::run(http::Exchange& exchange, Job job, RequestRecord& record) {
  record.streamed = job.request.stream;
  record.model = job.request.model;
  record.choices = job.request.choices;
  record.max_tokens = job.request.max_tokens.value_or(0);
  record.tools_offered = job.request.tools.active();
  Run run(*this, exchange, std::move(job), record);
  co_await run.run();
}

void Generator::name_once(const std::string& field) {
  constexpr size_t kMostNames = 256;  // clients could make up any number
  if (named_fields_.size() >= kMostNames || !named_fields_.insert(field).second) return;
  log_warning("the request field \"{}\" is unknown and ignored", field);
}

size_t Generator::abort_all(const ApiError& why) {
  for (Run* run : active_) run->abort(why);
  return active_.size();
}

size_t Generator::abort(const std::string& id, const ApiError& why) {
  size_t found = 0;
  for (Run* run : active_) {
    // Answers are called "chatcmpl-ID", "msg_ID" and the like: either name will do.
    if (id != run->id() && !id.ends_with("-" + run->id()) && !id.ends_with("_" + run->id()))
      continue;
    run->abort(why);
    ++found;
  }
  return found;
}

}  // namespace sluice::server
