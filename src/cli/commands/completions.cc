// sluice completions: shell completions, made from the very parser that reads the command line.
#include <fmt/format.h>

#include "cli/command.h"

namespace sluice::cli {
namespace {

// Words that may follow a command: its long flags.
std::string flags_of(const CLI::App& app) {
  std::string words;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames())
      words += (words.empty() ? "--" : " --") + name;
  }
  return words;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* sub) { return !sub->get_name().empty(); });
}

std::string bash_script(const CLI::App& root) {
  std::string commands, cases;
  for (const CLI::App* sub : commands_of(root)) {
    commands += (commands.empty() ? "" : " ") + sub->get_name();
    std::string flags = flags_of(*sub);
    for (const CLI::App* group :
         sub->get_subcommands([](const CLI::App* g) { return g->get_name().empty(); }))
      flags += " " + flags_of(*group);
    cases += fmt::format("    {}) words=\"{}\" ;;\n", sub->get_name(), flags);
  }
  return fmt::format(
      "_sluice() {{\n"
      "  local word=\"${{COMP_WORDS[COMP_CWORD]}}\" words=\"\"\n"
      "  case \"${{COMP_WORDS[1]}}\" in\n{}    *) words=\"{} {}\" ;;\n  esac\n"
      "  if [[ $COMP_CWORD -gt 1 && $word != -* ]]; then COMPREPLY=($(compgen -f -- \"$word\")); "
      "return; fi\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
      "}}\n"
      "complete -o filenames -F _sluice sluice\n",
      cases, commands, flags_of(root));
}

// zsh and fish read bash's form through their own bridge (zsh) or a list of lines (fish).
std::string zsh_script(const CLI::App& root) {
  return "#compdef sluice\nautoload -U +X bashcompinit && bashcompinit\n" + bash_script(root);
}

std::string fish_script(const CLI::App& root) {
  std::string lines;
  for (const CLI::App* sub : commands_of(root)) {
    lines += fmt::format("complete -c sluice -n __fish_use_subcommand -a {} -d '{}'\n",
                         sub->get_name(), sub->get_description());
    for (const CLI::Option* option : sub->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        lines += fmt::format("complete -c sluice -n '__fish_seen_subcommand_from {}' -l {}\n",
                             sub->get_name(), name);
      }
    }
  }
  return lines;
}

class Completions : public Command {
 public:
  void declare(CLI::App& app) override {
    root_ = app.get_parent();
    app.add_option("SHELL", shell_, "bash, zsh or fish")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  }

  bool watches_interrupts() const override { return false; }

  Status run(const Console& console) override {
    console.print(shell_ == "bash"  ? bash_script(*root_)
                  : shell_ == "zsh" ? zsh_script(*root_)
                                    : fish_script(*root_));
    return {};
  }

 private:
  CLI::App* root_ = nullptr;
  std::string shell_;
};

}  // namespace

std::unique_ptr<Command> make_completions() { return std::make_unique<Completions>(); }

}  // namespace sluice::cli
