#include "tools/distill/corpus/sample.h"

#include "base/check.h"

namespace sluice::tools::corpus {
namespace {

Json message(const char* role, std::string content) {
  Json json = Json::object();
  json.set("role", role);
  json.set("content", std::move(content));
  return json;
}

}  // namespace

Json Sample::line(std::string id) const {
  Json json = Json::object();
  json.set("id", std::move(id));
  json.set("kind", kind);
  if (!text.empty()) {
    json.set("text", text);
    return json;
  }
  json.set("messages", messages);
  json.set("tools", tools);
  Json arguments = Json::object();
  if (!thinking) arguments.set("enable_thinking", false);
  if (keep_thoughts) arguments.set("preserve_thinking", true);
  json.set("chat_template_kwargs", std::move(arguments));
  if (!check.is_null()) {
    json.set("check", check);
    json.set("prompt", static_cast<int64_t>(prompt));
  }
  Json::Array names;
  for (const std::string& name : wordings) names.emplace_back(name);
  json.set("wordings", std::move(names));
  return json;
}

Json system_message(std::string content) { return message("system", std::move(content)); }
Json user_message(std::string content) { return message("user", std::move(content)); }
Json tool_message(std::string content) { return message("tool", std::move(content)); }

Json assistant_message(std::string thought, std::string content) {
  Json json = message("assistant", std::move(content));
  json.set("reasoning_content", std::move(thought));
  return json;
}

Json check_of(std::string_view type, Json value) {
  Json json = Json::object();
  json.set("type", type);
  json.set("value", std::move(value));
  return json;
}

Sample question(std::string user, std::string thought, std::string answer, Json check) {
  Sample sample;
  sample.messages.push_back(user_message(std::move(user)));
  sample.messages.push_back(assistant_message(std::move(thought), std::move(answer)));
  sample.check = std::move(check);
  sample.prompt = 1;
  return sample;
}

std::string fill(std::string_view form,
                 std::initializer_list<std::pair<std::string_view, std::string>> values) {
  std::string text;
  while (!form.empty()) {
    const size_t open = form.find('{');
    text += form.substr(0, open);
    if (open == std::string_view::npos) break;
    const size_t close = form.find('}', open);
    SLUICE_CHECK(close != std::string_view::npos, "form {}", form);
    const std::string_view key = form.substr(open + 1, close - open - 1);
    bool found = false;
    for (const auto& [name, value] : values) {
      if (name != key) continue;
      text += value;
      found = true;
      break;
    }
    SLUICE_CHECK(found, "no value for {} in {}", key, form);
    form.remove_prefix(close + 1);
  }
  return text;
}

std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 32);
  return text;
}

}  // namespace sluice::tools::corpus
