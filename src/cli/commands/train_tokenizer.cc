// sluice train-tokenizer: a byte-level BPE of the family's form, from a corpus.
#include <fmt/format.h>

#include <map>

#include "base/file.h"
#include "cli/command.h"
#include "cli/prompt_input.h"
#include "tools/distill/bpe/corpus_text.h"
#include "tools/distill/bpe/family_tokens.h"
#include "tools/distill/bpe/piece_counts.h"
#include "tools/distill/bpe/tokenizer_files.h"

namespace sluice::cli {
namespace {

constexpr uint64_t kMaxTemplateBytes = uint64_t{16} << 20;
constexpr int64_t kBytes = 256;
constexpr auto kAdded = static_cast<int64_t>(std::size(tools::bpe::kFamilyTokens));

Status write_text(const std::filesystem::path& path, const std::string& text, bool overwrite) {
  return write_file(path, std::as_bytes(std::span(text)), overwrite);
}

// A kind's share of the corpus.
struct Share {
  int64_t samples = 0, tokens = 0;
};

class TrainTokenizer : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("OUT_DIR", folder_, "where tokenizer.json and its companions go")->required();
    app.add_option("--corpus", corpus_, "train.jsonl of sluice corpus")->required();
    app.add_option("--template", template_, "the chat template that renders it (*.jinja)")
        ->required();
    app.add_option("--vocabulary", vocabulary_, "most tokens, bytes and added ones included")
        ->check(CLI::Range(kBytes + kAdded, int64_t{1'000'000}))
        ->capture_default_str();
    app.add_option("--min-frequency", min_frequency_, "a pair that occurs less often stays apart")
        ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}))
        ->capture_default_str();
    app.add_option("--context", context_, "the model's context, for tokenizer_config.json")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
        ->capture_default_str();
    app.add_flag("--overwrite", overwrite_, "replaces files that are there");
  }

  bool watches_interrupts() const override { return false; }

  Status run(const Console& console) override {
    SLUICE_ASSIGN(const std::string source, read_file(template_, kMaxTemplateBytes));
    SLUICE_ASSIGN(const chat::ChatTemplate chat_template, chat::ChatTemplate::parse(source));
    SLUICE_ASSIGN(const auto lines, read_json_lines(corpus_));
    SLUICE_ASSIGN(tools::bpe::PieceCounts counts, tools::bpe::PieceCounts::create());
    for (const JsonLine& line : lines) {
      SLUICE_ASSIGN(const chat::Rendered rendered, render(line, chat_template));
      SLUICE_TRY(counts.add(rendered.text));
    }
    const auto merges = tools::bpe::train(counts.counts(), {.merges = vocabulary_ - kBytes - kAdded,
                                                            .min_frequency = min_frequency_});
    const std::string tokenizer_text = tools::bpe::tokenizer_json(merges).dump(1) + "\n";
    SLUICE_TRY(write_files(source, tokenizer_text, merges));

    // Read back as every command reads it.
    SLUICE_ASSIGN(const auto tokenizer, tokenizer::Tokenizer::from_json(tokenizer_text, nullptr));
    std::map<std::string, Share> shares;
    for (const JsonLine& line : lines) {
      SLUICE_ASSIGN(const chat::Rendered rendered, render(line, chat_template));
      SLUICE_ASSIGN(const auto ids, tokenizer.encode(rendered.text, {.literal = rendered.data}));
      const Json* kind = line.value->find("kind");
      Share& share = shares[kind != nullptr && kind->is_string() ? kind->string() : "text"];
      ++share.samples;
      share.tokens += static_cast<int64_t>(ids.size());
    }
    print(console, tokenizer.size(), static_cast<int64_t>(merges.size()), shares);
    return {};
  }

 private:
  static Result<chat::Rendered> render(const JsonLine& line,
                                       const chat::ChatTemplate& chat_template) {
    if (!line.value.ok()) return line.value.error();
    Result<chat::Rendered> rendered = tools::bpe::corpus_text(*line.value, chat_template);
    if (rendered.ok()) return rendered;
    Error error = rendered.error();
    error.what = fmt::format("line {}: {}", line.number, error.what);
    return error;
  }

  Status write_files(const std::string& source, const std::string& tokenizer_text,
                     const std::vector<tools::bpe::Merge>& merges) const {
    const std::filesystem::path folder = folder_;
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) return failed(folder_, error.message(), "Name a folder that can be made");
    SLUICE_TRY(write_text(folder / "tokenizer.json", tokenizer_text, overwrite_));
    SLUICE_TRY(write_text(folder / "tokenizer_config.json",
                          tools::bpe::tokenizer_config(merges, context_).dump(1) + "\n",
                          overwrite_));
    const std::filesystem::path jinja = folder / "chat_template.jinja";
    std::error_code different;
    if (std::filesystem::equivalent(jinja, template_, different)) return {};
    return write_text(jinja, source, overwrite_);
  }

  static void print(const Console& console, int64_t size, int64_t merges,
                    const std::map<std::string, Share>& shares) {
    int64_t tokens = 0;
    for (const auto& [kind, share] : shares) tokens += share.tokens;
    if (console.settings().json) {
      Json kinds = Json::object();
      for (const auto& [kind, share] : shares) {
        Json entry = Json::object();
        entry.set("samples", share.samples);
        entry.set("tokens", share.tokens);
        kinds.set(kind, std::move(entry));
      }
      Json result = Json::object();
      result.set("vocabulary", size);
      result.set("merges", merges);
      result.set("tokens", tokens);
      result.set("kinds", std::move(kinds));
      console.print_json(result);
      return;
    }
    console.print(fmt::format("{} tokens in the vocabulary, {} of them merged\n", size, merges));
    for (const auto& [kind, share] : shares)
      console.print(fmt::format(
          "{:18}{:9} samples {:10} tokens {:6.1f} each {:5.1f} %\n", kind, share.samples,
          share.tokens, static_cast<double>(share.tokens) / static_cast<double>(share.samples),
          100.0 * static_cast<double>(share.tokens) / static_cast<double>(tokens)));
    console.print(fmt::format("{:27} {:18} tokens\n", "all", tokens));
  }

  std::string folder_, corpus_, template_;
  int64_t vocabulary_ = 4096, min_frequency_ = 2, context_ = 4096;
  bool overwrite_ = false;
};

}  // namespace

std::unique_ptr<Command> make_train_tokenizer() { return std::make_unique<TrainTokenizer>(); }

}  // namespace sluice::cli
