// Clocks and medians of the benchmarks, and what the kernel benchmarks read from their command
// lines.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace sluice {

inline double seconds_of(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// `values` must not be empty.
inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The words without a flag; flags go to `flag` with the word behind each.
inline std::vector<std::string> read_arguments(
    int count, char** arguments,
    const std::function<void(const std::string& name, const std::string& value)>& flag) {
  std::vector<std::string> words;
  for (int i = 1; i < count; ++i) {
    const std::string name = arguments[i];
    if (!name.starts_with("--")) {
      words.push_back(name);
    } else {
      flag(name, ++i < count ? arguments[i] : "");
    }
  }
  return words;
}

// --clock: "cpu" is processor time, for one thread on a machine that others use as well.
inline clockid_t clock_named(const std::string& name) {
  return name == "cpu" ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
}

}  // namespace sluice
