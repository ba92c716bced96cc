// Each rule of serving-template.md 1.4, with what it refuses.
#include "chat/normalise.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice::chat {
namespace {

Result<NormalisedRequest> run(const std::string& request, const NormaliseOptions& options = {}) {
  return normalise(*parse_json(request), options);
}

// The messages after normalising, as JSON text, or "!place: reason".
std::string messages(const std::string& list, const NormaliseOptions& options = {}) {
  const auto normal = run(R"({"messages":)" + list + "}", options);
  return normal.ok() ? normal->messages.dump()
                     : "!" + normal.error().what + ": " + normal.error().why;
}

// Roles and contents in short: "user: a | assistant: b".
std::string outline(const std::string& list, const NormaliseOptions& options = {}) {
  const auto normal = run(R"({"messages":)" + list + "}", options);
  if (!normal.ok()) return "!" + normal.error().what + ": " + normal.error().why;
  std::string text;
  for (const Json& message : normal->messages.items()) {
    if (!text.empty()) text += " | ";
    const Json& content = *message.find("content");
    text += message.find("role")->string() + ": " +
            (content.is_string() ? content.string() : content.dump());
  }
  return text;
}

TEST(Normalise, N1Roles) {
  EXPECT_EQ(outline(R"([{"role":"developer","content":"s"},{"role":"user","content":"u"}])"),
            "system: s | user: u");
  EXPECT_EQ(
      outline(
          R"([{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"function":{"name":"f"}}]},
                        {"role":"function","name":"f","content":"r"}])"),
      "user: u | assistant:  | tool: r");
  EXPECT_EQ(messages(R"([{"role":"user","content":""},{"role":"bot","content":""}])"),
            "!messages[1].role: 'bot' is not a role");
  EXPECT_EQ(messages(R"([{"content":""}])"), "!messages[0].role: is missing");
  EXPECT_EQ(messages(R"([{"role":1,"content":""}])"),
            "!messages[0].role: must be a string, is number");
  EXPECT_EQ(messages(R"(["hi"])"), "!messages[0]: must be an object, is string");
  EXPECT_EQ(messages("[]"), "!messages: is empty");
  EXPECT_EQ(messages("{}"), "!messages: must be an array, is object");
  EXPECT_EQ(run("{}").error().what, "messages");
  EXPECT_EQ(run("{}").error().code, ErrorCode::kUsage);
}

TEST(Normalise, N2LeadingSystemMessagesAreOne) {
  EXPECT_EQ(
      outline(
          R"([{"role":"system","content":"a"},{"role":"developer","content":[{"type":"text","text":"b"},
                        {"type":"text","text":"c"}]},{"role":"user","content":"u"}])"),
      "system: a\n\nbc | user: u");
  EXPECT_EQ(outline(R"([{"role":"system","content":""},{"role":"user","content":"u"}])"),
            "system:  | user: u");
}

