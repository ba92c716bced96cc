#include "server/anthropic/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace sluice::server::anthropic {
namespace {

constexpr std::string_view kBillingLine = "x-anthropic-billing-header";

const std::string* text_member(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  return value != nullptr && value->is_string() ? &value->string() : nullptr;
}

std::string type_of(const Json& block) {
  const std::string* type = text_member(block, "type");
  return type != nullptr ? *type : std::string();
}

// Only the line goes: some clients put header and prompt into one text.
std::string without_billing_line(const std::string& text) {
  if (!text.starts_with(kBillingLine)) return text;
  const size_t end = text.find('\n');
  return end == std::string::npos ? std::string() : text.substr(end + 1);
}

void join(std::string& text, const std::string& more, std::string_view between) {
  if (!text.empty() && !more.empty() && !text.ends_with("\n")) text += between;
  text += more;
}

Json text_part(std::string text) {
  Json part = Json::object();
  part.set("type", "text");
  part.set("text", std::move(text));
  return part;
}

// A message of the client: its role, and its content as blocks.
struct Turn {
  std::string role;
  std::vector<Json> blocks;
};

Result<Turn> read_turn(const Json& message, const std::string& where) {
  Turn turn;
  const std::string* role = text_member(message, "role");
  if (role == nullptr || (*role != "user" && *role != "assistant" && *role != "system"))
    return usage_error(where + ".role", "is none of user, assistant and system");
  turn.role = *role;
  const Json* content = message.find("content");
  if (content != nullptr && content->is_string()) {
    turn.blocks.push_back(text_part(content->string()));
  } else if (content != nullptr && content->is_array()) {
    for (const Json& block : content->items()) {
      if (!block.is_object())
        return usage_error(where + ".content",
                           fmt::format("holds a {}, a block was expected", block.kind_name()));
      turn.blocks.push_back(block);
    }
  } else {
    return usage_error(where + ".content", "is neither a string nor an array of blocks");
  }
  return turn;
}

// Messages of one role in a row are one turn; their texts are kept apart by a blank line.
void merge(Turn& turn, Turn more) {
  const bool texts = !turn.blocks.empty() && !more.blocks.empty() &&
                     type_of(turn.blocks.back()) == "text" &&
                     type_of(more.blocks.front()) == "text";
  if (texts) turn.blocks.push_back(text_part("\n\n"));
  std::move(more.blocks.begin(), more.blocks.end(), std::back_inserter(turn.blocks));
}

// A block that stands for text: its text, or nothing for one that is skipped.
Result<std::optional<Json>> content_part(const Json& block, const std::string& where) {
  const std::string type = type_of(block);
  if (type == "image") {
    Json part = Json::object();
    part.set("type", "image_url");
    part.set("image_url", block);
    return std::optional<Json>(std::move(part));  // the normaliser decides on images
  }
  if (type == "document") {
    const Json* source = block.find("source");
    const std::string* data = source != nullptr ? text_member(*source, "data") : nullptr;
    if (data == nullptr || type_of(*source) != "text")
      return usage_error(where, "a document that is not plain text is not taken");
    const std::string* title = text_member(block, "title");
    return std::optional<Json>(text_part(title != nullptr ? *title + "\n" + *data : *data));
  }
  const std::string* text = text_member(block, "text");
  if (text == nullptr || text->empty()) return std::optional<Json>();  // unknown, or nothing said
  return std::optional<Json>(text_part(*text));
}

// The declaration of a tool that was deferred and is named now: it joins the result's text, so that
// the head of the prompt stays as it was.
std::string referenced_tool(const Json& block, const Json* tools) {
  const std::string* name = text_member(block, "tool_name");
  if (name == nullptr || tools == nullptr) return {};
  for (const Json& tool : tools->items()) {
    const std::string* declared = text_member(tool, "name");
    if (declared != nullptr && *declared == *name) return tool.dump();
  }
  return {};
}

Result<Json> tool_message(const Json& block, const std::string& where, const Json* tools) {
  Json message = Json::object();
  message.set("role", "tool");
  const std::string* id = text_member(block, "tool_use_id");
  if (id == nullptr) return usage_error(where + ".tool_use_id", "a string was expected");
  message.set("tool_call_id", *id);
  std::string text;
  Json::Array images;
  const Json* content = block.find("content");
  if (content != nullptr && content->is_string()) {
    text = content->string();
  } else if (content != nullptr && content->is_array()) {
    for (const Json& item : content->items()) {
      if (type_of(item) == "tool_reference") {
        join(text, referenced_tool(item, tools), "\n");
        continue;
      }
      SLUICE_ASSIGN(auto part, content_part(item, where + ".content"));
      if (!part) continue;
      const std::string* said = text_member(*part, "text");
      if (said != nullptr) {
        join(text, *said, "\n");
      } else {
        images.push_back(std::move(*part));
      }
    }
  } else if (content != nullptr && !content->is_null()) {
    return usage_error(where + ".content", "is neither a string nor an array of blocks");
  }
  const Json* is_error = block.find("is_error");
  if (is_error != nullptr && is_error->is_boolean() && is_error->boolean()) text = "Error: " + text;
  if (images.empty()) {
    message.set("content", std::move(text));
  } else {
    images.insert(images.begin(), text_part(std::move(text)));
    message.set("content", std::move(images));
  }
  return message;
}

Result<Json> assistant_message(const Turn& turn, const std::string& where) {
  Json::Array parts, calls;
  std::string reasoning;
  for (const Json& block : turn.blocks) {
    const std::string type = type_of(block);
    if (type == "thinking") {
      const std::string* thought = text_member(block, "thinking");
      if (thought != nullptr) join(reasoning, *thought, "\n");
    } else if (type == "tool_use") {
      const std::string* name = text_member(block, "name");
      if (name == nullptr) return usage_error(where + ".content", "a tool_use has no name");
      const Json* input = block.find("input");
      Json function = Json::object();
      function.set("name", *name);
      function.set("arguments", input != nullptr && !input->is_null() ? *input : Json::object());
      Json call = Json::object();
      if (const std::string* id = text_member(block, "id")) call.set("id", *id);
      call.set("type", "function");
      call.set("function", std::move(function));
      calls.push_back(std::move(call));
    } else if (type != "redacted_thinking") {
      SLUICE_ASSIGN(auto part, content_part(block, where + ".content"));
      if (part) parts.push_back(std::move(*part));
    }
  }
  Json message = Json::object();
  message.set("role", "assistant");
  message.set("content", parts.empty() ? Json("") : Json(std::move(parts)));
  if (!reasoning.empty()) message.set("reasoning_content", std::move(reasoning));
  if (!calls.empty()) message.set("tool_calls", std::move(calls));
  return message;
}

bool is_reminder(const Json::Array& parts) {
  const auto is_text = [](const Json& part) { return text_member(part, "text") != nullptr; };
  return !parts.empty() && std::all_of(parts.begin(), parts.end(), is_text) &&
         text_member(parts.front(), "text")->starts_with("<system-reminder>");
}

// Results come before the rest of the turn, whatever the order of the blocks.
Status add_user_turn(const Turn& turn, const std::string& where, const Json* tools,
                     Json::Array& messages) {
  Json::Array parts;
  // A system message between calls and results is moved behind them by the normaliser.
  const auto last = std::find_if(messages.rbegin(), messages.rend(),
                                 [](const Json& m) { return *text_member(m, "role") != "system"; });
  const bool after_calls = last != messages.rend() && last->find("tool_calls") != nullptr;
  const bool after_assistant = std::any_of(messages.begin(), messages.end(), [](const Json& m) {
    return *text_member(m, "role") == "assistant";
  });
  bool results = false;
  for (const Json& block : turn.blocks) {
    if (type_of(block) == "tool_result") {
      if (!after_assistant)
        return usage_error(where + ".content", "a tool_result has no tool_use before it");
      SLUICE_ASSIGN(Json message, tool_message(block, where + ".content", tools));
      if (after_calls) {
        messages.push_back(std::move(message));
        results = true;
        continue;
      }
      // Its call was lost on the way (a compacted history): told as text, better than refused.
      const Json* content = message.find("content");
      if (content->is_string()) parts.push_back(text_part(content->string()));
      continue;
    }
    SLUICE_ASSIGN(auto part, content_part(block, where + ".content"));
    if (part) parts.push_back(std::move(*part));
  }
  if (results && is_reminder(parts) && messages.back().find("content")->is_string()) {
    // As a turn of its own it would become the last query, and the template would drop all thoughts
    // of the running loop before it.
    std::string text = messages.back().find("content")->string();
    for (const Json& part : parts) join(text, *text_member(part, "text"), "\n");
    messages.back().set("content", std::move(text));
    return {};
  }
  if (parts.empty() && results) return {};
  Json message = Json::object();
  message.set("role", "user");
  message.set("content", parts.empty() ? Json("") : Json(std::move(parts)));
  messages.push_back(std::move(message));
  return {};
}

Json system_message(std::string text) {
  Json message = Json::object();
  message.set("role", "system");
  message.set("content", std::move(text));
  return message;
}

}  // namespace

