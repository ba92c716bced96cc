// Loads a model as `sluice run` does and says where the time went: load_bench MODEL [threads]
//
// One line: seconds, GB of stored bytes a second, processor seconds in the program and in the
// kernel, page faults without and with the disk, memory that is not a file's and what the plan said
// of it (weights only). The page cache is as it was found; `cat MODEL > /dev/null` first makes it
// warm, as far as memory reaches.
#include <sys/resource.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>

#include "backend/registry.h"
#include "base/memory.h"
#include "checkpoint/checkpoint.h"
#include "measuring.h"
#include "model/binding.h"
#include "model/text/text_model.h"
#include "take.h"

namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace

int main(int count, char** arguments) {
  using namespace sluice;
  if (count < 2) {
    std::fprintf(stderr, "Usage: load_bench MODEL [threads]\n");
    return 2;
  }
  backend::BackendOptions options;
  if (count > 2) options.threads = std::atoi(arguments[2]);
  const auto backend = take(backend::create(options));
  const auto checkpoint = take(checkpoint::Checkpoint::open(arguments[1]));
  const model::Binding binding = take(model::bind(checkpoint));
  uint64_t stored = 0;
  model::LoadOptions load;
  load.with_mtp = false;
  load.progress = [&](uint64_t, uint64_t total) { stored = total; };
  const auto planned = model::TextModel::weight_bytes(binding, *backend, load.with_mtp);
  const uint64_t before = anonymous_resident_memory();
  rusage first{}, last{};
  getrusage(RUSAGE_SELF, &first);
  const double start = seconds_of(CLOCK_MONOTONIC);
  const auto model = take(model::TextModel::load(checkpoint, binding, *backend, load));
  const double time = seconds_of(CLOCK_MONOTONIC) - start;
  getrusage(RUSAGE_SELF, &last);
  std::printf(
      "%.2f s  %.2f GB/s  program %.2f s  kernel %.2f s  faults %ld + %ld  memory %llu planned "
      "%llu\n",
      time, static_cast<double>(stored) / time * 1e-9,
      seconds(last.ru_utime) - seconds(first.ru_utime),
      seconds(last.ru_stime) - seconds(first.ru_stime), last.ru_minflt - first.ru_minflt,
      last.ru_majflt - first.ru_majflt,
      static_cast<unsigned long long>(anonymous_resident_memory() - before),
      static_cast<unsigned long long>(planned.text));
}