TEST(Normalise, N3LateSystemIsFoldedAtItsPlace) {
  const std::string head = R"([{"role":"system","content":"h"},{"role":"user","content":"u1"},)";
  const std::string call =
      R"({"role":"assistant","content":"a","tool_calls":[{"id":"1","function":{"name":"f"}}]},)";
  const std::string late = R"({"role":"system","content":"S"})",
                    answer = R"({"role":"assistant","content":"a"})";
  const std::string user = R"({"role":"user","content":"u2"})",
                    result = R"({"role":"tool","tool_call_id":"1","content":"r"})";
  EXPECT_EQ(outline(head + late + "]"), "system: h | user: u1\n\nS");
  EXPECT_EQ(outline(head + answer + "," + late + "," + user + "]"),
            "system: h | user: u1 | assistant: a | user: S\n\nu2");
  EXPECT_EQ(outline(head + answer + "," + late + "]"),
            "system: h | user: u1 | assistant: a | user: S");
  EXPECT_EQ(outline(head + answer + "," + late + "," + answer + "]"),
            "system: h | user: u1 | assistant: a | user: S | assistant: a");
  EXPECT_EQ(outline(head + answer + "," + late + "," + late + "," + user + "]"),
            "system: h | user: u1 | assistant: a | user: S\n\nS\n\nu2");
  // A call and its results stay together, and no new user turn is made.
  EXPECT_EQ(outline(head + call + late + "," + result + "]"),
            "system: h | user: u1 | assistant: a | tool: r\n\nS");
  EXPECT_EQ(outline(head + call + result + "," + late + "]"),
            "system: h | user: u1 | assistant: a | tool: r\n\nS");
  EXPECT_EQ(outline(head + call + result + "," + late + "," + result + "," + user + "]"),
            "system: h | user: u1 | assistant: a | tool: r | tool: r\n\nS | user: u2");
  EXPECT_EQ(outline(head + call + result + "," + late + "," + answer + "]"),
            "system: h | user: u1 | assistant: a | tool: r\n\nS | assistant: a");
  // An empty result, an empty system message, and content in parts.
  EXPECT_EQ(outline(head + call + R"({"role":"tool","content":""},)" + late + "]"),
            "system: h | user: u1 | assistant: a | tool: S");
  EXPECT_EQ(outline(head + answer + R"(,{"role":"system","content":""}])"),
            "system: h | user: u1 | assistant: a");
  EXPECT_EQ(outline(R"([{"role":"user","content":[{"type":"text","text":"u"}]},)" + late + "]"),
            R"(user: [{"type":"text","text":"u"},{"type":"text","text":"\n\nS"}])");
  EXPECT_EQ(
      outline("[" + user + "," + answer + "," + late +
              R"(,{"role":"user","content":[{"type":"text","text":"u"}]}])"),
      R"(user: u2 | assistant: a | user: [{"type":"text","text":"S\n\n"},{"type":"text","text":"u"}])");
}

TEST(Normalise, N3OtherPolicies) {
  const std::string list =
      R"([{"role":"user","content":"u"},{"role":"assistant","content":"a"},{"role":"system","content":"S"},
      {"role":"user","content":"v"}])";
  NormaliseOptions options;
  options.late_system = LateSystem::kHoist;
  EXPECT_EQ(outline(list, options), "system: S | user: u | assistant: a | user: v");
  options.late_system = LateSystem::kError;
  EXPECT_EQ(outline(list, options), "!messages[2]: a system message after the first turn");
}

TEST(Normalise, N4ContentParts) {
  EXPECT_EQ(
      outline(
          R"([{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"output_text","text":"b"},
      {"type":"refusal","refusal":"c"},"d",{"type":"text","text":"e","cache_control":{}}]}])"),
      R"(user: [{"type":"text","text":"a"},{"type":"text","text":"b"},{"type":"text","text":"c"},{"type":"text","text":"d"},)"
      R"({"type":"text","text":"e"}])");
  EXPECT_EQ(
      outline(
          R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}},{"type":"input_image","image_url":"y"},
      {"type":"image","image":"z"},{"type":"video_url","video_url":{"url":"x"}},{"type":"input_video","video":1}]}])"),
      R"(user: [{"type":"image","image_url":{"url":"x"}},{"type":"image","image_url":"y"},{"type":"image","image":"z"},)"
      R"({"type":"video","video_url":{"url":"x"}},{"type":"video","video":1}])");
  const auto part = [](const std::string& content, const NormaliseOptions& options = {}) {
    return messages(R"([{"role":"user","content":[)" + content + "]}]", options);
  };
  EXPECT_EQ(part(R"({"type":"input_audio"})"),
            "!messages[0].content[0].type: 'input_audio' is unsupported");
  EXPECT_EQ(part(R"({"type":"text","text":"a"},{"type":"file"})"),
            "!messages[0].content[1].type: 'file' is unsupported");
  EXPECT_EQ(part(R"({"text":"a"})"), "!messages[0].content[0].type: is missing");
  EXPECT_EQ(part(R"({"type":"text","text":null})"),
            "!messages[0].content[0].text: must be a string, is null");
  EXPECT_EQ(part("5"), "!messages[0].content[0]: must be an object, is number");
  NormaliseOptions text_only;
  text_only.accept_images = text_only.accept_videos = false;
  EXPECT_EQ(part(R"({"type":"image"})", text_only),
            "!messages[0].content[0]: this model build reads no images");
  EXPECT_EQ(part(R"({"type":"video"})", text_only),
            "!messages[0].content[0]: this model build reads no videos");
  EXPECT_EQ(messages(R"([{"role":"system","content":[{"type":"image"}]}])"),
            "!messages[0].content[0]: a system message cannot contain images");
  EXPECT_EQ(messages(R"([{"role":"user","content":{}}])"),
            "!messages[0].content: must be a string or an array of parts, is object");
}

