// Recorded conversations of agents through the whole server, on a small random model with the
// family's tokenizer and template: what the engine reads of each turn.
//
//   agent_replay --tokenizer tokenizer.json --template chat_template.jinja RECORDED.jsonl
//
// All agents talk at once. Prints one line of JSON. Ends with 1 if a turn read more than its new
// tokens and 63 before them, all of them more than a hundredth beyond the new ones (where answers
// are continued), or if a probe's bytes are not a cold server's.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <random>

#include "base/file.h"
#include "models/random_model.h"
#include "server/agent.h"
#include "support/paths.h"

namespace sluice::benchmarks {
namespace {

namespace fs = std::filesystem;
using test::Agent;
using test::Habit;
using test::TurnCost;

struct Arguments {
  fs::path recorded, tokenizer, chat_template;
  std::string client = "openai";
  size_t conversations = 1000, turns = 1000, probes = 0;
  int64_t context = 65'536, sequences = 20;
  uint64_t cache = uint64_t{256} << 20;
  int threads = 1, draft_depth = 0;
  bool reread = false, restart = false;
};

const std::map<std::string, Habit>& clients() {
  static const std::map<std::string, Habit> kClients = {{"openai", Habit::kOpenAi},
                                                        {"openai-lossy", Habit::kOpenAiLossy},
                                                        {"qwen-code", Habit::kQwenCode},
                                                        {"anthropic", Habit::kAnthropic},
                                                        {"claude-code", Habit::kClaudeCode}};
  return kClients;
}

// Of the size of the tests' models: what is read again and what is not does not depend on it, and
// reading half a million tokens takes minutes all the same.
ModelShape small_shape(int64_t context) {
  ModelShape shape;
  shape.name = "replay";
  shape.layers = 4;
  shape.hidden = shape.intermediate = 64;
  shape.query_heads = 2;
  shape.kv_heads = 1;
  shape.head_dim = 32;
  shape.key_heads = 2;
  shape.value_heads = 6;
  shape.gdn_head_dim = 32;
  shape.context = context;
  shape.tied = true;
  return shape;
}

template <typename T>
T required(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.error().message());
  return std::move(*result);
}

struct Sums {
  int64_t turns = 0, prompt = 0, longest = 0, fresh = 0, read = 0, altered = 0;
  int64_t most_beyond = 0, beyond = 0, from_disk = 0;

