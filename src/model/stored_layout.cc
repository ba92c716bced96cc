#include "model/stored_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "model/stored_values.h"

namespace sluice::model {

using checkpoint::StoredTensor;

namespace {

int64_t blocks(int64_t extent, int64_t block) { return (extent + block - 1) / block; }

// Each step returns false after it has reported what is wrong.
class LayoutReader {
 public:
  LayoutReader(const ExpectedWeight& expected, const ModuleTensors& tensors)
      : expected_(expected), tensors_(tensors) {}

  StoredLayout read() {
    out_.matrix.rows = expected_.rows;
    out_.matrix.columns = expected_.columns;
    if (!no_contradictory_names() || !find_codes() || !detect()) out_.possible.clear();
    for (const char* leaf : {"input_global_scale", "input_scale", "activation_scale"}) {
      if (out_.input_scale != nullptr || find(leaf) == nullptr) continue;
      out_.input_scale = find(leaf);
      out_.input_scale_divides = std::string_view(leaf) == "input_global_scale";
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
  bool refuse(const StoredTensor* tensor, std::string message, std::string remedy = kGetAgain) {
    out_.problems.push_back(error_problem(tensor, std::move(message), std::move(remedy)));
    return false;
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
      if (find(leaf) != nullptr) return refuse(find(leaf), std::string(why), kOtherBuild);
    }
    return true;
  }

  bool find_codes() {
    packed_ = find("weight_packed") != nullptr;
    out_.codes = packed_ ? find("weight_packed") : find("weight");
    if (out_.codes == nullptr) {
      return refuse(nullptr, fmt::format("GG-16/Q-13: {}.weight is missing ({})", expected_.module,
                                         expected_.role));
    }
    use(out_.codes, "");
    if (out_.codes->shape.size() != 2) {
      return refuse(out_.codes,
                    fmt::format("Q-13: has shape {}, expected a matrix of [{}, {}]",
                                shape_text(*out_.codes), expected_.rows, expected_.columns));
    }
    out_.scales = find("weight_scale");
    for (const char* alias : {"weight_scale_inv", "scale", "qscale_weight"}) {
      if (out_.scales == nullptr) out_.scales = find(alias);
    }
    return true;
  }

  // The codes' columns as stored must be `columns`, and their rows the model's.
  bool codes_are(int64_t columns) {
    if (is_shape(*out_.codes, {expected_.rows, columns})) {
      out_.matrix.codes = plane_of(*out_.codes, expected_.rows, columns);
      return true;
    }
    return refuse(out_.codes, fmt::format("Q-13: has shape {}, the model's geometry needs [{}, {}]",
                                          shape_text(*out_.codes), expected_.rows, columns));
  }

  bool need_scales() {
    if (out_.scales != nullptr) return true;
    return refuse(out_.codes, fmt::format("Q-1: holds {} codes, but {} has no scale tensor",
                                          dtype_name(out_.codes->dtype), expected_.module));
  }

  bool scales_are(std::initializer_list<int64_t> shape, int64_t rows, int64_t columns) {
    if (!is_shape(*out_.scales, shape)) return false;
    out_.matrix.scales = plane_of(*out_.scales, rows, columns);
    return true;
  }

  bool wrong_scales() {
    return refuse(
        out_.scales,
        fmt::format("Q-4: has dtype {} and shape {}, which fits no scheme for a weight of [{}, {}]",
                    dtype_name(out_.scales->dtype), shape_text(*out_.scales), expected_.rows,
                    expected_.columns));
  }

  bool detect() {
    const DType dtype = out_.codes->dtype;
    if (is_float(dtype) && !packed_) {
      out_.possible = {StoredScheme::kUnquantized};
      out_.matrix.format = float_format(dtype);
      return codes_are(expected_.columns);
    }
    if (dtype == DType::kF8E4M3 && !packed_)
      return need_scales() && codes_are(expected_.columns) && detect_fp8();
    if (dtype == DType::kU8 || dtype == DType::kF4) return need_scales() && detect_nibbles();
    if (dtype == DType::kI32 && packed_) return need_scales() && detect_integers();
    if (dtype == DType::kI8 && !packed_)
      return need_scales() && codes_are(expected_.columns) && detect_integers();
    if (dtype == DType::kU32)
      return refuse(out_.codes, "U32 codes look like MLX quantization, which is not supported",
                    kOtherBuild);
    return refuse(out_.codes,
                  fmt::format("Q-4: dtype {} is not supported for a weight", dtype_name(dtype)),
                  kOtherBuild);
  }

  bool detect_fp8() {
    const int64_t n = expected_.rows, k = expected_.columns;
    const bool exponents = out_.scales->dtype == DType::kU8 || out_.scales->dtype == DType::kF8E8M0;
    if (exponents && k % 32 == 0 && scales_are({n, k / 32}, n, k / 32)) {
      out_.possible = {StoredScheme::kMxfp8};
      set_block(1, 32);
      return true;
    }
    const int64_t grid_rows = blocks(n, 128), grid_columns = blocks(k, 128);
    const bool inverse = find("weight_scale_inv") != nullptr;
    if (out_.scales->elements() == 1) {
      out_.matrix.scales = plane_of(*out_.scales, 1, 1);
      out_.possible = {StoredScheme::kFp8Tensor};
      if (grid_rows * grid_columns == 1) out_.possible.push_back(StoredScheme::kFp8Block);
      if (n == 1) out_.possible.push_back(StoredScheme::kFp8Channel);
      return true;
    }
    if (!inverse && (scales_are({n, 1}, n, 1) || scales_are({n}, n, 1))) {
      out_.possible = {StoredScheme::kFp8Channel};
      return true;
    }
    if (scales_are({grid_rows, grid_columns}, grid_rows, grid_columns) ||
        scales_are({grid_rows, 1, grid_columns, 1}, grid_rows, grid_columns)) {
      out_.possible = {StoredScheme::kFp8Block};
      return true;
    }
    return wrong_scales();
  }

  bool detect_nibbles() {
    const int64_t n = expected_.rows, k = expected_.columns;
    const bool exponents = out_.scales->dtype == DType::kU8 || out_.scales->dtype == DType::kF8E8M0;
    if (packed_ && exponents && k % 4 == 0 && is_shape(*out_.codes, {n, 3 * k / 4})) {
      return refuse(out_.codes, "Q-10: MXFP6 is not supported", kOtherBuild);
    }
    // F4 counts codes, U8 bytes of two.
    if (k % 2 != 0 || !codes_are(out_.codes->dtype == DType::kF4 ? k : k / 2)) {
      return k % 2 != 0
                 ? refuse(out_.codes, fmt::format("Q-4: {} columns cannot be packed two a byte", k))
                 : false;
    }
    if (out_.scales->shape.size() != 2 || out_.scales->shape[0] != n || out_.scales->shape[1] < 1 ||
        k % out_.scales->shape[1] != 0)
      return wrong_scales();
    const int64_t groups = out_.scales->shape[1], group = k / groups;
    out_.matrix.scales = plane_of(*out_.scales, n, groups);
    set_block(1, group);
    if (exponents) {
      if (group != 32) return wrong_scales();
      out_.possible = {StoredScheme::kMxfp4};
      return true;
    }
    if (out_.scales->dtype != DType::kF8E4M3 || (group != 16 && (group != 32 || packed_)))
      return wrong_scales();
    out_.possible = {group == 16 ? StoredScheme::kNvfp4 : StoredScheme::kW4A8Nvfp4};
    if (group == 16 && !packed_) out_.possible.push_back(StoredScheme::kW4A8Nvfp4);
    const char* leaf = packed_ ? "weight_global_scale" : "weight_scale_2";
    if (find(leaf) == nullptr)
      return refuse(out_.codes, fmt::format("Q-1: {} has no {}", expected_.module, leaf));
    return tensor_scale(use(find(leaf), "tensor scale"),
                        packed_ ? TensorScale::Use::kDivide : TensorScale::Use::kMultiply,
                        out_.matrix.tensor_scale);
  }

  bool detect_integers() {
    const int64_t n = expected_.rows, k = expected_.columns;
    out_.possible = {StoredScheme::kInteger};
    out_.matrix.packed = packed_;
    if (scales_are({n, 1}, n, 1) || scales_are({n}, n, 1)) {
      set_block(1, k);
    } else if (out_.scales->elements() == 1) {
      out_.matrix.scales = plane_of(*out_.scales, 1, 1);
      set_block(n, k);
    } else if (out_.scales->shape.size() == 2 && out_.scales->shape[0] == n &&
               out_.scales->shape[1] > 0 && k % out_.scales->shape[1] == 0) {
      out_.matrix.scales = plane_of(*out_.scales, n, out_.scales->shape[1]);
      set_block(1, k / out_.scales->shape[1]);
    } else {
      return wrong_scales();
    }
    if (!packed_) {
      out_.matrix.bits = 8;  // unless the config says that fewer are in use
      return true;
    }
    // weight_shape restates (N, K); the number of bits follows from K and the words of a row.
    const StoredTensor* shape = find("weight_shape");
    if (shape == nullptr)
      return refuse(out_.codes, fmt::format("Q-1: {} has no weight_shape", expected_.module));
    use(shape, "shape");
    if (!shape_tensor_is(*shape, n, k)) {
      return refuse(
          shape,
          fmt::format("Q-13: does not say [{}, {}], which the model's geometry needs", n, k));
    }
    out_.matrix.codes = plane_of(*out_.codes, n, out_.codes->shape[1]);
    for (int bits = 2; bits <= 8; ++bits) {
      if (blocks(k * bits, 32) == out_.codes->shape[1]) out_.matrix.bits = bits;
    }
    if (out_.codes->shape[0] != n || out_.matrix.bits == 0) {
      return refuse(out_.codes, fmt::format("Q-13: has shape {}, which packs no weight of [{}, {}]",
                                            shape_text(*out_.codes), n, k));
    }
    if (const StoredTensor* zeros = find("weight_zero_point")) {
      use(zeros, "zero points");
      if (zeros->shape.size() != 2)
        return refuse(zeros, fmt::format("Q-4: has shape {}", shape_text(*zeros)));
      out_.matrix.zero_points = plane_of(*zeros, zeros->shape[0], zeros->shape[1]);
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
    out_.matrix.block_rows = rows;
    out_.matrix.block_columns = columns;
  }

  bool tensor_scale(const StoredTensor* tensor, TensorScale::Use direction, TensorScale& out) {
    Result<float> value = read_scale(*tensor);
    if (!value.ok()) return refuse(tensor, value.error().why);
    out = {direction, *value};
    return true;
  }

  const ExpectedWeight& expected_;
  const ModuleTensors& tensors_;
  StoredLayout out_;
  bool packed_ = false;  // weight_packed, not weight
};

}  // namespace

StoredLayout read_stored_layout(const ExpectedWeight& expected, const ModuleTensors& tensors) {
  return LayoutReader(expected, tensors).read();
}

}  // namespace sluice::model
