// What a request that names no sampling gets (serving-sampling.md 6.4).
#pragma once

#include <cstdint>

namespace sluice::server {

enum class SamplingDefaults : uint8_t {
  kModel,   // the model's generation_config.json, then 1.0 and off
  kByMode,  // what the models' makers recommend, by what the request asks for
  kNone,    // 1.0 and off
};

struct SamplingMode {
  bool thinking = false;
  bool precise = false;  // an agent's or a programmer's request
  bool newer = false;    // 3.6 and later, which need no presence penalty to think
};

struct RecommendedSampling {
  double temperature, top_p;
  int64_t top_k;
  double presence_penalty;
};

// A switch of thinking without its sampling degrades answers silently: the two belong together.
constexpr RecommendedSampling recommended_sampling(const SamplingMode& mode) {
  if (!mode.thinking) return {0.7, 0.8, 20, 1.5};
  if (mode.precise) return {0.6, 0.95, 20, 0.0};
  return {1.0, 0.95, 20, mode.newer ? 0.0 : 1.5};
}

}  // namespace sluice::server
