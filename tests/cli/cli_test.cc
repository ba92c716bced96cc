// The command line's contract, seen from outside: results, exit codes, error lines.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "base/utf8.h"
#include "checkpoint/checkpoint.h"
#include "cli/program.h"
#include "support/paths.h"

namespace sluice {
namespace {

using test::ProgramResult;
using test::run_program;

const std::string& model() {
  static const std::string path = (test::tests_folder() / "model" / "data" / "tiny").string();
  return path;
}

std::string write_file(const test::TemporaryFolder& folder, const char* name,
                       const std::string& text) {
  const auto path = folder.path() / name;
  std::ofstream(path, std::ios::binary) << text;
  return path.string();
}

std::vector<int64_t> integers(const Json* list) {
  std::vector<int64_t> values;
  if (list == nullptr || !list->is_array()) return values;
  for (const Json& item : list->items()) values.push_back(item.as_int64().value_or(-1));
  return values;
}

TEST(Cli, HelpShowsEveryCommandWithExamples) {
  const ProgramResult help = run_program({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* command :
       {"run", "generate", "logits", "tokenize", "template", "inspect", "plan", "perplexity",
        "bench", "convert", "quantize", "strip", "graft", "train"}) {
    EXPECT_NE(help.out.find(command), std::string::npos) << command;
    const ProgramResult own = run_program({command, "--help"});
    EXPECT_EQ(own.exit_code, 0);
    EXPECT_NE(own.out.find("Examples:"), std::string::npos) << command;
  }
}

TEST(Cli, VersionAsTextAndJson) {
  EXPECT_NE(run_program({"--version"}).out.find("sluice "), std::string::npos);
  const Json version = run_program({"--version", "--json"}).json();
  for (const char* key : {"version", "commit", "compiler", "backends", "instruction_sets"})
    EXPECT_NE(version.find(key), nullptr) << key;
}

TEST(Cli, EnvironmentIsListed) {
  const ProgramResult help = run_program({"--help-environment"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* name : {"SLUICE_CPU", "HF_HOME", "NO_COLOR"})
    EXPECT_NE(help.out.find(name), std::string::npos) << name;
}

TEST(Cli, WrongCommandLinesAreExitTwo) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"generate", model(), "--no-such-flag"},
           {"no-such-command"},
           {"no-such-command", "--help"},
           {"generate"},
           {"generate", model(), "--ids", "1,x"},
           {"generate", model(), "--ids", "1,99999999"},
           {"generate", model(), "--ids", "1", "--temperature", "3"},
           {"generate", model(), "--ids", "1", "--kv", "int3"},
           {"generate", model(), "--ids", "1", "--backend", "abacus"},
           {"generate", model(), "--ids", "1", "--draft-depth", "9"},
           {"generate", model(), "--ids", "1", "--draft-head", "half"},
           {"generate", model(), "--ids", "1", "--draft-head", "0"},
           {"generate", model(), "--ids", "1", "--text", "a"},
           {"generate", model()},
           {"serve", model(), "--reuse-answers", "maybe"},
           {"serve", model(), "--disk-cache", "somewhere"},
           {"serve", model(), "--disk-cache-bytes", "100000000"},
           {"run", model(), "hello", "--disk-cache", "somewhere"},
           {"run", model(), "hello", "--prefix-cache", "10"},
           {"serve", model(), "--cache-state", "bf16"},
           {"plan", model(), "--cache-state", "INT8"},
           {"logits", model(), "--ids", "1,2", "--positions", "7"},
           {"logits", model(), "--ids", "1,2", "--trace"}}) {
    const ProgramResult result = run_program(arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments.back() << "\n" << result.err;
    EXPECT_EQ(result.err.rfind("sluice: error: ", 0), 0u) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_TRUE(result.out.empty()) << result.out;
  }
}

TEST(Cli, AnEmptyValueIsOne) {
  for (const std::vector<std::string>& text :
       {std::vector<std::string>{"--text="}, std::vector<std::string>{"--text", ""}}) {
    std::vector<std::string> arguments = {"tokenize", model()};
    arguments.insert(arguments.end(), text.begin(), text.end());
    arguments.emplace_back("--json");
    const ProgramResult result = run_program(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(result.json().find("ids")->items().empty()) << result.out;
  }
}

// Under Linux /dev/full takes nothing; it is opened, never created.
TEST(Cli, OutputThatIsNotTakenIsExitOne) {
  for (const std::string output : {"/dev/full", "-"}) {
    for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
             {"--version"},
             {"--help"},
             {"plan", "--help"},
             {"tokenize", model(), "--text", "hi"},
             {"plan", model(), "--json"},
             {"generate", model(), "--ids", "1,2", "--max-tokens", "200", "--ignore-eos"}}) {
      const ProgramResult result = run_program(arguments, {}, {}, output);
      EXPECT_EQ(result.exit_code, 1) << arguments.front() << " " << output;
      EXPECT_NE(result.err.find("standard output"), std::string::npos) << result.err;
    }
  }
  // Its number must not go to a file of results.
  const test::TemporaryFolder folder;
  const std::string file = (folder.path() / "logits").string();
  const ProgramResult whole = run_program({"logits", model(), "--ids", "1,2", "--out", file});
  const std::string other = (folder.path() / "other").string();
  run_program({"logits", model(), "--ids", "1,2", "--out", other}, {}, {}, "-");
  EXPECT_EQ(std::filesystem::file_size(file), std::filesystem::file_size(other));
}

