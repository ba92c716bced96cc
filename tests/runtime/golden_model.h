// A checkpoint loaded into a backend, for tests that need a whole model.
#pragma once

#include <filesystem>
#include <memory>

#include "backend/registry.h"
#include "checkpoint/checkpoint.h"
#include "model/text/text_model.h"
#include "runtime/engine.h"
#include "tokenizer/tokenizer.h"

namespace sluice::test {

// Everything an engine needs; members are destroyed in reverse order. Throws std::runtime_error,
// which fails the test.
struct GoldenModel {
  GoldenModel(const std::filesystem::path& folder, const backend::BackendOptions& options,
              bool with_mtp = true);

  std::unique_ptr<ops::Backend> backend;
  std::unique_ptr<checkpoint::Checkpoint> checkpoint;
  model::Binding binding;
  std::unique_ptr<model::TextModel> model;
  std::unique_ptr<tokenizer::Tokenizer> tokenizer;

  std::unique_ptr<runtime::Engine> engine(const runtime::EngineShape& shape) const;
};

// What one request gave.
struct Answer : runtime::Listener {
  std::vector<int32_t> ids;
  std::vector<runtime::SampledToken> tokens;
  std::string text;
  runtime::RequestReport report;
  bool finished = false;

  // A row a round: tokens there were, then the proposals.
  std::vector<std::vector<int32_t>> drafts;

  void on_token(const runtime::TokenEvent& event) override;
  void on_drafts(int64_t tokens, std::span<const int32_t> proposed) override;
  void on_finish(const runtime::RequestReport& finished_report) override;
};

// Submits, runs to the end and expects that the engine's books are right after it.
Answer run_one(runtime::Engine& engine, const runtime::Request& what);

// An I32 tensor of a goldens.safetensors file.
std::vector<int32_t> golden_integers(const checkpoint::Checkpoint& goldens,
                                     const std::string& name);

}  // namespace sluice::test
