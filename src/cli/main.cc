// The program `sluice`: a table of subcommands.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/exit_code.h"
#include "base/switches.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/mapping_guard.h"
#include "cli/version.h"

namespace sluice::cli {
namespace {

const CommandEntry kCommands[] = {
    {"run", "chat with a model in the terminal, or answer one prompt",
     "  sluice run ./Qwen3.6-27B\n"
     "  sluice run model.gguf \"What is a sluice?\"\n"
     "  git diff | sluice run ./model --system \"Write a commit message.\"\n",
     make_run},
    {"generate", "answers for scripts: ids, text, timings, drafts",
     "  sluice generate ./model --text \"Once upon\" --max-tokens 64\n"
     "  sluice generate ./model --messages chat.json --temperature 0 --json\n"
     "  sluice generate ./model --jsonl requests.jsonl > answers.jsonl\n",
     make_generate},
    {"serve", "answers over HTTP: OpenAI's and Anthropic's protocols",
     "  sluice serve ./Qwen3.6-27B --sequences 4 --context 65536\n"
     "  sluice serve model.gguf --host 0.0.0.0 --port 8000 --api-key-file keys.txt\n"
     "  sluice serve ./model --engine script:answers.json --port 0\n",
     make_serve},
    {"logits", "logits of a prompt, with every intermediate if asked",
     "  sluice logits ./model --text \"The capital of France is\" --top 5\n"
     "  sluice logits ./model --ids 1,2,3 --positions all --out logits.safetensors\n"
     "  sluice logits ./model --ids 1,2,3 --trace --mtp --out trace.safetensors\n",
     make_logits},
    {"tokenize", "text to token ids and back",
     "  sluice tokenize ./model --text \"Hello\" --pieces\n"
     "  sluice tokenize tokenizer.json --decode --ids 9707,11\n",
     make_tokenize},
    {"template", "conversations to prompts by the model's own template",
     "  sluice template ./model --jsonl conversations.jsonl --ids\n"
     "  sluice template chat_template.jinja --jsonl - < conversations.jsonl\n",
     make_template},
    {"inspect", "what a checkpoint holds, and whether it can run",
     "  sluice inspect ./model\n"
     "  sluice inspect model.gguf --json --tensors\n"
     "  sluice inspect ./model --values '*.q_proj.weight' --out values.safetensors\n",
     make_inspect},
    {"plan", "memory by part, before anything is loaded",
     "  sluice plan ./model --context 32768 --sequences 4\n"
     "  sluice plan model.gguf --context 262144 --kv fp8 --json\n",
     make_plan},
    {"perplexity", "perplexity of a text, divergence from another build",
     "  sluice perplexity ./model --file wiki.test.raw\n"
     "  sluice perplexity small.gguf --file wiki.test.raw --against ./original\n",
     make_perplexity},
    {"bench", "speed of prompts and answers beside what this machine could do",
     "  sluice bench ./model\n"
     "  sluice bench model.gguf --rows 1,4 --context 1024 --time 300 --svg bench.svg\n"
     "  sluice bench model.gguf --against \"llama-bench -m model.gguf -p 512 -n 32\" "
     "--against-prompt \"pp512 |\" --against-answer \"tg32 |\"\n",
     make_bench},
    {"convert", "a build in the other container, in plain 16 bit or Q8_0",
     "  sluice convert ./Qwen3.6-27B model.gguf --to gguf\n"
     "  sluice convert ./Qwen3.6-27B text.gguf --to gguf --strip-vision\n"
     "  sluice convert model-Q4_K_M.gguf ./model-bf16 --to safetensors\n",
     make_convert},
    {"quantize", "a smaller build, with a report of what it lost",
     "  sluice quantize ./Qwen3.6-27B small.gguf --to q4_k_m --imatrix imatrix.gguf\n"
     "  sluice quantize ./Qwen3.6-27B ./small --to nvfp4 --layout modelopt\n"
     "  sluice quantize ./Qwen3.6-27B ./small --to fp8 --report-text wiki.test.raw\n"
     "  sluice quantize ./Qwen3.5-4B ./small --to nvfp4 --method gptq --calibration-text "
     "chats.jsonl\n",
     make_quantize},
    {"calibrate", "importance matrix and activation ranges from a text",
     "  sluice calibrate ./Qwen3.6-27B --file calibration.txt --out imatrix.gguf\n"
     "  sluice calibrate ./Qwen3.6-27B --file chats.jsonl --out imatrix.dat --context 2048\n"
     "  sluice quantize ./Qwen3.6-27B ./small --to nvfp4-a4 --imatrix imatrix.gguf --ranges "
     "imatrix.ranges.json\n",
     make_calibrate},
    {"strip", "a build without its vision tower or its draft head",
     "  sluice strip ./Qwen3.6-27B ./text-only --vision\n"
     "  sluice strip model.gguf plain.gguf --mtp\n",
     make_strip},
    {"graft", "a build with the draft head of another",
     "  sluice graft headless.gguf ./Qwen3.6-27B drafting.gguf\n", make_graft},
    {"train", "trains a model from a config file",
     "  sluice train sprout.json\n"
     "  sluice train sprout.json --resume --minutes 90\n",
     make_train},
    {"eval", "a suite of questions with checks, answered greedily",
     "  sluice eval sprout --suite corpus/held_out.jsonl\n"
     "  sluice eval ./model --suite items.jsonl --max-items 20 --answers answers.jsonl --json\n",
     make_eval},
    {"corpus", "the demo model's training texts, from a seed",
     "  sluice corpus corpus/ --seed 1 --samples 100000\n", make_corpus},
    {"train-tokenizer", "a tokenizer of the family's form, from a corpus",
     "  sluice train-tokenizer ./model --corpus corpus/train.jsonl --template "
     "chat_template.jinja\n",
     make_train_tokenizer},
    {"completions", "shell completions for bash, zsh or fish",
     "  sluice completions bash > /etc/bash_completion.d/sluice\n", make_completions},
};

std::string environment_help() {
  std::string text = "Environment variables that sluice reads:\n";
  for (const Switch& entry : all_switches()) {
    text += fmt::format("  {}={}\n      {}\n", entry.name, entry.values, entry.meaning);
  }
  return text;
}

// The arguments in order. "--name=" becomes two, the second empty: CLI11 would take the next one as
// its value.
std::vector<std::string> read_arguments(int argc, char** argv) {
  std::vector<std::string> arguments;
  bool options = true;  // until "--"
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    options &= argument != "--";
    if (options && argument.size() > 3 && argument.starts_with("--") && argument.back() == '=' &&
        argument.find('=') == argument.size() - 1) {
      argument.pop_back();
      arguments.push_back(std::move(argument));
      arguments.emplace_back();
    } else {
      arguments.push_back(std::move(argument));
    }
  }
  return arguments;
}

// CLI11 writes "any positive number" as its 309 digits.
std::string without_long_numbers(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_not_of("0123456789.", at), text.size());
    if (end - at > 40) {
      out += "any";
    } else {
      out.append(text, at, std::max(end, at + 1) - at);
    }
    at = std::max(end, at + 1);
  }
  return out;
}

