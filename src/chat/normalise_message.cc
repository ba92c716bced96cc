#include "chat/normalise_message.h"

#include <fmt/format.h>

#include <string_view>

namespace sluice::chat {
namespace {

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (text == name) return true;
  }
  return false;
}

Json text_part(std::string text) {
  Json part = Json::object();
  part.set("type", "text");
  part.set("text", std::move(text));
  return part;
}

// N1.
Result<std::string> normalise_role(const Json& message, const std::string& where) {
  const Json* role = message.find("role");
  if (!role) return usage_error(where + ".role", "is missing");
  if (!role->is_string())
    return usage_error(where + ".role", fmt::format("must be a string, is {}", role->kind_name()));
  const std::string& name = role->string();
  if (name == "developer") return std::string("system");
  if (name == "function") return std::string("tool");
  if (is_one_of(name, {"system", "user", "assistant", "tool"})) return name;
  return usage_error(where + ".role", "'" + name + "' is not a role",
                     "Use system, developer, user, assistant, tool or function");
}

// N4, one part.
Result<Json> normalise_part(const Json& part, const std::string& where, const std::string& role,
                            const NormaliseOptions& options) {
  if (part.is_string()) return text_part(part.string());
  if (!part.is_object())
    return usage_error(where, fmt::format("must be an object, is {}", part.kind_name()));
  const Json* type = part.find("type");
  if (!type || !type->is_string())
    return usage_error(where + ".type", type ? "must be a string" : "is missing");
  const std::string& name = type->string();
  if (is_one_of(name, {"text", "input_text", "output_text", "refusal"})) {
    const char* key = name == "refusal" ? "refusal" : "text";
    const Json* text = part.find(key);
    if (!text || !text->is_string()) {
      return usage_error(
          fmt::format("{}.{}", where, key),
          text ? fmt::format("must be a string, is {}", text->kind_name()) : "is missing");
    }
    return text_part(text->string());
  }
  const bool image = is_one_of(name, {"image", "image_url", "input_image"});
  const bool video = is_one_of(name, {"video", "video_url", "input_video"});
  if (!image && !video) {
    return usage_error(where + ".type", "'" + name + "' is unsupported",
                       "Send text, images or videos");
  }
  if (role == "system")
    return usage_error(
        where, fmt::format("a system message cannot contain {}s", image ? "image" : "video"));
  if (image ? !options.accept_images : !options.accept_videos) {
    return usage_error(where,
                       fmt::format("this model build reads no {}s", image ? "image" : "video"),
                       "Use a build with a vision tower");
  }
  Json media = Json::object();
  media.set("type", image ? "image" : "video");
  for (const auto& [key, value] : part.members()) {
    if (key != "type" && key != "cache_control") media.set(key, value);
  }
  return media;
}

// N4 and N7. Thinking blocks of an assistant (Anthropic) go to `thinking`.
Result<Json> normalise_content(const Json& message, const std::string& where,
                               const std::string& role, const NormaliseOptions& options,
                               std::string& thinking) {
  const Json* content = message.find("content");
  if (!content || content->is_null()) {
    if (role == "assistant") return Json("");
    return usage_error(where + ".content", content ? "is null" : "is missing",
                       role == "tool" ? "Send an empty string for an empty result" : "");
  }
  if (content->is_string()) return *content;
  if (!content->is_array()) {
    return usage_error(
        where + ".content",
        fmt::format("must be a string or an array of parts, is {}", content->kind_name()));
  }
  Json parts = Json::array();
  for (size_t i = 0; i < content->items().size(); ++i) {
    const Json& part = content->items()[i];
    const Json* type = part.find("type");
    if (role == "assistant" && type && type->is_string() &&
        is_one_of(type->string(), {"thinking", "redacted_thinking"})) {
      if (const Json* text = part.find("thinking"); text && text->is_string())
        thinking += text->string();
      continue;
    }
    SLUICE_ASSIGN(Json normal,
                  normalise_part(part, fmt::format("{}.content[{}]", where, i), role, options));
    parts.push_back(std::move(normal));
  }
  return parts;
}

