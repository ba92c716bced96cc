// The demo model in a backend that times its operations. One thread: two that wait for each other
// take seconds where other tests hold the cores.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "checkpoint/checkpoint.h"
#include "model/binding.h"
#include "model/text/text_model.h"
#include "tools/bench/bench_backend.h"

namespace sluice::test {

struct LoadedSprout {
  explicit LoadedSprout(const std::string& backend_name);  // throws what goes wrong

  std::optional<checkpoint::Checkpoint> checkpoint;
  std::optional<model::Binding> binding;
  std::unique_ptr<tools::BenchBackend> backend;
  std::unique_ptr<model::TextModel> model;
};

}  // namespace sluice::test
