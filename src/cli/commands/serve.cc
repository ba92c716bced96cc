// sluice serve: answers over HTTP.
#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/model_identity.h"
#include "cli/session.h"
#include "cli/version.h"
#include "runtime/cache/disk_tier.h"
#include "server/core/scripted_engine.h"
#include "server/server.h"

namespace sluice::cli {
namespace {

constexpr uint64_t kMaxKeyFileBytes = 1 << 20;
constexpr uint64_t kMaxScriptBytes = uint64_t{64} << 20;

// One key a line; empty lines and comments are skipped.
Result<std::vector<std::string>> read_keys(const std::string& path) {
  SLUICE_ASSIGN(const std::string text, read_file(path, kMaxKeyFileBytes));
  std::vector<std::string> keys;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty() && line.front() != '#') keys.push_back(std::move(line));
  }
  if (keys.empty()) return bad_input(path, "holds no key", "Write one key a line");
  return keys;
}

std::string default_name(const std::filesystem::path& path) {
  const auto clean = path.lexically_normal();
  const auto last = clean.has_filename() ? clean.filename() : clean.parent_path().filename();
  return last.extension() == ".gguf" ? last.stem().string() : last.string();
}

class Serve : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare(app);
    model_.declare_prefix_cache(app);
    app.add_option("--memory", most_memory_,
                   "bytes that model, contexts and caches may take together (default: what is "
                   "available)")
        ->check(CLI::PositiveNumber);
    app.add_option("--disk-cache", disk_cache_.folder,
                   "a folder for prompts that memory has no room for; they outlive a restart");
    app.add_option("--disk-cache-bytes", disk_cache_.bytes, "bytes of all its files together");
    app.add_option("--reuse-answers", reuse_answers_,
                   "on: an answer that comes back is continued; off: it is read anew as prompt")
        ->capture_default_str();
    app.add_option("--host", options_.host, "address to listen on")->capture_default_str();
    app.add_option("--port", options_.port, "port; 0 takes a free one")->capture_default_str();
    app.add_option("--unix", options_.unix_path, "a Unix socket instead of host and port");
    app.add_option("--tls-cert", options_.tls_certificate, "PEM file: certificate chain");
    app.add_option("--tls-key", options_.tls_key, "PEM file: its private key");
    app.add_option("--api-key", options_.keys, "clients must send this key (repeatable)");
    app.add_option("--api-key-file", key_file_, "a file with one key a line");
    app.add_option("--cors,--allowed-origins", options_.allowed_origins,
                   "origins whose pages may call; * is any");
    app.add_option("--alias", aliases_, "names of the model for clients; the first is shown");
    app.add_flag("--strict-models", options_.strict_models,
                 "names like claude-... are unknown models");
    app.add_option("--sequences,--max-num-seqs", sequences_, "answers at once")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    app.add_option("--max-queue", options_.max_waiting, "requests that may wait")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    app.add_option("--max-queue-tokens", options_.max_waiting_tokens,
                   "tokens that waiting prompts may have together; beyond it 429")
        ->check(CLI::PositiveNumber);
    app.add_option("--queue-timeout", queue_s_,
                   "seconds that a request may wait for its turn, then 429; without it any time")
        ->check(CLI::Range(0.001, 86400.0));
    app.add_option("--request-timeout", request_s_,
                   "seconds for a request with its answer, then 504; without it any time")
        ->check(CLI::Range(0.001, 86400.0));
    app.add_option("--max-connections", options_.limits.connections, "connections at once")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    app.add_option("--max-body", options_.limits.body_bytes, "bytes of a request's body")
        ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 30))
        ->capture_default_str();
    app.add_option("--reasoning-field", reasoning_field_,
                   "both, reasoning, reasoning_content or none")
        ->capture_default_str();
    app.add_option("--reasoning-budget", options_.thinking.budget,
                   "tokens of thought for requests that name none; -1 unlimited");
    app.add_option("--reasoning-budget-message", options_.thinking.budget_message,
                   "what stands before the closing of a thought that is over budget");
    app.add_flag("--no-loop-breaker{false}", options_.thinking.break_loops,
                 "let thoughts that repeat themselves go on");
    app.add_option("--sampling-defaults", sampling_defaults_,
                   "for requests that name no sampling: model (its generation_config.json), auto "
                   "(recommended, by mode) or none")
        ->check(CLI::IsMember({"model", "auto", "none"}))
        ->capture_default_str();
    app.add_option("--request-log", options_.request_log, "a file for one JSON line a request");
    app.add_flag("--metrics-auth,!--open-metrics", options_.metrics_need_key,
                 "/metrics needs a key too");
    app.add_option("--default-chat-template-kwargs", template_defaults_,
                   "JSON object: chat_template_kwargs for requests that do not name them");
    app.add_option(
           "--special-tokens-in-data", special_tokens_,
           "literal: a message can never become a special token; parse: as other servers do")
        ->check(CLI::IsMember({"literal", "parse"}))
        ->capture_default_str();
    app.add_flag("--exclude-tools-when-none", policy_.exclude_tools_when_none,
                 "tool_choice none takes the tools out of the prompt");
    app.add_option("--lenient-empty-tools", lenient_tools_, "on: tools [] is absent; off: an error")
        ->check(CLI::IsMember({"on", "off"}))
        ->capture_default_str();
    app.add_flag("--penalise-markers", policy_.penalise_markers,
                 "presence and frequency penalties also count <tool_call>, </think> and the like");
    app.add_option("--min-thinking-temperature", policy_.min_thinking_temperature,
                   "at least so much in answers that begin with a thought")
        ->check(CLI::Range(0.0, 2.0));
    app.add_flag("--stop-in-reasoning", policy_.stop_in_reasoning,
                 "stop strings end thoughts too, and the answer with them");
    app.add_flag("--logprobs-all-channels", policy_.logprobs_all_channels,
                 "log probabilities of thoughts and calls as well");
    app.add_option("--drain-grace", grace_s_, "seconds of 503 after SIGTERM before closing")
        ->check(CLI::Range(0.0, 3600.0))
        ->capture_default_str();
    app.add_option("--shutdown-timeout", timeout_s_, "seconds for running answers after SIGTERM")
        ->check(CLI::Range(0.0, 86400.0))
        ->capture_default_str();
    app.add_option("--header-timeout", header_s_, "seconds for the head of a request")
        ->check(CLI::Range(0.1, 3600.0))
        ->capture_default_str();
    app.add_option("--stalled-client-timeout", stalled_s_,
                   "seconds without progress until a client that does not read is cut off")
        ->check(CLI::Range(0.1, 3600.0))
        ->capture_default_str();
    app.add_option("--client-backlog", options_.client_backlog,
                   "tokens that may wait for a client that does not read")
        ->check(CLI::Range(1, 1 << 24))
        ->capture_default_str();
    app.add_option("--engine", engine_, "script:FILE answers from a file instead of a model");
    app.add_option("--chat-template-file", template_file_, "a template instead of the model's own");
  }

  Status run(const Console& console) override {
    SLUICE_TRY(settle_options());
    options_.quiet = console.settings().quiet;
    const auto announce = [&](const std::string& name) {
      return [&console, name, states = options_.lossy_states](const std::string& address) {
        console.print(fmt::format("sluice: ready on {} (model {}{})\n", address, name,
                                  states.empty() ? "" : ", saved states as " + states));
      };
    };
    if (!engine_.empty()) {
      SLUICE_ASSIGN(ModelFiles files, open_model(model_.model, NeedWeights::kNo));
      SLUICE_TRY(use_template_file(files));
      SLUICE_ASSIGN(server::ModelText text, model_text(files));
      SLUICE_ASSIGN(auto engine, scripted(files, text));
      return server::run_server(options_, text, std::move(engine), announce(text.names.front()));
    }
    SLUICE_ASSIGN(auto loaded, prepare_model(console, model_));
    SLUICE_TRY(use_template_file(loaded->files));
    runtime::EngineShape shape;
    shape.sequences = sequences_;
    shape.keep_pace = true;
    shape.context = context(loaded->binding.config.context);
    shape.disk = disk_cache_;
    shape.most_memory = most_memory_;
    if (shape.disk.on()) shape.disk.model = model_identity(*loaded->files.checkpoint);
    SLUICE_TRY(finish_loading(console, model_, *loaded, shape));
    SLUICE_ASSIGN(server::ModelText text, model_text(loaded->files));
    text.stop_ids = loaded->binding.config.stop_ids;
    text.vocabulary = loaded->binding.config.vocabulary;
    text.trained_context = loaded->binding.config.context;
    text.context = loaded->shape.context;
    for (const model::BoundWeight& weight : loaded->binding.weights)
      text.parameters += static_cast<uint64_t>(weight.matrix.rows * weight.matrix.columns);
    for (const auto& tensor : loaded->binding.tensors) text.bytes += tensor.stored->bytes.size();
    options_.prefix_cache = loaded->shape.prefix_cache > 0;
    options_.disk = loaded->shape.disk;
    if (options_.prefix_cache && loaded->shape.saved_states != runtime::StateForm::kF32)
      options_.lossy_states = runtime::state_form_name(loaded->shape.saved_states);
    options_.plan = loaded->plan;
    options_.draft_depth = loaded->shape.draft_depth;
    SLUICE_ASSIGN(auto engine,
                  runtime::Engine::create(*loaded->model, loaded->tokenizer(), loaded->shape));
    return server::run_server(options_, text, server::make_model_engine(std::move(engine)),
                              announce(text.names.front()));
  }

 private:
  Status settle_options() {
    if (options_.tls_certificate.empty() != options_.tls_key.empty())
      return usage_error("--tls-cert", "certificate and key belong together", "Give both");
    using Field = server::openai::ReasoningField;
    if (reasoning_field_ == "both") {
      options_.reasoning_field = Field::kBoth;
    } else if (reasoning_field_ == "reasoning") {
      options_.reasoning_field = Field::kReasoning;
    } else if (reasoning_field_ == "reasoning_content") {
      options_.reasoning_field = Field::kReasoningContent;
    } else if (reasoning_field_ == "none") {
      options_.reasoning_field = Field::kNone;
    } else {
      return usage_error("--reasoning-field", fmt::format("\"{}\" is unknown", reasoning_field_),
                         "Use both, reasoning, reasoning_content or none");
    }
    policy_.parse_special_tokens = special_tokens_ == "parse";
    policy_.lenient_empty_tools = lenient_tools_ == "on";
    if (!template_defaults_.empty()) {
      auto given = parse_json(template_defaults_);
      if (!given.ok() || !given->is_object()) {
        return usage_error("--default-chat-template-kwargs", "is no JSON object",
                           "Write for instance {\"enable_thinking\": false}");
      }
      policy_.template_defaults = std::move(*given);
    }
    if (disk_cache_.on() != (disk_cache_.bytes > 0)) {
      return usage_error(disk_cache_.on() ? "--disk-cache" : "--disk-cache-bytes",
                         "folder and bytes belong together", "Give both");
    }
    // Before the weights are read, not after.
    if (disk_cache_.on()) SLUICE_TRY(runtime::DiskTier::prepare_folder(disk_cache_.folder));
    if (!key_file_.empty()) {
      SLUICE_ASSIGN(const auto keys, read_keys(key_file_));
      options_.keys.insert(options_.keys.end(), keys.begin(), keys.end());
    }
    const auto milliseconds = [](double seconds) {
      return server::http::Duration(static_cast<int64_t>(seconds * 1000));
    };
    options_.drain_grace = milliseconds(grace_s_);
    if (queue_s_) options_.longest_wait = milliseconds(*queue_s_);
    if (request_s_) options_.longest_request = milliseconds(*request_s_);
    options_.shutdown_timeout = milliseconds(timeout_s_);
    options_.limits.header_time = milliseconds(header_s_);
    options_.limits.stalled_client = milliseconds(stalled_s_);
    options_.sequences = sequences_;
    if (reuse_answers_ != "on" && reuse_answers_ != "off")
      return usage_error("--reuse-answers", fmt::format("\"{}\" is unknown", reuse_answers_),
                         "Use on or off");
    options_.reuse_answers = reuse_answers_ == "on";
    options_.version = version_text(false);
    while (!options_.version.empty() && options_.version.back() == '\n')
      options_.version.pop_back();
    options_.version.resize(std::min(options_.version.find('\n'), options_.version.size()));
    return {};
  }

  Status use_template_file(ModelFiles& files) const {
    if (template_file_.empty()) return {};
    SLUICE_ASSIGN(std::string source, read_file(template_file_, kMaxScriptBytes));
    SLUICE_ASSIGN(files.chat_template, chat::ChatTemplate::parse(std::move(source)));
    files.template_error.reset();
    return {};
  }

  int64_t context(int64_t trained) const {
    constexpr int64_t kDefault = 32'768;
    return model_.context > 0 ? model_.context : std::min(trained, kDefault);
  }

  Result<server::ModelText> model_text(const ModelFiles& files) const {
    if (!files.tokenizer) {
      return files.tokenizer_error ? *files.tokenizer_error
                                   : bad_input(files.path.string(), "has no tokenizer");
    }
    server::ModelText text;
    text.tokenizer = &*files.tokenizer;
    text.chat_template = files.chat_template ? &*files.chat_template : nullptr;
    text.bos_token = files.bos_token;
    text.eos_token = files.eos_token;
    text.sampling_defaults = sampling_defaults_ == "auto"   ? server::SamplingDefaults::kByMode
                             : sampling_defaults_ == "none" ? server::SamplingDefaults::kNone
                                                            : server::SamplingDefaults::kModel;
    if (files.generation_config) text.generation_config = *files.generation_config;
    text.policy = policy_;
    text.names = aliases_.empty() ? std::vector{default_name(files.path)} : aliases_;
    return text;
  }

  // Without weights: the ends of turn that every model of this family has.
  Result<std::unique_ptr<server::StepEngine>> scripted(const ModelFiles& files,
                                                       server::ModelText& text) const {
    constexpr std::string_view kScheme = "script:";
    if (!engine_.starts_with(kScheme))
      return usage_error("--engine", fmt::format("\"{}\" is unknown", engine_), "Use script:FILE");
    const std::string path = engine_.substr(kScheme.size());
    for (const char* end : {"<|im_end|>", "<|endoftext|>"}) {
      if (const auto id = text.tokenizer->find_added(end)) text.stop_ids.push_back(*id);
    }
    if (text.stop_ids.empty())
      return bad_input(files.path.string(), "its tokenizer has no <|im_end|>");
    text.vocabulary = text.tokenizer->size();
    constexpr int64_t kTrained = 65'536;
    text.trained_context = text.context = context(kTrained);
    SLUICE_ASSIGN(const std::string source, read_file(path, kMaxScriptBytes));
    Result<Json> json = parse_json(source);
    if (!json.ok()) return bad_input(path, json.error().why);
    auto script = server::parse_script(*json, *text.tokenizer, text.stop_ids.front());
    if (!script.ok())
      return bad_input(path + ": " + script.error().what, script.error().why,
                       script.error().remedy);
    return server::make_scripted_engine(std::move(*script), *text.tokenizer, text.stop_ids,
                                        {text.context, sequences_});
  }

  ModelOptions model_;
  server::ServerOptions options_;
  server::ServingPolicy policy_;
  runtime::DiskCache disk_cache_;
  std::vector<std::string> aliases_;
  std::string key_file_, engine_, template_file_,
      reasoning_field_ = "both", reuse_answers_ = "on", sampling_defaults_ = "model",
      special_tokens_ = "literal", lenient_tools_ = "on", template_defaults_;
  int64_t sequences_ = 4;
  uint64_t most_memory_ = 0;
  std::optional<double> queue_s_, request_s_;
  double grace_s_ = 5, timeout_s_ = 30, header_s_ = 10, stalled_s_ = 60;
};

}  // namespace

std::unique_ptr<Command> make_serve() { return std::make_unique<Serve>(); }

}  // namespace sluice::cli
