#include "tools/quantize/copied_configs.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "tools/convert/published_files.h"

namespace sluice::quantize {
namespace {

std::string without_prefix(std::string text) {
  // As a module path, and as a regular expression writes it.
  constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kNames = {
      {{"model.language_model.", "model."}, {"model\\.language_model\\.", "model\\."}}};
  for (const auto& [from, to] : kNames) {
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
  }
  return text;
}

Json renamed(const Json& value) {
  if (value.is_string()) return without_prefix(value.string());
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& item : value.items()) out.push_back(renamed(item));
    return out;
  }
  if (!value.is_object()) return value;
  Json out = Json::object();
  for (const auto& [key, member] : value.members()) out.set(without_prefix(key), renamed(member));
  return out;
}

void append_missing(Json* list, std::initializer_list<const char*> entries) {
  if (list == nullptr || !list->is_array()) return;
  for (const char* entry : entries) {
    const auto& items = list->items();
    if (std::find(items.begin(), items.end(), Json(entry)) == items.end()) list->push_back(entry);
  }
}

}  // namespace

Json copied_quantization(const Json& config, const CopiedParts& parts) {
  Json out = parts.renamed ? renamed(config) : config;
  if (!parts.grafted) return out;
  const Json* method = out.find("quant_method");
  const std::string name = method != nullptr && method->is_string() ? method->string() : "modelopt";
  if (name == "compressed-tensors") {
    append_missing(out.find("ignore"), {"re:^mtp.*"});
  } else if (name == "fp8") {
    append_missing(
        out.find("modules_to_not_convert"),
        {"mtp.fc", "mtp.layers.0.self_attn.q_proj", "mtp.layers.0.self_attn.k_proj",
         "mtp.layers.0.self_attn.v_proj", "mtp.layers.0.self_attn.o_proj",
         "mtp.layers.0.mlp.gate_proj", "mtp.layers.0.mlp.up_proj", "mtp.layers.0.mlp.down_proj"});
  } else {
    append_missing(out.find("ignore"), {"mtp*", "mtp.layers.0*"});
    if (Json* inner = out.find("quantization"))
      append_missing(inner->find("exclude_modules"), {"mtp*", "mtp.layers.0*"});
  }
  return out;
}

Status write_copied_files(const convert::Source& source, const CopiedParts& parts,
                          const std::filesystem::path& folder) {
  convert::PublishedFacts facts;
  facts.draft = parts.draft;
  facts.vision = parts.vision;
  SLUICE_ASSIGN(const auto root, source.checkpoint->side_json("config.json"));
  const Json* config = root ? root->find("quantization_config") : nullptr;
  const Json* text = root ? root->find("text_config") : nullptr;
  if (config == nullptr && text != nullptr) config = text->find("quantization_config");
  if (config != nullptr && config->is_object())
    facts.quantization_config = copied_quantization(*config, parts);
  SLUICE_TRY(convert::write_published_files(source, facts, folder));
  SLUICE_ASSIGN(const auto hf, source.checkpoint->side_json("hf_quant_config.json"));
  if (!hf) return {};
  const std::string bytes = copied_quantization(*hf, parts).dump(2) + "\n";
  return write_file(folder / "hf_quant_config.json", std::as_bytes(std::span(bytes)), false);
}

}  // namespace sluice::quantize
