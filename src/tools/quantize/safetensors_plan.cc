// Which tensors a safetensors build has, under which names, and what its configs say of them.
#include <fmt/format.h>

#include <algorithm>

#include "codec/number_formats.h"
#include "model/tensor_names.h"
#include "tools/convert/names.h"
#include "tools/convert/published_files.h"
#include "tools/convert/row_stream.h"
#include "tools/quantize/importance.h"
#include "tools/quantize/safetensors_build.h"

namespace sluice::quantize {

using checkpoint::TensorSpec;
using convert::Convention;
using convert::RowReader;
using convert::Source;
using convert::SourceWeight;

namespace {

bool is_convolution(const SourceWeight& weight) {
  return weight.canonical.ends_with("conv1d.weight");
}

std::vector<int64_t> published_shape(const SourceWeight& weight) {
  const EncodedMatrix& matrix = weight.bound->matrix;
  if (is_convolution(weight)) return {matrix.rows, 1, matrix.columns};
  if (weight.bound->vector && matrix.rows == 1) return {matrix.columns};
  return {matrix.rows, matrix.columns};
}

int64_t tiles(int64_t extent) { return (extent + 127) / 128; }

class Planner {
 public:
  Planner(const Source& source, const SafetensorsRequest& request)
      : source_(source), request_(request) {
    plan_.draft = source.binding.mtp_present && request.draft != DraftHead::kNone;
    plan_.vision = source.has_vision() && request.keep_vision;
    text_only_ = convert::text_only_names(source, request.keep_vision);
    facts_.layout = request.layout;
    facts_.draft = plan_.draft;
    facts_.draft_quantized = plan_.draft && request.draft == DraftHead::kSame;
  }

  Result<SafetensorsPlan> plan() {
    for (const SourceWeight& weight : source_.weights) {
      if (weight.draft() && !plan_.draft) continue;
      SLUICE_TRY(add(weight));
    }
    if (request_.cache_scales) SLUICE_TRY(add_cache_scales());
    if (plan_.vision) add_vision();
    add_tied_head();
    plan_.quantization = quantization_files(facts_);
    for (const PlannedTensor& tensor : plan_.tensors) {
      uint64_t elements = 1;
      for (const int64_t extent : tensor.spec.shape) elements *= static_cast<uint64_t>(extent);
      plan_.bytes += dtype_bytes(tensor.spec.dtype, elements).value_or(0);
    }
    add_notes();
    return std::move(plan_);
  }

 private:
  Status add(const SourceWeight& weight) {
    const std::string published = convert::published_name(weight.canonical, text_only_);
    const std::string module = model::split_name(weight.canonical).module;
    Format format = Format::kBF16;
    if (!weight.bound->vector)
      format = module_format(*request_.recipe, module, facts_.draft_quantized);
    const auto chosen = request_.chosen.find(module);
    if (chosen != request_.chosen.end() && !weight.bound->vector) format = chosen->second;
    const int64_t block = block_columns(format);
    if (block > 0 && weight.bound->matrix.columns % block != 0) {
      plan_.notes.push_back(fmt::format("{} stays BF16: its {} columns are not blocks of {}",
                                        published, weight.bound->matrix.columns, block));
      format = Format::kBF16;
    }
    if (!weight.bound->vector || is_convolution(weight)) {
      const bool linear = !is_convolution(weight) && module != "embed_tokens";
      facts_.modules.push_back({model::split_name(published).module, format, linear});
    }
    if (format == Format::kBF16) {
      put({published, plain_type(weight), published_shape(weight)}, PlaneKind::kPlain, weight,
          format, module);
      return {};
    }
    return add_quantized(weight, model::split_name(published).module, format, module);
  }

  DType plain_type(const SourceWeight& weight) const {
    if (!weight.bound->vector) return DType::kBF16;
    const RowReader reader(source_, weight, Convention::kPublished);
    return convert::vector_type(source_, weight, convert::read_whole(reader));
  }

  Status add_quantized(const SourceWeight& weight, const std::string& name, Format format,
                       const std::string& module) {
    const int64_t n = weight.bound->matrix.rows, k = weight.bound->matrix.columns;
    const bool modelopt = request_.layout == Layout::kModelOpt;
    const auto plane = [&](const char* leaf, DType dtype, std::vector<int64_t> shape,
                           PlaneKind kind) {
      put({fmt::format("{}.{}", name, leaf), dtype, std::move(shape)}, kind, weight, format,
          module);
    };
    if (format == Format::kFp8Block) {
      plane("weight", DType::kF8E4M3, {n, k}, PlaneKind::kCodes);
      plane(request_.layout == Layout::kOfficial ? "weight_scale_inv" : "weight_scale",
            DType::kBF16, {tiles(n), tiles(k)}, PlaneKind::kScales);
      return {};
    }
    if (format == Format::kFp8Channel) {
      plane("weight", DType::kF8E4M3, {n, k}, PlaneKind::kCodes);
      plane("weight_scale", modelopt ? DType::kF32 : DType::kBF16,
            modelopt ? std::vector<int64_t>{n} : std::vector<int64_t>{n, 1}, PlaneKind::kScales);
      return {};
    }
    plane(modelopt ? "weight" : "weight_packed", DType::kU8, {n, k / 2}, PlaneKind::kCodes);
    SLUICE_ASSIGN(plan_.tensors.back().importance,
                  importance_of(request_.importance, request_.importance_file, weight,
                                source_.binding.config));
    if (plan_.tensors.back().importance.empty()) ++without_importance_;
    plane("weight_scale", DType::kF8E4M3, {n, k / block_columns(format)}, PlaneKind::kScales);
    const std::vector<int64_t> one = modelopt ? std::vector<int64_t>{} : std::vector<int64_t>{1};
    plane(modelopt ? "weight_scale_2" : "weight_global_scale", DType::kF32, one,
          PlaneKind::kTensorScale);
    if (!needs_activation_range(format)) return {};
    if (request_.ranges == nullptr || !request_.ranges->find(module)) {
      return usage_error(
          "--ranges",
          fmt::format("{} needs the range of the inputs of {}", request_.recipe->name, module),
          "Name a file of them with --ranges (docs/quantization.md shows its form)");
    }
    plane(modelopt ? "input_scale" : "input_global_scale", DType::kF32, one,
          PlaneKind::kInputScale);
    return {};
  }

