#include "model/module_reading.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "codec/codec.h"

namespace sluice::model {

using checkpoint::StoredTensor;

namespace {

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

Format float_format(DType dtype) {
  if (dtype == DType::kF32) return Format::kF32;
  return dtype == DType::kF16 ? Format::kF16 : Format::kBF16;
}

bool is_shape(const StoredTensor& tensor, std::initializer_list<int64_t> shape) {
  return std::equal(tensor.shape.begin(), tensor.shape.end(), shape.begin(), shape.end());
}

// Any rank seen as rows x columns; the bytes are the same.
Plane plane_of(const StoredTensor& tensor, int64_t rows, int64_t columns) {
  return {tensor.bytes, tensor.dtype, rows, columns};
}

int64_t blocks(int64_t extent, int64_t block) { return (extent + block - 1) / block; }

Problem error_problem(const StoredTensor* tensor, std::string message,
                      std::string remedy = "get the file again, or ask its maker") {
  return {Problem::Severity::kError, tensor != nullptr ? tensor->name : "", std::move(message),
          std::move(remedy)};
}

void add_error(const Status& status, const StoredTensor& tensor, std::vector<Problem>& problems) {
  if (status.ok()) return;
  problems.push_back(error_problem(&tensor, status.error().why, status.error().remedy));
}

Format ggml_format(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0:
      return Format::kQ4_0;
    case DType::kQ4_1:
      return Format::kQ4_1;
    case DType::kQ5_0:
      return Format::kQ5_0;
    case DType::kQ5_1:
      return Format::kQ5_1;
    case DType::kQ8_0:
      return Format::kQ8_0;
    case DType::kQ2_K:
      return Format::kQ2_K;
    case DType::kQ3_K:
      return Format::kQ3_K;
    case DType::kQ4_K:
      return Format::kQ4_K;
    case DType::kQ5_K:
      return Format::kQ5_K;
    case DType::kQ6_K:
      return Format::kQ6_K;
    case DType::kIQ4_NL:
      return Format::kIQ4_NL;
    case DType::kIQ4_XS:
      return Format::kIQ4_XS;
    case DType::kGgmlMXFP4:
      return Format::kGgmlMxfp4;
    case DType::kGgmlNVFP4:
      return Format::kGgmlNvfp4;
    default:
      return float_format(dtype);
  }
}

bool has_ggml_blocks(DType dtype) { return dtype >= DType::kQ4_0; }

// -------------------------------------------------------------------------------------------
// safetensors

class SafetensorsModule {
 public:
  SafetensorsModule(const ExpectedWeight& expected, const ModuleTensors& tensors,
                    std::span<const ModuleScheme> announced)
      : expected_(expected), tensors_(tensors), announced_(announced) {}

  ModuleReading read() {
    if (no_contradictory_names() && find_codes() && detect() && choose_scheme() && complete()) {
      matrix_.rows = expected_.rows;
      matrix_.columns = expected_.columns;
      Status shapes = codec::check_matrix(matrix_, codes_->name);
      if (shapes.ok()) {
        Status values = codec::check_scales(matrix_, codes_->name);
        if (values.ok()) out_.matrix = matrix_;
        add_error(values, *codes_, out_.problems);
      }
      add_error(shapes, *codes_, out_.problems);
    }
    return std::move(out_);
  }

 private:
  const StoredTensor* find(std::string_view leaf) const {
    const auto it = tensors_.find(leaf);
    return it == tensors_.end() ? nullptr : it->second;
  }
  const StoredTensor* use(const StoredTensor* tensor, std::string purpose) {
    out_.used.push_back({tensor, std::move(purpose)});
    return tensor;
  }
  bool refuse(const StoredTensor* tensor, std::string message,
              std::string remedy = "get the file again, or ask its maker") {
    out_.problems.push_back(error_problem(tensor, std::move(message), std::move(remedy)));
    return false;
  }
  void remark(Problem::Severity severity, std::string message) {
    out_.problems.push_back({severity, codes_->name, std::move(message), ""});
  }

