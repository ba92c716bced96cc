// The engine against Python's Jinja2: random conversations over the family's templates, and the
// language as a whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chat/template.h"
#include "support/paths.h"

namespace sluice::chat {
namespace {

// What one line asks and what the engine says: a text, or an error.
struct Outcome {
  bool failed = false;
  std::string text;  // the output, or "Kind: message"

  std::string kind() const { return text.substr(0, text.find(':')); }
  bool refused() const { return failed && (kind() == "Unsupported" || kind() == "RecursionError"); }
};

Outcome expected_of(const Json& line) {
  const Json& expected = *line.find("expected");
  if (const Json* out = expected.find("out")) return {false, out->string()};
  return {true, expected.find("error")->string()};
}

TemplateInput input_of(const Json& request) {
  TemplateInput input;
  input.messages = *request.find("messages");
  input.tools = *request.find("tools");
  input.add_generation_prompt = request.find("add_generation_prompt")->boolean();
  input.chat_template_kwargs = *request.find("chat_template_kwargs");
  input.now = "2026-01-31T12:00:00";
  return input;
}

Outcome render(const std::string& source, const TemplateInput& input,
               std::map<std::string, ChatTemplate>& parsed) {
  TemplateError where;
  auto known = parsed.find(source);
  if (known == parsed.end()) {
    auto made = ChatTemplate::parse(source, &where);
    if (!made.ok()) return {true, where.message};
    known = parsed.emplace(source, std::move(made).value()).first;
  }
  const auto rendered = known->second.render(input, &where);
  if (!rendered.ok()) return {true, where.message};
  return {false, rendered->text};
}

// Runs the script and hands over its lines; nothing if there is no Python.
class Script {
 public:
  explicit Script(const std::string& arguments) {
    const auto script = test::tests_folder() / "reference" / "jinja_reference.py";
    pipe_ = popen(("PYTHONDONTWRITEBYTECODE=1 PYTHONIOENCODING=utf-8 python3 '" + script.string() +
                   "' " + arguments)
                      .c_str(),
                  "r");
  }
  ~Script() {
    if (pipe_) pclose(pipe_);
  }
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;

  // Whether the script ran to its end. Call it once, after the last line.
  bool succeeded() { return pipe_ && pclose(std::exchange(pipe_, nullptr)) == 0; }

  std::optional<Json> next() {
    char* text = nullptr;
    size_t size = 0;
    const ssize_t length = pipe_ ? getline(&text, &size, pipe_) : -1;
    const std::unique_ptr<char, void (*)(void*)> owner(text, std::free);
    if (length <= 0) return std::nullopt;
    auto line = parse_json(std::string_view(text, static_cast<size_t>(length)));
    if (line.ok()) return std::move(line).value();
    ADD_FAILURE() << line.error().message() << ": "
                  << std::string_view(text, static_cast<size_t>(length));
    return std::nullopt;
  }

 private:
  FILE* pipe_ = nullptr;
};

bool skips(const std::optional<Json>& line, std::string& reason) {
  if (!line) {
    reason = "python3 does not run";
    return true;
  }
  const Json* skip = line->find("skip");
  if (skip) reason = skip->string();
  return skip != nullptr;
}

TEST(JinjaReference, ConversationsOverTheFamilysTemplates) {
  SLUICE_REQUIRE_SHARED(folder, "data/qwen35-tokenizer");
  std::string files;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(folder.parent_path().parent_path())) {
    const std::string name = entry.path().filename().string();
    const bool config = name.starts_with("tokenizer_config") && name.ends_with(".json");
    if (entry.path().extension() == ".jinja" || config) files += " '" + entry.path().string() + "'";
  }
  Script script("conversations 10000 2026" + files);
  auto line = script.next();
  if (std::string reason; skips(line, reason)) GTEST_SKIP() << reason;
  std::map<std::string, ChatTemplate> parsed;
  std::string source;
  int compared = 0, rendered = 0, differences = 0;
  for (; line; line = script.next()) {
    if (const Json* next = line->find("source")) {
      source = next->string();
      continue;
    }
    const Outcome expected = expected_of(*line);
    const Outcome ours = render(source, input_of(*line->find("request")), parsed);
    ++compared;
    rendered += !expected.failed;
    if (ours.failed == expected.failed && ours.text == expected.text) continue;
    ++differences;
    if (differences <= 5)
      ADD_FAILURE() << line->find("request")->dump() << "\nJinja2: " << expected.text
                    << "\nours:   " << ours.text;
  }
  EXPECT_TRUE(script.succeeded());
  EXPECT_GE(compared, 10000);
  EXPECT_GE(rendered, 5000);  // most of them must get through for the comparison to say much
  EXPECT_EQ(differences, 0);
  RecordProperty("compared", compared);
  RecordProperty("rendered", rendered);
}

TEST(JinjaReference, SnippetsAndRandomExpressions) {
  Script script("snippets 6000 2026");
  auto line = script.next();
  if (std::string reason; skips(line, reason)) GTEST_SKIP() << reason;
  const TemplateInput input = input_of(*line->find("request"));
  int fixed = 0, random = 0, rendered = 0, refused = 0, differences = 0;
  for (line = script.next(); line; line = script.next()) {
    std::map<std::string, ChatTemplate> parsed;
    const std::string source = line->find("source")->string();
    const Outcome expected = expected_of(*line), ours = render(source, input, parsed);
    const bool is_fixed = line->find("fixed")->boolean();
    ++(is_fixed ? fixed : random);
    rendered += !expected.failed;
    // What Python computes and we refuse to (integers beyond 64 bits) is counted, not compared.
    if (!is_fixed && ours.refused()) {
      ++refused;
      continue;
    }
    // Of an error, the kind: the words differ between versions of Python.
    const bool same = ours.failed == expected.failed &&
                      (ours.failed ? ours.kind() == expected.kind() : ours.text == expected.text);
    if (same) continue;
    ++differences;
    if (differences <= 40)
      ADD_FAILURE() << source << "\nJinja2: " << expected.text << "\nours:   " << ours.text;
  }
  EXPECT_TRUE(script.succeeded());
  EXPECT_GE(fixed, 500);
  EXPECT_GE(random, 5000);
  EXPECT_GE(rendered, 2500);
  EXPECT_LE(refused, random / 50);
  EXPECT_EQ(differences, 0);
  RecordProperty("refused", refused);
}

}  // namespace
}  // namespace sluice::chat
