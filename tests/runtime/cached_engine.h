// What the tests of the prefix cache and of its disk tier share: engines over one small model on
// the backend that the parameter names, requests of random ids, and equality bit for bit.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "runtime/engine.h"
#include "runtime/golden_model.h"

namespace sluice::test {

using Ids = std::vector<int32_t>;

constexpr uint64_t kAmpleCache = 8 << 20;

class CachedEngine : public testing::TestWithParam<std::string> {
 protected:
  // tests/model/data/tiny, loaded once a program and backend.
  GoldenModel& model();

  // A cache of so many states and pages beyond the sequences'.
  uint64_t budget(uint64_t states, uint64_t pages, int depth);

  Ids random_ids(size_t count);
  size_t below(size_t n) { return static_cast<size_t>(random_() % n); }

  // Greedy, to the last of max_tokens.
  runtime::Request request(Ids prompt, int64_t max_tokens = 6, bool reuse_answers = false);

  std::mt19937 random_{7};
};

// Tokens, their log probabilities and the drafts, bit for bit.
void expect_same(const Answer& answer, const Answer& expected, const std::string& where);

void append(Ids& ids, const Ids& more);

// Until all that has no file has one.
void save_all(runtime::Engine& engine);

}  // namespace sluice::test
