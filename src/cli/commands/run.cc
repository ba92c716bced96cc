// sluice run: a chat in the terminal, or one answer.
#include <fmt/format.h>
#include <unistd.h>

#include <iostream>
#include <iterator>
#include <utility>

#include "base/file.h"
#include "chat/output_machine.h"
#include "chat/prompt_turns.h"
#include "chat/thinking.h"
#include "cli/answer_json.h"
#include "cli/command.h"
#include "cli/generation_options.h"
#include "cli/prompt_input.h"
#include "cli/session.h"
#include "runtime/stop_matcher.h"

namespace sluice::cli {
namespace {

constexpr const char* kDim = "\033[2m";
constexpr const char* kPlain = "\033[0m";
constexpr const char* kBold = "\033[1m";

// Text as a terminal may see it: a model must not be able to move the cursor or change the colours.
std::string for_terminal(const std::string& text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
    shown += control ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return shown;
}

// Shows one answer as it comes: the thought dim and apart, then the content. With --json it only
// gathers.
class AnswerPrinter : public runtime::Listener {
 public:
  AnswerPrinter(const Console& console, const tokenizer::Tokenizer& tokenizer,
                std::vector<int32_t> stop_ids, bool in_thought,
                const std::vector<std::string>& stops)
      : console_(console),
        machine_(chat::OutputVocabulary::of(tokenizer, std::move(stop_ids)),
                 {.starts_in_reasoning = in_thought}),
        matcher_(stops) {}

  void on_prompt(int64_t done, int64_t total) override {
    if (total > 256) console_.progress(fmt::format("reading {} of {} tokens", done, total));
  }

  void on_token(const runtime::TokenEvent& event) override {
    console_.clear_progress();
    tokens.push_back(event.token.id);
    sampled.push_back(event.token);
    show(machine_.push(std::span(&event.token.id, 1)));
  }

  void on_finish(const runtime::RequestReport& finished) override {
    show(machine_.finish(chat::OutputEnd::kStopped));
    show_content(matcher_.finish());
    end_thought();
    say("\n");
    report = finished;
  }

  std::string reasoning, content;  // for the conversation's history
  std::vector<int32_t> tokens;
  std::vector<runtime::SampledToken> sampled;
  runtime::RequestReport report;

 private:
  void show(const std::vector<chat::OutputEvent>& events) {
    for (const chat::OutputEvent& event : events) {
      if (event.kind == chat::OutputEvent::Kind::kReasoning) {
        reasoning += event.text;
        if (!thinking_) say(console_.colour() ? kDim : "[thought]\n");
        thinking_ = true;
        print_text(event.text);
      } else if (event.kind == chat::OutputEvent::Kind::kContent) {
        show_content(matcher_.push(event.text));
      }
    }
  }

  void show_content(const std::string& text) {
    if (text.empty()) return;
    end_thought();
    content += text;
    print_text(text);
  }

  void print_text(const std::string& text) {
    say(console_.output_is_terminal() ? for_terminal(text) : text);
  }

  void say(const std::string& text) {
    if (!console_.settings().json) console_.print(text);
  }

  void end_thought() {
    if (!thinking_) return;
    thinking_ = false;
    say(console_.colour() ? fmt::format("{}\n\n", kPlain) : std::string("\n[answer]\n"));
  }

  const Console& console_;
  chat::OutputMachine machine_;
  runtime::StopMatcher matcher_;
  bool thinking_ = false;
};

std::string rate(int64_t tokens, double ms) {
  return ms > 0 ? fmt::format("{:.1f}", static_cast<double>(tokens) * 1000 / ms) : "-";
}

// "12 + 130 tokens, 210.4 and 31.2 a second, first after 0.06 s, drafts 0.84 0.61"
std::string closing_line(const runtime::RequestReport& report) {
  std::string line = fmt::format(
      "{} + {} tokens, {} and {} a second, first after {:.2f} s", report.prompt_tokens,
      report.output_tokens, rate(report.prompt_tokens - report.cached_tokens, report.prompt_ms),
      rate(report.output_tokens - 1, report.decode_ms), report.first_token_ms / 1000);
  if (report.cached_tokens > 0) line += fmt::format(", {} not read again", report.cached_tokens);
  bool first = true;
  for (size_t i = 0; i < report.draft.proposed.size(); ++i) {
    if (report.draft.proposed[i] == 0) continue;
    line += fmt::format("{}{:.2f}", first ? ", drafts accepted " : " ",
                        static_cast<double>(report.draft.accepted[i]) /
                            static_cast<double>(report.draft.proposed[i]));
    first = false;
  }
  if (report.thought_stop) line += fmt::format(", thought closed ({})", *report.thought_stop);
  if (report.finish == runtime::FinishReason::kLength) line += ", stopped: length";
  if (report.finish == runtime::FinishReason::kCancelled) line += ", interrupted";
  return line;
}

bool looks_like_image(std::string_view bytes) {
  const auto has = [&](size_t at, std::string_view magic) {
    return bytes.substr(std::min(at, bytes.size()), magic.size()) == magic;
  };
  return has(0, "\x89PNG") || has(0, "\xFF\xD8\xFF") || has(0, "GIF8") ||
         (has(0, "RIFF") && has(8, "WEBP"));
}

Error images_refused(const std::string& what) {
  return usage_error(what, "is an image, and this version does not run the vision tower yet",
                     "Send text only");
}

Json message(const char* role, const std::string& content) {
  Json result = Json::object();
  result.set("role", role);
  result.set("content", content);
  return result;
}

class Run : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare(app);
    model_.declare_prefix_cache(app);
    app.add_option("PROMPT", prompt_,
                   "one message: answer and exit (also: text on standard input)");
    app.add_option("--system", system_, "the system message");
    app.add_option("--file", files_, "a text file added to the message, repeatable");
    app.add_option("--image", images_,
                   "an image added to the message (refused: no vision tower yet)");
    app.add_flag("--no-thinking", no_thinking_,
                 "asks the template for an answer without a thought");
    options_.declare(app);
  }

