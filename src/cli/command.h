// What a subcommand is: declares its flags, then runs.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <span>

#include "base/result.h"
#include "cli/console.h"

namespace sluice::cli {

class Command {
 public:
  virtual ~Command() = default;
  // Adds flags to its own parser; members of the command receive the values.
  virtual void declare(CLI::App& app) = 0;
  // `console` outlives the call.
  virtual Status run(const Console& console) = 0;
  // Whether it looks at interrupt_count() while it works. Else Ctrl-C ends the program at once.
  virtual bool watches_interrupts() const { return true; }
};

// A row of the table of subcommands in main.cc.
struct CommandEntry {
  const char* name;
  const char* summary;
  const char* examples;  // lines shown below the flags by --help
  std::unique_ptr<Command> (*make)();
};

std::unique_ptr<Command> make_run();
std::unique_ptr<Command> make_generate();
std::unique_ptr<Command> make_logits();
std::unique_ptr<Command> make_tokenize();
std::unique_ptr<Command> make_template();
std::unique_ptr<Command> make_inspect();
std::unique_ptr<Command> make_plan();
std::unique_ptr<Command> make_perplexity();
std::unique_ptr<Command> make_bench();
std::unique_ptr<Command> make_serve();
std::unique_ptr<Command> make_convert();
std::unique_ptr<Command> make_quantize();
std::unique_ptr<Command> make_calibrate();
std::unique_ptr<Command> make_strip();
std::unique_ptr<Command> make_graft();
std::unique_ptr<Command> make_train();
std::unique_ptr<Command> make_eval();
std::unique_ptr<Command> make_corpus();
std::unique_ptr<Command> make_train_tokenizer();
std::unique_ptr<Command> make_completions();

}  // namespace sluice::cli
