#include "tools/bench/bench_plot.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"

namespace sluice::tools {
namespace {

constexpr double kWidth = 760, kLeft = 170, kRight = 200, kTop = 64, kRow = 26, kBar = 16,
                 kBottom = 44;

// A model's name comes from outside.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : replace_invalid_utf8(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // XML 1.0 has no other control characters.
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string label(double x, double y, const char* anchor, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     escaped(text));
}

const char* colour_of(Figure::Kind kind) {
  switch (kind) {
    case Figure::Kind::kPrompt:
      return "#1f4e9c";
    case Figure::Kind::kRows:
      return "#2e8b57";
    case Figure::Kind::kDrafts:
      return "#c0792b";
    case Figure::Kind::kContext:
      return "#7d3c98";
  }
  return "#8e8e8e";
}

}  // namespace

std::string bench_svg(const BenchConditions& conditions, const BenchResult& result) {
  // Floor and figure are not measured in the same instant: a share may pass 1.
  double most = 1;
  for (const Figure& figure : result.figures) most = std::max(most, figure.share.max);
  const double rows = static_cast<double>(result.figures.size());
  const double height = kTop + rows * kRow + kBottom;
  const auto x = [&](double share) { return kLeft + (kWidth - kLeft - kRight) * share / most; };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      kWidth, height);
  svg += label(12, 22, "start", conditions.model);
  svg += label(12, 40, "start",
               fmt::format("{} {}, {} threads, activations {}; read {:.1f} GB/s",
                           conditions.backend, conditions.instruction_set, conditions.threads,
                           conditions.activations, result.read.median * 1e-9));
  const double axis = kTop + rows * kRow;
  for (int percent = 0; percent <= static_cast<int>(most * 100); percent += 20) {
    const double at = x(percent / 100.0);
    svg += fmt::format(
        "<line x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\" stroke=\"{3}\"/>\n", at,
        kTop - 4, axis, percent == 100 ? "#444444" : "#dddddd");
    svg += label(at, axis + 16, "middle", fmt::format("{} %", percent));
  }
  svg += label(x(most / 2), axis + 34, "middle", "share of the floor");
  double y = kTop;
  for (const Figure& figure : result.figures) {
    svg += label(kLeft - 8, y + 13, "end", figure.name());
    svg += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" fill=\"{}\"/>\n", kLeft, y,
        x(figure.share.median) - kLeft, kBar, colour_of(figure.kind));
    // Lowest to highest of the repetitions.
    svg += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"black\"/>\n",
        x(figure.share.min), y + kBar / 2, x(figure.share.max), y + kBar / 2);
    svg += label(kWidth - kRight + 10, y + 13, "start",
                 fmt::format("{:.1f} of {:.1f} tokens/s", figure.tokens_per_second.median,
                             figure.floor_tokens_per_second.median));
    y += kRow;
  }
  return svg + "</svg>\n";
}

}  // namespace sluice::tools