// The text of a reasoning field: a string, or a list of objects with text (OpenRouter). Nothing for
// other kinds.
std::optional<std::string> reasoning_text(const Json* field) {
  if (!field) return std::nullopt;
  if (field->is_string()) return field->string();
  if (!field->is_array()) return std::nullopt;
  std::string text;
  for (const Json& item : field->items()) {
    if (item.is_string()) text += item.string();
    if (const Json* part = item.find("text"); part && part->is_string()) text += part->string();
  }
  return text;
}

// N5: the first of these that says something. An empty reasoning_content is kept: it tells the
// template that the content holds no thought to be cut out.
std::optional<std::string> find_reasoning(const Json& message, const std::string& thinking) {
  const auto reasoning = reasoning_text(message.find("reasoning"));
  if (reasoning && !reasoning->empty()) return reasoning;
  const auto content = reasoning_text(message.find("reasoning_content"));
  if (content && !content->empty()) return content;
  if (!thinking.empty()) return thinking;
  const auto details = reasoning_text(message.find("reasoning_details"));
  if (details && !details->empty()) return details;
  return content;
}

Json raw_arguments(std::string text) {
  Json wrapped = Json::object();
  wrapped.set("_raw_arguments", std::move(text));
  return wrapped;
}

// N6. A client replays a broken call with every later request: refusing it would end the session
// for good.
Result<Json> normalise_arguments(const Json* arguments, const std::string& where,
                                 const NormaliseOptions& options) {
  if (!arguments || arguments->is_null()) return Json::object();
  if (arguments->is_object()) return *arguments;
  const std::string text = arguments->is_string() ? arguments->string() : arguments->dump();
  if (arguments->is_string()) {
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) return Json::object();
    auto parsed = parse_json(text);
    if (parsed.ok() && parsed->is_object()) return parsed;
    if (options.strict_tool_arguments) {
      return usage_error(
          where, parsed.ok() ? fmt::format("must be a JSON object, is {}", parsed->kind_name())
                             : parsed.error().message());
    }
  } else if (options.strict_tool_arguments) {
    return usage_error(where, fmt::format("must be a JSON object, is {}", arguments->kind_name()));
  }
  return raw_arguments(text);
}

Result<Json> normalise_call(const Json& call, const std::string& where,
                            const NormaliseOptions& options) {
  if (!call.is_object())
    return usage_error(where, fmt::format("must be an object, is {}", call.kind_name()));
  const Json* function = call.find("function");
  if (!function || !function->is_object())
    return usage_error(where + ".function", function ? "must be an object" : "is missing");
  const Json* name = function->find("name");
  if (!name || !name->is_string() || name->string().empty()) {
    return usage_error(where + ".function.name",
                       name ? "must be a non-empty string" : "is missing");
  }
  SLUICE_ASSIGN(Json arguments, normalise_arguments(function->find("arguments"),
                                                    where + ".function.arguments", options));
  Json normal_function = Json::object();
  normal_function.set("name", *name);
  normal_function.set("arguments", std::move(arguments));
  Json normal = Json::object();
  if (const Json* id = call.find("id"); id && id->is_string()) normal.set("id", *id);
  normal.set("type", "function");
  normal.set("function", std::move(normal_function));
  return normal;
}

// The calls of an assistant, the older single function_call included; null if there are none.
Result<Json> normalise_calls(const Json& message, const std::string& where,
                             const NormaliseOptions& options) {
  Json calls;
  const Json* given = message.find("tool_calls");
  if (given && !given->is_null()) {
    if (!given->is_array())
      return usage_error(where + ".tool_calls",
                         fmt::format("must be an array, is {}", given->kind_name()));
    for (size_t i = 0; i < given->items().size(); ++i) {
      SLUICE_ASSIGN(Json call, normalise_call(given->items()[i],
                                              fmt::format("{}.tool_calls[{}]", where, i), options));
      calls.push_back(std::move(call));
    }
  }
  const Json* single = message.find("function_call");
  if (calls.is_null() && single && !single->is_null()) {
    Json call = Json::object();
    call.set("function", *single);
    SLUICE_ASSIGN(Json normal, normalise_call(call, where + ".function_call", options));
    calls.push_back(std::move(normal));
  }
  return calls;
}

}  // namespace

