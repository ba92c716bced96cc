// The flags that every command with a model shares (spec/cli.md, "Common options").
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "backend/registry.h"
#include "base/result.h"
#include "ops/backend.h"
#include "runtime/cache/packed_state.h"
#include "runtime/spec/draft_vocabulary.h"

namespace sluice::cli {

struct ModelOptions {
  std::string model;
  std::string backend = "cpu";
  int threads = 0;
  int64_t context = 0;  // 0: the command's default
  std::string kv, activations;
  std::string draft_depth = "auto", draft_head = "auto";
  // Commands that answer more than once keep the prompts they have read.
  bool caches_prompts = false;
  std::optional<uint64_t> prefix_cache;  // bytes; nothing: as much as is reasonable
  std::string cache_state = "f32";

  void declare(CLI::App& app);
  void declare_model(CLI::App& app);  // all of these but --context, --draft-depth, --draft-head
  void declare_prefix_cache(CLI::App& app);
  void declare_cache_state(CLI::App& app);

  Result<backend::BackendOptions> backend_options() const;
  Result<ops::KvFormat> kv_format(const ops::Backend& backend) const;
  // The most drafts of a step, 0 to 8. "auto" takes up to 3, as many as pay: more rarely do, and
  // memory is taken for the most.
  Result<int> drafts() const;
  Result<int64_t> draft_rows() const;  // EngineShape::draft_rows
  Result<runtime::StateForm> saved_states() const;
  bool adaptive_drafts() const { return draft_depth == "auto"; }
};

const char* activation_mode_name(ops::ActivationMode mode);

}  // namespace sluice::cli
