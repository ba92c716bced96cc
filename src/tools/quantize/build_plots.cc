#include "tools/quantize/build_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "tools/plot/svg.h"

namespace sluice::quantize {
namespace {

using tools::Ink;
using tools::SvgPicture;
using Anchor = SvgPicture::Anchor;

constexpr double kTop = 34, kBottom = 40, kRow = 22, kBar = 14;

std::string percent(double share) { return fmt::format("{:.3g} %", 100 * share); }
double megabytes(uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

// ---------------------------------------------- error by layer and kind

// Where a tensor of either container stands: "blk.3.ffn_up.weight", "model.layers.3.mlp.up_proj.
// weight_packed", "mtp.layers.0.mlp.up_proj.weight", "lm_head.weight".
struct TensorPlace {
  std::string kind;
  int64_t layer = 0;
};

TensorPlace place_of(const std::string& name) {
  TensorPlace place{name.substr(0, name.rfind('.')), 0};
  for (const std::string_view mark : {"blk.", "layers."}) {
    const size_t at = place.kind.find(mark);
    if (at == std::string::npos) continue;
    const char* begin = place.kind.data() + at + mark.size();
    const char* end = place.kind.data() + place.kind.size();
    const auto [stop, error] = std::from_chars(begin, end, place.layer);
    if (error != std::errc() || stop == end || *stop != '.') continue;
    const bool draft = place.kind.starts_with("mtp.");
    place.kind = (draft ? "mtp." : "") + std::string(stop + 1, end);
    break;
  }
  return place;
}

// From the smallest error above 0 to the largest, in equal steps of ratio.
double strength_of(double error, double least, double most) {
  return most > least ? std::log(error / least) / std::log(most / least) : 1;
}

std::optional<BuildPlot> error_plot(const BuildReport& report) {
  constexpr double kLeft = 210, kRight = 20, kLeastWidth = 560, kLeastCell = 12, kLegend = 26;
  std::vector<std::string> kinds;  // in the order of the build
  std::map<std::string, std::map<int64_t, const TensorReport*>> cells;
  int64_t layers = 1;
  double least = 0, most = 0;
  for (const TensorReport& tensor : report.tensors) {
    if (tensor.rows < 2) continue;
    const TensorPlace place = place_of(tensor.name);
    if (!cells.contains(place.kind)) kinds.push_back(place.kind);
    cells[place.kind][place.layer] = &tensor;
    layers = std::max(layers, place.layer + 1);
    if (tensor.error <= 0) continue;
    least = least > 0 ? std::min(least, tensor.error) : tensor.error;
    most = std::max(most, tensor.error);
  }
  if (kinds.empty()) return std::nullopt;
  const double cell =
      std::max(kLeastCell, (kLeastWidth - kLeft - kRight) / static_cast<double>(layers));
  const double width = kLeft + cell * static_cast<double>(layers) + kRight;
  const double axis = kTop + kRow * static_cast<double>(kinds.size());
  BuildPlot plot;
  plot.name = "error_by_layer.svg";
  plot.words = fmt::format(
      "Relative error of each matrix, a row for each kind and a column for each layer: from {} to "
      "{}; grey is as in the source.",
      percent(least), percent(most));
  SvgPicture svg(width, axis + kBottom + kLegend, "Error by layer and kind of matrix", plot.words);
  svg.text(12, 20, Anchor::kStart, report.source + " as " + report.target + ": error by layer");
  double y = kTop;
  for (const std::string& kind : kinds) {
    svg.text(kLeft - 8, y + 14, Anchor::kEnd, kind);
    for (const auto& [layer, tensor] : cells.at(kind)) {
      const double x = kLeft + cell * static_cast<double>(layer);
      const std::string note = fmt::format("{}: {}, {}", tensor->name, tensor->format,
                                           tensor->error > 0 ? percent(tensor->error) : "exact");
      if (tensor->error > 0) {
        svg.shade(x, y + 1, cell - 1, kRow - 2, strength_of(tensor->error, least, most), note);
      } else {
        svg.box(x, y + 1, cell - 1, kRow - 2, Ink::kMuted, note);
      }
    }
    y += kRow;
  }
  const int64_t step = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(24 / cell)));
  for (int64_t layer = 0; layer < layers; layer += step)
    svg.text(kLeft + cell * (static_cast<double>(layer) + 0.5), axis + 14, Anchor::kMiddle,
             fmt::format("{}", layer));
  svg.text(kLeft - 8, axis + 14, Anchor::kEnd, "layer");
  constexpr int kShades = 5;
  svg.text(kLeft - 8, axis + 40, Anchor::kEnd, percent(least));
  for (int i = 0; i < kShades; ++i)
    svg.shade(kLeft + 30 * i, axis + 29, 29, kBar, i / (kShades - 1.0), {});
  svg.text(kLeft + 30 * kShades + 8, axis + 40, Anchor::kStart, percent(most));
  plot.svg = svg.done();
  return plot;
}

// ---------------------------------------------- size by format

BuildPlot size_plot(const BuildReport& report) {
  constexpr double kWidth = 560, kLeft = 110, kRight = 190;
  struct Sum {
    uint64_t bytes = 0;
    size_t tensors = 0;
  };
  std::map<std::string, Sum> sums;
  uint64_t largest = 1;
  for (const TensorReport& tensor : report.tensors) {
    Sum& sum = sums[tensor.format];
    sum.bytes += tensor.bytes;
    ++sum.tensors;
    largest = std::max(largest, sum.bytes);
  }
  BuildPlot plot;
  plot.name = "size_by_format.svg";
  plot.words =
      fmt::format("Size of the build's {:.2f} MB of tensors by format:", megabytes(report.bytes));
  for (const auto& [format, sum] : sums)
    plot.words += fmt::format(" {} {:.2f} MB;", format, megabytes(sum.bytes));
  plot.words.back() = '.';
  SvgPicture svg(kWidth, kTop + kRow * static_cast<double>(sums.size()) + 12, "Size by format",
                 plot.words);
  svg.text(12, 20, Anchor::kStart, report.source + " as " + report.target + ": size by format");
  double y = kTop;
  for (const auto& [format, sum] : sums) {
    const double share = static_cast<double>(sum.bytes) / static_cast<double>(largest);
    const std::string figures =
        fmt::format("{:.2f} MB, {} tensors", megabytes(sum.bytes), sum.tensors);
    svg.text(kLeft - 8, y + 12, Anchor::kEnd, format);
    svg.box(kLeft, y, (kWidth - kLeft - kRight) * share, kBar, Ink::kFirst,
            format + ": " + figures);
    svg.text(kWidth - kRight + 10, y + 12, Anchor::kStart, figures);
    y += kRow;
  }
  plot.svg = svg.done();
  return plot;
}

// ---------------------------------------------- drafts

std::optional<BuildPlot> draft_plot(const BuildReport& report) {
  constexpr double kWidth = 560, kLeft = 150, kRight = 90;
  if (!report.proof || report.proof->acceptance_after.empty()) return std::nullopt;
  const auto &before = report.proof->acceptance_before, &after = report.proof->acceptance_after;
  const size_t positions = std::max(before.size(), after.size());
  BuildPlot plot;
  plot.name = "draft_acceptance.svg";
  const std::string& whose_before = report.proof->drafts_before_of;
  plot.words = fmt::format("Share of greedy drafts that hold, by position, {} and this build:",
                           whose_before);
  for (size_t i = 0; i < positions; ++i)
    plot.words +=
        fmt::format(" {}: {} and {};", i + 1, i < before.size() ? percent(before[i]) : "-",
                    i < after.size() ? percent(after[i]) : "-");
  plot.words.back() = '.';
  SvgPicture svg(kWidth, kTop + 2 * kRow * static_cast<double>(positions) + 12, "Accepted drafts",
                 plot.words);
  svg.text(12, 20, Anchor::kStart, report.source + " as " + report.target + ": drafts that hold");
  double y = kTop;
  const auto bar = [&](size_t position, const std::vector<double>& shares, std::string_view whose,
                       Ink ink) {
    if (position < shares.size()) {
      const std::string name = fmt::format("position {}, {}", position + 1, whose);
      const std::string figure = percent(shares[position]);
      svg.text(kLeft - 8, y + 12, Anchor::kEnd, name);
      svg.box(kLeft, y, (kWidth - kLeft - kRight) * shares[position], kBar, ink,
              name + ": " + figure);
      svg.text(kWidth - kRight + 10, y + 12, Anchor::kStart, figure);
    }
    y += kRow;
  };
  for (size_t i = 0; i < positions; ++i) {
    bar(i, before, whose_before, Ink::kMuted);
    bar(i, after, "this build", Ink::kSecond);
  }
  plot.svg = svg.done();
  return plot;
}

}  // namespace

std::vector<BuildPlot> build_plots(const BuildReport& report) {
  std::vector<BuildPlot> plots;
  if (auto plot = error_plot(report)) plots.push_back(std::move(*plot));
  plots.push_back(size_plot(report));
  if (auto plot = draft_plot(report)) plots.push_back(std::move(*plot));
  return plots;
}

}  // namespace sluice::quantize