TEST(Normalise, N5Reasoning) {
  const auto reasoning = [](const std::string& fields) {
    const auto normal =
        run(R"({"messages":[{"role":"user","content":"u"},{"role":"assistant",)" + fields + "}]}");
    if (!normal.ok()) return "!" + normal.error().message();
    const Json* text = normal->messages.items()[1].find("reasoning_content");
    return text ? text->string() : std::string("none");
  };
  EXPECT_EQ(reasoning(R"("content":"a","reasoning":"r","reasoning_content":"c")"), "r");
  EXPECT_EQ(reasoning(R"("content":"a","reasoning":"","reasoning_content":"c")"), "c");
  EXPECT_EQ(reasoning(R"("content":"a","reasoning":null,"reasoning_content":"")"), "");
  EXPECT_EQ(reasoning(R"("content":"a")"), "none");
  EXPECT_EQ(
      reasoning(
          R"("content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"text","text":"a"},{"type":"thinking","thinking":"u"}])"),
      "tu");
  EXPECT_EQ(reasoning(R"("content":"a","reasoning":[{"text":"x"},{"text":"y"}])"), "xy");
  EXPECT_EQ(
      reasoning(
          R"("content":"a","reasoning_details":[{"type":"reasoning.text","text":"x"},{"summary":"q"},{"text":"y"}])"),
      "xy");
  // A user has no thoughts, and a thinking block is no content of theirs.
  EXPECT_EQ(messages(R"([{"role":"user","content":[{"type":"thinking","thinking":"t"}]}])"),
            "!messages[0].content[0].type: 'thinking' is unsupported");
  EXPECT_EQ(
      outline(
          R"([{"role":"user","content":"u"},{"role":"assistant","content":[{"type":"redacted_thinking","data":"x"},{"type":"text","text":"a"}]}])"),
      R"(user: u | assistant: [{"type":"text","text":"a"}])");
}