// A closed standard stream's number would go to the next file that is opened, results or weights,
// and what is printed into that. Results are for somebody: opened for reading, writing them is an
// error. Who closes standard error wants no words.
void keep_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) < 0)
      static_cast<void>(::open("/dev/null", stream == STDOUT_FILENO ? O_RDONLY : O_RDWR));
  }
}

int run_program(int argc, char** argv) {
  CLI::App app(
      "Runs the Qwen3.5 / 3.6 / 3.8 family of hybrid models: every published build, drafts that "
      "never change an answer.",
      "sluice");
  app.set_help_flag("-h,--help", "this help");
  app.set_help_all_flag("--help-all", "help of every command");
  bool version = false, environment = false;
  ConsoleSettings settings;
  app.add_flag("--version", version,
               "version, compiler, backends, instruction sets (with --json as JSON)");
  app.add_flag("--help-environment", environment, "environment variables");
  app.add_flag("--json", settings.json, "one JSON document on standard output");
  app.require_subcommand(0, 1);
  app.footer(
      "Exit codes: 0 done, 1 failed while running, 2 wrong command line, 3 unusable model or "
      "file,\n"
      "4 does not fit, 5 refused by a quality gate, 130 interrupted.");

  std::vector<std::pair<CLI::App*, std::unique_ptr<Command>>> commands;
  for (const CommandEntry& entry : kCommands) {
    CLI::App* sub = app.add_subcommand(entry.name, entry.summary);
    auto command = entry.make();
    command->declare(*sub);
    sub->add_flag("--json", settings.json,
                  "one JSON document on standard output (streams: one object a line)");
    sub->add_flag("-q,--quiet", settings.quiet, "no warnings, no progress");
    sub->add_flag("-v,--verbose", settings.verbose, "says more on standard error");
    sub->add_flag("--progress", settings.progress, "progress also without a terminal");
    sub->footer(std::string("Examples:\n") + entry.examples);
    commands.emplace_back(sub, std::move(command));
  }

  const std::vector<std::string> arguments = read_arguments(argc, argv);
  // CLI11 would show the general help for "sluice wrong --help".
  const bool names_command =
      arguments.empty() || arguments[0].starts_with("-") ||
      std::any_of(std::begin(kCommands), std::end(kCommands),
                  [&](const CommandEntry& entry) { return entry.name == arguments[0]; });
  const std::string help = names_command && !arguments.empty() && !arguments[0].starts_with("-")
                               ? fmt::format("See sluice {} --help", arguments[0])
                               : "See sluice --help";
  const auto refuse = [&](const std::string& why) {
    settings.json = std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
    const Console console(settings);
    return console.settle(console.report(usage_error("command line", why, help)));
  };
  if (!names_command) return refuse(fmt::format("\"{}\" is no command", arguments[0]));
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& success) {  // --help
    std::ostringstream text;
    const int code = app.exit(success, text, text);
    const Console console(settings);
    console.print(text.str());
    return console.settle(code);
  } catch (const CLI::ExtrasError&) {
    return refuse(fmt::format("not expected: {}", fmt::join(app.remaining(true), " ")));
  } catch (const CLI::ParseError& error) {
    return refuse(without_long_numbers(error.what()));
  }
  const Console console(settings);
  if (version) {
    console.print(version_text(settings.json));
    return console.settle(0);
  }
  if (environment) {
    console.print(environment_help());
    return console.settle(0);
  }
  install_mapping_guard();
  for (const auto& [sub, command] : commands) {
    if (!sub->parsed()) continue;
    install_interrupt_handler(command->watches_interrupts());
    const Status status = command->run(console);
    if (status.ok()) return console.settle(0);
    // A command that has reported its failure itself leaves only the code.
    if (status.error().what.empty()) return console.settle(exit_code(status.error().code));
    return console.settle(console.report(status.error()));
  }
  console.print(app.help());
  return console.settle(0);
}

}  // namespace
}  // namespace sluice::cli

int main(int argc, char** argv) {
  sluice::cli::keep_standard_streams();
  try {
    return sluice::cli::run_program(argc, argv);
  } catch (const std::bad_alloc&) {
    return sluice::cli::Console({}).report({sluice::ErrorCode::kFailed, "memory",
                                            "the system refused an allocation",
                                            "Free memory or choose a smaller context"});
  } catch (const std::exception& error) {
    return sluice::cli::Console({}).report({sluice::ErrorCode::kFailed, "internal error",
                                            error.what(),
                                            "Please report it with the command line"});
  }
}
