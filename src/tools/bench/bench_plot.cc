#include "tools/bench/bench_plot.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/plot/svg.h"

namespace sluice::tools {
namespace {

constexpr double kWidth = 760, kLeft = 170, kRight = 200, kTop = 64, kRow = 26, kBar = 16,
                 kBottom = 44;

Ink ink_of(Figure::Kind kind) {
  switch (kind) {
    case Figure::Kind::kPrompt:
      return Ink::kFirst;
    case Figure::Kind::kRows:
      return Ink::kSecond;
    case Figure::Kind::kDrafts:
      return Ink::kThird;
    case Figure::Kind::kContext:
      return Ink::kFourth;
  }
  return Ink::kMuted;
}

}  // namespace

std::string bench_svg(const BenchConditions& conditions, const BenchResult& result) {
  // Floor and figure are not measured in the same instant: a share may pass 1.
  double most = 1;
  for (const Figure& figure : result.figures) most = std::max(most, figure.share.max);
  const double rows = static_cast<double>(result.figures.size());
  const double height = kTop + rows * kRow + kBottom;
  const auto x = [&](double share) { return kLeft + (kWidth - kLeft - kRight) * share / most; };
  using Anchor = SvgPicture::Anchor;
  SvgPicture svg(kWidth, height, "Speed of " + conditions.model,
                 fmt::format("A bar for each of {} figures, as long as its share of what the "
                             "machine's memory or arithmetic allows; beside it the tokens per "
                             "second that were measured and allowed.",
                             result.figures.size()));
  svg.text(12, 22, Anchor::kStart, conditions.model);
  svg.text(12, 40, Anchor::kStart,
           fmt::format("{} {}, {} threads, activations {}; read {:.1f} GB/s", conditions.backend,
                       conditions.instruction_set, conditions.threads, conditions.activations,
                       result.read.median * 1e-9));
  const double axis = kTop + rows * kRow;
  for (int percent = 0; percent <= static_cast<int>(most * 100); percent += 20) {
    const double at = x(percent / 100.0);
    svg.line(at, kTop - 4, at, axis, percent == 100 ? Ink::kAxis : Ink::kGrid);
    svg.text(at, axis + 16, Anchor::kMiddle, fmt::format("{} %", percent));
  }
  svg.text(x(most / 2), axis + 34, Anchor::kMiddle, "share of the floor");
  double y = kTop;
  for (const Figure& figure : result.figures) {
    svg.text(kLeft - 8, y + 13, Anchor::kEnd, figure.name());
    svg.box(kLeft, y, x(figure.share.median) - kLeft, kBar, ink_of(figure.kind));
    // Lowest to highest of the repetitions.
    svg.line(x(figure.share.min), y + kBar / 2, x(figure.share.max), y + kBar / 2, Ink::kMark);
    svg.text(kWidth - kRight + 10, y + 13, Anchor::kStart,
             fmt::format("{:.1f} of {:.1f} tokens/s", figure.tokens_per_second.median,
                         figure.floor_tokens_per_second.median));
    y += kRow;
  }
  return svg.done();
}

}  // namespace sluice::tools
