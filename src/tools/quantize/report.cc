#include "tools/quantize/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/file.h"
#include "tools/quantize/build_plots.h"

namespace sluice::quantize {
namespace {

constexpr const char *kReportName = "quantization_report.json", *kCardName = "README.md";

struct FormatSum {
  size_t tensors = 0;
  uint64_t bytes = 0;
  double worst = 0, squares = 0;
  std::string worst_name;
  size_t with_output = 0;
  double plain_squares = 0, written_squares = 0;  // of output errors
  double mean() const { return root_mean(squares, tensors); }
  TensorReport::OutputError output_mean() const {
    return {root_mean(plain_squares, with_output), root_mean(written_squares, with_output)};
  }
  static double root_mean(double sum, size_t count) {
    return count > 0 ? std::sqrt(sum / static_cast<double>(count)) : 0;
  }
};

std::map<std::string, FormatSum> by_format(const BuildReport& report) {
  std::map<std::string, FormatSum> sums;
  for (const TensorReport& tensor : report.tensors) {
    FormatSum& sum = sums[tensor.format];
    sum.tensors += 1;
    sum.bytes += tensor.bytes;
    sum.squares += tensor.error * tensor.error;
    if (const auto& output = tensor.output_error) {
      sum.with_output += 1;
      sum.plain_squares += output->plain * output->plain;
      sum.written_squares += output->written * output->written;
    }
    if (tensor.error > sum.worst) {
      sum.worst = tensor.error;
      sum.worst_name = tensor.name;
    }
  }
  return sums;
}

// Six significant digits: more would only show the order of the summation.
Json figure(double value) { return Json::number_from_spelling(fmt::format("{:.6g}", value)); }

Json figures(const std::vector<double>& values) {
  Json out = Json::array();
  for (const double value : values) out.push_back(figure(value));
  return out;
}

Json output_json(const TensorReport::OutputError& error) {
  Json out = Json::object();
  out.set("plain", figure(error.plain));
  out.set("written", figure(error.written));
  return out;
}

Json tensors_json(const std::vector<TensorReport>& reports) {
  Json tensors = Json::array();
  for (const TensorReport& tensor : reports) {
    Json entry = Json::object();
    entry.set("name", tensor.name);
    entry.set("format", tensor.format);
    Json shape = Json::array();
    shape.push_back(tensor.rows);
    shape.push_back(tensor.columns);
    entry.set("shape", std::move(shape));
    entry.set("bytes", tensor.bytes);
    entry.set("error", figure(tensor.error));
    if (tensor.output_error) entry.set("output_error", output_json(*tensor.output_error));
    tensors.push_back(std::move(entry));
  }
  return tensors;
}

Json vision_json(const TowerReport& vision) {
  Json out = Json::object();
  out.set("file", vision.file);
  out.set("format", vision.format);
  out.set("parameters", vision.parameters);
  out.set("bytes", vision.bytes);
  out.set("tensors", tensors_json(vision.tensors));
  return out;
}

// "mmproj-x-BF16.gguf, 334 tensors, 931.15 MB, bf16"
std::string vision_text(const TowerReport& vision) {
  return fmt::format("{}, {} tensors, {:.2f} MB, {}", vision.file, vision.tensors.size(),
                     static_cast<double>(vision.bytes) / 1e6, vision.format);
}

Json calibration_json(const Calibration& calibration) {
  Json out = Json::object();
  out.set("method", calibration.method);
  out.set("text", calibration.text);
  out.set("tokens", calibration.tokens);
  return out;
}

// Of the model card: what was rounded against what, and what it gained on that text.
std::string calibration_text(const Calibration& calibration,
                             const std::map<std::string, FormatSum>& formats) {
  std::string out = fmt::format(
      "\n## Rounding\n\nMethod: {}, against {} tokens of {}. Output error: norm of X (Q - W) over "
      "that of X W on this text, root of the mean square over tensors.\n\n"
      "| format | each weight by itself | this build |\n|---|---|---|\n",
      calibration.method, calibration.tokens, calibration.text);
  for (const auto& [name, sum] : formats) {
    if (sum.with_output == 0) continue;
    const auto mean = sum.output_mean();
    out +=
        fmt::format("| {} | {:.3f} % | {:.3f} % |\n", name, 100 * mean.plain, 100 * mean.written);
  }
  return out;
}

Json proof_json(const Proof& proof) {
  Json out = Json::object();
  out.set("text", proof.text);
  out.set("tokens", proof.tokens);
  Json ppl = Json::object();
  ppl.set("before", figure(proof.ppl_before));
  ppl.set("after", figure(proof.ppl_after));
  out.set("ppl", std::move(ppl));
  Json kld = Json::object();
  kld.set("mean", figure(proof.kld_mean));
  kld.set("p99", figure(proof.kld_p99));
  kld.set("p99_9", figure(proof.kld_p99_9));
  out.set("kld", std::move(kld));
  out.set("same_top", figure(proof.same_top));
  if (!proof.acceptance_before.empty()) {
    Json drafts = Json::object();
    drafts.set("before", figures(proof.acceptance_before));
    drafts.set("after", figures(proof.acceptance_after));
    drafts.set("before_of", proof.drafts_before_of);
    out.set("acceptance", std::move(drafts));
  }
  return out;
}

std::string percent_list(const std::vector<double>& values) {
  std::string out;
  for (const double value : values)
    out += fmt::format("{}{:.1f} %", out.empty() ? "" : ", ", 100 * value);
  return out.empty() ? "-" : out;
}

std::string proof_text(const Proof& proof) {
  std::string out = fmt::format(
      "\n## Against the source\n\nText: {}, {} scored tokens.\n\n| | source | this build "
      "|\n|---|---|---|\n"
      "| perplexity | {:.4f} | {:.4f} |\n",
      proof.text, proof.tokens, proof.ppl_before, proof.ppl_after);
  if (!proof.acceptance_before.empty()) {
    out += fmt::format("| drafts accepted by position{} | {} | {} |\n",
                       proof.drafts_before_of == "source" ? "" : "; left: the donor's own",
                       percent_list(proof.acceptance_before), percent_list(proof.acceptance_after));
  }
  out += fmt::format(
      "\nKL divergence: mean {:.3g}, 99 % {:.3g}, 99.9 % {:.3g}. Same most likely token: {:.2f} "
      "%.\n",
      proof.kld_mean, proof.kld_p99, proof.kld_p99_9, 100 * proof.same_top);
  return out;
}

Status write_text(const std::filesystem::path& path, const std::string& text) {
  return write_file(path, std::as_bytes(std::span(text)), true);
}

}  // namespace

Json report_json(const BuildReport& report) {
  Json out = Json::object();
  out.set("source", report.source);
  out.set("target", report.target);
  if (!report.layout.empty()) out.set("layout", report.layout);
  out.set("parameters", report.parameters);
  out.set("bytes", report.bytes);
  out.set("bits_per_weight", figure(report.bits_per_weight()));
  Json formats = Json::object();
  for (const auto& [name, sum] : by_format(report)) {
    Json entry = Json::object();
    entry.set("tensors", static_cast<uint64_t>(sum.tensors));
    entry.set("bytes", sum.bytes);
    entry.set("error_rms", figure(sum.mean()));
    entry.set("error_worst", figure(sum.worst));
    if (sum.with_output > 0) entry.set("output_error_rms", output_json(sum.output_mean()));
    formats.set(name, std::move(entry));
  }
  out.set("formats", std::move(formats));
  if (report.calibration) out.set("calibration", calibration_json(*report.calibration));
  if (report.proof) out.set("proof", proof_json(*report.proof));
  if (report.automatic) out.set("automatic", automatic_json(*report.automatic));
  Json notes = Json::array();
  for (const std::string& note : report.notes) notes.push_back(note);
  out.set("notes", std::move(notes));
  if (report.vision) out.set("vision", vision_json(*report.vision));
  out.set("tensors", tensors_json(report.tensors));
  return out;
}

std::string report_text(const BuildReport& report) {
  std::string out =
      fmt::format("{} as {}: {:.2f} MB, {:.3f} bits per weight\n", report.source, report.target,
                  static_cast<double>(report.bytes) / 1e6, report.bits_per_weight());
  for (const auto& [name, sum] : by_format(report)) {
    out += fmt::format("  {:<12}{:>6} tensors {:>12.2f} MB", name, sum.tensors,
                       static_cast<double>(sum.bytes) / 1e6);
    if (sum.worst > 0)
      out += fmt::format("   error {:.3f} % rms, {:.3f} % in {}", 100 * sum.mean(), 100 * sum.worst,
                         sum.worst_name);
    if (sum.with_output > 0) {
      const auto mean = sum.output_mean();
      out += fmt::format("; output error {:.3f} %, plainly rounded {:.3f} %", 100 * mean.written,
                         100 * mean.plain);
    }
    out += "\n";
  }
  if (report.vision) out += fmt::format("  vision tower: {}\n", vision_text(*report.vision));
  if (report.automatic) out += automatic_text(*report.automatic);
  for (const std::string& note : report.notes) out += fmt::format("  note: {}\n", note);
  return out;
}

std::string model_card(const BuildReport& report, const NameBeside& named) {
  std::string out = fmt::format(
      "# {} as {}\n\nMade by `sluice` from {}. {:.2f} MB, {:.3f} bits per weight ({} "
      "parameters).\n\n"
      "| format | tensors | MB | error, rms | error, worst tensor |\n|---|---|---|---|---|\n",
      report.source, report.target, report.source, static_cast<double>(report.bytes) / 1e6,
      report.bits_per_weight(), report.parameters);
  for (const auto& [name, sum] : by_format(report)) {
    out += fmt::format("| {} | {} | {:.2f} | {:.3f} % | {:.3f} % |\n", name, sum.tensors,
                       static_cast<double>(sum.bytes) / 1e6, 100 * sum.mean(), 100 * sum.worst);
  }
  out +=
      "\nError: root of the squared difference to the source's weights over the source's squared "
      "norm. Every tensor is listed in the JSON report beside this file.\n";
  if (report.vision) {
    out += fmt::format(
        "\n## Vision tower\n\nA file of its own, not counted above: {}. An engine that reads "
        "images "
        "wants both files.\n",
        vision_text(*report.vision));
  }
  if (report.calibration) out += calibration_text(*report.calibration, by_format(report));
  for (const BuildPlot& plot : build_plots(report))
    out += fmt::format("\n![{}]({})\n", plot.words, named(plot.name));
  if (report.proof) out += proof_text(*report.proof);
  if (report.automatic) out += automatic_card(*report.automatic);
  if (!report.notes.empty()) {
    out += "\n## Notes\n\n";
    for (const std::string& note : report.notes) out += fmt::format("* {}\n", note);
  }
  return out;
}

Error interrupted(const std::string& what) {
  return {ErrorCode::kInterrupted, what, "interrupted", "The same command goes on from here"};
}

Status write_report(const BuildReport& report, const std::filesystem::path& folder,
                    const NameBeside& named) {
  for (const BuildPlot& plot : build_plots(report))
    SLUICE_TRY(write_text(folder / named(plot.name), plot.svg));
  SLUICE_TRY(write_text(folder / named(kReportName), report_json(report).dump(1) + "\n"));
  return write_text(folder / named(kCardName), model_card(report, named));
}

}  // namespace sluice::quantize
