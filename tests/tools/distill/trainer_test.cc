// Whole runs of a tiny model: resuming, threads, the exported folder, and refusals.
#include "tools/distill/trainer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "model/golden.h"
#include "model/session.h"
#include "support/paths.h"
#include "tools/distill/dataset.h"
#include "tools/distill/network.h"

namespace sluice::test {
namespace {

namespace fs = std::filesystem;
using distill::RunOptions;
using distill::TrainConfig;

class Trainer : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream data(folder_.path() / "data.jsonl");
    for (int i = 0; i < 40; ++i) {
      data << R"({"messages":[{"role":"user","content":"add )" << i << R"( and 1"},)"
           << R"({"role":"assistant","content":")" << i + 1 << R"("}],)"
           << R"("chat_template_kwargs":{"enable_thinking":false}})"
           << "\n"
           << R"({"text":"after )" << i << " comes " << i + 1 << R"("})"
           << "\n";
    }
  }

  TrainConfig config(const std::string& output) {
    const fs::path file = folder_.path() / (output + ".json");
    std::ofstream(file) << R"({"model":{"hidden_size":32,"intermediate_size":48,
        "num_hidden_layers":2,"full_attention_interval":2,"num_attention_heads":2,
        "num_key_value_heads":1,"head_dim":16,"linear_num_key_heads":1,"linear_num_value_heads":3,
        "linear_key_head_dim":8,"linear_value_head_dim":8},"tokenizer":")"
                        << (tests_folder() / "model/data/tiny").string()
                        << R"(","data":["data.jsonl"],"output":")" << output
                        << R"(","steps":6,"warmup_steps":2,"batch_tokens":768,"shards":3,
        "max_tokens":256,"draft_weights":[0.3,0.2],"learning_rate":0.003,"seed":11,
        "precision":"fp32","export":"fp32","log_every":1,"checkpoint_every":2})";
    auto read = distill::read_train_config(file);
    if (!read.ok()) throw std::runtime_error(read.error().message());
    return *read;
  }

  static void train(const TrainConfig& config, const RunOptions& options) {
    const auto summary = distill::run_training(config, options);
    ASSERT_TRUE(summary.ok()) << summary.error().message();
  }

  std::string bytes(const std::string& file) const {
    const auto text = read_file(folder_.path() / file, uint64_t{1} << 30);
    if (!text.ok()) throw std::runtime_error(text.error().message());
    return *text;
  }

  // The log without the one column that depends on the clock.
  std::string log(const std::string& output) const {
    std::string text = bytes(output + "/training/log.jsonl"), kept;
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      const std::string line = text.substr(at, end - at);
      kept += line.substr(0, line.find(",\"tokens_per_second\"")) + "\n";
      at = end + 1;
    }
    return kept;
  }

  TemporaryFolder folder_;
};

TEST_F(Trainer, ResumingChangesNoBit) {
  train(config("straight"), {});
  RunOptions first, second;
  first.until = 3;
  train(config("parts"), first);
  EXPECT_NE(bytes("parts/model.safetensors"), bytes("straight/model.safetensors"));
  second.resume = true;
  train(config("parts"), second);
  EXPECT_EQ(log("parts"), log("straight"));
  EXPECT_EQ(bytes("parts/training/state.safetensors"),
            bytes("straight/training/state.safetensors"));
  EXPECT_EQ(bytes("parts/model.safetensors"), bytes("straight/model.safetensors"));
}

TEST_F(Trainer, ThreadsChangeNoBit) {
  RunOptions two;
  two.threads = 2;
  train(config("one"), {});
  train(config("two"), two);
  EXPECT_EQ(log("one"), log("two"));
  EXPECT_EQ(bytes("one/model.safetensors"), bytes("two/model.safetensors"));
}

// Before draft_from_step the head keeps its first values, decay included, and the log has no
// drafts; after it the head is trained, and a run stopped on either side goes on with the same
// bits.
TEST_F(Trainer, DraftsFromALaterStep) {
  const auto later = [&](const std::string& output) {
    TrainConfig run = config(output);
    run.draft_from_step = 4;
    return run;
  };
  const auto draft_head = [&](const std::string& output) {
    const auto file = checkpoint::Checkpoint::open(folder_.path() / output);
    EXPECT_TRUE(file.ok());
    const auto* tensor = file->find("mtp.fc.weight");
    return std::string(reinterpret_cast<const char*>(tensor->bytes.data()), tensor->bytes.size());
  };
  RunOptions options;
  options.until = 1;
  train(later("first"), options);
  options.until = 4;
  train(later("parts"), options);
  EXPECT_EQ(draft_head("parts"), draft_head("first"));
  EXPECT_EQ(log("parts").find("\"draft_loss\":[0"), std::string::npos);
  EXPECT_NE(log("parts").find("\"draft_loss\":[]"), std::string::npos);
  RunOptions on;
  on.resume = true;
  train(later("parts"), on);
  EXPECT_NE(draft_head("parts"), draft_head("first"));
  train(later("straight"), {});
  EXPECT_EQ(log("parts"), log("straight"));
  EXPECT_EQ(bytes("parts/model.safetensors"), bytes("straight/model.safetensors"));
  const std::string last = log("parts").substr(log("parts").rfind("{"));
  EXPECT_EQ(last.find("\"draft_loss\":[]"), std::string::npos) << last;
}