  Status run(const Console& console) override {
    if (!images_.empty()) return images_refused(images_.front());
    if (!prompt_ && ::isatty(STDIN_FILENO) == 0)
      prompt_ = std::string(std::istreambuf_iterator<char>(std::cin), {});
    SLUICE_ASSIGN(const std::string attached, attachments());
    SLUICE_ASSIGN(loaded_, prepare_model(console, model_));
    if (!loaded_->files.chat_template && loaded_->files.template_error)
      return *loaded_->files.template_error;
    if (loaded_->tokenizer() == nullptr) {
      return loaded_->files.tokenizer_error.value_or(
          bad_input(loaded_->files.path.string(), "has no tokenizer", "Use generate --ids"));
    }
    runtime::EngineShape shape;
    constexpr int64_t kDefaultContext = 8192;
    shape.context = model_.context > 0 ? model_.context
                                       : std::min(kDefaultContext, loaded_->binding.config.context);
    SLUICE_TRY(finish_loading(console, model_, *loaded_, shape));
    SLUICE_ASSIGN(engine_,
                  runtime::Engine::create(*loaded_->model, loaded_->tokenizer(), loaded_->shape));
    if (!system_.empty()) messages_.push_back(message("system", system_));
    if (prompt_) return answer(console, *prompt_ + attached);
    return chat(console, attached);
  }

 private:
  Result<std::string> attachments() const {
    std::string text;
    for (const std::string& path : files_) {
      SLUICE_ASSIGN(const std::string content, read_file(path, uint64_t{16} << 20));
      if (looks_like_image(content)) return images_refused(path);
      text += fmt::format("\n\n{}:\n{}", std::filesystem::path(path).filename().string(), content);
    }
    return text;
  }

  // The chat's own words, which are no results.
  static void say(const Console& console, const std::string& text) {
    if (console.settings().json) {
      fmt::print(stderr, "{}", text);
    } else {
      console.print(text);
    }
  }

  Status chat(const Console& console, std::string attached) {
    const auto& info = loaded_->backend->info();
    const runtime::StateForm form = loaded_->shape.saved_states;
    const bool lossy = loaded_->shape.prefix_cache > 0 && form != runtime::StateForm::kF32;
    say(console,
        fmt::format(
            "{} on {}{}{}, {} threads, context {}{}{}. /help, /quit; Ctrl-C stops an answer\n",
            loaded_->files.path.filename().string(), info.name,
            info.instruction_set.empty() ? "" : " ", info.instruction_set, info.threads,
            loaded_->shape.context, lossy ? ", saved states as " : "",
            lossy ? runtime::state_form_name(form) : ""));
    std::string line;
    bool stopped = false;  // the last answer, by Ctrl-C: once more leaves
    interrupt_count() = 0;
    while (read_line(console, line, std::exchange(stopped, false))) {
      if (line.empty()) continue;
      if (line == "/quit" || line == "/exit") return {};
      if (line == "/help") {
        say(console,
            "/clear forgets the conversation, /quit leaves; a line that ends in \\ goes on\n");
      } else if (line == "/clear") {
        messages_ = Json::array();
        if (!system_.empty()) messages_.push_back(message("system", system_));
        say(console, "forgotten\n");
      } else if (line.front() == '/') {
        say(console, fmt::format("{} is not a command; /help lists them\n", line));
      } else {
        const Status status = answer(console, line + attached);
        attached.clear();
        // A message that cannot be answered (too long, say) is not the end of the chat.
        stopped = !status.ok() && status.error().code == ErrorCode::kInterrupted;
        if (!status.ok() && !stopped) console.report(status.error());
      }
    }
    if (interrupt_count() > 0) return Error{ErrorCode::kInterrupted, "chat", "interrupted", {}};
    return {};
  }

