#include "codec/encode_support.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "codec/codec.h"
#include "codec/number_formats.h"

namespace sluice::codec::test {

WeightSource source_of(std::span<const float> values, int64_t rows, int64_t columns,
                       SourceType type) {
  return {"w", values, rows, columns, type};
}

std::vector<uint8_t> bytes_of(const Plane& plane) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(plane.bytes.data());
  return {bytes, bytes + plane.bytes.size()};
}

OwnedMatrix checked(Result<OwnedMatrix> result) {
  EXPECT_TRUE(result.ok()) << result.error().message();
  if (!result.ok()) return {};
  OwnedMatrix owned = *std::move(result);
  for (const Status& status : {check_matrix(owned.matrix, "w"), check_scales(owned.matrix, "w"),
                               check_codes(owned.matrix, "w")}) {
    EXPECT_TRUE(status.ok()) << status.error().message();
  }
  return owned;
}

std::vector<float> decoded(const OwnedMatrix& owned) {
  std::vector<float> out(static_cast<size_t>(owned.matrix.rows * owned.matrix.columns));
  decode_rows(owned.matrix, 0, owned.matrix.rows, out.data());
  return out;
}

std::vector<float> random_weights(size_t count) {
  std::mt19937 engine(7);
  std::student_t_distribution<float> distribution(5.0f);
  std::vector<float> values(count);
  for (float& value : values)
    value = round_to_bf16(0.02f / std::sqrt(5.0f / 3.0f) * distribution(engine));
  return values;
}

}  // namespace sluice::codec::test
