#include "server/core/scripted_engine.h"

#include <gtest/gtest.h>

#include "server/model_fixture.h"

namespace sluice::server {
namespace {

struct Recorder final : JobListener {
  void on_token(const runtime::TokenEvent& event) override { ids.push_back(event.token.id); }
  void on_finish(const runtime::RequestReport& done) override { report = done; }
  void on_failure(ApiError::Kind, const std::string& why) override { failure = why; }
  std::vector<TokenId> ids;
  std::optional<runtime::RequestReport> report;
  std::optional<std::string> failure;
};

std::unique_ptr<StepEngine> engine(const char* script, int64_t sequences = 4) {
  const ModelText& model = test::model_text();
  auto parsed = parse_script(*parse_json(script), *model.tokenizer, model.stop_ids.front());
  EXPECT_TRUE(parsed.ok()) << parsed.error().message();
  return make_scripted_engine(std::move(*parsed), *model.tokenizer, model.stop_ids,
                              {4096, sequences});
}

runtime::Request request() {
  runtime::Request made;
  made.prompt = {1, 2, 3};
  return made;
}

std::string text_of(const Recorder& recorder) {
  return test::model_text().tokenizer->decode(recorder.ids, true);
}

TEST(Script, TheFirstAnswerThatFits) {
  const ModelText& model = test::model_text();
  auto script = parse_script(
      *parse_json(R"({"answers":[{"when":{"last_user_contains":"x","tool":"f"},"text":"a"},
                                 {"when":{"turn":2},"text":"b"},{"text":"c","open":true}]})"),
      *model.tokenizer, 7);
  ASSERT_TRUE(script.ok());
  EXPECT_EQ(script->choose({"box", 1, {"f"}}), &script->answers[0]);
  EXPECT_EQ(script->choose({"box", 2, {"g"}}), &script->answers[1]);
  EXPECT_EQ(script->choose({"box", 1, {}}), &script->answers[2]);
  EXPECT_EQ(script->answers[0].ids.back(), 7);
  EXPECT_EQ(script->answers[2].ids.size(), 1u);
}

TEST(Script, DamagedFilesAreRefusedByPlace) {
  const ModelText& model = test::model_text();
  for (const char* text :
       {R"({})", R"({"answers":[]})", R"({"answers":[1]})", R"({"answers":[{}]})",
        R"({"answers":[{"text":"a","surprise":1}]})", R"({"answers":[{"ids":[-1]}]})",
        R"({"answers":[{"ids":[99999]}]})", R"({"answers":[{"text":"a","when":{"x":1}}]})",
        R"({"answers":[{"text":"a","draft_groups":[0]}]})",
        R"({"answers":[{"text":"a","step_ms":-1}]})"})
    EXPECT_FALSE(parse_script(*parse_json(text), *model.tokenizer, 0).ok()) << text;
}

TEST(ScriptedEngine, OneTokenAStep) {
  auto played = engine(R"({"answers":[{"text":"123"}]})");
  Recorder recorder;
  ASSERT_TRUE(played->submit(request(), {}, recorder).ok());
  for (size_t step = 1; step <= 4; ++step) {
    EXPECT_TRUE(played->step());
    EXPECT_EQ(recorder.ids.size(), step);
  }
  EXPECT_FALSE(played->step());
  ASSERT_TRUE(recorder.report);
  EXPECT_EQ(recorder.report->finish, runtime::FinishReason::kStop);
  EXPECT_EQ(recorder.report->output_tokens, 4);
  EXPECT_EQ(recorder.report->prompt_tokens, 3);
}

TEST(ScriptedEngine, GroupsComeTogether) {
  auto played = engine(R"({"answers":[{"text":"1234567","draft_groups":[3,1]}]})");
  Recorder recorder;
  ASSERT_TRUE(played->submit(request(), {}, recorder).ok());
  std::vector<size_t> counts;
  while (played->step()) counts.push_back(recorder.ids.size());
  EXPECT_EQ(counts, (std::vector<size_t>{3, 4, 7, 8}));
}