  // False at the end of input or when the user leaves by a second Ctrl-C; `second`: the next is it.
  static bool read_line(const Console& console, std::string& line, bool second) {
    line.clear();
    while (true) {
      interrupt_count() = 0;
      say(console, console.colour() ? fmt::format("{}>{} ", kBold, kPlain) : std::string("> "));
      std::string part;
      if (!read_terminal_line(part)) {
        if (interrupt_count() == 0 || second) {
          say(console, "\n");
          return false;
        }
        say(console, "\nCtrl-C again or /quit leaves\n> ");
        if (!read_terminal_line(part)) return false;
      }
      if (part.ends_with('\\')) {
        line += part.substr(0, part.size() - 1) + "\n";
        continue;
      }
      line += part;
      return true;
    }
  }

  // One line from the terminal; false at its end or when a signal interrupts (std::getline would
  // swallow that).
  static bool read_terminal_line(std::string& line) {
    char c = 0;
    while (true) {
      const ssize_t n = ::read(STDIN_FILENO, &c, 1);
      if (n <= 0) return n == 0 && !line.empty();
      if (c == '\n') return true;
      line += c;
    }
  }

  Status answer(const Console& console, const std::string& text) {
    Json messages = messages_;
    messages.push_back(message("user", text));
    Json request = Json::object();
    request.set("messages", messages);
    if (no_thinking_) {
      Json kwargs = Json::object();
      kwargs.set("enable_thinking", false);
      request.set("chat_template_kwargs", std::move(kwargs));
    }
    const auto markers = chat::TurnMarkers::of(*loaded_->tokenizer());
    SLUICE_ASSIGN(runtime::Request job, options_.request(loaded_->files, loaded_->binding.config));
    if (loaded_->files.chat_template) {
      SLUICE_ASSIGN(job.prompt, encode_messages(request, loaded_->files));
      job.prompt = chat::replay_turns(std::move(job.prompt), messages, false, {}, turns_, markers);
      job.borders = chat::message_borders(job.prompt, markers);
    } else {
      SLUICE_ASSIGN(job.prompt, encode_text(text, loaded_->files));
    }
    warn_if_greedy_thinking(console, job, loaded_->files);
    AnswerPrinter printer(
        console, *loaded_->tokenizer(),
        options_.ignore_eos ? std::vector<int32_t>() : loaded_->binding.config.stop_ids,
        chat::open_thought(job.prompt, chat::ThinkMarkers::of(*loaded_->tokenizer())).has_value(),
        job.stop_strings);
    chat::OpenTurn turn = chat::open_turn(job.prompt, markers);
    interrupt_count() = 0;
    const runtime::Request asked = job;
    SLUICE_ASSIGN(const runtime::RequestId id, engine_->submit(std::move(job), printer));
    while (engine_->step()) {
      if (interrupt_count() > 0) engine_->cancel(id);
    }
    if (console.settings().json) {
      console.print_json(answer_json(
          {printer.tokens, printer.sampled, printer.content, printer.reasoning, printer.report},
          asked, loaded_->load_ms));
    } else if (!console.settings().quiet) {
      const bool dim = console.colour();
      fmt::print(stderr, "{}{}{}\n", dim ? kDim : "", closing_line(printer.report),
                 dim ? kPlain : "");
      if (const double rows = printer.report.draft.mean_head_rows(); rows > 0)
        console.note(fmt::format("drafts were taken from {:.0f} ids on average", rows));
    }
    messages_ = std::move(messages);
    Json reply = message("assistant", printer.content);
    if (!printer.reasoning.empty()) reply.set("reasoning_content", printer.reasoning);
    if (printer.report.stop_id && !turn.tokens.empty()) {
      turn.tokens.insert(turn.tokens.end(), printer.tokens.begin(), printer.tokens.end());
      turns_.remember({}, turn.place, reply, std::move(turn.tokens));
    }
    messages_.push_back(std::move(reply));
    if (printer.report.finish == runtime::FinishReason::kCancelled)
      return Error{ErrorCode::kInterrupted, "answer", "interrupted", {}};
    return {};
  }

  ModelOptions model_;
  GenerationOptions options_;
  std::optional<std::string> prompt_;
  std::string system_;
  std::vector<std::string> files_, images_;
  bool no_thinking_ = false;

  std::unique_ptr<LoadedModel> loaded_;
  std::unique_ptr<runtime::Engine> engine_;
  chat::TurnMemory turns_{size_t{16} << 20};
  Json messages_ = Json::array();
};

}  // namespace

std::unique_ptr<Command> make_run() { return std::make_unique<Run>(); }

}  // namespace sluice::cli
