#include "runtime/cached_engine.h"

#include <chrono>
#include <map>
#include <memory>
#include <thread>

#include "support/paths.h"

namespace sluice::test {

GoldenModel& CachedEngine::model() {
  static std::map<std::string, std::unique_ptr<GoldenModel>> loaded;
  auto& entry = loaded[GetParam()];
  if (!entry) {
    entry = std::make_unique<GoldenModel>(tests_folder() / "model" / "data" / "tiny",
                                          backend::BackendOptions{GetParam(), 1, std::nullopt});
  }
  return *entry;
}

uint64_t CachedEngine::budget(uint64_t states, uint64_t pages, int depth) {
  const auto& config = model().model->config();
  const size_t page = model().model->kv_spec(1, ops::KvFormat::kF32).bytes_per_page();
  const uint64_t state = runtime::CacheShape::least_bytes(config, page, depth > 0) - page;
  return states * state + pages * page;
}

Ids CachedEngine::random_ids(size_t count) {
  Ids ids(count);
  const auto vocabulary = static_cast<unsigned>(model().model->config().vocabulary);
  for (int32_t& id : ids) id = static_cast<int32_t>(random_() % vocabulary);
  return ids;
}

runtime::Request CachedEngine::request(Ids prompt, int64_t max_tokens, bool reuse_answers) {
  runtime::Request result;
  result.prompt = std::move(prompt);
  result.max_tokens = max_tokens;
  result.ignore_eos = true;
  result.sampling.temperature = 0;
  result.sampling.logprobs = 0;
  result.reuse_answers = reuse_answers;
  return result;
}

void expect_same(const Answer& answer, const Answer& expected, const std::string& where) {
  EXPECT_EQ(answer.ids, expected.ids) << where;
  EXPECT_EQ(answer.drafts, expected.drafts) << where;
  ASSERT_EQ(answer.tokens.size(), expected.tokens.size()) << where;
  for (size_t i = 0; i < answer.tokens.size(); ++i)
    ASSERT_EQ(answer.tokens[i].logprob, expected.tokens[i].logprob) << where << " token " << i;
}

void append(Ids& ids, const Ids& more) { ids.insert(ids.end(), more.begin(), more.end()); }

void save_all(runtime::Engine& engine) {
  while (engine.save_some()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace sluice::test