TEST(Cli, ErrorsAreOneLineWhateverTheyName) {
  for (const std::string name : {"no\nsuch", "no\x1b[3msuch", "no\xffsuch"}) {
    const ProgramResult text = run_program({"inspect", name});
    EXPECT_EQ(text.exit_code, 3);
    EXPECT_EQ(std::count(text.err.begin(), text.err.end(), '\n'), 1) << text.err;
    EXPECT_EQ(text.err.find('\x1b'), std::string::npos) << text.err;
    EXPECT_FALSE(find_invalid_utf8(text.err)) << text.err;
    const ProgramResult json = run_program({"inspect", name, "--json"});
    EXPECT_NE(json.json().find("error"), nullptr);
    EXPECT_FALSE(find_invalid_utf8(json.out)) << json.out;
  }
  const ProgramResult flags = run_program({"plan", model(), "--first", "--second"});
  EXPECT_NE(flags.err.find("--first --second. See sluice plan --help"), std::string::npos)
      << flags.err;
  const ProgramResult range = run_program({"generate", model(), "--ids", "1", "--max-tokens", "0"});
  EXPECT_EQ(range.exit_code, 2);
  EXPECT_LT(range.err.size(), 200u) << range.err;
}

TEST(Cli, ErrorsAsJson) {
  const ProgramResult result = run_program({"generate", model(), "--ids", "1,99999999", "--json"});
  EXPECT_EQ(result.exit_code, 2);
  const Json document = result.json();
  const Json* error = document.find("error");
  ASSERT_NE(error, nullptr);
  for (const char* key : {"code", "message", "remedy"}) EXPECT_NE(error->find(key), nullptr) << key;
}

TEST(Cli, MissingAndDamagedModelsAreExitThree) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(run_program({"inspect", "/no/such/model"}).exit_code, 3);
  EXPECT_EQ(run_program({"generate", folder.path().string(), "--ids", "1"}).exit_code, 3);
  EXPECT_EQ(run_program({"inspect", write_file(folder, "a.gguf", "GGUF\x03")}).exit_code, 3);
  EXPECT_EQ(run_program({"inspect", write_file(folder, "a.safetensors", "1234567")}).exit_code, 3);
}

TEST(Cli, WhatDoesNotFitIsExitFour) {
  const ProgramResult plan =
      run_program({"plan", model(), "--context", "1024", "--sequences", "65536", "--json"});
  const Json document = plan.json();
  EXPECT_EQ(plan.exit_code, document.find("fits")->boolean() ? 0 : 4);
  const ProgramResult huge =
      run_program({"plan", model(), "--context", "1024", "--cache", "1000000000000000", "--json"});
  EXPECT_EQ(huge.exit_code, 4);
  const Json huge_plan = huge.json();
  EXPECT_FALSE(huge_plan.find("fits")->boolean());
  // Nothing but the cache is too large: a smaller one fits, and is named.
  const Json* nearest = huge_plan.find("nearest");
  ASSERT_NE(nearest, nullptr);
  EXPECT_EQ(nearest->find("context")->as_int64().value_or(0), 1024);
  EXPECT_EQ(nearest->find("sequences")->as_int64().value_or(0), 1);
  const std::string cache = nearest->find("cache")->dump();
  const ProgramResult text =
      run_program({"plan", model(), "--context", "1024", "--cache", "1000000000000000"});
  EXPECT_EQ(text.err.rfind("sluice: error: ", 0), 0u);
  EXPECT_NE(text.err.find("--context 1024 --sequences 1 --prefix-cache "), std::string::npos);
  EXPECT_GT(std::stoull(cache), 1000000u);
}

