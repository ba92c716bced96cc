#include "tools/quantize/automatic_report.h"

#include <fmt/format.h>

namespace sluice::quantize {
namespace {

Json figure(double value) { return Json::number_from_spelling(fmt::format("{:.6g}", value)); }

double bits(const ChosenPart& part) {
  return 8.0 * static_cast<double>(part.bytes) / static_cast<double>(part.parameters);
}

std::string limit_of(const AutomaticReport& report) {
  if (report.most_bytes)
    return fmt::format("at most {:.2f} MB", static_cast<double>(*report.most_bytes) / 1e6);
  return fmt::format("a mean divergence of at most {:.3g}",
                     report.most_divergence ? *report.most_divergence : 0.0);
}

std::string summary(const AutomaticReport& report) {
  const std::string gap = report.most_bytes ? fmt::format("{:.2g} of divergence", report.gap)
                                            : fmt::format("{:.3f} MB", report.gap / 1e6);
  return fmt::format(
      "Asked for: {}. Chosen: {:.2f} MB, estimated mean divergence {:.3g}; no choice is better by "
      "more than {}. Measured with {} probes on {} tokens of {}.",
      limit_of(report), static_cast<double>(report.file_bytes) / 1e6, report.divergence, gap,
      report.probes, report.tokens, report.text);
}

}  // namespace

Json automatic_json(const AutomaticReport& report) {
  Json out = Json::object();
  out.set("text", report.text);
  out.set("tokens", report.tokens);
  out.set("probes", report.probes);
  if (report.most_bytes) out.set("most_bytes", *report.most_bytes);
  if (report.most_divergence) out.set("most_kld", figure(*report.most_divergence));
  out.set("file_bytes", report.file_bytes);
  out.set("kld", figure(report.divergence));
  out.set("gap", figure(report.gap));
  Json parts = Json::array();
  for (const ChosenPart& part : report.parts) {
    Json entry = Json::object();
    entry.set("part", part.name);
    entry.set("format", part.format);
    entry.set("parameters", part.parameters);
    entry.set("bytes", part.bytes);
    entry.set("kld", figure(part.loss));
    entry.set("kld_smallest", figure(part.loss_small));
    parts.push_back(std::move(entry));
  }
  out.set("parts", std::move(parts));
  return out;
}

std::string automatic_text(const AutomaticReport& report) {
  std::string out = fmt::format("  {}\n  {:<44}{:<12}{:>10}{:>8}{:>12}{:>12}\n", summary(report),
                                "part", "format", "MB", "bits", "divergence", "smallest");
  for (const ChosenPart& part : report.parts) {
    out +=
        fmt::format("  {:<44}{:<12}{:>10.3f}{:>8.2f}{:>12.2e}{:>12.2e}\n", part.name, part.format,
                    static_cast<double>(part.bytes) / 1e6, bits(part), part.loss, part.loss_small);
  }
  return out;
}

std::string automatic_card(const AutomaticReport& report) {
  std::string out = fmt::format(
      "\n## Formats by measured sensitivity\n\n{}\n\n| part | format | MB | bits per weight | adds "
      "to the divergence | would add in the smallest format |\n|---|---|---|---|---|---|\n",
      summary(report));
  for (const ChosenPart& part : report.parts) {
    out +=
        fmt::format("| {} | {} | {:.3f} | {:.2f} | {:.2e} | {:.2e} |\n", part.name, part.format,
                    static_cast<double>(part.bytes) / 1e6, bits(part), part.loss, part.loss_small);
  }
  return out;
}

}  // namespace sluice::quantize