  bool no_contradictory_names() {
    static constexpr std::pair<std::string_view, std::string_view> kPairs[] = {
        {"weight", "weight_packed"},
        {"weight_scale", "weight_scale_inv"},
        {"weight_scale_2", "weight_global_scale"}};
    for (const auto& [one, other] : kPairs) {
      if (find(one) == nullptr || find(other) == nullptr) continue;
      return refuse(find(one), fmt::format("Q-3: there are both {} and {} of {}", one, other,
                                           expected_.module));
    }
    static constexpr std::pair<std::string_view, std::string_view> kUnsupported[] = {
        {"pre_quant_scale", "AWQ or SVD scaling of inputs (pre_quant_scale) is not supported"},
        {"svdquant_lora_a", "SVDQuant's low-rank branch is not supported"},
        {"svdquant_lora_b", "SVDQuant's low-rank branch is not supported"},
        {"weight_g_idx", "Q-10: act-order (weight_g_idx) is not supported"},
        {"scales", "MLX quantization (scales, biases) is not supported"},
        {"qweight", "GPTQ and AWQ packing (qweight) is not supported"},
        {"absmax", "bitsandbytes quantization is not supported"}};
    for (const auto& [leaf, why] : kUnsupported) {
      if (find(leaf) != nullptr)
        return refuse(find(leaf), std::string(why), "use a build in a supported format");
    }
    return true;
  }

  bool find_codes() {
    packed_ = find("weight_packed") != nullptr;
    codes_ = packed_ ? find("weight_packed") : find("weight");
    if (codes_ == nullptr) {
      return refuse(nullptr, fmt::format("GG-16/Q-13: {}.weight is missing ({})", expected_.module,
                                         expected_.role));
    }
    use(codes_, "");
    if (codes_->shape.size() != 2) {
      return refuse(codes_, fmt::format("Q-13: has shape {}, expected a matrix of [{}, {}]",
                                        shape_text(*codes_), expected_.rows, expected_.columns));
    }
    scales_ = find("weight_scale");
    for (const char* alias : {"weight_scale_inv", "scale", "qscale_weight"}) {
      if (scales_ == nullptr) scales_ = find(alias);
    }
    return true;
  }

  // The codes' columns as stored must be `columns`, and their rows the model's.
  bool codes_are(int64_t columns) {
    if (is_shape(*codes_, {expected_.rows, columns})) {
      matrix_.codes = plane_of(*codes_, expected_.rows, columns);
      return true;
    }
    return refuse(codes_, fmt::format("Q-13: has shape {}, the model's geometry needs [{}, {}]",
                                      shape_text(*codes_), expected_.rows, columns));
  }

  bool need_scales() {
    if (scales_ != nullptr) return true;
    return refuse(codes_, fmt::format("Q-1: holds {} codes, but {} has no scale tensor",
                                      dtype_name(codes_->dtype), expected_.module));
  }

  bool scales_are(std::initializer_list<int64_t> shape, int64_t rows, int64_t columns) {
    if (!is_shape(*scales_, shape)) return false;
    matrix_.scales = plane_of(*scales_, rows, columns);
    return true;
  }

  bool wrong_scales() {
    return refuse(
        scales_,
        fmt::format("Q-4: has dtype {} and shape {}, which fits no scheme for a weight of [{}, {}]",
                    dtype_name(scales_->dtype), shape_text(*scales_), expected_.rows,
                    expected_.columns));
  }

  bool detect() {
    const DType dtype = codes_->dtype;
    if (is_float(dtype) && !packed_) {
      possible_ = {StoredScheme::kUnquantized};
      matrix_.format = float_format(dtype);
      return codes_are(expected_.columns);
    }
    if (dtype == DType::kF8E4M3 && !packed_)
      return need_scales() && codes_are(expected_.columns) && detect_fp8();
    if (dtype == DType::kU8 || dtype == DType::kF4) return need_scales() && detect_nibbles();
    if (dtype == DType::kI32 && packed_) return need_scales() && detect_integers();
    if (dtype == DType::kI8 && !packed_)
      return need_scales() && codes_are(expected_.columns) && detect_integers();
    if (dtype == DType::kU32)
      return refuse(codes_, "U32 codes look like MLX quantization, which is not supported",
                    "use a build in a supported format");
    return refuse(codes_,
                  fmt::format("Q-4: dtype {} is not supported for a weight", dtype_name(dtype)),
                  "use a build in a supported format");
  }

