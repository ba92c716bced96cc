#include "runtime/cache/checkpoint_places.h"

#include <algorithm>
#include <cstdlib>

#include "ops/batch.h"

namespace sluice::runtime {
namespace {

// A step reads all weights once, for so many rows: places nearer to each other make short steps.
constexpr int64_t kStepRows = 512;
constexpr int64_t kShortestRung = 2 * kStepRows;

int64_t grid_below(int64_t position) { return position / ops::kGrid * ops::kGrid; }

// The last border at or before `position`; 0 if there is none.
int64_t border_below(std::span<const int64_t> borders, int64_t position) {
  const auto above = std::upper_bound(borders.begin(), borders.end(), position);
  return above == borders.begin() ? 0 : *(above - 1);
}

}  // namespace

std::vector<int64_t> checkpoint_places(const PromptOutline& prompt, int64_t most) {
  std::vector<int64_t> places;
  const auto add = [&](int64_t position) {
    const int64_t place = grid_below(position);
    if (place <= prompt.begin || place > prompt.length) return;
    if (static_cast<int64_t>(places.size()) >= most) return;
    if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);
  };
  add(border_below(prompt.borders, prompt.length));
  add(prompt.length);
  add(prompt.branch);
  if (!prompt.borders.empty()) add(prompt.borders.front());
  for (int64_t rung = kShortestRung; prompt.length - rung > prompt.begin; rung *= 2) {
    const int64_t at = prompt.length - rung, border = border_below(prompt.borders, at);
    add(border > 0 && border >= at - rung / 2 ? border : at);
  }
  for (size_t i = prompt.borders.size(); i-- > 0;) {
    const int64_t border = prompt.borders[i];
    const bool lonely = std::none_of(places.begin(), places.end(), [&](int64_t place) {
      return std::abs(place - border) < kStepRows;
    });
    if (lonely) add(border);
  }
  std::sort(places.begin(), places.end());
  return places;
}

}  // namespace sluice::runtime