Result<Json> normalise_message(const Json& message, const std::string& where,
                               const NormaliseOptions& options) {
  if (!message.is_object())
    return usage_error(where, fmt::format("must be an object, is {}", message.kind_name()));
  SLUICE_ASSIGN(const std::string role, normalise_role(message, where));
  std::string thinking;
  SLUICE_ASSIGN(Json content, normalise_content(message, where, role, options, thinking));
  Json normal = Json::object();
  normal.set("role", role);
  normal.set("content", std::move(content));
  if (role == "assistant") {
    if (auto reasoning = find_reasoning(message, thinking))
      normal.set("reasoning_content", *std::move(reasoning));
    SLUICE_ASSIGN(Json calls, normalise_calls(message, where, options));
    if (!calls.is_null()) normal.set("tool_calls", std::move(calls));
  }
  for (const char* key : {"tool_call_id", "name"}) {
    if (const Json* value = message.find(key); value && value->is_string()) normal.set(key, *value);
  }
  return normal;
}

Result<Json> normalise_tool(const Json& tool, const std::string& where) {
  if (!tool.is_object())
    return usage_error(where, fmt::format("must be an object, is {}", tool.kind_name()));
  const Json* type = tool.find("type");
  if (type && (!type->is_string() || type->string() != "function")) {
    return usage_error(where + ".type", fmt::format("must be \"function\", is {}", type->dump()));
  }
  const Json* function = tool.find("function");
  if (!function || !function->is_object())
    return usage_error(where + ".function", function ? "must be an object" : "is missing");
  const Json* name = function->find("name");
  if (!name || !name->is_string() || name->string().empty()) {
    return usage_error(where + ".function.name",
                       name ? "must be a non-empty string" : "is missing");
  }
  const auto deferred = [](const Json& object) {
    const Json* flag = object.find("defer_loading");
    return flag && flag->is_boolean() && flag->boolean();
  };
  if (deferred(tool) || deferred(*function)) return Json();

  const auto dropped = [](std::string_view key) {
    return is_one_of(key, {"strict", "cache_control", "defer_loading"});
  };
  Json normal_function = Json::object();
  for (const char* key : {"name", "description", "parameters"}) {
    const Json* value = function->find(key);
    const bool null_description =
        value && value->is_null() && std::string_view(key) == "description";
    if (value && !null_description) normal_function.set(key, *value);
  }
  for (const auto& [key, value] : function->members()) {
    if (!dropped(key) && !is_one_of(key, {"name", "description", "parameters"}))
      normal_function.set(key, value);
  }
  Json normal = Json::object();
  normal.set("type", "function");
  normal.set("function", std::move(normal_function));
  for (const auto& [key, value] : tool.members()) {
    if (!dropped(key) && !is_one_of(key, {"type", "function"})) normal.set(key, value);
  }
  return normal;
}

std::string content_text(const Json& content) {
  if (content.is_string()) return content.string();
  std::string text;
  for (const Json& part : content.items()) {
    if (const Json* piece = part.find("text")) text += piece->string();
  }
  return text;
}

namespace {
bool is_empty(const Json& content) {
  return content.is_string() ? content.string().empty() : content.items().empty();
}
}  // namespace

void prepend_text(Json& content, const std::string& text) {
  if (is_empty(content)) {
    content = Json(text);
  } else if (content.is_string()) {
    content = Json(text + "\n\n" + content.string());
  } else {
    content.items().insert(content.items().begin(), text_part(text + "\n\n"));
  }
}

void append_text(Json& content, const std::string& text) {
  if (is_empty(content)) {
    content = Json(text);
  } else if (content.is_string()) {
    content = Json(content.string() + "\n\n" + text);
  } else {
    content.push_back(text_part("\n\n" + text));
  }
}

}  // namespace sluice::chat