  bool detect_fp8() {
    const int64_t n = expected_.rows, k = expected_.columns;
    const bool exponents = scales_->dtype == DType::kU8 || scales_->dtype == DType::kF8E8M0;
    if (exponents && k % 32 == 0 && scales_are({n, k / 32}, n, k / 32)) {
      possible_ = {StoredScheme::kMxfp8};
      set_block(1, 32);
      return true;
    }
    const int64_t grid_rows = blocks(n, 128), grid_columns = blocks(k, 128);
    const bool inverse = find("weight_scale_inv") != nullptr;
    if (scales_->elements() == 1) {
      matrix_.scales = plane_of(*scales_, 1, 1);
      possible_ = {StoredScheme::kFp8Tensor};
      if (grid_rows * grid_columns == 1) possible_.push_back(StoredScheme::kFp8Block);
      if (n == 1) possible_.push_back(StoredScheme::kFp8Channel);
      return true;
    }
    if (!inverse && (scales_are({n, 1}, n, 1) || scales_are({n}, n, 1))) {
      possible_ = {StoredScheme::kFp8Channel};
      return true;
    }
    if (scales_are({grid_rows, grid_columns}, grid_rows, grid_columns) ||
        scales_are({grid_rows, 1, grid_columns, 1}, grid_rows, grid_columns)) {
      possible_ = {StoredScheme::kFp8Block};
      return true;
    }
    return wrong_scales();
  }

  bool detect_nibbles() {
    const int64_t n = expected_.rows, k = expected_.columns;
    const bool exponents = scales_->dtype == DType::kU8 || scales_->dtype == DType::kF8E8M0;
    if (packed_ && exponents && k % 4 == 0 && is_shape(*codes_, {n, 3 * k / 4})) {
      return refuse(codes_, "Q-10: MXFP6 is not supported", "use a build in a supported format");
    }
    // F4 counts codes, U8 bytes of two.
    if (k % 2 != 0 || !codes_are(codes_->dtype == DType::kF4 ? k : k / 2)) {
      return k % 2 != 0
                 ? refuse(codes_, fmt::format("Q-4: {} columns cannot be packed two a byte", k))
                 : false;
    }
    if (scales_->shape.size() != 2 || scales_->shape[0] != n || scales_->shape[1] < 1 ||
        k % scales_->shape[1] != 0)
      return wrong_scales();
    const int64_t groups = scales_->shape[1], group = k / groups;
    matrix_.scales = plane_of(*scales_, n, groups);
    set_block(1, group);
    if (exponents) {
      if (group != 32) return wrong_scales();
      possible_ = {StoredScheme::kMxfp4};
      return true;
    }
    if (scales_->dtype != DType::kF8E4M3 || (group != 16 && (group != 32 || packed_)))
      return wrong_scales();
    possible_ = {group == 16 ? StoredScheme::kNvfp4 : StoredScheme::kW4A8Nvfp4};
    if (group == 16 && !packed_) possible_.push_back(StoredScheme::kW4A8Nvfp4);
    const char* leaf = packed_ ? "weight_global_scale" : "weight_scale_2";
    if (find(leaf) == nullptr)
      return refuse(codes_, fmt::format("Q-1: {} has no {}", expected_.module, leaf));
    return tensor_scale(use(find(leaf), "tensor scale"),
                        packed_ ? TensorScale::Use::kDivide : TensorScale::Use::kMultiply,
                        matrix_.tensor_scale);
  }

