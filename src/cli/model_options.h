// The flags that every command with a model shares (spec/cli.md, "Common options").
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "backend/registry.h"
#include "base/result.h"
#include "ops/backend.h"

namespace sluice::cli {

struct ModelOptions {
  std::string model;
  std::string backend = "cpu";
  int threads = 0;
  int64_t context = 0;  // 0: the command's default
  std::string kv, activations;
  std::string draft_depth = "auto";
  // Commands that answer more than once keep the prompts they have read.
  bool caches_prompts = false;
  std::optional<uint64_t> prefix_cache;  // bytes; nothing: as much as is reasonable

  void declare(CLI::App& app);
  void declare_prefix_cache(CLI::App& app);

  Result<backend::BackendOptions> backend_options() const;
  Result<ops::KvFormat> kv_format(const ops::Backend& backend) const;
  // 0 to 8; "auto" is one draft: on CPUs without AMX each verified row costs, and one draft is the
  // safe gain (spec/cpu-kernels-avx2.md 0.7).
  Result<int> drafts() const;
};

const char* activation_mode_name(ops::ActivationMode mode);

}  // namespace sluice::cli
