#include "candidate_forms.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>

#include "runtime/cache/packed_state.h"

namespace sluice::bench {
namespace {

// To so many bits of mantissa behind the leading one, the nearest and even of two.
float rounded(float value, int bits) {
  const uint32_t drop = 23U - static_cast<uint32_t>(bits);
  uint32_t raw = std::bit_cast<uint32_t>(value);
  raw += (1U << (drop - 1)) - 1 + ((raw >> drop) & 1);
  return std::bit_cast<float>(raw >> drop << drop);
}

// As integers up to `most` with one scale.
void to_integers(float* values, int64_t count, float most) {
  float greatest = 0;
  for (int64_t i = 0; i < count; ++i) greatest = std::max(greatest, std::abs(values[i]));
  if (greatest == 0) return;
  for (int64_t i = 0; i < count; ++i)
    values[i] = std::nearbyint(values[i] * (most / greatest)) * (greatest / most);
}

// Half floats behind a scale that brings the greatest value of a row to one: subnormal below 2^-14.
void to_halves(float* values, int64_t count) {
  float greatest = 0;
  for (int64_t i = 0; i < count; ++i) greatest = std::max(greatest, std::abs(values[i]));
  if (greatest == 0) return;
  for (int64_t i = 0; i < count; ++i) {
    const float scaled = values[i] / greatest;
    const float half = std::abs(scaled) < 0x1p-14F ? std::nearbyint(scaled * 0x1p24F) * 0x1p-24F
                                                   : rounded(scaled, 10);
    values[i] = half * greatest;
  }
}

CandidateForm offered(const ops::RecurrentSpec& spec, runtime::StateForm form) {
  const auto packing = std::make_shared<runtime::StatePacking>(spec, form);
  const auto packed = std::make_shared<std::vector<std::byte>>(packing->bytes());
  return {runtime::state_form_name(form), static_cast<double>(packing->bytes()),
          [packing, packed](std::span<float> image) {
            packing->pack(image, *packed);
            packing->unpack(*packed, image);
          }};
}

}  // namespace

std::vector<CandidateForm> candidate_forms(const ops::RecurrentSpec& spec) {
  const int64_t row = spec.value_dim, head = spec.key_dim * row;
  const int64_t states = spec.value_heads * head;
  const auto all = static_cast<int64_t>(spec.layer_values());
  // S in groups of values that follow each other, the convolution's columns as the offered forms
  // have them.
  const auto in_groups = [=](const char* name, double each, int64_t group, auto&& one) {
    const auto columns = static_cast<double>(all - states);
    const double bytes = static_cast<double>(states) * (each + 4.0 / static_cast<double>(group)) +
                         columns * (2 + 4.0 / runtime::StatePacking::kRun);
    return CandidateForm{name, bytes, [=](std::span<float> image) {
                           for (int64_t at = 0; at < states; at += group)
                             one(image.data() + at, group);
                           for (int64_t at = states; at < all; at += runtime::StatePacking::kRun)
                             to_integers(image.data() + at,
                                         std::min(runtime::StatePacking::kRun, all - at), 32767);
                         }};
  };
  const auto integers = [](float* values, int64_t count) { to_integers(values, count, 127); };
  std::vector<CandidateForm> forms;
  forms.push_back(offered(spec, runtime::StateForm::kF32));
  forms.push_back({"bf16", static_cast<double>(all) * 2, [](std::span<float> image) {
                     for (float& value : image) value = rounded(value, 7);
                   }});
  forms.push_back(in_groups("fp16 of rows", 2, row, to_halves));
  forms.push_back(offered(spec, runtime::StateForm::kInt16));
  forms.push_back(offered(spec, runtime::StateForm::kInt8));
  forms.push_back(in_groups("int8 of rows", 1, row, integers));
  forms.push_back(in_groups("int8 of 32", 1, 32, integers));
  forms.push_back(in_groups("int8 of heads", 1, head, integers));
  return forms;
}

}  // namespace sluice::bench
