// One of the models that a proof measures: opened and planned first, loaded only while it is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/build_proof.h"
#include "cli/model_options.h"
#include "cli/session.h"
#include "tools/eval/perplexity.h"

namespace sluice::cli {

class ProofSide {
 public:
  static Result<std::unique_ptr<ProofSide>> open(const Console& console,
                                                 const std::filesystem::path& path,
                                                 const ProofOptions& options);

  // Bytes while it is loaded and read, all counted, the program too; and what it takes itself while
  // it is only open.
  uint64_t needed() const;
  uint64_t opened() const { return files().tokenizer ? files().tokenizer->memory_bytes() : 0; }
  Status load();

  std::string name() const { return loaded_->files.path.filename().string(); }
  const ModelFiles& files() const { return loaded_->files; }
  const model::TextConfig& config() const { return loaded_->binding.config; }
  bool has_head() const { return shape_.draft_depth > 0; }
  // Of a loaded model.
  tools::WindowRunner& runner() { return *runner_; }
  // Share of the drafts that held, by position, in all that was read since load(); empty without a
  // head.
  std::vector<double> acceptance() const;

 private:
  ProofSide(const Console& console) : console_(console) {}

  const Console& console_;
  ModelOptions options_;
  runtime::EngineShape shape_;
  std::unique_ptr<LoadedModel> loaded_;
  std::unique_ptr<tools::WindowRunner> runner_;
};

}  // namespace sluice::cli