TEST(Normalise, N6ToolCallArguments) {
  const auto arguments = [](const std::string& value, const NormaliseOptions& options = {}) {
    const auto normal = run(
        R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":)" +
            value + "}}]}]}",
        options);
    if (!normal.ok()) return "!" + normal.error().what + ": " + normal.error().why;
    return normal->messages.items()[1]
        .find("tool_calls")
        ->items()[0]
        .find("function")
        ->find("arguments")
        ->dump();
  };
  EXPECT_EQ(arguments(R"("{\"b\": 1.0, \"a\": 1e5}")"),
            R"({"b":1.0,"a":1e5})");  // order and spelling stay
  EXPECT_EQ(arguments(R"({"b":1})"), R"({"b":1})");
  EXPECT_EQ(arguments(R"("")"), "{}");
  EXPECT_EQ(arguments(R"(" \n ")"), "{}");
  EXPECT_EQ(arguments("null"), "{}");
  EXPECT_EQ(arguments(R"("{broken")"), R"({"_raw_arguments":"{broken"})");
  EXPECT_EQ(arguments(R"("[1]")"), R"({"_raw_arguments":"[1]"})");
  EXPECT_EQ(arguments("[1]"), R"({"_raw_arguments":"[1]"})");
  NormaliseOptions strict;
  strict.strict_tool_arguments = true;
  EXPECT_TRUE(arguments(R"("{broken")", strict)
                  .starts_with("!messages[1].tool_calls[0].function.arguments: "));
  EXPECT_EQ(arguments(R"("[1]")", strict),
            "!messages[1].tool_calls[0].function.arguments: must be a JSON object, is array");
  EXPECT_EQ(arguments("[1]", strict),
            "!messages[1].tool_calls[0].function.arguments: must be a JSON object, is array");
  EXPECT_EQ(arguments(R"("{}")", strict), "{}");

  const auto calls = [](const std::string& fields) {
    return messages(R"([{"role":"user","content":"u"},{"role":"assistant",)" + fields + "}]");
  };
  EXPECT_EQ(calls(R"("tool_calls":"f")"), "!messages[1].tool_calls: must be an array, is string");
  EXPECT_EQ(calls(R"("tool_calls":[null])"),
            "!messages[1].tool_calls[0]: must be an object, is null");
  EXPECT_EQ(calls(R"("tool_calls":[{}])"), "!messages[1].tool_calls[0].function: is missing");
  EXPECT_EQ(calls(R"("tool_calls":[{"function":{}}])"),
            "!messages[1].tool_calls[0].function.name: is missing");
  EXPECT_EQ(calls(R"("tool_calls":[])"),
            R"([{"role":"user","content":"u"},{"role":"assistant","content":""}])");
  EXPECT_EQ(
      calls(R"("function_call":{"name":"f","arguments":"{}"})"),
      R"([{"role":"user","content":"u"},{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"f","arguments":{}}}]}])");
}

TEST(Normalise, N7MissingContent) {
  EXPECT_EQ(
      outline(
          R"([{"role":"user","content":"u"},{"role":"assistant","content":null},{"role":"assistant"}])"),
      "user: u | assistant:  | assistant: ");
  EXPECT_EQ(messages(R"([{"role":"user","content":null}])"), "!messages[0].content: is null");
  EXPECT_EQ(messages(R"([{"role":"user"}])"), "!messages[0].content: is missing");
  const std::string call =
      R"([{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"function":{"name":"f"}}]},)";
  EXPECT_EQ(messages(call + R"({"role":"tool"}])"), "!messages[2].content: is missing");
  EXPECT_EQ(outline(call + R"({"role":"tool","content":""}])"), "user: u | assistant:  | tool: ");
}

TEST(Normalise, N8OrderOfToolResults) {
  const std::string calls =
      R"([{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f"}},
      {"id":"2","function":{"name":"g"}}]},)";
  const auto result = [](const std::string& id, const std::string& text) {
    return R"({"role":"tool","tool_call_id":")" + id + R"(","content":")" + text + R"("})";
  };
  EXPECT_EQ(outline(calls + result("2", "b") + "," + result("1", "a") + "]"),
            "user: u | assistant:  | tool: a | tool: b");
  EXPECT_EQ(outline(calls + result("2", "b") + "," + result("1", "a") +
                    R"(,{"role":"user","content":"v"}])"),
            "user: u | assistant:  | tool: a | tool: b | user: v");
  EXPECT_EQ(outline(calls + result("2", "b") + "," + result("3", "a") + "]"),
            "user: u | assistant:  | tool: b | tool: a");
  EXPECT_EQ(outline(calls + result("2", "b") + "," + result("2", "a") + "]"),
            "user: u | assistant:  | tool: b | tool: a");
  EXPECT_EQ(outline(calls + result("2", "b") + R"(,{"role":"tool","content":"a"}])"),
            "user: u | assistant:  | tool: b | tool: a");
  EXPECT_EQ(outline(calls + result("2", "b") + "," + result("1", "a") +
                    R"(,{"role":"system","content":"S"}])"),
            "user: u | assistant:  | tool: a | tool: b\n\nS");
  for (const char* head :
       {R"([)", R"([{"role":"user","content":"u"},)", R"([{"role":"assistant","content":"a"},)"}) {
    EXPECT_NE(outline(head + result("1", "a") + "]").find("a tool message must follow"),
              std::string::npos)
        << head;
  }
}

