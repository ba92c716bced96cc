// Tokens to events: channels, stop strings, log probabilities, causes.
#include "server/core/answer.h"

#include <gtest/gtest.h>

#include "server/model_fixture.h"

namespace sluice::server {
namespace {

using Kind = AnswerEvent::Kind;

struct Played {
  std::string reasoning, content;
  std::vector<std::string> calls;
  std::vector<runtime::SampledToken> tokens;
  Finish finish;
  size_t used = 0;  // tokens until the answer wanted no more
};

Played play(const GenerationRequest& request, const std::string& text,
            runtime::FinishReason reason = runtime::FinishReason::kStop, bool open = true) {
  const ModelText& model = test::model_text();
  Answer answer(request, *model.tokenizer, model.stop_ids, open);
  Played played;
  const auto take = [&](const std::vector<AnswerEvent>& events) {
    for (const AnswerEvent& event : events) {
      if (event.kind == Kind::kReasoning) played.reasoning += event.text;
      if (event.kind == Kind::kContent) played.content += event.text;
      if (event.kind == Kind::kToolStart) played.calls.push_back(event.text + "(");
      if (event.kind == Kind::kToolArguments) played.calls.back() += event.text;
      if (event.kind == Kind::kToolEnd) played.calls.back() += ")";
      played.tokens.insert(played.tokens.end(), event.tokens.begin(), event.tokens.end());
      if (event.kind == Kind::kFinish) played.finish = *event.finish;
    }
  };
  const auto ids = model.tokenizer->encode(text);
  runtime::RequestReport report;
  report.finish = reason;
  for (const TokenId id : *ids) {
    if (answer.wants_no_more()) break;
    ++played.used;
    take(answer.on_token({id, -1.0f, {}}));
  }
  if (answer.wants_no_more()) report.finish = runtime::FinishReason::kCancelled;
  const std::vector<AnswerEvent> last = answer.on_finish(report);
  EXPECT_EQ(last.back().kind, Kind::kFinish);
  take(last);
  return played;
}

TEST(Answer, ChannelsAndCounts) {
  const Played played = play({}, "hm\n</think>\n\nHello<|im_end|>");
  EXPECT_EQ(played.reasoning, "hm");
  EXPECT_EQ(played.content, "Hello");
  EXPECT_EQ(played.finish.cause, Finish::Cause::kEndOfTurn);
  EXPECT_EQ(played.finish.completion_tokens, static_cast<int64_t>(played.used));
  EXPECT_GT(played.finish.reasoning_tokens, 0);
}

TEST(Answer, StopStringsMatchTheContentOnly) {
  GenerationRequest request;
  request.stop.strings = {"STOP"};
  const Played played = play(request, "a STOP b\n</think>\n\nxSTO STOP rest of it");
  EXPECT_EQ(played.reasoning, "a STOP b");
  EXPECT_EQ(played.content, "xSTO ");
  EXPECT_EQ(played.finish.cause, Finish::Cause::kStopString);
  EXPECT_EQ(played.finish.stop_string, "STOP");
  request.stop.include_text = true;
  EXPECT_EQ(play(request, "</think>aSTOPb").content, "aSTOP");
  request.sampling.min_tokens = 6;
  EXPECT_EQ(play(request, "</think>aSTOPb STOP").content, "aSTOPb STOP");
}

TEST(Answer, RawTextKeepsMarkers) {
  GenerationRequest request;
  request.split_channels = false;
  const Played played = play(request, "a</think>b<tool_call>");
  EXPECT_EQ(played.content, "a</think>b<tool_call>");
  EXPECT_EQ(played.reasoning, "");
}

TEST(Answer, CausesOfTheEnd) {
  GenerationRequest request;
  EXPECT_EQ(play(request, "a", runtime::FinishReason::kLength).finish.cause,
            Finish::Cause::kContextFull);
  request.max_tokens = 1;
  EXPECT_EQ(play(request, "a", runtime::FinishReason::kLength).finish.cause,
            Finish::Cause::kLength);
  request.max_tokens = 0;
  const Played none = play(request, "abc");
  EXPECT_EQ(none.finish.cause, Finish::Cause::kLength);
  EXPECT_EQ(none.finish.completion_tokens, 0);
  EXPECT_EQ(none.reasoning, "");
}

TEST(Answer, HiddenThoughtsAreCounted) {
  GenerationRequest request;
  request.thinking.shown = false;
  request.logprobs.top = 0;
  const Played played = play(request, "hm</think>ok");
  EXPECT_EQ(played.reasoning, "");
  EXPECT_EQ(played.content, "ok");
  EXPECT_EQ(played.finish.reasoning_tokens, 3);
  EXPECT_EQ(played.tokens.size(), 2u) << "nothing of the thought leaks through log probabilities";
}

TEST(Answer, ToolCallsAndTheSingleCall) {
  GenerationRequest request;
  request.tools.declarations = {{"f", Json(), false}};
  const std::string calls =
      "</think>Look.\n\n<tool_call>\n<function=f>\n<parameter=a>\nx\n</parameter>\n</function>\n"
      "</tool_call>\n<tool_call>\n<function=f>\n</function>\n</tool_call><|im_end|>";
  const Played both = play(request, calls);
  // White space before a call is content: the template trims it when the message comes back.
  EXPECT_EQ(both.content, "Look.\n\n");
  EXPECT_EQ(both.calls, (std::vector<std::string>{R"(f({"a": "x"}))", "f({})"}));
  EXPECT_EQ(both.finish.cause, Finish::Cause::kEndOfTurn);
  EXPECT_EQ(both.finish.calls, 2);
  request.tools.parallel = false;
  const Played one = play(request, calls);
  EXPECT_EQ(one.calls.size(), 1u);
  EXPECT_EQ(one.finish.cause, Finish::Cause::kToolCall);
  EXPECT_LT(one.used, both.used) << "nothing is sampled behind the first call";
  request.tools.choice = ToolPolicy::Choice::kNone;
  EXPECT_TRUE(play(request, calls).calls.empty());
}

TEST(Answer, LogProbabilitiesCoverTheTextOfTheirEvents) {
  GenerationRequest request;
  request.logprobs.top = 0;
  request.stop.strings = {"zz"};
  const ModelText& model = test::model_text();
  Answer answer(request, *model.tokenizer, model.stop_ids, false);
  std::string text, told;
  const auto ids = model.tokenizer->encode("az bzc \xC3\xBC.");
  for (const TokenId id : *ids) {
    for (const AnswerEvent& event : answer.on_token({id, 0, {}})) {
      text += event.text;
      for (const auto& token : event.tokens) told += model.tokenizer->bytes(token.id);
      // Held-back text keeps its tokens back: what was told begins with what was shown.
      EXPECT_EQ(told.substr(0, text.size()), text);
    }
  }
  EXPECT_EQ(text, "az bzc \xC3\xBC.");
}

}  // namespace
}  // namespace sluice::server
