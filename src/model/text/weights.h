// What a TextModel holds. Internal to src/model.
#pragma once

#include <memory>
#include <vector>

#include "model/text/layer.h"
#include "model/text/text_model.h"

namespace sluice::model {

struct TextModel::Weights {
  TextConfig config;
  ops::Backend* backend = nullptr;
  std::vector<float> key_scales, value_scales;  // as in Binding, cut to the loaded layers

  std::unique_ptr<ops::DeviceBuffer> vectors;
  MatrixPointer embedding, head;  // head is the embedding's own copy when they are tied
  double head_share = 0;
  std::vector<LayerWeights> layers;
  ops::View final_norm;
};

}  // namespace sluice::model
