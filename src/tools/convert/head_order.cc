#include "tools/convert/head_order.h"

#include <numeric>

#include "base/check.h"

namespace sluice::convert {

std::optional<HeadPlace> head_place(std::string_view canonical, const model::TextConfig& config) {
  const auto is = [&](std::string_view leaf) {
    return canonical.starts_with("layers.") && canonical.ends_with(leaf);
  };
  const int64_t keys = 2 * config.gdn_key_heads * config.gdn_key_dim, width = config.gdn_value_dim;
  if (is("linear_attn.in_proj_qkv.weight") || is("linear_attn.conv1d.weight"))
    return HeadPlace{true, keys, width};
  if (is("linear_attn.in_proj_z.weight")) return HeadPlace{true, 0, width};
  if (is("linear_attn.in_proj_a.weight") || is("linear_attn.in_proj_b.weight"))
    return HeadPlace{true, 0, 1};
  if (is("linear_attn.out_proj.weight")) return HeadPlace{false, 0, width};
  // Vectors are matrices of one row.
  if (is("linear_attn.A_log") || is("linear_attn.dt_bias")) return HeadPlace{false, 0, 1};
  return std::nullopt;
}

std::vector<int64_t> moved_indices(const HeadPlace& place, int64_t extent,
                                   const model::TextConfig& config, ops::HeadOrder target) {
  const int64_t key_heads = config.gdn_key_heads, heads = config.gdn_value_heads;
  if (config.head_order == target || heads == key_heads) return {};
  const int64_t ratio = heads / key_heads;
  SLUICE_CHECK(place.first + heads * place.unit == extent, "{} heads of {} from {} in {}", heads,
               place.unit, place.first, extent);
  std::vector<int64_t> source(static_cast<size_t>(extent));
  std::iota(source.begin(), source.end(), int64_t{0});
  for (int64_t head = 0; head < heads; ++head) {
    // Head `head` of the target: tiled t is the grouped g(t), grouped g the tiled t(g).
    const int64_t from = target == ops::HeadOrder::kTiled
                             ? ratio * (head % key_heads) + head / key_heads
                             : key_heads * (head % ratio) + head / ratio;
    for (int64_t i = 0; i < place.unit; ++i) {
      source[static_cast<size_t>(place.first + head * place.unit + i)] =
          place.first + from * place.unit + i;
    }
  }
  return source;
}

}  // namespace sluice::convert
