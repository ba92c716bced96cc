#include "chat/normalise.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "chat/normalise_message.h"

namespace sluice::chat {
namespace {

Json message_of(const char* role, std::string text) {
  Json message = Json::object();
  message.set("role", role);
  message.set("content", std::move(text));
  return message;
}

// Puts messages in a row, one after the other: system messages find their place (N2, N3), tool
// results get the order of their calls (N8).
class Row {
 public:
  explicit Row(const NormaliseOptions& options) : options_(options) {}

  Status add(Json message, const std::string& where) {
    const std::string role = message.find("role")->string();
    if (role == "system") return add_system(content_text(*message.find("content")), where);
    if (role == "tool" && !follows_call()) {
      return usage_error(
          where,
          "a tool message must follow an assistant message with tool calls or another "
          "tool message");
    }
    if (role != "tool") end_tool_run();
    if (role == "user" && !held_.empty()) {
      prepend_text(*message.find("content"), take_held());
    } else if (role == "assistant" && !held_.empty()) {
      messages_.push_back(message_of("user", take_held()));
    }
    messages_.push_back(std::move(message));
    return {};
  }

  Json finish() {
    end_tool_run();
    if (!held_.empty()) messages_.push_back(message_of("user", take_held()));
    // Written even when it is empty, as the template does.
    if (head_count_ > 0) {
      messages_.insert(messages_.begin(), message_of("system", head_));
    }
    return Json(std::move(messages_));
  }

 private:
  static void join(std::string& text, const std::string& more) {
    if (more.empty()) return;
    if (!text.empty()) text += "\n\n";
    text += more;
  }

  Status add_system(const std::string& text, const std::string& where) {
    if (messages_.empty() || options_.late_system == LateSystem::kHoist) {
      ++head_count_;
      join(head_, text);
      return {};
    }
    if (options_.late_system == LateSystem::kError) {
      return usage_error(where, "a system message after the first turn",
                         "Send it at the beginning");
    }
    if (text.empty()) return {};
    if (last_role() == "user") {
      append_text(*messages_.back().find("content"), text);
    } else {
      // After an assistant or within tool results: the place is known when the next message is.
      join(held_, text);
    }
    return {};
  }

  std::string_view last_role() const {
    return messages_.empty() ? std::string_view()
                             : std::string_view(messages_.back().find("role")->string());
  }

  bool follows_call() const {
    return last_role() == "tool" ||
           (last_role() == "assistant" && messages_.back().find("tool_calls"));
  }

  std::string take_held() { return std::exchange(held_, {}); }

  // After the last result of a run: their order, then what was held back (a new user turn instead
  // would move the template's last query and so change how earlier turns are rendered).
  void end_tool_run() {
    if (last_role() != "tool") return;
    size_t begin = messages_.size();
    while (messages_[begin - 1].find("role")->string() == "tool") --begin;
    order_results(begin);
    if (!held_.empty()) append_text(*messages_.back().find("content"), take_held());
  }

  // Results from `begin` on, in the order of the calls before them, if every id names exactly one
  // call.
  void order_results(size_t begin) {
    const Json& calls = *messages_[begin - 1].find("tool_calls");
    std::map<std::string, size_t> place;
    for (size_t i = 0; i < calls.items().size(); ++i) {
      const Json* id = calls.items()[i].find("id");
      if (!id || !place.emplace(id->string(), i).second) return;
    }
    std::map<size_t, Json> ordered;
    for (size_t i = begin; i < messages_.size(); ++i) {
      const Json* id = messages_[i].find("tool_call_id");
      const auto call = id ? place.find(id->string()) : place.end();
      if (call == place.end() || !ordered.emplace(call->second, messages_[i]).second) return;
    }
    size_t at = begin;
    for (auto& [call, message] : ordered) messages_[at++] = std::move(message);
  }

