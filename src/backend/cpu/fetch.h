// How far ahead software prefetch asks for memory: the distances of a backend, their names, and the
// choice among measured ones. Speed alone depends on them (docs/decisions/prefetch.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "backend/cpu/product.h"
#include "base/result.h"

namespace sluice::cpu {

inline bool operator==(const FetchDistance& a, const FetchDistance& b) {
  return a.far == b.far && a.near == b.near;
}

struct FetchDistances {
  // By CodeKind, for products of one row and for tiles of a few, which read memory at another pace.
  std::array<FetchDistance, kCodeKinds> products = {}, tiles = {};
  // Of attention over pages of keys and values.
  FetchDistance attention = {};

  static FetchDistances all(FetchDistance distance);
  FetchDistance& of(CodeKind kind, int64_t rows) {
    return (rows == 1 ? products : tiles)[static_cast<size_t>(kind)];
  }
  const FetchDistance& of(CodeKind kind, int64_t rows) const {
    return (rows == 1 ? products : tiles)[static_cast<size_t>(kind)];
  }
};

// "none", "1024" (near) or "4096+1024" (far and near).
std::string fetch_name(const FetchDistance& distance);
Result<FetchDistance> parse_fetch(std::string_view text);
// "nibble 1024, nibble tiles 2048, attention 4096+1024": those that are not none; "none" if all
// are.
std::string fetch_names(const FetchDistances& distances);

// What SLUICE_PREFETCH forces; nothing: to be measured.
Result<std::optional<FetchDistance>> forced_fetch();

// Distances worth trying; the first is none.
std::span<const FetchDistance> fetch_candidates();

// The candidate with the least seconds(candidate), or the first unless that one is beaten clearly:
// by 3 % in the median of interleaved rounds, and once more in rounds of those two alone. When all
// runs together have taken more than `budget` seconds the machine is busy: then the least times of
// at least two rounds decide, by 15 %.
FetchDistance choose_fetch(std::span<const FetchDistance> candidates, double budget,
                           const std::function<double(const FetchDistance&)>& seconds);

}  // namespace sluice::cpu