TEST(ScriptedEngine, LengthFailureAndCancellation) {
  auto played =
      engine(R"({"answers":[{"when":{"last_user_contains":"f"},"text":"123","fail_after":2},
                                      {"text":"123"}]})");
  Recorder failing, cut, cancelled;
  runtime::Request two = request();
  two.max_tokens = 2;
  ASSERT_TRUE(played->submit(request(), {"f", 1, {}}, failing).ok());
  ASSERT_TRUE(played->submit(two, {}, cut).ok());
  auto id = played->submit(request(), {}, cancelled);
  played->step();
  played->cancel(*id);
  while (played->step()) {
  }
  EXPECT_EQ(failing.failure, "the script fails after 2 tokens");
  EXPECT_FALSE(failing.report);
  EXPECT_EQ(cut.report->finish, runtime::FinishReason::kLength);
  EXPECT_EQ(cancelled.report->finish, runtime::FinishReason::kCancelled);
  EXPECT_EQ(cancelled.ids.size(), 1u);
}

TEST(ScriptedEngine, OnlySoManyAtOnce) {
  auto played = engine(R"({"answers":[{"text":"a"}]})", 1);
  Recorder first, second;
  ASSERT_TRUE(played->submit(request(), {}, first).ok());
  ASSERT_TRUE(played->submit(request(), {}, second).ok());
  played->step();
  EXPECT_EQ(first.ids.size(), 1u);
  EXPECT_TRUE(second.ids.empty());
  while (played->step()) {
  }
  EXPECT_TRUE(second.report);
}

TEST(ScriptedEngine, ABudgetClosesTheThoughtAndTheAnswerFollows) {
  auto played = engine(R"({"answers":[{"text":"a very long thought\n</think>\n\nDone."}]})");
  const ModelText& model = test::model_text();
  runtime::Request limited = request();
  limited.prompt = {*model.tokenizer->find_added("<think>")};
  runtime::ThoughtOptions thought;
  thought.open = limited.prompt.front();
  thought.close = *model.tokenizer->find_added("</think>");
  thought.closing = {thought.close};
  thought.budget = 3;
  limited.thought = thought;
  Recorder recorder;
  ASSERT_TRUE(played->submit(limited, {}, recorder).ok());
  while (played->step()) {
  }
  const std::string text = text_of(recorder);
  EXPECT_EQ(text.substr(text.find("</think>")), "</think>Done.");
  EXPECT_LT(text.find("</think>"), 8u);
  EXPECT_EQ(recorder.report->thought_stop, "budget");
}

// A grammar of one text, token by token.
class OneText final : public runtime::TokenGrammar, public runtime::TokenMask {
 public:
  explicit OneText(std::vector<TokenId> ids) : ids_(std::move(ids)) {}
  std::unique_ptr<runtime::TokenMask> begin() const override {
    return std::make_unique<OneText>(ids_);
  }
  bool binds() const override { return true; }
  void fill(std::span<uint64_t>) override {}
  bool accept(TokenId id) override {
    const bool fits = at_ < ids_.size() && ids_[at_] == id;
    at_ += fits;
    return fits;
  }
  bool complete() const override { return at_ == ids_.size(); }
  size_t position() const override { return at_; }
  void rollback(size_t position) override { at_ = position; }

 private:
  const std::vector<TokenId> ids_;
  size_t at_ = 0;
};

TEST(ScriptedEngine, AGrammarEndsTheAnswerAndAScriptThatBreaksItFails) {
  const auto play = [](const char* grammar) {
    auto played = engine(R"({"answers":[{"text":"1234"}]})");
    runtime::Request bound = request();
    bound.grammar = std::make_shared<OneText>(*test::model_text().tokenizer->encode(grammar));
    Recorder recorder;
    EXPECT_TRUE(played->submit(bound, {}, recorder).ok());
    while (played->step()) {
    }
    return recorder;
  };
  const Recorder whole = play("123");
  EXPECT_EQ(text_of(whole), "123");
  ASSERT_TRUE(whole.report);
  EXPECT_EQ(whole.report->finish, runtime::FinishReason::kStop);
  EXPECT_FALSE(whole.report->stop_id);
  const Recorder broken = play("13");
  EXPECT_EQ(broken.failure, "the script's token 1 is not what the request allows");
  EXPECT_EQ(text_of(broken), "1");
}

}  // namespace
}  // namespace sluice::server