  // formats-safetensors.md 3.12, of the text model's layers. The draft head's stay 1: loaders look
  // for none there, and E4M3 holds its keys and values without.
  Status add_cache_scales() {
    const bool modelopt = request_.layout == Layout::kModelOpt;
    if (request_.recipe->layouts.empty() || request_.layout == Layout::kOfficial) {
      return usage_error("--kv-scales", "this build's layout has no place for them",
                         "Take --layout compressed-tensors or modelopt");
    }
    const model::TextConfig& config = source_.binding.config;
    for (int64_t i = 0; i < config.layers; ++i) {
      if (config.layer_types[static_cast<size_t>(i)] != model::LayerType::kFullAttention) continue;
      const std::string attention = fmt::format("layers.{}.self_attn", i);
      const auto amax =
          request_.ranges == nullptr ? std::nullopt : request_.ranges->find_key_value(attention);
      if (!amax) {
        return usage_error(
            "--kv-scales",
            fmt::format("the range of keys and values of {} is not known", attention),
            "Name a file of --ranges that sluice calibrate has made");
      }
      add_cache_scale(attention + (modelopt ? ".k_proj.k_scale" : ".k_scale"), amax->key);
      add_cache_scale(attention + (modelopt ? ".v_proj.v_scale" : ".v_scale"), amax->value);
    }
    facts_.cache_scales = true;
    return {};
  }

  // A tied head is no tensor of the build, yet a module in transformers: unless the lists of what
  // is kept name it, a group for all linears makes it look for codes that no file has.
  void add_tied_head() {
    if (source_.find("lm_head.weight") == nullptr)
      facts_.modules.push_back({"lm_head", Format::kBF16, true});
  }

  void add_cache_scale(const std::string& canonical, float amax) {
    const bool modelopt = request_.layout == Layout::kModelOpt;
    PlannedTensor tensor;
    tensor.spec = {convert::published_name(canonical, text_only_),
                   modelopt ? DType::kF32 : DType::kBF16,
                   modelopt ? std::vector<int64_t>{} : std::vector<int64_t>{1}};
    tensor.kind = PlaneKind::kCacheScale;
    tensor.cache_scale = amax / codec::kE4m3Max;
    plan_.tensors.push_back(std::move(tensor));
  }

  void add_vision() {
    for (const checkpoint::StoredTensor* stored : source_.vision) {
      PlannedTensor tensor;
      tensor.spec = {model::canonical_name(stored->name), stored->dtype, stored->shape};
      tensor.stored = stored;
      put_vision(std::move(tensor));
    }
    if (source_.mmproj == nullptr) return;
    for (const convert::TowerTensor& from : source_.mmproj->tensors) {
      PlannedTensor tensor;
      tensor.spec = {from.canonical, DType::kBF16, from.shape};
      if (!from.matrix()) {
        const convert::TowerReader reader(*source_.mmproj, from, Convention::kPublished);
        tensor.spec.dtype = convert::smallest_float(convert::read_whole(reader));
      }
      tensor.tower = &from;
      put_vision(std::move(tensor));
    }
  }

  // `tensor` has its canonical name yet.
  void put_vision(PlannedTensor tensor) {
    TensorSpec& spec = tensor.spec;
    spec.name = convert::published_name(spec.name, text_only_);
    if (spec.shape.size() == 2 && spec.name.ends_with(".weight") &&
        spec.name.find("pos_embed") == std::string::npos)
      facts_.vision_modules.push_back(model::split_name(spec.name).module);
    tensor.kind = PlaneKind::kVision;
    plan_.tensors.push_back(std::move(tensor));
  }

  void add_notes() {
    if (request_.importance != nullptr && without_importance_ > 0)
      plan_.notes.push_back(
          fmt::format("{} tensors have no entry in the importance matrix", without_importance_));
    const bool vision =
        source_.gguf() ? !source_.checkpoint->vision_beside().empty() : source_.has_vision();
    if (vision && !plan_.vision) plan_.notes.push_back("the vision tower is left out");
    if (source_.binding.mtp_present && !plan_.draft)
      plan_.notes.push_back("the draft head is left out");
    if (!source_.binding.key_scales.empty() && !request_.cache_scales)
      plan_.notes.push_back("the source's scales for an FP8 key-value cache are not carried over");
  }

  void put(TensorSpec spec, PlaneKind kind, const SourceWeight& weight, Format format,
           const std::string& module) {
    plan_.tensors.push_back({std::move(spec), kind, &weight, nullptr, nullptr, format, module});
  }

  const Source& source_;
  const SafetensorsRequest& request_;
  bool text_only_ = false;
  size_t without_importance_ = 0;  // among those that would use it
  SafetensorsPlan plan_;
  QuantizationFacts facts_;
};

}  // namespace

Result<SafetensorsPlan> plan_safetensors(const Source& source, const SafetensorsRequest& request) {
  return Planner(source, request).plan();
}

}  // namespace sluice::quantize
