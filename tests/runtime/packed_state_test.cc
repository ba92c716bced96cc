// How far values come back from the integer forms, and what the forms weigh.
#include "runtime/cache/packed_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace sluice::runtime {
namespace {

ops::RecurrentSpec spec_of(int64_t heads, int64_t keys, int64_t values, int64_t kernel) {
  ops::RecurrentSpec spec;
  spec.layers = 1;
  spec.key_heads = 1;
  spec.value_heads = heads;
  spec.key_dim = keys;
  spec.value_dim = values;
  spec.conv_kernel = kernel;
  spec.slots = 1;
  return spec;
}

std::vector<float> round_trip(const StatePacking& packing, const std::vector<float>& image) {
  std::vector<float> aligned(packing.bytes() / sizeof(float));
  const auto packed = std::as_writable_bytes(std::span(aligned));
  packing.pack(image, packed);
  std::vector<float> back(image.size());
  packing.unpack(packed, back);
  return back;
}

// Which scale each value has a share in, and the greatest integer behind it.
struct Group {
  size_t number = 0;
  double most = 0;
};
std::vector<Group> groups_of(const ops::RecurrentSpec& spec, StateForm form) {
  std::vector<Group> groups;
  const auto keys = static_cast<size_t>(spec.key_dim), values = static_cast<size_t>(spec.value_dim);
  const size_t states = static_cast<size_t>(spec.value_heads) * keys * values;
  for (size_t i = 0; i < spec.layer_values(); ++i) {
    if (i < states) {
      groups.push_back(
          {i / (keys * values) * values + i % values, form == StateForm::kInt8 ? 127.0 : 32767.0});
    } else {
      groups.push_back({states + (i - states) / StatePacking::kRun, 32767.0});
    }
  }
  return groups;
}

// Magnitudes differ from value to value and far more from group to group.
std::vector<float> random_image(const std::vector<Group>& groups, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> image;
  for (const Group& group : groups) {
    const int magnitude = static_cast<int>(group.number * 37 % 101) - 60;
    image.push_back(std::ldexp(normal(random), magnitude));
  }
  return image;
}

std::vector<float> greatest_of(const std::vector<Group>& groups, const std::vector<float>& image) {
  std::vector<float> greatest(image.size() * 2);
  for (size_t i = 0; i < image.size(); ++i) {
    float& most = greatest[groups[i].number];
    most = std::max(most, std::abs(image[i]));
  }
  return greatest;
}

const std::vector<ops::RecurrentSpec> kSpecs = {
    spec_of(1, 1, 1, 2),  spec_of(2, 3, 5, 4),   spec_of(1, 64, 31, 4),   spec_of(3, 7, 32, 4),
    spec_of(2, 9, 33, 3), spec_of(2, 64, 64, 4), spec_of(4, 128, 128, 4), spec_of(2, 5, 130, 1)};

TEST(PackedState, ValuesComeBackWithinHalfAStep) {
  std::mt19937 random(3);
  for (const StateForm form : {StateForm::kInt16, StateForm::kInt8}) {
    for (const ops::RecurrentSpec& spec : kSpecs) {
      const StatePacking packing(spec, form);
      const std::vector<Group> groups = groups_of(spec, form);
      const std::vector<float> image = random_image(groups, random);
      const std::vector<float> greatest = greatest_of(groups, image);
      const std::vector<float> back = round_trip(packing, image);
      double worst = 0;  // in steps
      for (size_t i = 0; i < image.size(); ++i) {
        const double most = greatest[groups[i].number];
        const double bound = most * (1 / (2 * groups[i].most) + 0x1p-21);
        const double error = std::abs(double{image[i]} - double{back[i]});
        ASSERT_LE(error, bound) << state_form_name(form) << " " << spec.value_dim << " value " << i;
        if (most > 0) worst = std::max(worst, error / (most / groups[i].most));
      }
      // The bound is no wider than it has to be.
      if (image.size() > 500) {
        EXPECT_GT(worst, 0.45) << state_form_name(form) << " " << spec.value_dim;
      }
      EXPECT_EQ(round_trip(packing, image), back) << "the same bytes each time";
    }
  }
}

TEST(PackedState, F32IsExact) {
  std::mt19937 random(4);
  for (const ops::RecurrentSpec& spec : kSpecs) {
    const StatePacking packing(spec, StateForm::kF32);
    const std::vector<float> image = random_image(groups_of(spec, StateForm::kF32), random);
    EXPECT_EQ(round_trip(packing, image), image);
    EXPECT_EQ(packing.bytes(), image.size() * sizeof(float));
  }
}

TEST(PackedState, NothingAndNextToNothingComeBackAsZeros) {
  for (const StateForm form : {StateForm::kInt16, StateForm::kInt8}) {
    const StatePacking packing(spec_of(2, 8, 40, 4), form);
    const std::vector<float> zeros(packing.values());
    EXPECT_EQ(round_trip(packing, zeros), zeros);
    std::vector<float> image(packing.values(), -0x1.fp-101F);
    image[3] = std::numeric_limits<float>::denorm_min();
    EXPECT_EQ(round_trip(packing, image), zeros);
    std::fill(image.begin(), image.end(), -StatePacking::kVanishing);
    EXPECT_EQ(round_trip(packing, image), image) << "the least that is kept";
  }
}

TEST(PackedState, TheGreatestFloatsDoNotOverflow) {
  for (const StateForm form : {StateForm::kInt16, StateForm::kInt8}) {
    const StatePacking packing(spec_of(2, 8, 40, 4), form);
    std::vector<float> image(packing.values(), StatePacking::kGreatest);
    for (size_t i = 1; i < image.size(); i += 2) image[i] = -StatePacking::kGreatest;
    for (const float value : round_trip(packing, image)) {
      EXPECT_TRUE(std::isfinite(value));
      EXPECT_GT(std::abs(value), 0.999F * StatePacking::kGreatest);
    }
  }
}

// A broken state must not come back as a whole one; its neighbours are not touched.
TEST(PackedState, WhatIsNoNumberComesBackAsNone) {
  const ops::RecurrentSpec spec = spec_of(2, 8, 40, 4);
  for (const StateForm form : {StateForm::kInt16, StateForm::kInt8}) {
    for (const float broken :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::lowest()}) {
      const StatePacking packing(spec, form);
      const std::vector<Group> groups = groups_of(spec, form);
      std::vector<float> image(packing.values(), 1.0F);
      const size_t in_states = 45, in_columns = image.size() - 1;
      image[in_states] = image[in_columns] = broken;
      const std::vector<float> back = round_trip(packing, image);
      for (size_t i = 0; i < image.size(); ++i) {
        const bool touched = groups[i].number == groups[in_states].number ||
                             groups[i].number == groups[in_columns].number;
        ASSERT_EQ(std::isnan(back[i]), touched) << i;
      }
    }
  }
}