Result<std::string> system_text(const Json& system) {
  if (system.is_string()) return without_billing_line(system.string());
  if (!system.is_array())
    return usage_error("system", "is neither a string nor an array of text blocks");
  std::string text;
  for (const Json& block : system.items()) {
    const std::string* said = text_member(block, "text");
    if (said == nullptr) return usage_error("system", "holds a block without text");
    join(text, without_billing_line(*said), "\n");
  }
  return text;
}

Result<Json> convert_messages(const std::string& system, const Json& messages, const Json* tools) {
  Json::Array converted;
  if (!system.empty()) converted.push_back(system_message(system));
  std::vector<Turn> turns;
  std::vector<size_t> places;
  for (size_t i = 0; i < messages.items().size(); ++i) {
    SLUICE_ASSIGN(Turn turn, read_turn(messages.items()[i], fmt::format("messages[{}]", i)));
    if (!turns.empty() && turns.back().role == turn.role) {
      merge(turns.back(), std::move(turn));
    } else {
      turns.push_back(std::move(turn));
      places.push_back(i);
    }
  }
  for (size_t i = 0; i < turns.size(); ++i) {
    const std::string where = fmt::format("messages[{}]", places[i]);
    if (turns[i].role == "user") {
      SLUICE_TRY(add_user_turn(turns[i], where, tools, converted));
    } else if (turns[i].role == "assistant") {
      SLUICE_ASSIGN(Json message, assistant_message(turns[i], where));
      converted.push_back(std::move(message));
    } else {
      SLUICE_ASSIGN(std::string text, system_text(Json(Json::Array(turns[i].blocks))));
      if (!text.empty()) converted.push_back(system_message(std::move(text)));
    }
  }
  return Json(std::move(converted));
}

