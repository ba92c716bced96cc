#include "tools/distill/corpus/draw.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::tools::corpus {
namespace {

constexpr uint64_t kHeldOutShare = 6;

uint64_t hash(std::string_view bytes) {
  uint64_t value = 0xcbf29ce484222325u;
  for (const char byte : bytes) value = (value ^ static_cast<uint8_t>(byte)) * 0x100000001b3u;
  return value;
}

// The finalizer of SplitMix64: FNV's low bits alone are too regular for short names.
uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

}  // namespace

bool is_held_out(std::string_view name) { return mix(hash(name)) % kHeldOutShare == 0; }

std::string pair_name(int64_t left, char operation, int64_t right) {
  if (operation != '-' && left > right) std::swap(left, right);
  return std::string(1, operation) + ":" + std::to_string(left) + ":" + std::to_string(right);
}

Draw::Draw(uint64_t seed, Split split, std::string_view kind, int64_t index)
    : split_(split),
      state_(mix(seed) ^ mix(hash(kind)) ^ mix(static_cast<uint64_t>(index) * 2 + 1) ^
             (split == Split::kHeldOut ? 0x9e3779b97f4a7c15u : 0)) {}

uint64_t Draw::next() {
  state_ += 0x9e3779b97f4a7c15u;
  return mix(state_);
}

uint64_t Draw::below(uint64_t bound) {
  SLUICE_CHECK(bound > 0, "bound {}", bound);
  // The bias of a modulus is below bound / 2^64 here: nothing a corpus could show.
  return next() % bound;
}

int64_t Draw::between(int64_t lowest, int64_t highest) {
  SLUICE_CHECK(lowest <= highest, "{} .. {}", lowest, highest);
  return lowest + static_cast<int64_t>(below(static_cast<uint64_t>(highest - lowest) + 1));
}

int64_t Draw::number(int digits) {
  const uint64_t roll = below(10);
  int length = digits;
  if (roll < 3) length = std::max(1, digits - 1);
  if (roll < 1) length = std::max(1, digits - 2);
  int64_t lowest = 1;
  for (int i = 1; i < length; ++i) lowest *= 10;
  return between(lowest, lowest * 10 - 1);
}

Draw::Operands Draw::operands(char operation, int digits) {
  for (;;) {
    Operands pair{number(digits), operation == '*' ? between(2, 9) : number(digits)};
    if (operation == '-' && pair.left < pair.right) std::swap(pair.left, pair.right);
    if (fits(pair_name(pair.left, operation, pair.right))) return pair;
  }
}

Draw::Operands Draw::operands_between(char operation, int64_t left_lowest, int64_t left_highest,
                                      int64_t right_lowest, int64_t right_highest) {
  for (;;) {
    const Operands pair{between(left_lowest, left_highest), between(right_lowest, right_highest)};
    if (fits(pair_name(pair.left, operation, pair.right))) return pair;
  }
}

std::vector<size_t> Draw::wording(std::string_view family, std::initializer_list<size_t> counts) {
  for (int tries = 0;; ++tries) {
    // Families are large enough to have both kinds; tests/tools/corpus_test.cc counts them.
    SLUICE_CHECK(tries < 100'000, "no wording of {} is on this side of the split", family);
    std::vector<size_t> parts;
    std::string name(family);
    for (const size_t count : counts) {
      parts.push_back(below(count));
      name += "." + std::to_string(parts.back());
    }
    if (!fits(name)) continue;
    wordings_.push_back(std::move(name));
    return parts;
  }
}

}  // namespace sluice::tools::corpus
