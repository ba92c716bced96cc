// Scalar encoders of the safetensors formats and the door to those of ggml: weights in, a matrix
// with planes of its own out. They reproduce the bytes of the formats' own tools where the spec
// states their arithmetic (spec/formats-safetensors.md 3.4 to 3.11, quantization-algorithms.md
// sections 2 to 5); the rule is an option.
//
// Large tensors may be encoded in slabs of rows: every block lies within a row, except FP8 tiles
// (slabs of a multiple of 128 rows) and what depends on the whole tensor, for which the options
// take the tensor's amax.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "codec/mx.h"
#include "tensor/matrix.h"

namespace sluice::codec {

// An encoded matrix with the bytes that its planes borrow. Moving keeps them valid; a copy would
// not.
struct OwnedMatrix {
  std::vector<std::byte> codes, scales, zero_points;
  EncodedMatrix matrix;

  OwnedMatrix() = default;
  OwnedMatrix(OwnedMatrix&&) = default;
  OwnedMatrix& operator=(OwnedMatrix&&) = default;
};

// The dtype in which a reference encoder would have held the weights: some of them compute in it.
enum class SourceType : uint8_t { kF32, kBf16 };

// Weights to encode, [rows, columns] row-major; with kBf16 every value is exact in BF16. All values
// must be finite: every encoder refuses others, naming `name` and the place.
struct WeightSource {
  std::string name;
  std::span<const float> values;
  int64_t rows = 0, columns = 0;
  SourceType type = SourceType::kBf16;
};

// Largest magnitude of the values, of which those that are NaN do not count.
float amax_of(std::span<const float> values);

// The place of the first value that is infinite or NaN; their number if there is none.
size_t first_not_finite(std::span<const float> values);

// f32, f16 or bf16, round to nearest even. F16 refuses values beyond its range.
Result<OwnedMatrix> encode_floats(const WeightSource& source, Format format);

// ---- FP8: fp8_block, fp8_channel, fp8_tensor.

enum class Fp8Rule : uint8_t {
  kStored,        // ours: round the scale to its dtype first, divide by what is stored (section 2)
  kTransformers,  // fp8_block: multiply by 448/amax, store the inverse of that
  kCompressedTensors,  // scale and quotient rounded to the weight's dtype: for BF16 a double
                       // rounding
  kModelOpt,  // F32 scales; the quotient of a whole tensor is rounded to BF16 for BF16 weights
};
struct Fp8Options {
  Format format = Format::kFp8Block;
  Fp8Rule rule = Fp8Rule::kStored;
  DType scale_dtype = DType::kBF16;  // BF16 or F32; some rules have their own: see encode_fp8
  std::optional<float> amax = std::nullopt;  // fp8_tensor: of the whole tensor or a fused group
};

// The scales' dtype is scale_dtype for kStored and kTransformers, the source's for
// kCompressedTensors, F32 for kModelOpt.
Result<OwnedMatrix> encode_fp8(const WeightSource& source, const Fp8Options& options);

// ---- NVFP4: nvfp4, nvfp4_a4, nvfp4_a8, w4a8_nvfp4.

enum class Nvfp4Rule : uint8_t {
  kCompressedTensors,  // a divisor; for BF16 weights it and amax/6 are rounded to BF16
  kModelOpt,           // a multiplier; scales clamped to 2^-9; exact zeros have code 0
};
struct Nvfp4Options {
  Format format = Format::kNvfp4;
  Nvfp4Rule rule = Nvfp4Rule::kModelOpt;
  int64_t group = 16;          // 32 for w4a8_nvfp4 as its preset writes it
  bool four_over_six = false;  // kModelOpt: also try amax on 4 and keep the smaller squared error
  std::optional<float> amax = std::nullopt;  // of the whole tensor or a fused group
  // Instead of the rule's, e.g. a power of two shared by a fused group; must divide or multiply as
  // the rule does.
  std::optional<TensorScale> tensor_scale = std::nullopt;
};
Result<OwnedMatrix> encode_nvfp4(const WeightSource& source, const Nvfp4Options& options);

// ---- MXFP4, MXFP8. With kModelOpt E2M1 ties go to the smaller magnitude and zeros have code 8, as
// its files do.

Result<OwnedMatrix> encode_mx(const WeightSource& source, Format format, MxRule rule);

// ---- Integers as compressed-tensors makes them (min/max): int4, int4_a8, int8.

struct IntegerOptions {
  Format format = Format::kInt4;
  int bits = 4;
  int64_t group = 128;    // columns under one scale; 0: the whole row
  bool symmetric = true;  // else zero points, which need packed
  bool packed = false;
};
Result<OwnedMatrix> encode_integer(const WeightSource& source, const IntegerOptions& options);

// ---- ggml block types. `importance` has a value per column or is empty.

Result<OwnedMatrix> encode_ggml(const WeightSource& source, Format format,
                                std::span<const float> importance = {});

}  // namespace sluice::codec
