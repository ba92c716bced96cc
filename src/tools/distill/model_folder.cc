#include "tools/distill/model_folder.h"

#include "base/file.h"
#include "chat/template_source.h"

namespace sluice::distill {
namespace {

constexpr uint64_t kMaxTokenizerBytes = uint64_t{256} << 20;
constexpr uint64_t kMaxSideFileBytes = uint64_t{16} << 20;

Result<std::optional<std::string>> read_if_there(const std::filesystem::path& path,
                                                 std::vector<std::string>& files) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::optional<std::string>();
  SLUICE_ASSIGN(std::string text, read_file(path, kMaxSideFileBytes));
  files.push_back(path.filename().string());
  return std::optional<std::string>(std::move(text));
}

}  // namespace

Result<TextTools> open_text_tools(const std::filesystem::path& folder) {
  std::vector<std::string> files{"tokenizer.json"};
  SLUICE_ASSIGN(const auto config_text, read_if_there(folder / "tokenizer_config.json", files));
  std::optional<Json> config;
  if (config_text) {
    Result<Json> parsed = parse_json(*config_text);
    if (!parsed.ok())
      return bad_input((folder / "tokenizer_config.json").string(), parsed.error().message());
    config = std::move(*parsed);
  }
  SLUICE_ASSIGN(const auto jinja, read_if_there(folder / "chat_template.jinja", files));
  SLUICE_ASSIGN(const std::string json, read_file(folder / "tokenizer.json", kMaxTokenizerBytes));
  const Json* settings = config ? &*config : nullptr;
  SLUICE_ASSIGN(auto tokenizer, tokenizer::Tokenizer::from_json(json, settings));
  TextTools tools{folder, std::move(files), std::move(tokenizer), {}, {}, {}};
  SLUICE_ASSIGN(auto source, chat::choose_template(jinja, settings, std::nullopt, false));
  if (source) {
    SLUICE_ASSIGN(tools.chat_template, chat::ChatTemplate::parse(std::move(source->text)));
  }
  if (settings != nullptr) {
    tools.bos_token = chat::special_token(*settings, "bos_token");
    tools.eos_token = chat::special_token(*settings, "eos_token");
  }
  return tools;
}

}  // namespace sluice::distill