TEST_F(Trainer, LossFalls) {
  TrainConfig run = config("falls");
  run.steps = 60, run.log_every = 10;
  run.learning_rate = 0.01;
  std::vector<double> losses;
  RunOptions options;
  options.progress = [&](const distill::LogEntry& entry, double) { losses.push_back(entry.loss); };
  train(run, options);
  ASSERT_GE(losses.size(), 6u);
  EXPECT_GT(losses.front(), 4.0);  // ln 296 = 5.7 at the start
  EXPECT_LT(losses.back(), 0.5 * losses.front());
}

// The engine on the exported folder against the trainer's own forward pass on the same weights.
TEST_F(Trainer, ExportedModelComputesTheSame) {
  const TrainConfig run = config("model");
  train(run, {});
  Session session(folder_.path() / "model");
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 100; ++i) ids.push_back((i * 37 + i * i) % 260);
  const std::vector<float> hidden = session.read(ids);
  const std::vector<float> logits = session.all_logits();
  const std::span<const int32_t> shifted = std::span(ids).subspan(1);
  session.draft(0, shifted, std::span(hidden).first(hidden.size() - 32));
  const std::vector<float> draft_logits = session.all_logits();

  const torch::NoGradGuard no_gradients;
  distill::ParameterSet parameters = distill::make_parameters(session.config(), {.seed = 99});
  const Status loaded = distill::load_parameters(*session.file, parameters);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  const distill::Network network(session.config(), parameters, torch::kFloat);
  distill::Sample sample{ids, std::vector<float>(ids.size(), 1.0f)};
  sample.tokens.push_back(0);  // a label for the last slot; no row reads it
  sample.weights.push_back(1);
  const distill::Sample* one[] = {&sample};
  const distill::Batch batch = distill::make_batch(one, 1, distill::loss_totals(one, 1));
  const torch::Tensor own_hidden = network.hidden(batch);
  const auto values = [](const torch::Tensor& tensor) {
    const torch::Tensor dense = tensor.contiguous();
    return std::vector<float>(dense.data_ptr<float>(), dense.data_ptr<float>() + dense.numel());
  };
  const auto rows = static_cast<int64_t>(ids.size());
  EXPECT_LE(peak_error(values(network.logits(own_hidden.narrow(0, 0, rows))), logits), 1e-4);
  const torch::Tensor m = network.draft(batch, own_hidden).front().narrow(0, 0, rows - 1);
  EXPECT_LE(peak_error(values(network.logits(m)), draft_logits), 1e-4);
}

// Steps with and without drafts in one entry of the log: its means are of the steps that had them.
TEST_F(Trainer, DraftsInSomeSteps) {
  TrainConfig run = config("some");
  run.draft_every = 4, run.log_every = 3;
  std::vector<distill::LogEntry> entries;
  RunOptions options;
  options.progress = [&](const distill::LogEntry& entry, double) { entries.push_back(entry); };
  train(run, options);
  ASSERT_EQ(entries.size(), 2u);
  for (const distill::LogEntry& entry : entries) {
    ASSERT_EQ(entry.draft_loss.size(), 2u);
    EXPECT_GT(entry.draft_loss[0], 4.0);  // of one step of three, not a third of it
    EXPECT_LT(entry.draft_loss[0], 7.0);
  }
}

