#include "runtime/cache/packed_state.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace sluice::runtime {
namespace {

constexpr std::array kForms = {StateForm::kF32, StateForm::kInt16, StateForm::kInt8};

// The loops are written so that compilers make vector code of them for the oldest processor too:
// magnitudes are compared as integers, which order as their floats do, and rounding is an addition
// that leaves the nearest integer (of two, the even one) in the low bits.
constexpr uint32_t kMagnitude = 0x7FFF'FFFF;
constexpr float kRounder = 0x1.8p23F;

int32_t magnitude(float value) {
  return static_cast<int32_t>(std::bit_cast<uint32_t>(value) & kMagnitude);
}

template <typename Integer>
Integer to_integer(float value, float factor) {
  return static_cast<Integer>(std::bit_cast<uint32_t>(value * factor + kRounder) -
                              std::bit_cast<uint32_t>(kRounder));
}

struct Scaling {
  float factor = 0, scale = 0;  // to integers and back
};

Scaling scaling(int32_t greatest_magnitude, float most) {
  const auto greatest = std::bit_cast<float>(greatest_magnitude);
  if (greatest < StatePacking::kVanishing) return {};
  if (!(greatest <= StatePacking::kGreatest)) return {0, std::numeric_limits<float>::quiet_NaN()};
  return {most / greatest, greatest / most};
}

// Columns side by side: as many as registers can follow.
constexpr int64_t kStrip = 32;

// `values` and `packed` are [rows, width]; `count` of their columns from the first on, a scale
// each.
template <typename Integer>
inline void pack_strip(const float* values, int64_t rows, int64_t width, int64_t count,
                       float* scales, Integer* packed) {
  constexpr auto kMost = static_cast<float>(std::numeric_limits<Integer>::max());
  int32_t greatest[kStrip] = {};
  float factors[kStrip];
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < count; ++i)
      greatest[i] = std::max(greatest[i], magnitude(values[r * width + i]));
  }
  for (int64_t i = 0; i < count; ++i) {
    const Scaling found = scaling(greatest[i], kMost);
    factors[i] = found.factor;
    scales[i] = found.scale;
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < count; ++i)
      packed[r * width + i] = to_integer<Integer>(values[r * width + i], factors[i]);
  }
}

template <typename Integer>
void pack_columns(const float* values, int64_t rows, int64_t width, float* scales,
                  Integer* packed) {
  int64_t begin = 0;
  for (; begin + kStrip <= width; begin += kStrip)
    pack_strip(values + begin, rows, width, kStrip, scales + begin, packed + begin);
  if (begin < width)
    pack_strip(values + begin, rows, width, width - begin, scales + begin, packed + begin);
}

template <typename Integer>
void unpack_columns(const Integer* packed, int64_t rows, int64_t width, const float* scales,
                    float* values) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = r * width;
    for (int64_t i = 0; i < width; ++i)
      values[at + i] = static_cast<float>(packed[at + i]) * scales[i];
  }
}

template <typename Integer>
void pack_heads(std::span<const float> values, int64_t rows, int64_t width, float* scales,
                std::byte* to) {
  auto* packed = reinterpret_cast<Integer*>(to);
  const auto head = static_cast<size_t>(rows * width);
  for (size_t at = 0; at < values.size(); at += head, scales += width)
    pack_columns(values.data() + at, rows, width, scales, packed + at);
}

template <typename Integer>
void unpack_heads(const std::byte* from, int64_t rows, int64_t width, const float* scales,
                  std::span<float> values) {
  const auto* packed = reinterpret_cast<const Integer*>(from);
  const auto head = static_cast<size_t>(rows * width);
  for (size_t at = 0; at < values.size(); at += head, scales += width)
    unpack_columns(packed + at, rows, width, scales, values.data() + at);
}

void pack_runs(std::span<const float> values, float* scales, int16_t* packed) {
  constexpr auto kMost = static_cast<float>(std::numeric_limits<int16_t>::max());
  for (size_t begin = 0; begin < values.size(); begin += StatePacking::kRun) {
    const auto run =
        values.subspan(begin, std::min<size_t>(StatePacking::kRun, values.size() - begin));
    int32_t greatest = 0;
    for (const float value : run) greatest = std::max(greatest, magnitude(value));
    const Scaling found = scaling(greatest, kMost);
    *scales++ = found.scale;
    for (const float value : run) *packed++ = to_integer<int16_t>(value, found.factor);
  }
}