  bool detect_integers() {
    const int64_t n = expected_.rows, k = expected_.columns;
    possible_ = {StoredScheme::kInteger};
    matrix_.packed = packed_;
    if (scales_are({n, 1}, n, 1) || scales_are({n}, n, 1)) {
      set_block(1, k);
    } else if (scales_->elements() == 1) {
      matrix_.scales = plane_of(*scales_, 1, 1);
      set_block(n, k);
    } else if (scales_->shape.size() == 2 && scales_->shape[0] == n && scales_->shape[1] > 0 &&
               k % scales_->shape[1] == 0) {
      matrix_.scales = plane_of(*scales_, n, scales_->shape[1]);
      set_block(1, k / scales_->shape[1]);
    } else {
      return wrong_scales();
    }
    if (!packed_) {
      matrix_.bits = 8;  // unless the config says that fewer are in use
      return true;
    }
    // weight_shape restates (N, K); the number of bits follows from K and the words of a row.
    const StoredTensor* shape = find("weight_shape");
    if (shape == nullptr)
      return refuse(codes_, fmt::format("Q-1: {} has no weight_shape", expected_.module));
    use(shape, "shape");
    if (!shape_tensor_is(*shape, n, k)) {
      return refuse(
          shape,
          fmt::format("Q-13: does not say [{}, {}], which the model's geometry needs", n, k));
    }
    matrix_.codes = plane_of(*codes_, n, codes_->shape[1]);
    for (int bits = 2; bits <= 8; ++bits) {
      if (blocks(k * bits, 32) == codes_->shape[1]) matrix_.bits = bits;
    }
    if (codes_->shape[0] != n || matrix_.bits == 0) {
      return refuse(codes_, fmt::format("Q-13: has shape {}, which packs no weight of [{}, {}]",
                                        shape_text(*codes_), n, k));
    }
    if (const StoredTensor* zeros = find("weight_zero_point")) {
      use(zeros, "zero points");
      if (zeros->shape.size() != 2)
        return refuse(zeros, fmt::format("Q-4: has shape {}", shape_text(*zeros)));
      matrix_.zero_points = plane_of(*zeros, zeros->shape[0], zeros->shape[1]);
    }
    return true;
  }

  static bool shape_tensor_is(const StoredTensor& tensor, int64_t n, int64_t k) {
    if (!is_shape(tensor, {2})) return false;
    int64_t values[2] = {0, 0};
    if (tensor.dtype == DType::kI64) {
      std::copy_n(tensor.bytes.data(), sizeof values, reinterpret_cast<std::byte*>(values));
    } else if (tensor.dtype == DType::kI32) {
      int32_t narrow[2];
      std::copy_n(tensor.bytes.data(), sizeof narrow, reinterpret_cast<std::byte*>(narrow));
      std::copy_n(narrow, 2, values);
    }
    return values[0] == n && values[1] == k;
  }

  void set_block(int64_t rows, int64_t columns) {
    matrix_.block_rows = rows;
    matrix_.block_columns = columns;
  }

  bool tensor_scale(const StoredTensor* tensor, TensorScale::Use direction, TensorScale& out) {
    Result<float> value = read_scale(*tensor);
    if (!value.ok()) return refuse(tensor, value.error().why);
    out = {direction, *value};
    return true;
  }

  // ------------------------------------------------------------------------------ against the
  // configs

  const StoredTensor* input_scale() const {
    for (const char* leaf : {"input_global_scale", "input_scale", "activation_scale"}) {
      if (const StoredTensor* tensor = find(leaf)) return tensor;
    }
    return nullptr;
  }

  bool layout_fits(const ModuleScheme& scheme) const {
    return std::find(possible_.begin(), possible_.end(), scheme.weights) != possible_.end();
  }

  static bool wants_input_scale(const ModuleScheme& scheme) {
    return scheme.activations == ActivationScheme::kFp8TensorStatic ||
           scheme.activations == ActivationScheme::kNvfp4;
  }

  bool fits(const ModuleScheme& scheme) const {
    return layout_fits(scheme) &&
           (!wants_input_scale(scheme) || scheme.input_scale_optional || input_scale() != nullptr);
  }