// Half of the key heads of a new model read with the projection that they write with, one token
// later, and keep what they wrote; the others are left to chance.
TEST_F(Trainer, ANewModelBeginsWithAMemory) {
  model::TextConfig shape;
  shape.layers = 1, shape.hidden = 32, shape.intermediate = 32, shape.vocabulary = 61;
  shape.gdn_key_heads = 2, shape.gdn_value_heads = 6, shape.gdn_key_dim = 8;
  shape.gdn_value_dim = 8, shape.conv_kernel = 4;
  shape.layer_types = {model::LayerType::kLinearAttention};
  const distill::ParameterSet parameters = distill::make_parameters(shape, {.seed = 3});
  const distill::GdnIndex& index = parameters.layers[0].gdn;
  const auto value = [&](size_t place) { return parameters.all[place].value.detach(); };
  const auto query = [&](int64_t head) { return value(index.in).narrow(0, head * 8, 8); };
  const auto key = [&](int64_t head) { return value(index.in).narrow(0, 16 + head * 8, 8); };
  EXPECT_TRUE(torch::equal(query(0), key(0)));
  EXPECT_FALSE(torch::equal(query(1), key(1)));
  const torch::Tensor taps = value(index.conv);
  EXPECT_TRUE((taps.narrow(0, 0, 8).select(1, 3) == 1).all().item<bool>());
  EXPECT_TRUE((taps.narrow(0, 16, 8).select(1, 2) == 1).all().item<bool>());
  EXPECT_LT(taps.narrow(0, 8, 8).abs().max().item<double>(), 0.51);
  // A step of 0.001 at most: 16 * 0.001 a token for the fastest head.
  const torch::Tensor decay = value(index.a_log).exp() * torch::softplus(value(index.dt_bias));
  EXPECT_LT(decay.narrow(0, 0, 3).max().item<double>(), 0.017);
}

TEST_F(Trainer, FineTuningStartsFromTheGivenWeights) {
  train(config("base"), {});
  TrainConfig run = config("tuned");
  run.model = Json();
  run.init_from = (folder_.path() / "base").string();
  run.learning_rate = 0;
  run.final_learning_rate = 0;
  train(run, {});
  EXPECT_EQ(bytes("tuned/model.safetensors"), bytes("base/model.safetensors"));
}

TEST_F(Trainer, ARunIsNotOverwritten) {
  train(config("run"), {});
  const auto again = distill::run_training(config("run"), {});
  ASSERT_FALSE(again.ok());
  EXPECT_NE(again.error().message().find("--resume"), std::string::npos);
}

TEST_F(Trainer, ResumingNeedsTheSameModel) {
  RunOptions options;
  options.until = 1;
  train(config("run"), options);
  TrainConfig other = config("run");
  other.model.set("hidden_size", 48);
  options.resume = true;
  const auto resumed = distill::run_training(other, options);
  ASSERT_FALSE(resumed.ok());
  EXPECT_EQ(resumed.error().code, ErrorCode::kBadInput);
}

TEST_F(Trainer, UnknownKeysNameTheNearest) {
  const auto refuse = [&](const std::string& extra) {
    const fs::path file = folder_.path() / "bad.json";
    std::ofstream(file) << "{" << extra << "}";
    const auto read = distill::read_train_config(file);
    return read.ok() ? std::string() : read.error().message();
  };
  EXPECT_NE(refuse(R"("learning_rat":1)").find("\"learning_rate\""), std::string::npos);
  EXPECT_NE(refuse(R"("steps":"ten")").find("steps"), std::string::npos);
  EXPECT_NE(refuse(R"("steps":10)").find("tokenizer"), std::string::npos);
  EXPECT_NE(refuse(R"("steps":1,"steps":2)").find("steps"), std::string::npos);
  EXPECT_NE(
      refuse(
          R"("model":{},"tokenizer":"t","output":"o","data":["d"],"steps":5,"draft_from_step":5)")
          .find("draft_from_step"),
      std::string::npos);
  const auto model = distill::published_config(*parse_json(R"({"hiden_size":3})"), 10);
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.error().message().find("\"hidden_size\""), std::string::npos);
}

// Interleaved sections must reach every rotary pair, as the published [11, 11, 10] do.
TEST(PublishedConfig, RotarySectionsAreEven) {
  const auto sections = [](int64_t pairs) {
    const Json model = *parse_json(fmt::format(
        R"({{"hidden_size":32,"intermediate_size":48,"num_hidden_layers":2,"num_attention_heads":2,
        "num_key_value_heads":1,"head_dim":{},"linear_num_key_heads":1,"linear_num_value_heads":3,
        "linear_key_head_dim":8,"linear_value_head_dim":8}})",
        8 * pairs));
    const auto config = distill::published_config(model, 96);
    if (!config.ok()) throw std::runtime_error(config.error().message());
    return config->find("rope_parameters")->find("mrope_section")->dump();
  };
  EXPECT_EQ(sections(32), "[11,11,10]");
  EXPECT_EQ(sections(8), "[3,3,2]");
  EXPECT_EQ(sections(3), "[1,1,1]");
  EXPECT_EQ(sections(2), "[1,1,0]");
}

}  // namespace
}  // namespace sluice::test