// The same budget holds more of them, and the form is named.
TEST(Cli, ThePlanTellsHowStatesAreSaved) {
  int64_t fewer = 0;
  for (const char* form : {"f32", "int16", "int8"}) {
    const std::vector<std::string> arguments = {"plan",    model(),    "--context",     "1024",
                                                "--cache", "50000000", "--cache-state", form};
    std::vector<std::string> as_json = arguments;
    as_json.emplace_back("--json");
    const Json document = run_program(as_json).json();
    ASSERT_NE(document.find("cache_state"), nullptr);
    EXPECT_EQ(document.find("cache_state")->string(), form);
    const int64_t states = document.find("saved_states")->as_int64().value_or(0);
    EXPECT_GT(states, fewer) << form;
    fewer = states;
    const std::string table = run_program(arguments).out;
    EXPECT_NE(table.find(std::to_string(states) + " states as " + form), std::string::npos)
        << table;
  }
}

TEST(Cli, GenerateGivesTheContractsFields) {
  const ProgramResult result = run_program(
      {"generate", model(), "--ids", "1,2,3", "--max-tokens", "12", "--temperature", "0",
       "--ignore-eos", "--logprobs", "2", "--draft-depth", "2", "--draft-head", "100", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json answer = result.json();
  EXPECT_EQ(integers(answer.find("ids")).size(), 12u);
  EXPECT_EQ(answer.find("finish_reason")->string(), "length");
  EXPECT_EQ(answer.find("prompt_tokens")->as_int64(), 3);
  for (const char* key :
       {"load_ms", "prompt_ms", "first_token_ms", "decode_ms", "prompt_tps", "decode_tps"}) {
    EXPECT_NE(answer.find("timings")->find(key), nullptr) << key;
  }
  EXPECT_EQ(answer.find("draft")->find("depth")->as_int64(), 2);
  EXPECT_EQ(integers(answer.find("draft")->find("proposed")).size(), 2u);
  EXPECT_EQ(answer.find("draft")->find("head_rows")->as_double(), 128) << "up to the grid";
  EXPECT_EQ(answer.find("logprobs")->items().size(), 12u);
  EXPECT_EQ(answer.find("logprobs")->items()[0].find("top")->items().size(), 2u);
}

TEST(Cli, CopiesAndDepthsAgree) {
  std::vector<int64_t> first;
  for (const char* depth : {"0", "1", "4"}) {
    const ProgramResult result = run_program(
        {"generate", model(), "--ids", "5,6,7,8", "--max-tokens", "10", "--temperature", "0.8",
         "--seed", "3", "--ignore-eos", "--copies", "3", "--draft-depth", depth, "--json"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const auto copies = result.lines();
    ASSERT_EQ(copies.size(), 3u);
    for (const Json& copy : copies) {
      if (first.empty()) first = integers(copy.find("ids"));
      EXPECT_EQ(integers(copy.find("ids")), first);
    }
  }
}

TEST(Cli, JsonlAnswersInOrderAndKeepsGoingAfterABadLine) {
  const test::TemporaryFolder folder;
  const std::string requests =
      write_file(folder, "r.jsonl",
                 "{\"ids\":[1,2],\"max_tokens\":3,\"temperature\":0}\n"
                 "{\"ids\":[1,99999999]}\n"
                 "\n"
                 "{\"ids\":[1,2],\"max_tokens\":5,\"temperature\":0,\"ignore_eos\":true}\n");
  const ProgramResult result = run_program({"generate", model(), "--jsonl", requests});
  const auto answers = result.lines();
  ASSERT_EQ(answers.size(), 3u) << result.err;
  EXPECT_LE(integers(answers[0].find("ids")).size(), 3u);
  EXPECT_EQ(answers[1].find("finish_reason")->string(), "error");
  EXPECT_EQ(integers(answers[2].find("ids")).size(), 5u);
}

TEST(Cli, LogitsWholeAndInPieces) {
  const test::TemporaryFolder folder;
  std::string ids = "1";
  for (int i = 2; i <= 150; ++i) ids += "," + std::to_string(i % 200);
  const auto logits = [&](const std::string& name, std::vector<std::string> more) {
    const std::string path = (folder.path() / name).string();
    std::vector<std::string> arguments = {"logits", model(),     "--ids", ids,     "--positions",
                                          "all",    "--backend", "ref",   "--out", path};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = run_program(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    auto checkpoint = checkpoint::Checkpoint::open(path);
    EXPECT_TRUE(checkpoint.ok());
    std::vector<float> values;
    if (checkpoint.ok()) {
      const auto* tensor = checkpoint->find("logits");
      values.resize(tensor->bytes.size() / sizeof(float));
      std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
    }
    return values;
  };
  const auto whole = logits("whole.safetensors", {});
  ASSERT_FALSE(whole.empty());
  EXPECT_EQ(logits("64.safetensors", {"--chunk", "64"}), whole);
  EXPECT_EQ(logits("128.safetensors", {"--chunk", "128"}), whole);
  for (const char* chunk : {"1", "50"}) {
    const auto pieces = logits(std::string(chunk) + ".safetensors", {"--chunk", chunk});
    ASSERT_EQ(pieces.size(), whole.size());
    float peak = 0, difference = 0;
    for (size_t i = 0; i < whole.size(); ++i) {
      peak = std::max(peak, std::abs(whole[i]));
      difference = std::max(difference, std::abs(whole[i] - pieces[i]));
    }
    EXPECT_LT(difference, 2e-5f * peak) << "chunk " << chunk;
  }
}

TEST(Cli, TokenizeRoundTrip) {
  const ProgramResult ids =
      run_program({"tokenize", model(), "--text", "Hello, sluice", "--json", "--pieces"});
  ASSERT_EQ(ids.exit_code, 0) << ids.err;
  const Json document = ids.json();
  std::string list;
  for (const int64_t id : integers(document.find("ids"))) list += std::to_string(id) + ",";
  EXPECT_EQ(run_program({"tokenize", model(), "--decode", "--ids", list}).out, "Hello, sluice\n");
  EXPECT_EQ(document.find("pieces")->items().size(), document.find("ids")->items().size());
  const ProgramResult bad =
      run_program({"tokenize", model(), "--jsonl", "-"}, "{\"text\":\"a\"}\n{\"text\":1}\n");
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_NE(bad.err.find("line 2"), std::string::npos) << bad.err;
}

TEST(Cli, TemplateGivesPromptOrPosition) {
  const test::TemporaryFolder folder;
  const std::string path = write_file(folder, "t.jinja",
                                      "{% for m in messages %}{{ m.role }}:{{ m.content }};{% "
                                      "endfor %}{{ raise_exception('no') if stop }}");
  const ProgramResult result =
      run_program({"template", path, "--jsonl", "-"},
                  "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n"
                  "{\"messages\":[],\"chat_template_kwargs\":{\"stop\":true}}\n");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto answers = result.lines();
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[0].find("prompt")->string(), "user:a;");
  EXPECT_EQ(answers[1].find("line")->as_int64(), 1);
}

TEST(Cli, InspectNamesEverything) {
  const ProgramResult result = run_program({"inspect", model(), "--json", "--tensors"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json document = result.json();
  for (const char* key : {"architecture", "container", "files", "dimensions", "layer_types",
                          "context", "tied", "parameters", "bytes", "formats", "mtp", "vision",
                          "tokenizer", "template", "problems", "tensors"}) {
    EXPECT_NE(document.find(key), nullptr) << key;
  }
  EXPECT_TRUE(document.find("mtp")->find("usable")->boolean());
}

TEST(Cli, PerplexityAgainstItselfIsNoDivergence) {
  const test::TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 400; ++i) text += "line " + std::to_string(i * 7) + " of a text.\n";
  const std::string file = write_file(folder, "t.txt", text);
  const std::string saved = (folder.path() / "base.bin").string();
  const ProgramResult base =
      run_program({"perplexity", model(), "--file", file, "--context", "128", "--max-tokens", "600",
                   "--save-logits", saved, "--mtp", "--json"});
  ASSERT_EQ(base.exit_code, 0) << base.err;
  const Json first = base.json();
  EXPECT_GT(first.find("tokens")->as_int64(), 0);
  EXPECT_GT(first.find("ppl")->as_double(), 1.0);
  EXPECT_FALSE(integers(first.find("mtp")->find("proposed")).empty());
  for (const std::string& against : {saved, model()}) {
    const ProgramResult result =
        run_program({"perplexity", model(), "--file", file, "--context", "128", "--max-tokens",
                     "600", "--against", against, "--json"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const Json document = result.json();
    EXPECT_LT(std::abs(*document.find("kld")->find("mean")->as_double()), 1e-6);
    EXPECT_EQ(*document.find("same_top")->as_double(), 1.0);
    EXPECT_EQ(document.find("ppl")->spelling(), first.find("ppl")->spelling());
  }
}

TEST(Cli, RunAnswersOnePromptAndReportsSpeeds) {
  const ProgramResult result =
      run_program({"run", model(), "Hi", "--max-tokens", "8", "--seed", "1"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.find("\033[2m"), std::string::npos) << "no colour without a terminal";
  EXPECT_NE(result.err.find("tokens"), std::string::npos) << result.err;
  const ProgramResult piped =
      run_program({"run", model(), "--max-tokens", "8", "--seed", "1"}, "Hi");
  EXPECT_EQ(piped.out, result.out);
  EXPECT_EQ(run_program({"run", model(), "Hi", "--image", "x.png"}).exit_code, 2);
}

TEST(Cli, DamagedInputFilesAreExitThreeAndArgumentsTwo) {
  const test::TemporaryFolder folder;
  const std::string image =
      R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])";
  for (const auto& [flag, content] :
       std::vector<std::pair<std::string, std::string>>{{"--ids-file", "[1,2"},
                                                        {"--ids-file", "{}"},
                                                        {"--ids-file", "[99999999]"},
                                                        {"--messages", ""},
                                                        {"--messages", "{}"},
                                                        {"--messages", image},
                                                        {"--file", "a\xff"}}) {
    const ProgramResult result =
        run_program({"generate", model(), flag, write_file(folder, "input", content)});
    EXPECT_EQ(result.exit_code, 3) << flag << " " << content << "\n" << result.err;
    EXPECT_TRUE(result.out.empty()) << result.out;
  }
  EXPECT_EQ(run_program({"generate", model(), "--text", "a\xff"}).exit_code, 2);
}

// Blocked in the middle of its work: the pipe opens for writing when the program reads it.
TEST(Cli, AnInterruptIsExitHundredAndThirty) {
  const test::TemporaryFolder folder;
  const std::string pipe = (folder.path() / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"tokenize", model(), "--file", pipe},
        std::vector<std::string>{"template", model(), "--jsonl", pipe},
        std::vector<std::string>{"logits", model(), "--file", pipe}}) {
    const pid_t child = ::fork();
    if (child == 0) {
      std::vector<char*> argv = {const_cast<char*>(SLUICE_PROGRAM)};
      for (const std::string& argument : arguments)
        argv.push_back(const_cast<char*>(argument.c_str()));
      argv.push_back(nullptr);
      ::execv(SLUICE_PROGRAM, argv.data());
      ::_exit(127);
    }
    const int writer = ::open(pipe.c_str(), O_WRONLY);
    ::kill(child, SIGINT);
    int status = 0;
    ::waitpid(child, &status, 0);
    ::close(writer);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 130) << arguments.front();
  }
}

TEST(Cli, RunAsJsonIsOneObject) {
  const ProgramResult text =
      run_program({"run", model(), "Hi", "--max-tokens", "8", "--seed", "1"});
  const ProgramResult result =
      run_program({"run", model(), "Hi", "--max-tokens", "8", "--seed", "1", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json document = result.json();
  for (const char* key : {"ids", "text", "reasoning", "finish_reason", "prompt_tokens", "timings"})
    EXPECT_NE(document.find(key), nullptr) << key;
  EXPECT_EQ(document.find("ids")->items().size(), 8u);
  EXPECT_NE(text.out.find(document.find("reasoning")->string()), std::string::npos);
  EXPECT_NE(text.out.find(document.find("text")->string()), std::string::npos);
}

TEST(Cli, ForcedInstructionSet) {
  const ProgramResult unknown = run_program(
      {"generate", model(), "--ids", "1", "--max-tokens", "1"}, {}, {"SLUICE_CPU=abacus"});
  EXPECT_EQ(unknown.exit_code, 2) << unknown.err;
  EXPECT_NE(unknown.err.find("abacus"), std::string::npos);
  const Json version = run_program({"--version", "--json"}).json();
  for (const Json& set : version.find("instruction_sets")->items()) {
    const ProgramResult forced = run_program({"generate", model(), "--ids", "1,2,3", "--max-tokens",
                                              "4", "--temperature", "0", "--json"},
                                             {}, {"SLUICE_CPU=" + set.string()});
    EXPECT_EQ(forced.exit_code, 0) << set.string() << forced.err;
  }
}

}  // namespace
}  // namespace sluice