  // What storage alone says, for files without a config and where the config is about something
  // else.
  ModuleScheme storage_scheme() const {
    ModuleScheme scheme;
    scheme.weights = possible_.front();
    if (input_scale() != nullptr) {
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
    const bool stored_plain = possible_.front() == StoredScheme::kUnquantized;
    if (stored_plain && expected_.part == Part::kMtp) {
      remark(Problem::Severity::kNote,
             fmt::format("is stored unquantized, although {} announces {}; the stored form is used",
                         said.origin, stored_scheme_name(said.weights)));
      return true;
    }
    if (stored_plain) {
      return refuse(
          codes_,
          fmt::format("Q-1: {} announces {} for {}, but it is stored as {} without scales",
                      said.origin, stored_scheme_name(said.weights), expected_.module,
                      dtype_name(codes_->dtype)),
          "the config or the file is not the right one");
    }
    if (layout_fits(said)) {
      return refuse(
          codes_,
          fmt::format(
              "Q-1: {} announces activations with a stored scale, but {} has no input scale",
              said.origin, expected_.module));
    }
    // Storage is self-consistent and wins (section 2).
    remark(Problem::Severity::kWarning,
           fmt::format("{} says {} for {}, but it is stored as {}; the stored form is used",
                       said.origin, stored_scheme_name(said.weights), expected_.module,
                       stored_scheme_name(possible_.front())));
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
          codes_,
          fmt::format("{}; the stored tensors fit {}", both, only == nullptr ? "neither" : "both"),
          "make the two files agree");
    }
    remark(Problem::Severity::kWarning,
           fmt::format("{}; the stored tensors support the former or latter: {} is used", both,
                       only->origin));
    scheme_ = *only;
    return true;
  }

  // ----------------------------------------------------------------------------------------- the
  // matrix