void unpack_runs(const int16_t* packed, const float* scales, std::span<float> values) {
  for (size_t begin = 0; begin < values.size(); begin += StatePacking::kRun, ++scales) {
    const size_t end = std::min(begin + StatePacking::kRun, values.size());
    for (size_t i = begin; i < end; ++i) values[i] = static_cast<float>(packed[i]) * *scales;
  }
}

}  // namespace

const char* state_form_name(StateForm form) {
  switch (form) {
    case StateForm::kF32:
      return "f32";
    case StateForm::kInt16:
      return "int16";
    case StateForm::kInt8:
      return "int8";
  }
  return "unknown";
}

std::optional<StateForm> state_form_named(std::string_view name) {
  for (const StateForm form : kForms) {
    if (name == state_form_name(form)) return form;
  }
  return std::nullopt;
}

StatePacking::StatePacking(const ops::RecurrentSpec& spec, StateForm form)
    : form_(form),
      keys_(spec.key_dim),
      width_(spec.value_dim),
      state_values_(spec.value_heads * spec.key_dim * spec.value_dim),
      column_values_(static_cast<int64_t>(spec.layer_values()) - state_values_) {}

int64_t StatePacking::scales() const { return keys_ == 0 ? 0 : state_values_ / keys_; }

size_t StatePacking::runs_at() const {
  return static_cast<size_t>(scales() + runs()) * sizeof(float);
}

size_t StatePacking::states_at() const {
  return runs_at() + static_cast<size_t>(column_values_) * sizeof(int16_t);
}

size_t StatePacking::bytes() const {
  if (form_ == StateForm::kF32) return values() * sizeof(float);
  const size_t width = form_ == StateForm::kInt16 ? sizeof(int16_t) : sizeof(int8_t);
  const size_t end = states_at() + static_cast<size_t>(state_values_) * width;
  return (end + sizeof(float) - 1) / sizeof(float) * sizeof(float);
}

void StatePacking::pack(std::span<const float> image, std::span<std::byte> packed) const {
  SLUICE_CHECK(image.size() == values() && packed.size() == bytes(), "{} values for {} bytes",
               image.size(), packed.size());
  if (form_ == StateForm::kF32) {
    std::memcpy(packed.data(), image.data(), packed.size());
    return;
  }
  const auto states = image.first(static_cast<size_t>(state_values_));
  const auto columns = image.subspan(states.size());
  auto* scales = reinterpret_cast<float*>(packed.data());
  if (form_ == StateForm::kInt16) {
    pack_heads<int16_t>(states, keys_, width_, scales, packed.data() + states_at());
  } else {
    pack_heads<int8_t>(states, keys_, width_, scales, packed.data() + states_at());
  }
  pack_runs(columns, scales + this->scales(),
            reinterpret_cast<int16_t*>(packed.data() + runs_at()));
}

void StatePacking::unpack(std::span<const std::byte> packed, std::span<float> image) const {
  SLUICE_CHECK(image.size() == values() && packed.size() == bytes(), "{} values for {} bytes",
               image.size(), packed.size());
  if (form_ == StateForm::kF32) {
    std::memcpy(image.data(), packed.data(), packed.size());
    return;
  }
  const auto states = image.first(static_cast<size_t>(state_values_));
  const auto columns = image.subspan(states.size());
  const auto* scales = reinterpret_cast<const float*>(packed.data());
  if (form_ == StateForm::kInt16) {
    unpack_heads<int16_t>(packed.data() + states_at(), keys_, width_, scales, states);
  } else {
    unpack_heads<int8_t>(packed.data() + states_at(), keys_, width_, scales, states);
  }
  unpack_runs(reinterpret_cast<const int16_t*>(packed.data() + runs_at()), scales + this->scales(),
              columns);
}

}  // namespace sluice::runtime
