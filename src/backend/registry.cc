#include "backend/registry.h"

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/detect.h"
#include "backend/ref/ref_backend.h"
#include "base/threads.h"

namespace sluice::backend {
namespace {

Result<std::unique_ptr<ops::Backend>> create_ref(const BackendOptions& options, int threads) {
  if (options.activations.value_or(ops::ActivationMode::kWide) != ops::ActivationMode::kWide) {
    return usage_error("backend ref", "it always keeps activations wide",
                       "Choose --activations wide or --backend cpu");
  }
  return std::unique_ptr<ops::Backend>(std::make_unique<ref::RefBackend>(threads));
}

}  // namespace

Result<std::unique_ptr<ops::Backend>> create(const BackendOptions& options) {
  if (options.threads < 0) {
    return usage_error("threads", std::to_string(options.threads) + " is not a number of threads");
  }
  const int threads = options.threads == 0 ? usable_cores() : options.threads;
  if (options.name == "ref") return create_ref(options, threads);
  if (options.name == "cpu") {
    return cpu::create_cpu_backend({.threads = threads, .activations = options.activations});
  }

  std::string built;
  for (const std::string& name : built_backends()) built += (built.empty() ? "" : ", ") + name;
  return usage_error("backend " + options.name, "there is no such backend in this build",
                     "Built: " + built);
}

std::vector<std::string> built_backends() { return {"ref", "cpu"}; }

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const cpu::InstructionSet set : cpu::supported_instruction_sets()) {
    names.emplace_back(cpu::instruction_set_name(set));
  }
  return names;
}

}  // namespace sluice::backend