TEST(Normalise, N9Tools) {
  const auto tools = [](const std::string& list) {
    const auto normal = run(R"({"messages":[{"role":"user","content":"u"}],"tools":)" + list + "}");
    return normal.ok() ? normal->tools.dump()
                       : "!" + normal.error().what + ": " + normal.error().why;
  };
  EXPECT_EQ(
      tools(
          R"([{"function":{"strict":true,"parameters":{"z":1,"a":1.0},"description":"d","name":"f","extra":1,"cache_control":{}},
      "cache_control":{},"defer_loading":false}])"),
      R"([{"type":"function","function":{"name":"f","description":"d","parameters":{"z":1,"a":1.0},"extra":1}}])");
  EXPECT_EQ(tools(R"([{"type":"function","function":{"name":"f","description":null}}])"),
            R"([{"type":"function","function":{"name":"f"}}])");
  EXPECT_EQ(tools(R"([{"type":"function","function":{"name":"f"},"defer_loading":true}])"), "null");
  EXPECT_EQ(tools("[]"), "null");
  EXPECT_EQ(tools("null"), "null");
  EXPECT_EQ(tools("{}"), "!tools: must be an array, is object");
  EXPECT_EQ(tools("[1]"), "!tools[0]: must be an object, is number");
  EXPECT_EQ(tools(R"([{"type":"web"}])"), R"(!tools[0].type: must be "function", is "web")");
  EXPECT_EQ(tools(R"([{"type":"function"}])"), "!tools[0].function: is missing");
  EXPECT_EQ(tools(R"([{"function":{"name":""}}])"),
            "!tools[0].function.name: must be a non-empty string");
}

TEST(Normalise, N10N11TemplateVariables) {
  NormaliseOptions options;
  options.default_kwargs = *parse_json(R"({"enable_thinking":false,"x":1})");
  const auto kwargs = [&](const std::string& value) {
    const auto normal =
        run(R"({"messages":[{"role":"user","content":"u"}],"chat_template_kwargs":)" + value + "}",
            options);
    return normal.ok() ? normal->chat_template_kwargs.dump()
                       : "!" + normal.error().what + ": " + normal.error().why;
  };
  EXPECT_EQ(kwargs("null"), R"({"enable_thinking":false,"x":1})");
  EXPECT_EQ(
      kwargs(R"({"enable_thinking":"true","preserve_thinking":0,"add_vision_id":1,"y":"true"})"),
      R"({"enable_thinking":true,"x":1,"preserve_thinking":false,"add_vision_id":true,"y":"true"})");
  EXPECT_EQ(kwargs(R"({"enable_thinking":"yes"})"),
            R"(!chat_template_kwargs.enable_thinking: must be a boolean, is "yes")");
  EXPECT_EQ(kwargs(R"({"enable_thinking":2})"),
            "!chat_template_kwargs.enable_thinking: must be a boolean, is 2");
  for (const char* taken : {"messages", "tools", "add_generation_prompt", "chat_template"}) {
    EXPECT_EQ(kwargs(R"({")" + std::string(taken) + R"(":1})"),
              "!chat_template_kwargs." + std::string(taken) + ": cannot be given here");
  }
  EXPECT_EQ(kwargs("[]"), "!chat_template_kwargs: must be an object, is array");
}

TEST(Normalise, N12Continuation) {
  const std::string answered =
      R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"a"}])";
  auto normal = run(answered + "}");
  EXPECT_TRUE(normal->add_generation_prompt);
  EXPECT_FALSE(normal->continue_final_message);
  normal = run(answered + R"(,"continue_final_message":true})");
  EXPECT_FALSE(normal->add_generation_prompt);
  EXPECT_TRUE(normal->continue_final_message);
  EXPECT_FALSE(run(answered + R"(,"add_generation_prompt":false})")->add_generation_prompt);
  EXPECT_FALSE(
      run(answered + R"(,"continue_final_message":true,"add_generation_prompt":true})").ok());
  EXPECT_FALSE(
      run(R"({"messages":[{"role":"user","content":"u"}],"continue_final_message":true})").ok());
  EXPECT_FALSE(
      run(R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"function":{"name":"f"}}]}],)"
          R"("continue_final_message":true})")
          .ok());
  EXPECT_EQ(run(answered + R"(,"continue_final_message":1})").error().what,
            "continue_final_message");
  NormaliseOptions always;
  always.always_continue = true;
  EXPECT_TRUE(run(answered + "}", always)->continue_final_message);
  EXPECT_FALSE(
      run(R"({"messages":[{"role":"user","content":"u"}]})", always)->continue_final_message);
}

}  // namespace
}  // namespace sluice::chat
