// sluice tokenize: text to ids and back.
#include <fmt/format.h>

#include "base/file.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/prompt_input.h"
#include "cli/session.h"

namespace sluice::cli {
namespace {

// The bytes of a token as a JSON string: characters as they are, bytes that are not UTF-8 as \xHH.
std::string printable_bytes(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const size_t good = find_invalid_utf8(bytes).value_or(bytes.size());
    out += bytes.substr(0, good);
    bytes.remove_prefix(good);
    if (bytes.empty()) break;
    out += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes.front()));
    bytes.remove_prefix(1);
  }
  return out;
}

Json ids_json(const std::vector<int32_t>& ids) {
  Json::Array items;
  for (const int32_t id : ids) items.emplace_back(id);
  return items;
}

Json pieces_json(const tokenizer::Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  Json::Array items;
  for (const int32_t id : ids) items.emplace_back(printable_bytes(tokenizer.bytes(id)));
  return items;
}

class Tokenize : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("MODEL", model_,
                   "a model, a directory with a tokenizer, a tokenizer.json or a *.gguf")
        ->required();
    CLI::Option_group* group = app.add_option_group("Input");
    group->add_option("--text", text_, "the text");
    group->add_option("--file", file_, "a file with the text; - is standard input");
    group->add_option(
        "--jsonl", jsonl_,
        R"(one {"text":"...","special":true} a line; with --decode {"ids":[...],"skip_special":false})");
    group->add_option("--ids", ids_, "with --decode: ids as 1,2,3");
    group->require_option(1);
    app.add_flag("--decode", decode_, "ids to text");
    app.add_flag("--pieces", pieces_, "adds the bytes of each id");
    app.add_flag("--no-special", no_special_,
                 "added tokens in the text are ordinary text (--text and --file)");
  }

  bool watches_interrupts() const override { return false; }

  Status run(const Console& console) override {
    SLUICE_ASSIGN(const ModelFiles files, open_model(model_, NeedWeights::kNo));
    if (!files.tokenizer) {
      if (files.tokenizer_error) return *files.tokenizer_error;
      return bad_input(files.path.string(), "has no tokenizer",
                       "Name a directory with a tokenizer.json");
    }
    const tokenizer::Tokenizer& tokenizer = *files.tokenizer;
    if (jsonl_) return run_lines(console, tokenizer);
    if (ids_) {
      if (!decode_) return usage_error("--ids", "needs --decode");
      PromptInput input;
      input.ids = ids_;
      SLUICE_ASSIGN(const auto ids, input.tokens(files, INT32_MAX));
      return print(console, decoded(tokenizer, ids, false), tokenizer.decode(ids, false) + "\n");
    }
    if (decode_) return usage_error("--decode", "takes --ids or --jsonl");
    std::string text = text_.value_or("");
    if (file_) {
      SLUICE_ASSIGN(text,
                    *file_ == "-" ? read_standard_input() : read_file(*file_, uint64_t{1} << 30));
    }
    SLUICE_ASSIGN(const auto ids, tokenizer.encode(text, {.recognise_added = !no_special_}));
    std::string plain;
    for (const int32_t id : ids) {
      plain += pieces_ ? fmt::format("{}\t{}\n", id, printable_bytes(tokenizer.bytes(id)))
                       : fmt::format("{}{}", plain.empty() ? "" : " ", id);
    }
    return print(console, encoded(tokenizer, ids), pieces_ ? plain : plain + "\n");
  }

 private:
  static Result<std::string> read_standard_input() {
    std::string text;
    char chunk[1 << 16];
    for (size_t n = 0; (n = std::fread(chunk, 1, sizeof chunk, stdin)) > 0;) text.append(chunk, n);
    return text;
  }

  static Status print(const Console& console, const Json& document, const std::string& plain) {
    if (console.settings().json) {
      console.print_json(document);
    } else {
      console.print(plain);
    }
    return {};
  }

  Json encoded(const tokenizer::Tokenizer& tokenizer, const std::vector<int32_t>& ids) const {
    Json document = Json::object();
    document.set("ids", ids_json(ids));
    if (pieces_) document.set("pieces", pieces_json(tokenizer, ids));
    return document;
  }

  Json decoded(const tokenizer::Tokenizer& tokenizer, const std::vector<int32_t>& ids,
               bool skip_special) const {
    Json document = Json::object();
    document.set("text", tokenizer.decode(ids, skip_special));
    if (pieces_) document.set("pieces", pieces_json(tokenizer, ids));
    return document;
  }

  Status run_lines(const Console& console, const tokenizer::Tokenizer& tokenizer) const {
    SLUICE_ASSIGN(const auto lines, read_json_lines(*jsonl_));
    for (const JsonLine& line : lines) {
      Result<Json> answer = run_line(line, tokenizer);
      if (!answer.ok()) {
        Error error = std::move(answer).error();
        error.what = fmt::format("{} line {}: {}", *jsonl_, line.number, error.what);
        return error;
      }
      console.print_json(*answer);
    }
    return {};
  }

  Result<Json> run_line(const JsonLine& line, const tokenizer::Tokenizer& tokenizer) const {
    if (!line.value.ok()) return line.value.error();
    const Json& request = *line.value;
    const auto flag = [&](const char* key, bool fallback) -> Result<bool> {
      const Json* value = request.find(key);
      if (value == nullptr || value->is_null()) return fallback;
      if (!value->is_boolean())
        return usage_error(key,
                           fmt::format("is a {}, true or false was expected", value->kind_name()));
      return value->boolean();
    };
    if (decode_) {
      const Json* list = request.find("ids");
      if (list == nullptr || !list->is_array())
        return usage_error("ids", "is missing or not an array");
      std::vector<int32_t> ids;
      for (const Json& item : list->items()) {
        const auto id = item.as_int64();
        if (!id || *id < 0 || *id > INT32_MAX)
          return usage_error("ids", fmt::format("element {} is not a token id", ids.size()));
        ids.push_back(static_cast<int32_t>(*id));
      }
      SLUICE_ASSIGN(const bool skip_special, flag("skip_special", false));
      return decoded(tokenizer, ids, skip_special);
    }
    const Json* text = request.find("text");
    if (text == nullptr || !text->is_string())
      return usage_error("text", "is missing or not a string");
    SLUICE_ASSIGN(const bool special, flag("special", true));
    SLUICE_ASSIGN(const auto ids, tokenizer.encode(text->string(), {.recognise_added = special}));
    return encoded(tokenizer, ids);
  }

  std::string model_;
  std::optional<std::string> text_, file_, jsonl_, ids_;
  bool decode_ = false, pieces_ = false, no_special_ = false;
};

}  // namespace

std::unique_ptr<Command> make_tokenize() { return std::make_unique<Tokenize>(); }

}  // namespace sluice::cli
