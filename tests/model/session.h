// A model loaded into a backend with one sequence, for tests.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "model/binding.h"
#include "model/mtp/mtp_head.h"
#include "model/text/text_model.h"
#include "model/trace.h"
#include "ops/backend.h"

namespace sluice::test {

// Keeps every traced value, downloaded.
class RecordingSink : public model::TraceSink {
 public:
  explicit RecordingSink(ops::Backend& backend) : backend_(backend) {}
  void record(const std::string& name, const ops::View& value) override {
    values[name] = backend_.download(value);
  }
  std::map<std::string, std::vector<float>> values;

 private:
  ops::Backend& backend_;
};

std::unique_ptr<ops::Backend> reference_backend();

class Session {
 public:
  struct Options {
    std::unique_ptr<ops::Backend> (*backend)() = reference_backend;
    int64_t max_rows = 256, pages = 8, pending_rows = 8;
    ops::KvFormat kv = ops::KvFormat::kF32;
    bool with_mtp = true;
  };

  // Throws (fails the test) where the model cannot be opened or loaded.
  explicit Session(const std::filesystem::path& path) : Session(path, Options()) {}
  Session(const std::filesystem::path& path, const Options& options);

  const model::TextConfig& config() const { return binding->config; }
  int64_t count() const { return count_; }

  // Starts an empty sequence whose first token has this rotary position.
  void restart(int32_t rope_start = 0);

  // The next tokens of the sequence. Answer rows stay pending and are accepted by the call that
  // follows. The result is h_final of these rows, dense.
  std::vector<float> read(std::span<const int32_t> tokens, ops::Role role = ops::Role::kPrompt,
                          model::TraceSink* trace = nullptr);
  // The same in pieces that end at these token counts, and at the end.
  std::vector<float> read_split(std::span<const int32_t> tokens, std::span<const int64_t> cuts);

  // Logits of the rows of h_final (or m) of the last call.
  std::vector<float> logits(std::span<const int32_t> rows);
  std::vector<float> all_logits();

  // Rows of the draft head for slots first .. first + tokens.size() - 1; hidden is dense,
  // [tokens.size(), H].
  std::vector<float> draft(int32_t first_slot, std::span<const int32_t> tokens,
                           std::span<const float> hidden, ops::Role role = ops::Role::kPrompt,
                           model::TraceSink* trace = nullptr);
  // The same without leaving the workspace: the head is fed the view that the last call returned.
  std::vector<float> draft_again(int32_t first_slot, std::span<const int32_t> tokens);

  ops::RecurrentImage state();  // of the sequence, everything applied
  std::vector<float> keys(int64_t layer, int64_t count);
  std::vector<float> values(int64_t layer, int64_t count);

  std::unique_ptr<checkpoint::Checkpoint> file;
  std::optional<model::Binding> binding;
  std::unique_ptr<ops::Backend> backend;
  std::unique_ptr<model::TextModel> text_model;
  std::unique_ptr<model::Workspace> workspace;
  ops::View last;

 private:
  ops::Batch batch(int32_t first_index, int32_t rope, std::span<const int32_t> tokens,
                   ops::Role role) const;

  std::unique_ptr<ops::KvCache> cache_;
  std::unique_ptr<ops::RecurrentState> state_;
  std::unique_ptr<ops::DeviceBuffer> hidden_buffer_;
  std::vector<int32_t> pages_;
  int64_t count_ = 0;    // tokens read
  int32_t pending_ = 0;  // of them not yet applied to the recurrent state
  int32_t rope_start_ = 0;
};

// Index of the first maximum of each row.
std::vector<int32_t> argmax_rows(std::span<const float> logits, int64_t columns);

}  // namespace sluice::test
