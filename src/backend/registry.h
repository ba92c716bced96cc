// The only place that names backends. Called by cli, tools and tests.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ops/backend.h"

namespace sluice::backend {

struct BackendOptions {
  std::string name = "cpu";                        // "ref" or "cpu" ("cuda" when built)
  int threads = 0;                                 // 0: the cores this process may use
  std::optional<ops::ActivationMode> activations;  // nothing: the class's default
};

Result<std::unique_ptr<ops::Backend>> create(const BackendOptions& options);

std::vector<std::string> built_backends();

// What this machine can execute of the cpu backend, ascending; empty when that backend is not built.
std::vector<std::string> instruction_sets();

}  // namespace sluice::backend
