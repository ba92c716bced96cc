// Which sampling a request gets that names none, or only a part.
#include "server/core/engine_request.h"

#include <gtest/gtest.h>

#include "server/model_fixture.h"

namespace sluice::server {
namespace {

GenerationRequest conversation() {
  GenerationRequest request;
  request.conversation = Conversation{};
  return request;
}

runtime::SamplingParameters sampling(const GenerationRequest& request, SamplingDefaults defaults,
                                     bool thinking_open, const ServingPolicy& policy = {}) {
  ModelText model = test::model_text();
  model.policy = policy;
  model.generation_config = *parse_json(R"({"temperature": 0.4, "top_k": 11, "do_sample": true})");
  model.sampling_defaults = defaults;
  PreparedPrompt prompt;
  prompt.ids = {1, 2, 3};
  prompt.thinking_open = thinking_open;
  auto made = make_engine_request(request, prompt, 0, 1, model, {});
  EXPECT_TRUE(made.ok());
  return made->sampling;
}

TEST(SamplingDefaults, TheModelsOwnThenOne) {
  const auto got = sampling(conversation(), SamplingDefaults::kModel, true);
  EXPECT_EQ(got.temperature, 0.4);
  EXPECT_EQ(got.top_k, 11);
  EXPECT_EQ(got.top_p, 1.0);
  EXPECT_EQ(got.presence_penalty, 0.0);
}

TEST(SamplingDefaults, None) {
  const auto got = sampling(conversation(), SamplingDefaults::kNone, true);
  EXPECT_EQ(got.temperature, 1.0);
  EXPECT_EQ(got.top_k, 0);
}

TEST(SamplingDefaults, ByMode) {
  const auto thinking = sampling(conversation(), SamplingDefaults::kByMode, true);
  EXPECT_EQ(thinking.temperature, 1.0);
  EXPECT_EQ(thinking.top_p, 0.95);
  EXPECT_EQ(thinking.top_k, 20);
  EXPECT_EQ(thinking.presence_penalty, 0.0);  // the fixture's template is a newer one
  const auto plain = sampling(conversation(), SamplingDefaults::kByMode, false);
  EXPECT_EQ(plain.temperature, 0.7);
  EXPECT_EQ(plain.top_p, 0.8);
  GenerationRequest agent = conversation();
  agent.conversation->keeps_thoughts = true;
  EXPECT_EQ(sampling(agent, SamplingDefaults::kByMode, true).temperature, 0.6);
  EXPECT_EQ(sampling(agent, SamplingDefaults::kByMode, true).presence_penalty, 0.0);
  EXPECT_EQ(recommended_sampling({.thinking = true}).presence_penalty, 1.5);
}

TEST(SamplingDefaults, WhatTheRequestNamesStays) {
  GenerationRequest request = conversation();
  request.sampling.temperature = 0.0;
  request.sampling.presence_penalty = 0.25;
  const auto got = sampling(request, SamplingDefaults::kByMode, true);
  EXPECT_EQ(got.temperature, 0.0);
  EXPECT_EQ(got.presence_penalty, 0.25);
  EXPECT_EQ(got.top_k, 20);
}

TEST(ServingPolicy, ThoughtsAreAtLeastSoWarm) {
  ServingPolicy policy;
  policy.min_thinking_temperature = 0.5;
  GenerationRequest request = conversation();
  request.sampling.temperature = 0.0;
  EXPECT_EQ(sampling(request, SamplingDefaults::kModel, true, policy).temperature, 0.5);
  EXPECT_EQ(sampling(request, SamplingDefaults::kModel, false, policy).temperature, 0.0);
  request.sampling.temperature = 0.8;
  EXPECT_EQ(sampling(request, SamplingDefaults::kModel, true, policy).temperature, 0.8);
}

TEST(ServingPolicy, MarkersArePenalisedOnWish) {
  EXPECT_FALSE(sampling(conversation(), SamplingDefaults::kModel, true).penalise_markers);
  ServingPolicy policy;
  policy.penalise_markers = true;
  EXPECT_TRUE(sampling(conversation(), SamplingDefaults::kModel, true, policy).penalise_markers);
}

TEST(SamplingDefaults, RawPromptsHaveNoMode) {
  GenerationRequest raw;
  raw.prompts.push_back({std::string("x")});
  EXPECT_EQ(sampling(raw, SamplingDefaults::kByMode, false).temperature, 0.4);
}

}  // namespace
}  // namespace sluice::server
