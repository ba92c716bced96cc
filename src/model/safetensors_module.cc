// A module's stored layout against what the configs announce (formats-safetensors.md sections 2 and
// 5): storage decides the layout, the config the activations.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "codec/codec.h"
#include "model/module_reading.h"
#include "model/stored_layout.h"
#include "model/stored_values.h"

namespace sluice::model {

using checkpoint::StoredTensor;

namespace {

class SafetensorsModule {
 public:
  SafetensorsModule(const ExpectedWeight& expected, const ModuleTensors& tensors,
                    std::span<const ModuleScheme> announced)
      : expected_(expected),
        announced_(announced),
        layout_(read_stored_layout(expected, tensors)),
        matrix_(layout_.matrix) {}

  ModuleReading read() {
    out_.used = std::move(layout_.used);
    out_.problems = std::move(layout_.problems);
    if (layout_.possible.empty() || !choose_scheme() || !complete()) return std::move(out_);
    Status status = codec::check_matrix(matrix_, layout_.codes->name);
    if (status.ok()) status = codec::check_scales(matrix_, layout_.codes->name);
    if (status.ok()) out_.matrix = matrix_;
    add_error(status, *layout_.codes, out_.problems);
    return std::move(out_);
  }

 private:
  bool refuse(const StoredTensor* tensor, std::string message, std::string remedy = kGetAgain) {
    out_.problems.push_back(error_problem(tensor, std::move(message), std::move(remedy)));
    return false;
  }
  void remark(Problem::Severity severity, std::string message) {
    out_.problems.push_back({severity, layout_.codes->name, std::move(message), ""});
  }
  void set_block(int64_t rows, int64_t columns) {
    matrix_.block_rows = rows;
    matrix_.block_columns = columns;
  }

  bool layout_fits(const ModuleScheme& scheme) const {
    return std::find(layout_.possible.begin(), layout_.possible.end(), scheme.weights) !=
           layout_.possible.end();
  }

  static bool wants_input_scale(const ModuleScheme& scheme) {
    return scheme.activations == ActivationScheme::kFp8TensorStatic ||
           scheme.activations == ActivationScheme::kNvfp4;
  }

  bool fits(const ModuleScheme& scheme) const {
    return layout_fits(scheme) && (!wants_input_scale(scheme) || scheme.input_scale_optional ||
                                   layout_.input_scale != nullptr);
  }

  // What storage alone says, for files without a config and where the config is about something
  // else.
  ModuleScheme storage_scheme() const {
    ModuleScheme scheme;
    scheme.weights = layout_.possible.front();
    if (layout_.input_scale != nullptr) {
      if (scheme.weights == StoredScheme::kNvfp4) scheme.activations = ActivationScheme::kNvfp4;
      if (scheme.weights == StoredScheme::kFp8Tensor ||
          scheme.weights == StoredScheme::kW4A8Nvfp4) {
        scheme.activations = ActivationScheme::kFp8TensorStatic;
      }
    }
    return scheme;
  }

  bool choose_scheme() {
    scheme_ = storage_scheme();
    if (announced_.empty()) return true;
    const bool agree = std::all_of(
        announced_.begin(), announced_.end(),
        [&](const ModuleScheme& other) { return other.same_meaning(announced_.front()); });
    if (!agree) return settle_contradiction();
    const ModuleScheme& said = announced_.front();
    if (fits(said)) {
      scheme_ = said;
      // The second source may know the width that the first leaves out.
      for (const ModuleScheme& other : announced_)
        scheme_.group = std::max(scheme_.group, other.group);
      return true;
    }
    const bool stored_plain = layout_.possible.front() == StoredScheme::kUnquantized;
    if (stored_plain && expected_.part == Part::kMtp) {
      remark(Problem::Severity::kNote,
             fmt::format("is stored unquantized, although {} announces {}; the stored form is used",
                         said.origin, stored_scheme_name(said.weights)));
      return true;
    }
    if (stored_plain) {
      return refuse(
          layout_.codes,
          fmt::format("Q-1: {} announces {} for {}, but it is stored as {} without scales",
                      said.origin, stored_scheme_name(said.weights), expected_.module,
                      dtype_name(layout_.codes->dtype)),
          "the config or the file is not the right one");
    }
    if (layout_fits(said)) {
      return refuse(
          layout_.codes,
          fmt::format(
              "Q-1: {} announces activations with a stored scale, but {} has no input scale",
              said.origin, expected_.module));
    }
    // Storage is self-consistent and wins (section 2).
    remark(Problem::Severity::kWarning,
           fmt::format("{} says {} for {}, but it is stored as {}; the stored form is used",
                       said.origin, stored_scheme_name(said.weights), expected_.module,
                       stored_scheme_name(layout_.possible.front())));
    return true;
  }

