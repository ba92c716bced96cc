#include "cli/prompt_input.h"

#include <fmt/format.h>

#include <charconv>
#include <iostream>
#include <iterator>

#include "base/file.h"

namespace sluice::cli {
namespace {

constexpr uint64_t kMaxInputBytes = uint64_t{1} << 30;

Result<std::string> read_input(const std::string& path) {
  if (path != "-") {
    Result<std::string> text = read_file(path, kMaxInputBytes);
    return text;
  }
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

Result<std::vector<int32_t>> check_ids(std::vector<int32_t> ids, int64_t vocabulary,
                                       const std::string& what) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocabulary) {
      return usage_error(what,
                         fmt::format("token {} is outside the vocabulary of {}", id, vocabulary));
    }
  }
  return ids;
}

Result<std::vector<int32_t>> ids_from_json(const Json& json, const std::string& what) {
  if (!json.is_array())
    return usage_error(what,
                       fmt::format("a {}, an array of token ids was expected", json.kind_name()));
  std::vector<int32_t> ids;
  for (const Json& item : json.items()) {
    const auto id = item.as_int64();
    if (!id || *id < 0 || *id > INT32_MAX)
      return usage_error(what, fmt::format("element {} is not a token id", ids.size()));
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

Result<std::vector<int32_t>> ids_from_list(const std::string& list) {
  std::vector<int32_t> ids;
  const char* at = list.data();
  const char* const end = list.data() + list.size();
  while (at < end) {
    if (*at == ',' || *at == ' ') {
      ++at;
      continue;
    }
    int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc{})
      return usage_error("--ids", fmt::format("\"{}\" is not a list like 1,2,3", list));
    ids.push_back(id);
    at = next;
  }
  return ids;
}

// What a file holds is not the command line's fault: exit code 3 (spec/cli.md).
template <typename T>
Result<T> of_input(Result<T> read) {
  if (read.ok() || read.error().code != ErrorCode::kUsage) return read;
  Error error = std::move(read).error();
  error.code = ErrorCode::kBadInput;
  return error;
}

// Nor is what stands on it a file's.
template <typename T>
Result<T> of_command_line(Result<T> read) {
  if (read.ok() || read.error().code != ErrorCode::kBadInput) return read;
  Error error = std::move(read).error();
  error.code = ErrorCode::kUsage;
  return error;
}

// A part of a message that only the vision tower could read.
bool is_media(const Json& part) {
  const Json* type = part.find("type");
  const std::string kind = type != nullptr && type->is_string() ? type->string() : "";
  return part.find("image") != nullptr || part.find("image_url") != nullptr ||
         part.find("video") != nullptr || kind.find("image") != std::string::npos ||
         kind.find("video") != std::string::npos;
}

bool has_media(const Json& messages) {
  for (const Json& message : messages.items()) {
    const Json* content = message.is_object() ? message.find("content") : nullptr;
    if (content == nullptr || !content->is_array()) continue;
    for (const Json& part : content->items()) {
      if (part.is_object() && is_media(part)) return true;
    }
  }
  return false;
}

Result<const tokenizer::Tokenizer*> require_tokenizer(const ModelFiles& files) {
  if (files.tokenizer) return &*files.tokenizer;
  if (files.tokenizer_error) return *files.tokenizer_error;
  return bad_input(files.path.string(), "has no tokenizer", "Give ids instead of text");
}

}  // namespace

void PromptInput::declare(CLI::App& app, bool with_messages) {
  CLI::Option_group* group = app.add_option_group("Prompt");
  group->add_option("--text", text, "the prompt as text");
  group->add_option("--ids", ids, "the prompt as token ids: 1,2,3");
  group->add_option("--file", file, "a file with the prompt as text; - is standard input");
  group->add_option("--ids-file", ids_file, "a JSON file with an array of token ids");
  if (with_messages) {
    group->add_option(
        "--messages", messages_file,
        "a JSON file: messages, tools, chat_template_kwargs; rendered by the template");
  }
  group->require_option(0, 1);
}

bool PromptInput::given() const { return text || file || ids || ids_file || messages_file; }

