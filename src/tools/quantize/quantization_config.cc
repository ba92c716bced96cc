#include "tools/quantize/quantization_config.h"

#include <algorithm>
#include <map>
#include <utility>

namespace sluice::quantize {
namespace {

using Member = std::pair<const char*, Json>;

Json object(std::initializer_list<Member> members) {
  Json out = Json::object();
  for (const auto& [key, value] : members) out.set(key, value);
  return out;
}

Json array(const std::vector<std::string>& items) {
  Json out = Json::array();
  for (const std::string& item : items) out.push_back(item);
  return out;
}

std::vector<std::string> unquantized(const QuantizationFacts& facts, bool only_linears) {
  std::vector<std::string> out = facts.vision_modules;
  for (const ModuleFormat& module : facts.modules) {
    const bool draft = module.module.starts_with("mtp.");
    if (module.format != Format::kBF16 || (only_linears && !module.linear)) continue;
    if (draft && !facts.draft_quantized) continue;  // one pattern stands for all of it
    out.push_back(module.module);
  }
  std::sort(out.begin(), out.end());
  return out;
}

// ---------------------------------------------- fp8, the official releases' form

// vLLM asks for the fused module too; it exists in no file.
void add_fused_gates(std::vector<std::string>& names) {
  std::vector<std::string> fused;
  for (const std::string& name : names) {
    constexpr std::string_view kGate = "in_proj_a";
    if (name.ends_with(kGate)) fused.push_back(name.substr(0, name.size() - 1) + "ba");
  }
  names.insert(names.end(), fused.begin(), fused.end());
  std::sort(names.begin(), names.end());
}

Json official_config(const QuantizationFacts& facts) {
  std::vector<std::string> kept = unquantized(facts, false);
  if (facts.draft && !facts.draft_quantized) {
    for (const ModuleFormat& module : facts.modules) {
      if (module.module.starts_with("mtp.")) kept.push_back(module.module);
    }
  }
  add_fused_gates(kept);
  Json block = Json::array();
  block.push_back(128);
  block.push_back(128);
  return object({{"activation_scheme", "dynamic"},
                 {"fmt", "e4m3"},
                 {"modules_to_not_convert", array(kept)},
                 {"quant_method", "fp8"},
                 {"weight_block_size", std::move(block)}});
}

// ---------------------------------------------- compressed-tensors

Json ct_weights(Format format) {
  switch (format) {
    case Format::kFp8Block: {
      Json block = Json::array();
      block.push_back(128);
      block.push_back(128);
      return object({{"num_bits", 8},
                     {"type", "float"},
                     {"symmetric", true},
                     {"strategy", "block"},
                     {"dynamic", false},
                     {"block_structure", block}});
    }
    case Format::kFp8Channel:
      return object({{"num_bits", 8},
                     {"type", "float"},
                     {"symmetric", true},
                     {"strategy", "channel"},
                     {"dynamic", false},
                     {"group_size", nullptr}});
    default:
      return object({{"num_bits", 4},
                     {"type", "float"},
                     {"symmetric", true},
                     {"strategy", "tensor_group"},
                     {"dynamic", false},
                     {"group_size", 16},
                     {"scale_dtype", "torch.float8_e4m3fn"}});
  }
}

Json ct_activations(Format format) {
  switch (format) {
    case Format::kFp8Block:
      return object({{"num_bits", 8},
                     {"type", "float"},
                     {"symmetric", true},
                     {"strategy", "group"},
                     {"dynamic", true},
                     {"group_size", 128}});
    case Format::kFp8Channel:
    case Format::kNvfp4A8:
      return object({{"num_bits", 8},
                     {"type", "float"},
                     {"symmetric", true},
                     {"strategy", "token"},
                     {"dynamic", true},
                     {"group_size", nullptr}});
    case Format::kNvfp4A4:
      return object({{"num_bits", 4},
                     {"type", "float"},
                     {"symmetric", true},
                     {"strategy", "tensor_group"},
                     {"dynamic", "local"},
                     {"group_size", 16},
                     {"scale_dtype", "torch.float8_e4m3fn"}});
    default:
      return nullptr;
  }
}

Json cache_scheme() {
  return object({{"num_bits", 8},
                 {"type", "float"},
                 {"symmetric", true},
                 {"strategy", "tensor"},
                 {"dynamic", false}});
}

const char* ct_format(Format format) {
  return format == Format::kFp8Block || format == Format::kFp8Channel ? "float-quantized"
                                                                      : "nvfp4-pack-quantized";
}

Json ct_config(const QuantizationFacts& facts) {
  std::map<Format, std::vector<std::string>> groups;
  for (const ModuleFormat& module : facts.modules) {
    if (module.format != Format::kBF16) groups[module.format].push_back(module.module);
  }
  const bool mixed = groups.size() > 1;
  Json config_groups = Json::object();
  for (auto& [format, modules] : groups) {
    std::sort(modules.begin(), modules.end());
    // One group stands for the class; with several each module is named, so that no two overlap.
    Json group = object({{"targets", mixed ? array(modules) : array({"Linear"})},
                         {"format", ct_format(format)},
                         {"weights", ct_weights(format)},
                         {"input_activations", ct_activations(format)},
                         {"output_activations", nullptr}});
    config_groups.set("group_" + std::to_string(config_groups.members().size()), std::move(group));
  }
  std::vector<std::string> ignore = unquantized(facts, true);
  if (facts.draft && !facts.draft_quantized) ignore.push_back("re:^mtp.*");
  const char* format = mixed            ? "mixed-precision"
                       : groups.empty() ? "dense"
                                        : ct_format(groups.begin()->first);
  return object({{"quant_method", "compressed-tensors"},
                 {"quantization_status", "compressed"},
                 {"format", format},
                 {"config_groups", std::move(config_groups)},
                 {"ignore", array(ignore)},
                 {"kv_cache_scheme", facts.cache_scales ? cache_scheme() : Json(nullptr)},
                 {"global_compression_ratio", nullptr},
                 {"sparsity_config", Json::object()},
                 {"transform_config", Json::object()}});
}

// ---------------------------------------------- ModelOpt

const char* modelopt_algorithm(Format format) {
  switch (format) {
    case Format::kFp8Channel:
      return "FP8_PER_CHANNEL_PER_TOKEN";
    case Format::kNvfp4A4:
      return "NVFP4";
    case Format::kW4A8Nvfp4:
      return "W4A8_NVFP4_FP8";
    default:
      return "W4A16_NVFP4";
  }
}

QuantizationFiles modelopt_files(const QuantizationFacts& facts) {
  Format format = Format::kBF16;
  for (const ModuleFormat& module : facts.modules) {
    if (module.format != Format::kBF16) format = module.format;
  }
  std::vector<std::string> excluded = unquantized(facts, false);
  if (!facts.vision_modules.empty()) {
    std::erase_if(excluded,
                  [](const std::string& name) { return name.starts_with("model.visual"); });
    excluded.push_back("model.visual*");
  }
  if (facts.draft && !facts.draft_quantized) {
    excluded.push_back("mtp*");
    excluded.push_back("mtp.layers.0*");
  }
  const Json producer = object({{"name", "sluice"}, {"version", "1"}});
  const bool nvfp4 = format == Format::kNvfp4 || format == Format::kNvfp4A4;
  Json quantization =
      object({{"quant_algo", modelopt_algorithm(format)},
              {"kv_cache_quant_algo", facts.cache_scales ? Json("FP8") : Json(nullptr)}});
  if (block_columns(format) > 0) quantization.set("group_size", block_columns(format));
  quantization.set("exclude_modules", array(excluded));
  Json config = object({{"quant_method", "modelopt"}, {"quant_algo", modelopt_algorithm(format)}});
  if (nvfp4) {
    const Json four_bits =
        object({{"dynamic", false}, {"num_bits", 4}, {"type", "float"}, {"group_size", 16}});
    Json group = Json::object();
    if (format == Format::kNvfp4A4) group.set("input_activations", four_bits);
    group.set("weights", four_bits);
    group.set("targets", array({"Linear"}));
    config.set("config_groups", object({{"group_0", std::move(group)}}));
  }
  if (facts.cache_scales) {
    config.set("kv_cache_scheme", object({{"dynamic", false}, {"num_bits", 8}, {"type", "float"}}));
  }
  config.set("ignore", array(excluded));
  config.set("producer", producer);
  return {std::move(config),
          object({{"producer", producer}, {"quantization", std::move(quantization)}})};
}

}  // namespace

QuantizationFiles quantization_files(const QuantizationFacts& facts) {
  const bool any = std::any_of(facts.modules.begin(), facts.modules.end(),
                               [](const auto& module) { return module.format != Format::kBF16; });
  if (!any) return {};
  switch (facts.layout) {
    case Layout::kOfficial:
      return {official_config(facts), std::nullopt};
    case Layout::kCompressedTensors:
      return {ct_config(facts), std::nullopt};
    case Layout::kModelOpt:
      return modelopt_files(facts);
  }
  return {};
}

}  // namespace sluice::quantize
