#include "tools/bench/loaded_sprout.h"

#include <stdexcept>

#include "backend/registry.h"
#include "support/paths.h"

namespace sluice::test {
namespace {

template <typename T>
T take(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.error().message());
  return std::move(result).value();
}

}  // namespace

LoadedSprout::LoadedSprout(const std::string& backend_name) {
  checkpoint.emplace(
      take(checkpoint::Checkpoint::open(tests_folder().parent_path() / "models" / "sprout")));
  binding.emplace(take(model::bind(*checkpoint)));
  backend = std::make_unique<tools::BenchBackend>(
      take(backend::create({.name = backend_name, .threads = 1, .activations = {}})),
      binding->config.vocabulary);
  model = take(model::TextModel::load(*checkpoint, *binding, *backend, {}));
}

}  // namespace sluice::test
