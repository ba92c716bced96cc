// make_random_model: writes a model of a published or a given shape with random weights, for
// benchmarks and tests of loading, memory and speed on files of real size.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <map>

#include "base/check.h"
#include "models/random_model.h"

namespace sluice::benchmarks {
namespace {

struct Arguments {
  std::string shape = "0.8B", format = "safetensors-bf16";
  std::filesystem::path out;
  RandomModelOptions options;
  bool plan = false, no_draft_head = false, tied = false, untied = false;
  std::map<std::string, int64_t> extents;  // flag -> value, where given
};

// Flags that replace one extent of the shape.
const std::map<std::string, int64_t ModelShape::*>& extent_flags() {
  static const std::map<std::string, int64_t ModelShape::*> kFlags = {
      {"--layers", &ModelShape::layers},
      {"--hidden", &ModelShape::hidden},
      {"--intermediate", &ModelShape::intermediate},
      {"--query-heads", &ModelShape::query_heads},
      {"--kv-heads", &ModelShape::kv_heads},
      {"--head-dim", &ModelShape::head_dim},
      {"--key-heads", &ModelShape::key_heads},
      {"--value-heads", &ModelShape::value_heads},
      {"--gdn-head-dim", &ModelShape::gdn_head_dim},
      {"--vocabulary", &ModelShape::vocabulary},
      {"--context", &ModelShape::context},
      {"--attention-interval", &ModelShape::attention_interval},
  };
  return kFlags;
}

Result<ModelShape> shape_of(const Arguments& arguments) {
  std::optional<ModelShape> shape = published_shape(arguments.shape);
  if (!shape)
    return usage_error("--shape", fmt::format("{} is unknown", arguments.shape),
                       "Use 0.8B, 2B, 4B, 9B or 27B");
  for (const auto& [flag, value] : arguments.extents) (*shape).*extent_flags().at(flag) = value;
  if (!arguments.extents.empty()) shape->name += " (changed)";
  if (arguments.no_draft_head) shape->draft_head = false;
  if (arguments.tied) shape->tied = true;
  if (arguments.untied) shape->tied = false;
  if (const auto problem = shape_problem(*shape)) return usage_error("shape", *problem);
  return *shape;
}

Status run(const Arguments& arguments) {
  SLUICE_ASSIGN(const ModelShape shape, shape_of(arguments));
  constexpr std::string_view kGguf = "gguf-", kSafetensors = "safetensors-";
  const std::string_view format = arguments.format;
  std::optional<Mixture> gguf;
  bool fp8 = false;
  if (format.starts_with(kGguf)) gguf = mixture(format.substr(kGguf.size()));
  if (format.starts_with(kSafetensors)) fp8 = format == "safetensors-fp8";
  if (!gguf && format != "safetensors-fp8" && format != "safetensors-bf16") {
    return usage_error("--format", fmt::format("{} is unknown", format),
                       "Use gguf-Q4_K_M, gguf-Q5_K_M, gguf-Q6_K, gguf-Q8_0, gguf-BF16, gguf-F16, "
                       "safetensors-bf16 or "
                       "safetensors-fp8");
  }
  const uint64_t bytes = gguf ? gguf_bytes(shape, *gguf) : safetensors_bytes(shape, fp8);
  fmt::print("{} as {}: {} weights, {} bytes of tensors\n", shape.name, format,
             weights_of(shape).size(), bytes);
  if (arguments.plan) return {};
  const auto begin = std::chrono::steady_clock::now();
  SLUICE_TRY(gguf ? write_random_gguf(arguments.out, shape, *gguf, arguments.options)
                  : write_random_safetensors(arguments.out, shape, fp8, arguments.options));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  fmt::print("{}: written in {:.1f} s, {:.2f} GB/s\n", arguments.out.string(), seconds.count(),
             static_cast<double>(bytes) * 1e-9 / seconds.count());
  return {};
}

}  // namespace
}  // namespace sluice::benchmarks

int main(int argc, char** argv) {
  using namespace sluice::benchmarks;
  Arguments arguments;
  CLI::App app("Writes a model with random weights");
  app.add_option("--shape", arguments.shape, "0.8B, 2B, 4B, 9B or 27B")->capture_default_str();
  app.add_option("--format", arguments.format, "gguf-Q4_K_M, gguf-Q8_0, safetensors-fp8, ...")
      ->capture_default_str();
  CLI::Option* plan = app.add_flag("--plan", arguments.plan, "Print the size and write nothing");
  app.add_option("--out", arguments.out, "The GGUF file, or the safetensors folder")
      ->excludes(plan);
  app.add_option("--seed", arguments.options.seed, "Same seed, same bytes")->capture_default_str();
  app.add_option("--tokenizer", arguments.options.tokenizer,
                 "tokenizer.json for a safetensors folder");
  app.add_flag("--overwrite", arguments.options.overwrite);
  app.add_flag("--no-mtp", arguments.no_draft_head, "Without the draft head");
  app.add_flag("--tied", arguments.tied, "Head and embedding are one matrix");
  app.add_flag("--untied", arguments.untied)->excludes("--tied");
  for (const auto& [flag, extent] : extent_flags()) {
    app.add_option_function<int64_t>(
        flag, [&arguments, name = flag](int64_t value) { arguments.extents[name] = value; },
        "Replaces the shape's");
  }
  CLI11_PARSE(app, argc, argv);
  if (arguments.out.empty() && !arguments.plan) {
    fmt::print(stderr, "make_random_model: error: --out is missing\n");
    return 2;
  }
  try {
    const sluice::Status status = run(arguments);
    if (status.ok()) return 0;
    fmt::print(stderr, "make_random_model: error: {}\n", status.error().message());
    return status.error().code == sluice::ErrorCode::kUsage ? 2 : 1;
  } catch (const sluice::ContractViolation& violation) {
    fmt::print(stderr, "make_random_model: bug: {}\n", violation.what());
    return 1;
  }
}
