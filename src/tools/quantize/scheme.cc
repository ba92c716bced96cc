#include "tools/quantize/scheme.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace sluice::quantize {
namespace {

constexpr std::array kAliases = {
    std::pair<std::string_view, std::string_view>{"fp8", "fp8_block"},
    std::pair<std::string_view, std::string_view>{"fp8_dynamic", "fp8_channel"},
    std::pair<std::string_view, std::string_view>{"nvfp4a16", "nvfp4"},
    std::pair<std::string_view, std::string_view>{"w4a16_nvfp4", "nvfp4"},
    std::pair<std::string_view, std::string_view>{"nvfp4_mixed", "mixed"},
    std::pair<std::string_view, std::string_view>{"w4a8", "w4a8_nvfp4"}};

std::string plain_name(std::string_view name) {
  std::string out(name);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::tolower(c));
  });
  return out;
}

bool is_attention(std::string_view module) {
  for (const std::string_view leaf :
       {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "linear_attn.in_proj_qkv", "linear_attn.in_proj_z", "linear_attn.out_proj"}) {
    if (module.ends_with(leaf)) return true;
  }
  return false;
}

bool is_mlp(std::string_view module) {
  return module.ends_with("mlp.gate_proj") || module.ends_with("mlp.up_proj") ||
         module.ends_with("mlp.down_proj");
}

}  // namespace

std::string_view layout_name(Layout layout) {
  switch (layout) {
    case Layout::kOfficial:
      return "official";
    case Layout::kCompressedTensors:
      return "compressed-tensors";
    case Layout::kModelOpt:
      return "modelopt";
  }
  return "";
}

const std::vector<Recipe>& recipes() {
  constexpr Format kKept = Format::kBF16;
  static const std::vector<Recipe> kRecipes = {
      {"safetensors", kKept, kKept, kKept, {}},
      {"fp8_block",
       Format::kFp8Block,
       Format::kFp8Block,
       kKept,
       {Layout::kOfficial, Layout::kCompressedTensors}},
      {"fp8_channel",
       Format::kFp8Channel,
       Format::kFp8Channel,
       kKept,
       {Layout::kCompressedTensors, Layout::kModelOpt}},
      {"nvfp4",
       Format::kNvfp4,
       Format::kNvfp4,
       kKept,
       {Layout::kCompressedTensors, Layout::kModelOpt}},
      {"nvfp4_a4",
       Format::kNvfp4A4,
       Format::kNvfp4A4,
       kKept,
       {Layout::kCompressedTensors, Layout::kModelOpt}},
      {"nvfp4_a8", Format::kNvfp4A8, Format::kNvfp4A8, kKept, {Layout::kCompressedTensors}},
      {"w4a8_nvfp4", Format::kW4A8Nvfp4, Format::kW4A8Nvfp4, kKept, {Layout::kModelOpt}},
      // The large published build: FP8 where errors add up over positions, NVFP4 where the bytes
      // are.
      {"mixed",
       Format::kFp8Channel,
       Format::kNvfp4,
       Format::kFp8Channel,
       {Layout::kCompressedTensors}},
  };
  return kRecipes;
}

const Recipe* find_recipe(std::string_view name) {
  std::string wanted = plain_name(name);
  for (const auto& [alias, meant] : kAliases) {
    if (wanted == alias) wanted = meant;
  }
  const auto& all = recipes();
  const auto it = std::find_if(all.begin(), all.end(),
                               [&](const Recipe& recipe) { return recipe.name == wanted; });
  return it == all.end() ? nullptr : &*it;
}

Result<Layout> layout_for(const Recipe& recipe, std::string_view asked) {
  if (asked.empty()) return recipe.layouts.empty() ? Layout::kOfficial : recipe.layouts.front();
  std::string known;
  for (const Layout layout : recipe.layouts) {
    if (layout_name(layout) == asked) return layout;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", layout_name(layout));
  }
  return usage_error("--layout", fmt::format("{} is not written as {}", recipe.name, asked),
                     known.empty() ? "Leave it out" : fmt::format("Take one of: {}", known));
}

Format module_format(const Recipe& recipe, std::string_view module, bool draft) {
  if (module == "lm_head") return recipe.head;
  const bool in_layer = module.starts_with("layers.");
  if (!in_layer && !(draft && module.starts_with("mtp.layers."))) return Format::kBF16;
  if (is_attention(module)) return recipe.attention;
  return is_mlp(module) ? recipe.mlp : Format::kBF16;
}

std::vector<std::string> fused_with(std::string_view module) {
  static constexpr std::array<std::array<std::string_view, 3>, 3> kGroups = {
      {{"q_proj", "k_proj", "v_proj"},
       {"gate_proj", "up_proj", ""},
       {"in_proj_qkv", "in_proj_z", ""}}};
  const size_t dot = module.rfind('.');
  const std::string_view leaf = module.substr(dot == std::string_view::npos ? 0 : dot + 1);
  for (const auto& group : kGroups) {
    if (std::find(group.begin(), group.end(), leaf) == group.end()) continue;
    std::vector<std::string> out;
    for (const std::string_view member : group) {
      if (!member.empty()) out.push_back(fmt::format("{}.{}", module.substr(0, dot), member));
    }
    return out;
  }
  return {std::string(module)};
}

int64_t block_columns(Format format) {
  switch (format) {
    case Format::kNvfp4:
    case Format::kNvfp4A4:
    case Format::kNvfp4A8:
      return 16;
    case Format::kW4A8Nvfp4:
      return 32;
    default:
      return 0;
  }
}

bool needs_activation_range(Format format) {
  return format == Format::kNvfp4A4 || format == Format::kW4A8Nvfp4;
}

}  // namespace sluice::quantize
