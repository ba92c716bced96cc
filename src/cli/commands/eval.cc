// sluice eval: a suite of questions with checks, answered greedily.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/file.h"
#include "chat/thinking.h"
#include "cli/command.h"
#include "cli/generation_options.h"
#include "cli/prompt_input.h"
#include "cli/session.h"
#include "tools/eval/suite.h"

namespace sluice::cli {
namespace {

// One item with what the model says to it.
class Question : public runtime::Listener {
 public:
  explicit Question(tools::SuiteItem suite_item) : item(std::move(suite_item)) {}

  void on_token(const runtime::TokenEvent& event) override { ids.push_back(event.token.id); }
  void on_finish(const runtime::RequestReport& finished) override { report = finished; }

  const tools::SuiteItem item;
  runtime::Request request;
  std::vector<int32_t> ids;
  runtime::RequestReport report;
  std::string content;  // the answer after its thought
  tools::ItemOutcome outcome;
};

// Cuts the thought off and judges the rest. An answer cut off by length is judged as it stands.
void judge(Question& question, const tokenizer::Tokenizer& tokenizer) {
  const auto markers = chat::ThinkMarkers::of(tokenizer);
  std::span<const int32_t> content = question.ids;
  tools::ItemOutcome& outcome = question.outcome;
  outcome.thinks = chat::open_thought(question.request.prompt, markers).has_value();
  if (outcome.thinks) {
    const auto close =
        markers.close ? std::find(content.begin(), content.end(), *markers.close) : content.end();
    outcome.thought_closed = close != content.end();
    const auto thought = static_cast<size_t>(close - content.begin());
    content = content.subspan(outcome.thought_closed ? thought + 1 : content.size());
  }
  question.content = tokenizer.decode(content, true);
  outcome.right = question.item.check.passes(tools::read_answer(question.content));
  outcome.drafts_proposed = question.report.draft.proposed;
  outcome.drafts_accepted = question.report.draft.accepted;
}

double share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

Json score_json(const tools::KindScore& score) {
  Json json = Json::object();
  json.set("items", score.items);
  json.set("right", score.right);
  json.set("share", share(score.right, score.items));
  json.set("thoughts", score.thoughts);
  json.set("closed", score.closed);
  return json;
}

Json scores_json(const tools::SuiteScores& scores) {
  Json kinds = Json::object();
  for (const auto& [kind, score] : scores.kinds()) kinds.set(kind, score_json(score));
  Json drafts = Json::array();
  for (size_t i = 0; i < scores.drafts_proposed().size(); ++i) {
    Json position = Json::object();
    position.set("proposed", scores.drafts_proposed()[i]);
    position.set("accepted", scores.drafts_accepted()[i]);
    position.set("share", share(scores.drafts_accepted()[i], scores.drafts_proposed()[i]));
    drafts.push_back(std::move(position));
  }
  Json json = Json::object();
  json.set("kinds", std::move(kinds));
  json.set("all", score_json(scores.total()));
  json.set("drafts", std::move(drafts));
  return json;
}

class Eval : public Command {
 public:
  Eval() { model_.draft_depth = "3"; }

