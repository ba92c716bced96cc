#include "tools/distill/corpus/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/file.h"
#include "tools/distill/corpus/kinds.h"

namespace sluice::tools::corpus {
namespace {

// Weights count samples, not tokens: a sample with tools is five times as long as a sum.
constexpr Kind kKinds[] = {
    {"addition", addition, 90, true},
    {"subtraction", subtraction, 110, true},
    {"multiplication", multiplication, 80, true},
    {"comparison", number_comparison, 30, true},
    {"follow_up", follow_up, 30, true},
    {"word_problem", word_problem, 110, true},
    {"two_step_problem", two_step_problem, 35, true},
    {"number_choice", number_choice, 90, true},
    {"fact_choice", fact_choice, 50, true},
    {"one_call", one_call, 70, true},
    {"calls_in_a_row", calls_in_a_row, 25, true},
    {"parallel_calls", parallel_calls, 25, true},
    {"no_call", no_call, 20, true},
    {"lookup", lookup, 80, true},
    {"echo", echo, 70, true},
    {"word_edit", word_edit, 90, true},
    {"code_edit", code_edit, 35, true},
    {"json_record", json_record, 45, true},
    {"greeting", greeting, 12, true},
    {"fact", fact, 70, true},
    {"recipe", recipe, 12, true},
    {"about_sluice", about_sluice, 18, true},
    {"story", story, 10, false},
    {"gazetteer_text", gazetteer_text, 15, false},
    {"letters", letters, 80, true, true},
    {"labels", labels, 120, true, true},
    {"made_up_tools", made_up_tools, 60, true, true},
    {"tool_names", tool_names, 100, true, true},
};

constexpr const char* kSystemTexts[] = {"You are a helpful assistant.", "You are sprout.",
                                        "Be brief.", "Answer in English.",
                                        "You help people with small tasks."};

void prepend(Sample& sample, std::initializer_list<Json> messages) {
  Json all = Json::array();
  for (const Json& message : messages) all.push_back(message);
  for (const Json& message : sample.messages.items()) all.push_back(message);
  sample.messages = std::move(all);
  sample.prompt += messages.size();
}

// A short earlier turn that has nothing to do with the question.
void add_earlier_turn(Sample& sample, Draw& draw) {
  constexpr Sample (*kTalk[])(Draw&) = {greeting, fact, about_sluice};
  const Sample before = draw.pick(kTalk)(draw);
  const auto& turn = before.messages.items();
  prepend(sample, {turn[0], turn[1]});
}

// The kinds of these names; all but the drills for none.
Result<std::vector<const Kind*>> choose(const std::vector<std::string>& names) {
  std::vector<const Kind*> chosen;
  for (const Kind& kind : kKinds) {
    if (names.empty() ? !kind.drill
                      : std::find(names.begin(), names.end(), kind.name) != names.end())
      chosen.push_back(&kind);
  }
  for (const std::string& name : names) {
    if (std::none_of(chosen.begin(), chosen.end(),
                     [&](const Kind* kind) { return kind->name == name; })) {
      std::string known;
      for (const Kind& kind : kKinds) known += fmt::format(" {}", kind.name);
      return bad_input("kinds", fmt::format("there is no \"{}\"", name), "There are" + known);
    }
  }
  return chosen;
}

}  // namespace

std::span<const Kind> kinds() { return kKinds; }

Sample make_sample(const Kind& kind, Split split, uint64_t seed, int64_t index) {
  Draw draw(seed, split, kind.name, index);
  Sample sample = kind.make(draw);
  sample.kind = kind.name;
  if (sample.text.empty()) {
    // As a server does it for requests with tools (serving-template.md 1.6).
    sample.keep_thoughts = sample.keep_thoughts || !sample.tools.is_null();
    // Where thoughts are shown, an earlier turn is a label as well, and one of another mind about
    // thinking would teach the wrong thing; such conversations have turns enough of their own.
    if (!sample.keep_thoughts && draw.chance(10)) add_earlier_turn(sample, draw);
    if (draw.chance(15)) prepend(sample, {system_message(draw.pick(kSystemTexts))});
  }
  sample.wordings = draw.wordings();
  return sample;
}

Result<CorpusReport> write_corpus(const std::filesystem::path& folder,
                                  const CorpusOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return failed(folder.string(), error.message(), "Name a folder that can be made");
  CorpusReport report;
  SLUICE_ASSIGN(const std::vector<const Kind*> chosen, choose(options.kinds));

  uint64_t weights = 0;
  for (const Kind* kind : chosen) weights += static_cast<uint64_t>(kind->weight);
  Draw order(options.seed, Split::kTrain, "order", 0);
  std::vector<int64_t> made(chosen.size(), 0);
  SLUICE_ASSIGN(FileWriter train, FileWriter::create(folder / "train.jsonl", options.overwrite));
  for (int64_t i = 0; i < options.samples; ++i) {
    uint64_t roll = order.below(weights);
    size_t which = 0;
    while (roll >= static_cast<uint64_t>(chosen[which]->weight))
      roll -= static_cast<uint64_t>(chosen[which++]->weight);
    const Kind& kind = *chosen[which];
    const int64_t index = made[which]++;
    Sample sample = make_sample(kind, Split::kTrain, options.seed, index);
    sample.check = Json();  // nobody judges a training sample
    const std::string line = sample.line(fmt::format("{}-{}", kind.name, index)).dump() + "\n";
    SLUICE_TRY(train.append(line));
    ++report.samples[kind.name];
    report.bytes[kind.name] += static_cast<int64_t>(line.size());
  }
  SLUICE_TRY(train.commit());

  SLUICE_ASSIGN(FileWriter held_out,
                FileWriter::create(folder / "held_out.jsonl", options.overwrite));
  for (const Kind* each : chosen) {
    const Kind& kind = *each;
    for (int64_t i = 0; kind.judged && i < options.held_out_items; ++i, ++report.held_out) {
      const Sample sample = make_sample(kind, Split::kHeldOut, options.seed, i);
      SLUICE_TRY(
          held_out.append(sample.line(fmt::format("held-out-{}-{}", kind.name, i)).dump() + "\n"));
    }
  }
  SLUICE_TRY(held_out.commit());
  return report;
}

}  // namespace sluice::tools::corpus