Result<Json> convert_tools(const Json& tools) {
  Json::Array converted;
  for (size_t i = 0; i < tools.items().size(); ++i) {
    const Json& tool = tools.items()[i];
    const std::string* name = text_member(tool, "name");
    const std::string type = type_of(tool);
    const Json* schema = tool.find("input_schema");
    const bool has_schema = schema != nullptr && schema->is_object();
    if (!type.empty() && type != "custom" && !has_schema) continue;  // runs at Anthropic only
    if (name == nullptr)
      return usage_error(fmt::format("tools[{}].name", i), "a string was expected");
    Json parameters = has_schema ? *schema : Json::object();
    if (parameters.find("type") == nullptr) {
      Json typed = Json::object();
      typed.set("type", "object");
      for (const auto& [key, value] : parameters.members()) typed.set(key, value);
      parameters = std::move(typed);
    }
    Json function = Json::object();
    function.set("name", *name);
    if (const std::string* description = text_member(tool, "description"))
      function.set("description", *description);
    function.set("parameters", std::move(parameters));
    if (const Json* strict = tool.find("strict")) function.set("strict", *strict);
    Json entry = Json::object();
    entry.set("type", "function");
    entry.set("function", std::move(function));
    if (const Json* defer = tool.find("defer_loading")) entry.set("defer_loading", *defer);
    converted.push_back(std::move(entry));
  }
  return Json(std::move(converted));
}

}  // namespace sluice::server::anthropic
