#include "backend/cpu/fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/switches.h"

namespace sluice::cpu {
namespace {

constexpr std::array<std::string_view, kCodeKinds> kKindNames = {
    "nibble", "nibble_table", "five", "six", "byte", "bf16", "f16", "f32", "e4m3"};

// A page of the smallest size: streams that jump would not profit from more.
constexpr int32_t kMostAhead = 64 * 1024;

constexpr double kClearly = 0.97, kSurely = 0.85;
constexpr int kRounds = 5, kFinalRounds = 9;

std::optional<int32_t> parse_bytes(std::string_view text) {
  int32_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (error != std::errc() || end != text.data() + text.size() || bytes <= 0 ||
      bytes > kMostAhead || bytes % kLine != 0) {
    return std::nullopt;
  }
  return bytes;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Times of candidates, by turns.
class Rounds {
 public:
  explicit Rounds(size_t candidates) : times_(candidates) {}

  template <typename Run>
  void run(std::span<const FetchDistance> candidates, const Run& seconds) {
    for (size_t i = 0; i < times_.size(); ++i) times_[i].push_back(seconds(candidates[i]));
  }

  // The median over rounds of a candidate's time beside the first one's in the same round.
  double ratio(size_t candidate) const {
    std::vector<double> ratios;
    for (size_t round = 0; round < times_[0].size(); ++round) {
      ratios.push_back(times_[candidate][round] / times_[0][round]);
    }
    return median(std::move(ratios));
  }

  size_t best() const {
    size_t best = 0;
    for (size_t i = 1; i < times_.size(); ++i) {
      if (ratio(i) < ratio(best)) best = i;
    }
    return best;
  }

  // Of a machine that does other things as well, where the least time of each candidate says most:
  // the one with the least of all, or the first where that is not much less than its own.
  size_t surely_best() const {
    const auto least = [&](size_t i) {
      return *std::min_element(times_[i].begin(), times_[i].end());
    };
    size_t best = 0;
    for (size_t i = 1; i < times_.size(); ++i) {
      if (least(i) < least(best)) best = i;
    }
    return times_[0].size() > 1 && least(best) <= kSurely * least(0) ? best : 0;
  }

 private:
  std::vector<std::vector<double>> times_;  // [candidate][round]
};

}  // namespace

FetchDistances FetchDistances::all(FetchDistance distance) {
  FetchDistances distances;
  distances.products.fill(distance);
  distances.tiles.fill(distance);
  distances.attention = distance;
  return distances;
}

std::string fetch_name(const FetchDistance& distance) {
  if (distance.far == 0) return distance.near == 0 ? "none" : std::to_string(distance.near);
  return fmt::format("{}+{}", distance.far, distance.near);
}

Result<FetchDistance> parse_fetch(std::string_view text) {
  if (text == "none") return FetchDistance{};
  const size_t plus = text.find('+');
  const std::optional<int32_t> near =
      parse_bytes(plus == std::string_view::npos ? text : text.substr(plus + 1));
  const std::optional<int32_t> far =
      plus == std::string_view::npos ? 0 : parse_bytes(text.substr(0, plus));
  if (near && far) return FetchDistance{*far, *near};
  return usage_error("SLUICE_PREFETCH", fmt::format("\"{}\" is no distance", text),
                     "Say none, NEAR or FAR+NEAR: multiples of 64 up to 65536 bytes");
}

std::string fetch_names(const FetchDistances& distances) {
  std::string text;
  const auto add = [&](std::string_view name, std::string_view what,
                       const FetchDistance& distance) {
    if (distance == FetchDistance{}) return;
    text += fmt::format("{}{}{} {}", text.empty() ? "" : ", ", name, what, fetch_name(distance));
  };
  for (size_t kind = 0; kind < kKindNames.size(); ++kind) {
    add(kKindNames[kind], "", distances.products[kind]);
    add(kKindNames[kind], " tiles", distances.tiles[kind]);
  }
  add("attention", "", distances.attention);
  return text.empty() ? "none" : text;
}

Result<std::optional<FetchDistance>> forced_fetch() {
  const std::optional<std::string> text = environment("SLUICE_PREFETCH");
  if (!text) return std::optional<FetchDistance>();
  SLUICE_ASSIGN(const FetchDistance distance, parse_fetch(*text));
  return std::optional<FetchDistance>(distance);
}

std::span<const FetchDistance> fetch_candidates() {
  // What prototypes gained with on one machine or another (docs/decisions/prefetch.md).
  static constexpr FetchDistance kCandidates[] = {{0, 0},    {0, 512},  {0, 1024},    {0, 2048},
                                                  {0, 4096}, {0, 8192}, {4096, 1024}, {8192, 2048}};
  return kCandidates;
}

FetchDistance choose_fetch(std::span<const FetchDistance> candidates, double budget,
                           const std::function<double(const FetchDistance&)>& seconds) {
  const auto run = [&](const FetchDistance& distance) {
    const double time = seconds(distance);
    budget -= time;
    return time;
  };
  Rounds tried(candidates.size());
  for (int round = 0; round < kRounds && budget > 0; ++round) tried.run(candidates, run);
  if (budget <= 0) return candidates[tried.surely_best()];
  const size_t best = tried.best();
  if (tried.ratio(best) > kClearly) return candidates[0];
  // The least of several noisy figures is too low; only new rounds can tell.
  const FetchDistance final_two[] = {candidates[0], candidates[best]};
  Rounds last(2);
  for (int round = 0; round < kFinalRounds && budget > 0; ++round) last.run(final_two, run);
  if (budget <= 0) return candidates[tried.surely_best()];
  return last.ratio(1) <= kClearly ? candidates[best] : candidates[0];
}

}  // namespace sluice::cpu
