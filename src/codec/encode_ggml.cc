#include <fmt/format.h>

#include <cmath>

#include "base/check.h"
#include "codec/codec.h"
#include "codec/encode_common.h"
#include "codec/ggml.h"
#include "codec/ggml_encode.h"

namespace sluice::codec {

Result<OwnedMatrix> encode_ggml(const WeightSource& source, Format format,
                                std::span<const float> importance) {
  SLUICE_TRY(check_source(source));
  const auto type = ggml_dtype(format);
  SLUICE_CHECK(type.has_value(), "format {}", format_name(format));
  const int width = dtype_info(*type).block_elements;
  if (source.columns % width != 0) {
    return not_encodable(source,
                         fmt::format("{} columns are not a multiple of the block width {} of {}",
                                     source.columns, width, dtype_name(*type)));
  }
  const auto columns = static_cast<size_t>(source.columns);
  SLUICE_CHECK(importance.empty() || importance.size() == columns, "{} importances for {} columns",
               importance.size(), columns);
  for (const float v : importance) {
    if (!std::isfinite(v) || v < 0) {
      return bad_input(source.name, fmt::format("its importance vector holds {}", v),
                       "Make the importance matrix anew");
    }
  }
  OwnedMatrix owned = make_matrix(source, format, 0, 0);
  auto* out = reinterpret_cast<std::byte*>(
      allocate_plane(owned.codes, owned.matrix.codes, *type, source.rows, source.columns));
  const auto row_bytes = static_cast<int64_t>(dtype_bytes(*type, columns).value());
  for (int64_t row = 0; row < source.rows; ++row) {
    encode_ggml_row(*type, source.values.subspan(static_cast<size_t>(row) * columns, columns),
                    importance, out + row * row_bytes);
  }
  // The one thing that finite weights can break: a scale beyond F16.
  if (!check_codes(owned.matrix, source.name).ok()) {
    return not_encodable(source, fmt::format("weights up to {} need a block scale beyond F16",
                                             amax_of(source.values)));
  }
  return owned;
}

}  // namespace sluice::codec