// What docs/serving.md says of the published models.
TEST(PackedState, PublishedShapesWeighWhatIsWritten) {
  ops::RecurrentSpec large = spec_of(48, 128, 128, 4);
  large.key_heads = 16;
  EXPECT_EQ(48 * StatePacking(large, StateForm::kF32).bytes(), 156'893'184u);
  EXPECT_EQ(48 * StatePacking(large, StateForm::kInt16).bytes(), 79'672'320u);
  EXPECT_EQ(48 * StatePacking(large, StateForm::kInt8).bytes(), 41'923'584u);
  ops::RecurrentSpec small = spec_of(32, 128, 128, 4);  // 4B and 9B
  small.key_heads = 16;
  EXPECT_EQ(24 * StatePacking(small, StateForm::kF32).bytes(), 52'690'944u);
  EXPECT_EQ(24 * StatePacking(small, StateForm::kInt16).bytes(), 26'757'120u);
  EXPECT_EQ(24 * StatePacking(small, StateForm::kInt8).bytes(), 14'174'208u);
}

TEST(PackedState, FormsAreNamedAndFound) {
  for (const StateForm form : {StateForm::kF32, StateForm::kInt16, StateForm::kInt8})
    EXPECT_EQ(state_form_named(state_form_name(form)), form);
  for (const char* unknown : {"", "bf16", "INT8", "int8 "})
    EXPECT_EQ(state_form_named(unknown), std::nullopt);
}

}  // namespace
}  // namespace sluice::runtime