  // two JSON files contradict each other; the one that storage supports counts, if there is
  // just one.
  bool settle_contradiction() {
    const ModuleScheme* only = nullptr;
    bool unique = true;
    for (const ModuleScheme& said : announced_) {
      if (!fits(said)) continue;
      if (only != nullptr && !only->same_meaning(said)) unique = false;
      only = &said;
    }
    const std::string both =
        fmt::format("Q-11: {} says {} and {} says {} for {}", announced_.front().origin,
                    stored_scheme_name(announced_.front().weights), announced_.back().origin,
                    stored_scheme_name(announced_.back().weights), expected_.module);
    if (only == nullptr || !unique) {
      return refuse(
          layout_.codes,
          fmt::format("{}; the stored tensors fit {}", both, only == nullptr ? "neither" : "both"),
          "make the two files agree");
    }
    remark(Problem::Severity::kWarning,
           fmt::format("{}; the stored tensors fit {}", both, only->origin));
    scheme_ = *only;
    return true;
  }

  // ---------------------------------------------- the matrix

  bool complete() {
    if (scheme_.weights == StoredScheme::kUnquantized) return true;
    out_.used.push_back({layout_.scales, "scales"});
    if (layout_.input_scale != nullptr) {
      out_.used.push_back({layout_.input_scale, "input scale"});
      Result<float> value = read_scale(*layout_.input_scale);
      if (!value.ok()) return refuse(layout_.input_scale, value.error().why);
      const auto use =
          layout_.input_scale_divides ? TensorScale::Use::kDivide : TensorScale::Use::kMultiply;
      if (wants_input_scale(scheme_))
        matrix_.input_scale = {use, *value};  // a stray one of W4A16 is ignored (3.9)
    } else if (scheme_.activations == ActivationScheme::kFp8TensorStatic) {
      scheme_.activations =
          ActivationScheme::kFp8TensorDynamic;  // W4A8_MXFP4_FP8 without calibration (3.11)
    }
    matrix_.activations = scheme_.activations;
    return set_format() && group_as_announced();
  }

  bool set_format() {
    const ActivationScheme activations = scheme_.activations;
    switch (scheme_.weights) {
      case StoredScheme::kFp8Block:
        matrix_.format = Format::kFp8Block;
        set_block(scheme_.block_rows > 0 ? scheme_.block_rows : 128,
                  scheme_.block_columns > 0 ? scheme_.block_columns : 128);
        return true;
      case StoredScheme::kFp8Channel:
        matrix_.format = Format::kFp8Channel;
        set_block(1, expected_.columns);
        return true;
      case StoredScheme::kFp8Tensor:
        matrix_.format = Format::kFp8Tensor;
        set_block(expected_.rows, expected_.columns);
        return true;
      case StoredScheme::kNvfp4:
        matrix_.format = activations == ActivationScheme::kNvfp4             ? Format::kNvfp4A4
                         : activations == ActivationScheme::kFp8TokenDynamic ? Format::kNvfp4A8
                                                                             : Format::kNvfp4;
        return true;
      case StoredScheme::kW4A8Nvfp4:
        matrix_.format = Format::kW4A8Nvfp4;
        return true;
      case StoredScheme::kMxfp4:
        matrix_.format = Format::kMxfp4;
        return true;
      case StoredScheme::kMxfp8:
        matrix_.format = Format::kMxfp8;
        return true;
      case StoredScheme::kInteger:
        return set_integer_format();
      case StoredScheme::kUnquantized:
        return true;
    }
    return true;
  }

  bool set_integer_format() {
    if (scheme_.bits != 0) {
      // Codes below 8 bits may lie one in a byte (W4A8 of llm-compressor); packed ones show their
      // width.
      if (layout_.matrix.packed && scheme_.bits != matrix_.bits) {
        return refuse(layout_.codes, fmt::format("Q-4: {} says {} bits, but {} are packed",
                                                 scheme_.origin, scheme_.bits, matrix_.bits));
      }
      matrix_.bits = scheme_.bits;
    }
    matrix_.format = matrix_.bits == 8                                ? Format::kInt8
                     : scheme_.activations == ActivationScheme::kNone ? Format::kInt4
                                                                      : Format::kInt4A8;
    return true;
  }

  bool group_as_announced() {
    const bool grouped =
        scheme_.weights == StoredScheme::kNvfp4 || scheme_.weights == StoredScheme::kMxfp4 ||
        scheme_.weights == StoredScheme::kMxfp8 || scheme_.weights == StoredScheme::kW4A8Nvfp4 ||
        scheme_.weights == StoredScheme::kInteger;
    if (!grouped || scheme_.group == 0 || scheme_.group == matrix_.block_columns) return true;
    const std::string text = fmt::format("{} says {} columns under one scale, the shapes say {}",
                                         scheme_.origin, scheme_.group, matrix_.block_columns);
    if (scheme_.weights ==
        StoredScheme::kW4A8Nvfp4) {  // converters write a default that is not the file's
      remark(Problem::Severity::kNote, text + "; the shapes count");
      return true;
    }
    return refuse(layout_.scales, "Q-4: " + text);
  }

  const ExpectedWeight& expected_;
  std::span<const ModuleScheme> announced_;
  StoredLayout layout_;
  EncodedMatrix matrix_;
  ModuleScheme scheme_;  // what the weight is taken to be
  ModuleReading out_;
};

}  // namespace

ModuleReading read_safetensors_module(const ExpectedWeight& expected, const ModuleTensors& tensors,
                                      std::span<const ModuleScheme> announced) {
  return SafetensorsModule(expected, tensors, announced).read();
}

}  // namespace sluice::model