  void declare(CLI::App& app) override {
    model_.declare(app);
    app.add_option("--suite", suite_, "items with checks, one a line (held_out.jsonl)")->required();
    app.add_option("--max-items", max_items_, "at most so many items of each kind")
        ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
    app.add_option("--max-tokens", max_tokens_, "most tokens of an answer, thought included")
        ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}))
        ->capture_default_str();
    app.add_option("--sequences", sequences_, "most items at once")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    app.add_option("--answers", answers_, "also writes each answer to this file, one a line");
  }

  Status run(const Console& console) override {
    SLUICE_ASSIGN(auto loaded, prepare_model(console, model_));
    if (!loaded->files.tokenizer)
      return loaded->files.tokenizer_error.value_or(
          bad_input(loaded->files.path.string(), "has no tokenizer"));
    SLUICE_ASSIGN(auto questions, read_questions(*loaded));
    SLUICE_TRY(finish_loading(console, model_, *loaded, shape_for(questions, *loaded)));
    SLUICE_ASSIGN(auto engine,
                  runtime::Engine::create(*loaded->model, loaded->tokenizer(), loaded->shape));
    for (const auto& question : questions) {
      const auto submitted = engine->submit(question->request, *question);
      if (!submitted.ok()) return about(question->item, submitted.error());
    }
    while (engine->step()) {
      if (interrupt_count() > 0) return Error{ErrorCode::kInterrupted, "eval", "interrupted", {}};
    }
    tools::SuiteScores scores;
    for (const auto& question : questions) {
      judge(*question, *loaded->tokenizer());
      scores.add(question->item.kind, question->outcome);
    }
    if (answers_) SLUICE_TRY(write_answers(questions, *loaded->tokenizer()));
    print(console, scores);
    return {};
  }

 private:
  using Questions = std::vector<std::unique_ptr<Question>>;

  static Error about(const tools::SuiteItem& item, Error error) {
    error.what = "item " + item.id + ": " + error.what;
    return error;
  }

  Result<Questions> read_questions(const LoadedModel& loaded) const {
    GenerationOptions options;
    options.temperature = 0;
    options.max_tokens = max_tokens_;
    options.no_loop_breaker = true;  // a thought that does not end is a finding
    const model::TextConfig& config = loaded.binding.config;
    SLUICE_ASSIGN(const auto lines, read_json_lines(suite_));
    Questions questions;
    std::map<std::string, int64_t> taken;
    for (const JsonLine& line : lines) {
      if (!line.value.ok()) return line.value.error();
      auto item = tools::read_suite_item(*line.value);
      if (!item.ok()) {
        Error error = item.error();
        error.what = fmt::format("{} line {}: {}", suite_, line.number, error.what);
        return error;
      }
      if (max_items_ && taken[item->kind]++ >= *max_items_) continue;
      auto question = std::make_unique<Question>(std::move(*item));
      auto prompt = tokens_of_request(question->item.request, loaded.files, config.vocabulary);
      if (!prompt.ok()) return about(question->item, prompt.error());
      SLUICE_ASSIGN(question->request, options.request(loaded.files, config));
      question->request.prompt = std::move(*prompt);
      questions.push_back(std::move(question));
    }
    if (questions.empty()) return usage_error(suite_, "holds no item");
    return questions;
  }

  // Without --context: just what the longest item can need.
  runtime::EngineShape shape_for(const Questions& questions, const LoadedModel& loaded) const {
    int64_t needed = 1;
    for (const auto& question : questions)
      needed =
          std::max(needed, static_cast<int64_t>(question->request.prompt.size()) + max_tokens_);
    needed = (needed + ops::kGrid - 1) / ops::kGrid * ops::kGrid;
    runtime::EngineShape shape;
    shape.context =
        model_.context > 0 ? model_.context : std::min(needed, loaded.binding.config.context);
    shape.sequences = std::min<int64_t>(sequences_, static_cast<int64_t>(questions.size()));
    shape.prompt_rows = 512;
    return shape;
  }

  Status write_answers(const Questions& questions, const tokenizer::Tokenizer& tokenizer) const {
    SLUICE_ASSIGN(FileWriter file, FileWriter::create(*answers_, true));
    for (const auto& question : questions) {
      Json line = Json::object();
      line.set("id", question->item.id);
      line.set("kind", question->item.kind);
      line.set("right", question->outcome.right);
      line.set("text", tokenizer.decode(question->ids, false));
      SLUICE_TRY(file.append(line.dump() + "\n"));
    }
    return file.commit();
  }

  static void print(const Console& console, const tools::SuiteScores& scores) {
    if (console.settings().json) {
      console.print_json(scores_json(scores));
      return;
    }
    const auto row = [&](const std::string& name, const tools::KindScore& score) {
      console.print(fmt::format("{:20}{:7}{:7}{:8.1f} %{:10} of {}\n", name, score.items,
                                score.right, 100 * share(score.right, score.items), score.closed,
                                score.thoughts));
    };
    console.print(fmt::format("{:20}{:>7}{:>7}{:>10}   thoughts closed\n", "kind", "items", "right",
                              "share"));
    for (const auto& [kind, score] : scores.kinds()) row(kind, score);
    row("all", scores.total());
    for (size_t i = 0; i < scores.drafts_proposed().size(); ++i) {
      const int64_t proposed = scores.drafts_proposed()[i], accepted = scores.drafts_accepted()[i];
      console.print(fmt::format("draft {}: {} of {} accepted, {:.3f}\n", i + 1, accepted, proposed,
                                share(accepted, proposed)));
    }
  }

  ModelOptions model_;
  std::string suite_;
  std::optional<std::string> answers_;
  std::optional<int64_t> max_items_;
  int64_t max_tokens_ = 512, sequences_ = 16;
};

}  // namespace

std::unique_ptr<Command> make_eval() { return std::make_unique<Eval>(); }

}  // namespace sluice::cli