  bool complete() {
    if (scheme_.weights == StoredScheme::kUnquantized) return true;
    use(scales_, "scales");
    if (const StoredTensor* input = input_scale()) {
      use(input, "input scale");
      const bool divides = input == find("input_global_scale");
      TensorScale scale;
      if (!tensor_scale(input, divides ? TensorScale::Use::kDivide : TensorScale::Use::kMultiply,
                        scale))
        return false;
      if (wants_input_scale(scheme_))
        matrix_.input_scale = scale;  // a stray one of W4A16 is ignored (3.9)
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
      if (packed_ && scheme_.bits != matrix_.bits) {
        return refuse(codes_, fmt::format("Q-4: {} says {} bits, but {} are packed", scheme_.origin,
                                          scheme_.bits, matrix_.bits));
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
    return refuse(scales_, "Q-4: " + text);
  }

  const ExpectedWeight& expected_;
  const ModuleTensors& tensors_;
  std::span<const ModuleScheme> announced_;
  ModuleReading out_;
  EncodedMatrix matrix_;
  ModuleScheme scheme_;
  std::vector<StoredScheme> possible_;  // meanings the stored tensors can have, the likeliest first
  const StoredTensor* codes_ = nullptr;
  const StoredTensor* scales_ = nullptr;
  bool packed_ = false;
};

}  // namespace

std::string shape_text(const StoredTensor& stored) {
  return fmt::format("[{}]", fmt::join(stored.shape, ", "));
}

Result<float> read_scale(const StoredTensor& stored) {
  if (!is_float(stored.dtype) || stored.elements() != 1) {
    return bad_input(stored.name, fmt::format("Q-4: has dtype {} and shape {}, expected one float",
                                              dtype_name(stored.dtype), shape_text(stored)));
  }
  EncodedMatrix matrix;
  matrix.format = float_format(stored.dtype);
  matrix.rows = matrix.columns = 1;
  matrix.codes = plane_of(stored, 1, 1);
  SLUICE_TRY(codec::check_matrix(matrix, stored.name));
  float value = 0;
  codec::decode_rows(matrix, 0, 1, &value);
  if (!std::isfinite(value) || value <= 0)
    return bad_input(stored.name, fmt::format("Q-5: is {}, not a positive number", value));
  return value;
}

ModuleReading read_safetensors_module(const ExpectedWeight& expected, const ModuleTensors& tensors,
                                      std::span<const ModuleScheme> announced) {
  return SafetensorsModule(expected, tensors, announced).read();
}

ModuleReading read_gguf_module(const ExpectedWeight& expected, const ModuleTensors& tensors) {
  ModuleReading out;
  const auto it = tensors.find("weight");
  if (it == tensors.end()) {
    out.problems.push_back(error_problem(
        nullptr, fmt::format("GG-16: {}.weight is missing ({})", expected.module, expected.role)));
    return out;
  }
  const StoredTensor& stored = *it->second;
  out.used.push_back({&stored, ""});
  if (!is_float(stored.dtype) && !has_ggml_blocks(stored.dtype)) {
    out.problems.push_back(error_problem(
        &stored,
        fmt::format("GG-17: type {} is not supported for a weight", dtype_name(stored.dtype))));
    return out;
  }
  if (!is_shape(stored, {expected.rows, expected.columns})) {
    out.problems.push_back(
        error_problem(&stored, fmt::format("GG-16: has shape {}, the metadata need [{}, {}]",
                                           shape_text(stored), expected.rows, expected.columns)));
    return out;
  }
  EncodedMatrix matrix;
  matrix.format = ggml_format(stored.dtype);
  matrix.rows = expected.rows;
  matrix.columns = expected.columns;
  matrix.codes = plane_of(stored, expected.rows, expected.columns);
  // Scales beside an NVFP4 tensor (formats-gguf.md 3.3); the activation's is read by no known
  // engine.
  for (const char* leaf : {"scale", "input_scale"}) {
    const auto found = tensors.find(leaf);
    if (found == tensors.end()) continue;
    const bool input = found->first == "input_scale";
    out.used.push_back({found->second, input ? "input scale" : "tensor scale"});
    Result<float> value = read_scale(*found->second);
    if (!value.ok()) {
      out.problems.push_back(error_problem(found->second, value.error().why));
      return out;
    }
    (input ? matrix.input_scale : matrix.tensor_scale) = {TensorScale::Use::kMultiply, *value};
  }
  Status status = codec::check_matrix(matrix, stored.name);
  if (status.ok()) status = codec::check_scales(matrix, stored.name);
  if (status.ok()) out.matrix = matrix;
  add_error(status, stored, out.problems);
  return out;
}

ModuleReading read_vector(const ExpectedWeight& expected, const StoredTensor& stored) {
  ModuleReading out;
  out.used.push_back({&stored, ""});
  if (!is_float(stored.dtype)) {
    out.problems.push_back(error_problem(
        &stored,
        fmt::format("Q-4: has dtype {}, expected BF16, F16 or F32", dtype_name(stored.dtype))));
    return out;
  }
  // Convolutions carry a dimension of one before (HF) or after the kernel (MLX); the bytes lie the
  // same.
  const int64_t n = expected.rows, k = expected.columns;
  const bool fits = n == 1 ? is_shape(stored, {k})
                           : is_shape(stored, {n, k}) || is_shape(stored, {n, 1, k}) ||
                                 is_shape(stored, {n, k, 1});
  if (!fits) {
    const std::string wanted = n == 1 ? fmt::format("[{}]", k) : fmt::format("[{}, 1, {}]", n, k);
    out.problems.push_back(
        error_problem(&stored, fmt::format("Q-13: has shape {}, the model's geometry needs {}",
                                           shape_text(stored), wanted)));
    return out;
  }
  EncodedMatrix matrix;
  matrix.format = float_format(stored.dtype);
  matrix.rows = n;
  matrix.columns = k;
  matrix.codes = plane_of(stored, n, k);
  Status status = codec::check_matrix(matrix, stored.name);
  if (status.ok()) status = codec::check_codes(matrix, stored.name);
  if (!status.ok()) {
    add_error(status, stored, out.problems);
    return out;
  }
  if (expected.leaf == "A_log") {
    std::vector<float> values(static_cast<size_t>(n * k));
    codec::decode_rows(matrix, 0, n, values.data());
    for (const float value : values) {
      const bool raw = expected.transform == Transform::kMinusExp;
      if (raw ? std::isfinite(std::exp(value)) : value < 0) continue;
      out.problems.push_back(error_problem(
          &stored, raw ? fmt::format("Q-5: A_log {} has no finite exponential", value)
                       : fmt::format("GG-17: holds {}, but -exp(A_log) is negative", value)));
      return out;
    }
  }
  out.matrix = matrix;
  return out;
}

}  // namespace sluice::model