  void add(const TurnCost& cost) {
    ++turns;
    prompt += cost.prompt;
    longest = std::max(longest, cost.prompt);
    fresh += cost.fresh;
    read += cost.read;
    altered += cost.altered;
    from_disk += cost.cached_from_disk;
    // A first turn may find what conversations share.
    beyond += std::max<int64_t>(cost.beyond(), 0);
    most_beyond = std::max(most_beyond, cost.beyond());
  }
};

class Replay {
 public:
  explicit Replay(const Arguments& arguments) : arguments_(arguments) {
    if (!arguments.recorded.empty()) {
      conversations_ = test::read_recorded(arguments.recorded);
    } else {
      // 27,000 tokens of the family's tokenizer.
      conversations_.push_back(test::coding_session({.bytes = 112'000, .said = 600}));
    }
    conversations_.resize(std::min(conversations_.size(), arguments.conversations));
    for (auto& conversation : conversations_)
      conversation.turns.resize(std::min(conversation.turns.size(), arguments.turns));
    const auto written = write_random_safetensors(
        model_folder_.path() / "model", small_shape(arguments.context), false,
        {.seed = 1, .overwrite = false, .tokenizer = arguments.tokenizer});
    if (!written.ok()) throw std::runtime_error(written.error().message());
    model_ = std::make_unique<test::GoldenModel>(
        model_folder_.path() / "model", backend::BackendOptions{"cpu", arguments.threads, {}},
        arguments.draft_depth > 0);
    chat_template_.emplace(
        required(chat::ChatTemplate::parse(required(read_file(arguments.chat_template, 1 << 20)))));
    text_.tokenizer = model_->tokenizer.get();
    text_.chat_template = &*chat_template_;
    text_.stop_ids = {*text_.tokenizer->find_added("<|im_end|>")};
    text_.vocabulary = model_->model->config().vocabulary;
    text_.names = {"replayed"};
  }

  // True if it kept the promise.
  bool run() {
    make_agents();
    const auto begin = std::chrono::steady_clock::now();
    size_t longest = 0;
    for (const auto& conversation : conversations_)
      longest = std::max(longest, conversation.turns.size());
    if (arguments_.restart) serve(longest / 2);
    serve(longest);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    const size_t different = compare_with_cold();
    Sums sums;
    for (const auto& agent : agents_) {
      for (const TurnCost& cost : agent->costs()) sums.add(cost);
    }
    fmt::print(
        "{{\"client\":\"{}\",\"reuse_answers\":{},\"restart\":{},\"conversations\":{},"
        "\"turns\":{},\"prompt_tokens\":{},\"longest_prompt\":{},\"new_tokens\":{},"
        "\"read_tokens\":{},\"beyond_new\":{},\"beyond_new_share\":{:.5f},"
        "\"most_beyond_in_a_turn\":{},\"altered_tokens\":{},\"from_disk\":{},"
        "\"probes\":{},\"different_probes\":{},\"seconds\":{:.0f}}}\n",
        arguments_.client, !arguments_.reread, arguments_.restart, conversations_.size(),
        sums.turns, sums.prompt, sums.longest, sums.fresh, sums.read, sums.beyond,
        static_cast<double>(sums.beyond) / static_cast<double>(sums.fresh), sums.most_beyond,
        sums.altered, sums.from_disk, probed_, different, seconds.count());
    const bool few = arguments_.reread || sums.beyond * 100 <= sums.fresh;
    return sums.most_beyond <= 63 && few && different == 0;
  }

 private:
  void make_agents() {
    std::mt19937 random(1);
    std::vector<std::vector<size_t>> probes(conversations_.size());
    for (size_t i = 0; i < arguments_.probes; ++i) {
      const size_t which = random() % conversations_.size();
      probes[which].push_back(random() % conversations_[which].turns.size());
    }
    for (size_t i = 0; i < conversations_.size(); ++i) {
      agents_.push_back(
          std::make_unique<Agent>(conversations_[i], *text_.tokenizer,
                                  test::AgentSetup{clients().at(arguments_.client), 1 + i * 100'000,
                                                   !arguments_.reread, std::move(probes[i])}));
    }
  }

  runtime::EngineShape shape(bool cached) const {
    runtime::EngineShape shape;
    shape.context = arguments_.context;
    shape.sequences = cached ? arguments_.sequences : 1;
    shape.draft_depth = arguments_.draft_depth;
    shape.prefix_cache = cached ? arguments_.cache : 0;
    if (cached && arguments_.restart)
      shape.disk = {disk_folder_.path().string(), uint64_t{16} << 30, "replay"};
    return shape;
  }

  void serve(size_t until) {
    test::PlayedServer server(*model_, text_, {shape(true), !arguments_.reread});
    std::vector<test::Client*> all;
    for (const auto& agent : agents_) {
      agent->meet(server, until);
      all.push_back(agent.get());
    }
    server.run(all);
  }

  size_t compare_with_cold() {
    size_t different = 0;
    test::PlayedServer cold(*model_, text_, {shape(false), !arguments_.reread});
    for (const auto& agent : agents_) {
      for (const Agent::Probe& probe : agent->probes()) {
        ++probed_;
        different += Agent::probed_answer(cold.ask(probe.post)) != probe.answer ? 1 : 0;
      }
    }
    return different;
  }

  const Arguments arguments_;
  test::TemporaryFolder model_folder_, disk_folder_;
  std::vector<test::RecordedConversation> conversations_;
  std::unique_ptr<test::GoldenModel> model_;
  std::optional<chat::ChatTemplate> chat_template_;
  server::ModelText text_;
  std::vector<std::unique_ptr<Agent>> agents_;
  size_t probed_ = 0;
};

}  // namespace
}  // namespace sluice::benchmarks

int main(int argc, char** argv) {
  using namespace sluice::benchmarks;
  Arguments arguments;
  CLI::App app("Replays recorded agents and counts what is read");
  app.add_option("RECORDED", arguments.recorded,
                 "agentic_coding.jsonl; none: one made-up session of 27,000 tokens of head");
  app.add_option("--tokenizer", arguments.tokenizer, "tokenizer.json of the family")->required();
  app.add_option("--template", arguments.chat_template, "its chat template")->required();
  app.add_option("--client", arguments.client,
                 "openai, openai-lossy, qwen-code, anthropic or claude-code")
      ->check(CLI::IsMember(clients()))
      ->capture_default_str();
  app.add_flag("--reread-answers", arguments.reread, "As --reuse-answers off");
  app.add_flag("--restart", arguments.restart, "A new server half way, with a disk tier");
  app.add_option("--probes", arguments.probes, "Turns that are compared with a cold server's");
  app.add_option("--conversations", arguments.conversations, "At most so many");
  app.add_option("--turns", arguments.turns, "At most so many of each");
  app.add_option("--context", arguments.context)->capture_default_str();
  app.add_option("--sequences", arguments.sequences)->capture_default_str();
  app.add_option("--prefix-cache", arguments.cache)->capture_default_str();
  app.add_option("--draft-depth", arguments.draft_depth)->capture_default_str();
  app.add_option("--threads", arguments.threads)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return Replay(arguments).run() ? 0 : 1;
  } catch (const std::exception& failure) {
    fmt::print(stderr, "agent_replay: error: {}\n", failure.what());
    return 2;
  }
}
