// Time to save and to restore a recurrent state of the published shapes in each form, beside a copy
// of as many bytes by memcpy.
//
//   state_copy_bench --benchmark_enable_random_interleaving=true --benchmark_repetitions=9
//                    --benchmark_report_aggregates_only=true
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend/registry.h"
#include "base/memory.h"
#include "runtime/cache/state_store.h"
#include "take.h"

namespace sluice {
namespace {

// spec/architecture.md section 1.
struct Shape {
  const char* name;
  int64_t layers, key_heads, value_heads;
};
constexpr Shape kShapes[] = {{"4B", 24, 16, 32}, {"27B", 48, 16, 48}};

// A running state of random values, and a store of two checkpoints: one alone would stay in the
// processor's cache from one repetition to the next.
struct Setup {
  std::unique_ptr<ops::Backend> backend = take(backend::create({}));
  std::unique_ptr<ops::RecurrentState> running;
  std::unique_ptr<runtime::StateStore> store;
  size_t f32_bytes = 0;

  Setup(const Shape& shape, runtime::StateForm form) {
    ops::RecurrentSpec spec;
    spec.layers = shape.layers;
    spec.key_heads = shape.key_heads;
    spec.value_heads = shape.value_heads;
    spec.key_dim = spec.value_dim = 128;
    spec.slots = 1;
    spec.pending_rows = 1;
    f32_bytes = spec.state_bytes();
    running = take(backend->create_recurrent_state(spec));
    std::vector<float> values(spec.layer_values());
    std::minstd_rand random(7);
    for (float& value : values)
      value = static_cast<float>(random()) / static_cast<float>(random.max()) - 0.5f;
    for (int64_t layer = 0; layer < spec.layers; ++layer)
      backend->import_layer(*running, 0, layer, values);
    spec.slots = 2;
    store = take(runtime::StateStore::create(*backend, spec, form, 1, 0));
    for (const int32_t checkpoint : {0, 1}) store->save(*running, 0, checkpoint);
  }

  // Seconds per call are the figure; bytes are those of the F32 state.
  void report(benchmark::State& state) const {
    state.counters["GB/s of f32"] = benchmark::Counter(
        static_cast<double>(f32_bytes) * 1e-9 * static_cast<double>(state.iterations()),
        benchmark::Counter::kIsRate);
  }
};

void save(benchmark::State& state, const Shape& shape, runtime::StateForm form) {
  const Setup setup(shape, form);
  int32_t checkpoint = 0;
  for (auto unused : state) {
    static_cast<void>(unused);
    setup.store->save(*setup.running, 0, checkpoint);
    checkpoint ^= 1;
  }
  setup.report(state);
}

void restore(benchmark::State& state, const Shape& shape, runtime::StateForm form) {
  const Setup setup(shape, form);
  int32_t checkpoint = 0;
  for (auto unused : state) {
    static_cast<void>(unused);
    setup.store->restore(checkpoint, *setup.running, 0);
    checkpoint ^= 1;
  }
  setup.report(state);
}

void copy(benchmark::State& state, const Shape& shape) {
  const Setup setup(shape, runtime::StateForm::kF32);
  PageBlock from(setup.f32_bytes), to(2 * setup.f32_bytes);
  from.populate();
  to.populate();
  size_t half = 0;
  for (auto unused : state) {
    static_cast<void>(unused);
    std::memcpy(to.data() + half * setup.f32_bytes, from.data(), setup.f32_bytes);
    half ^= 1;
    benchmark::ClobberMemory();
  }
  setup.report(state);
}

void declare() {
  using runtime::StateForm;
  for (const Shape& shape : kShapes) {
    const auto name = [&](const std::string& what) { return std::string(shape.name) + " " + what; };
    const auto add = [](const std::string& called, auto run) {
      benchmark::RegisterBenchmark(called.c_str(), run)
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    };
    add(name("memcpy"), [&](benchmark::State& state) { copy(state, shape); });
    for (const StateForm form : {StateForm::kF32, StateForm::kInt16, StateForm::kInt8}) {
      const std::string called = runtime::state_form_name(form);
      add(name("save " + called), [&, form](benchmark::State& state) { save(state, shape, form); });
      add(name("restore " + called),
          [&, form](benchmark::State& state) { restore(state, shape, form); });
    }
  }
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  sluice::declare();
  benchmark::RunSpecifiedBenchmarks();
}