  const NormaliseOptions& options_;
  Json::Array messages_;  // without the head
  std::string head_, held_;
  int head_count_ = 0;
};

Result<Json> normalise_messages(const Json& request, const NormaliseOptions& options) {
  const Json* messages = request.find("messages");
  if (!messages) return usage_error("messages", "is missing");
  if (!messages->is_array())
    return usage_error("messages", fmt::format("must be an array, is {}", messages->kind_name()));
  if (messages->items().empty()) return usage_error("messages", "is empty");
  Row row(options);
  for (size_t i = 0; i < messages->items().size(); ++i) {
    const std::string where = fmt::format("messages[{}]", i);
    SLUICE_ASSIGN(Json message, normalise_message(messages->items()[i], where, options));
    SLUICE_TRY(row.add(std::move(message), where));
  }
  return row.finish();
}

Result<Json> normalise_tools(const Json& request) {
  const Json* tools = request.find("tools");
  if (!tools || tools->is_null()) return Json();
  if (!tools->is_array())
    return usage_error("tools", fmt::format("must be an array, is {}", tools->kind_name()));
  Json normal;
  for (size_t i = 0; i < tools->items().size(); ++i) {
    SLUICE_ASSIGN(Json tool, normalise_tool(tools->items()[i], fmt::format("tools[{}]", i)));
    if (!tool.is_null()) normal.push_back(std::move(tool));
  }
  return normal;
}

// N10: templates test these by identity (`is true`), so that "true" or 1 would silently do nothing.
Result<Json> normalise_switch(const std::string& name, const Json& value) {
  if (value.is_boolean() || value.is_null()) return value;
  if (value.is_string() && (value.string() == "true" || value.string() == "false"))
    return Json(value.string() == "true");
  if (const auto number = value.as_int64(); number && (*number == 0 || *number == 1))
    return Json(*number == 1);
  return usage_error("chat_template_kwargs." + name, "must be a boolean, is " + value.dump());
}

// N10 and N11.
Result<Json> normalise_kwargs(const Json& request, const NormaliseOptions& options) {
  Json merged = Json::object();
  const Json* given = request.find("chat_template_kwargs");
  for (const Json* source : {&options.default_kwargs, given}) {
    if (!source || source->is_null()) continue;
    if (!source->is_object())
      return usage_error("chat_template_kwargs",
                         fmt::format("must be an object, is {}", source->kind_name()));
    for (const auto& [name, value] : source->members()) {
      for (const std::string_view taken :
           {"messages", "tools", "add_generation_prompt", "chat_template"}) {
        if (name != taken) continue;
        return usage_error("chat_template_kwargs." + name, "cannot be given here",
                           taken == "chat_template" ? "" : "Use the field of the request");
      }
      const bool is_switch =
          name == "enable_thinking" || name == "preserve_thinking" || name == "add_vision_id";
      if (!is_switch) {
        merged.set(name, value);
        continue;
      }
      SLUICE_ASSIGN(Json flag, normalise_switch(name, value));
      merged.set(name, std::move(flag));
    }
  }
  return merged;
}

Result<std::optional<bool>> boolean_field(const Json& request, const char* name) {
  const Json* field = request.find(name);
  if (!field || field->is_null()) return std::optional<bool>();
  if (!field->is_boolean())
    return usage_error(name, fmt::format("must be a boolean, is {}", field->kind_name()));
  return std::optional<bool>(field->boolean());
}

// N12.
Status settle_continuation(const Json& request, const NormaliseOptions& options,
                           NormalisedRequest& normal) {
  SLUICE_ASSIGN(const auto prompt, boolean_field(request, "add_generation_prompt"));
  SLUICE_ASSIGN(const auto proceed, boolean_field(request, "continue_final_message"));
  const Json& last = normal.messages.items().back();
  const bool ends_with_answer = last.find("role")->string() == "assistant";
  normal.continue_final_message = proceed.value_or(options.always_continue && ends_with_answer);
  normal.add_generation_prompt = prompt.value_or(!normal.continue_final_message);
  if (!normal.continue_final_message) return {};
  if (normal.add_generation_prompt) {
    return usage_error("continue_final_message", "cannot be combined with add_generation_prompt",
                       "Set one of them to false");
  }
  if (!ends_with_answer) {
    return usage_error("continue_final_message",
                       "needs a final message of the assistant, the last one is of the " +
                           last.find("role")->string());
  }
  if (last.find("tool_calls")) {
    return usage_error("continue_final_message", "cannot continue a message that has tool calls");
  }
  return {};
}

}  // namespace

Result<NormalisedRequest> normalise(const Json& request, const NormaliseOptions& options) {
  NormalisedRequest normal;
  SLUICE_ASSIGN(normal.messages, normalise_messages(request, options));
  SLUICE_ASSIGN(normal.tools, normalise_tools(request));
  SLUICE_ASSIGN(normal.chat_template_kwargs, normalise_kwargs(request, options));
  SLUICE_TRY(settle_continuation(request, options, normal));
  return normal;
}

}  // namespace sluice::chat
