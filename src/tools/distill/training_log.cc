#include "tools/distill/training_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "base/file.h"
#include "base/json.h"

namespace sluice::distill {
namespace {

constexpr uint64_t kMaxLogBytes = uint64_t{256} << 20;

Json numbers(const std::vector<double>& values) {
  Json::Array items;
  for (const double value : values) items.emplace_back(value);
  return Json(std::move(items));
}

Json to_json(const LogEntry& entry) {
  Json json = Json::object();
  json.set("step", entry.step);
  json.set("tokens", entry.tokens);
  json.set("loss", entry.loss);
  json.set("accuracy", entry.accuracy);
  json.set("draft_loss", numbers(entry.draft_loss));
  json.set("draft_accuracy", numbers(entry.draft_accuracy));
  json.set("learning_rate", entry.learning_rate);
  json.set("gradient_norm", entry.gradient_norm);
  json.set("tokens_per_second", entry.tokens_per_second);
  return json;
}

LogEntry from_json(const Json& json) {
  const auto real = [&](std::string_view key) {
    const Json* value = json.find(key);
    return value != nullptr ? value->as_double().value_or(0) : 0;
  };
  const auto list = [&](std::string_view key) {
    std::vector<double> values;
    const Json* found = json.find(key);
    if (found == nullptr || !found->is_array()) return values;
    for (const Json& item : found->items()) values.push_back(item.as_double().value_or(0));
    return values;
  };
  LogEntry entry;
  entry.step = static_cast<int64_t>(real("step"));
  entry.tokens = static_cast<int64_t>(real("tokens"));
  entry.loss = real("loss");
  entry.accuracy = real("accuracy");
  entry.draft_loss = list("draft_loss");
  entry.draft_accuracy = list("draft_accuracy");
  entry.learning_rate = real("learning_rate");
  entry.gradient_norm = real("gradient_norm");
  entry.tokens_per_second = real("tokens_per_second");
  return entry;
}

}  // namespace

Result<TrainingLog> TrainingLog::open(const std::filesystem::path& file, int64_t step) {
  TrainingLog log;
  log.file_ = file;
  std::string kept;
  std::error_code ignored;
  if (step > 0 && std::filesystem::exists(file, ignored)) {
    SLUICE_ASSIGN(const std::string text, read_file(file, kMaxLogBytes));
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view line = std::string_view(text).substr(at, end - at);
      at = end + 1;
      const Result<Json> json = parse_json(line);
      if (!json.ok()) continue;  // the last line of a run that was killed
      const LogEntry entry = from_json(*json);
      if (entry.step > step) break;
      log.entries_.push_back(entry);
      kept += std::string(line) + "\n";
    }
  }
  SLUICE_TRY(write_file(file, std::as_bytes(std::span(kept)), true));
  return log;
}

Status TrainingLog::add(const LogEntry& entry) {
  entries_.push_back(entry);
  std::ofstream out(file_, std::ios::app);
  out << to_json(entry).dump() << '\n';
  out.flush();
  if (!out) return failed(file_.string(), "cannot be written");
  return {};
}

std::string loss_plot(const std::vector<LogEntry>& entries) {
  constexpr double kWidth = 720, kHeight = 400, kLeft = 56, kRight = 130, kTop = 16, kBottom = 40;
  constexpr const char* kColours[] = {"#1f4e9c", "#c0392b", "#d98880", "#e6b0aa", "#8e8e8e"};
  double top = 0.1, last = 1;
  size_t draft_steps = 0;
  for (const LogEntry& entry : entries) {
    top = std::max(top, entry.loss);
    for (const double loss : entry.draft_loss) top = std::max(top, loss);
    last = std::max(last, static_cast<double>(entry.step));
    draft_steps = std::max(draft_steps, entry.draft_loss.size());
  }
  const auto x = [&](double step) { return kLeft + (kWidth - kLeft - kRight) * step / last; };
  const auto y = [&](double loss) {
    return kHeight - kBottom - (kHeight - kTop - kBottom) * loss / top;
  };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\" "
      "font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      kWidth, kHeight);
  for (int tick = 0; tick <= 5; ++tick) {
    const double loss = top * tick / 5, step = last * tick / 5;
    svg += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#dddddd\"/>\n"
        "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.2f}</text>\n"
        "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.0f}</text>\n",
        kLeft, y(loss), kWidth - kRight, y(loss), kLeft - 6, y(loss) + 4, loss, x(step),
        kHeight - kBottom + 18, step);
  }
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">step</text>\n",
                     x(last / 2), kHeight - 6);
  for (size_t line = 0; line <= draft_steps; ++line) {
    const char* colour = kColours[std::min(line, std::size(kColours) - 1)];
    std::string points;
    for (const LogEntry& entry : entries) {
      if (line > entry.draft_loss.size()) continue;
      const double loss = line == 0 ? entry.loss : entry.draft_loss[line - 1];
      if (std::isfinite(loss))
        points += fmt::format("{:.1f},{:.1f} ", x(static_cast<double>(entry.step)), y(loss));
    }
    svg +=
        fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" points=\"{}\"/>\n",
                    colour, points);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" fill=\"{}\">{}</text>\n",
                       kWidth - kRight + 8, kTop + 14 + 18 * static_cast<double>(line), colour,
                       line == 0 ? "loss" : fmt::format("draft {}", line));
  }
  return svg + "</svg>\n";
}

}  // namespace sluice::distill