Result<std::vector<int32_t>> PromptInput::tokens(const ModelFiles& files,
                                                 int64_t vocabulary) const {
  if (ids) {
    SLUICE_ASSIGN(auto list, ids_from_list(*ids));
    return check_ids(std::move(list), vocabulary, "--ids");
  }
  if (ids_file) {
    SLUICE_ASSIGN(const std::string json_text, read_input(*ids_file));
    Result<Json> json = parse_json(json_text);
    if (!json.ok()) return bad_input(*ids_file, json.error().why);
    SLUICE_ASSIGN(auto list, of_input(ids_from_json(*json, *ids_file)));
    return of_input(check_ids(std::move(list), vocabulary, *ids_file));
  }
  if (messages_file) {
    SLUICE_ASSIGN(const std::string json_text, read_input(*messages_file));
    Result<Json> json = parse_json(json_text);
    if (!json.ok()) return bad_input(*messages_file, json.error().why);
    return of_input(encode_messages(*json, files));
  }
  if (text) return of_command_line(encode_text(*text, files));
  if (file) {
    SLUICE_ASSIGN(const std::string content, read_input(*file));
    return encode_text(content, files);
  }
  return usage_error("prompt", "none was given",
                     "Use --text, --ids, --file, --ids-file or --messages");
}

Result<std::vector<int32_t>> encode_text(const std::string& text, const ModelFiles& files) {
  SLUICE_ASSIGN(const auto* tokenizer, require_tokenizer(files));
  return tokenizer->encode(text);
}

Result<std::vector<int32_t>> encode_messages(const Json& request, const ModelFiles& files,
                                             bool add_generation_prompt) {
  SLUICE_ASSIGN(const auto* tokenizer, require_tokenizer(files));
  if (!files.chat_template) {
    if (files.template_error) return *files.template_error;
    return bad_input(files.path.string(), "has no chat template",
                     "Use --text, or add chat_template.jinja");
  }
  const auto member = [&](const char* key) {
    const Json* value = request.find(key);
    return value != nullptr ? *value : Json();
  };
  chat::TemplateInput input;
  input.messages = request.is_array() ? request : member("messages");
  if (!input.messages.is_array())
    return usage_error("messages",
                       fmt::format("is a {}, an array was expected", input.messages.kind_name()));
  if (has_media(input.messages)) {
    return usage_error(
        "messages", "hold an image or a video, and this version does not run the vision tower yet",
        "Send text only");
  }
  input.tools = member("tools");
  input.chat_template_kwargs = member("chat_template_kwargs");
  input.add_generation_prompt = add_generation_prompt;
  input.bos_token = files.bos_token;
  input.eos_token = files.eos_token;
  SLUICE_ASSIGN(const chat::Rendered rendered, files.chat_template->render(input));
  return tokenizer->encode(rendered.text, {.recognise_added = true, .literal = rendered.data});
}

Result<std::vector<int32_t>> tokens_of_request(const Json& request, const ModelFiles& files,
                                               int64_t vocabulary) {
  if (!request.is_object())
    return usage_error("request",
                       fmt::format("is a {}, an object was expected", request.kind_name()));
  if (const Json* ids = request.find("ids")) {
    SLUICE_ASSIGN(auto list, ids_from_json(*ids, "ids"));
    return check_ids(std::move(list), vocabulary, "ids");
  }
  if (const Json* text = request.find("text")) {
    if (!text->is_string())
      return usage_error("text", fmt::format("is a {}, a string was expected", text->kind_name()));
    return encode_text(text->string(), files);
  }
  if (request.find("messages") != nullptr) return encode_messages(request, files);
  return usage_error("request", "has none of ids, text and messages");
}

Result<std::vector<JsonLine>> read_json_lines(const std::string& path) {
  SLUICE_ASSIGN(const std::string content, read_input(path));
  std::vector<JsonLine> lines;
  int64_t number = 0;
  for (size_t begin = 0; begin < content.size();) {
    size_t end = content.find('\n', begin);
    if (end == std::string::npos) end = content.size();
    const std::string_view line(content.data() + begin, end - begin);
    ++number;
    begin = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Result<Json> value = parse_json(line);
    if (!value.ok())
      value = usage_error(fmt::format("{} line {}", path, number), value.error().why);
    lines.push_back({number, std::move(value)});
  }
  return lines;
}

}  // namespace sluice::cli
