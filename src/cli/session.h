// A model as a command uses it: opened files, then the loaded model with its engine.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chat/template.h"
#include "checkpoint/checkpoint.h"
#include "cli/console.h"
#include "cli/model_options.h"
#include "model/binding.h"
#include "model/text/text_model.h"
#include "runtime/engine.h"
#include "runtime/memory_plan.h"
#include "tokenizer/tokenizer.h"

namespace sluice::cli {

// What tokenize and template need, and what lies beside every model. No weights are required.
struct ModelFiles {
  std::filesystem::path path;
  std::optional<checkpoint::Checkpoint> checkpoint;  // if there are weights
  std::optional<tokenizer::Tokenizer> tokenizer;
  std::optional<Error> tokenizer_error;  // why there is none
  std::optional<chat::ChatTemplate> chat_template;
  std::optional<Error> template_error;
  std::string template_source;  // "chat_template.jinja", "tokenizer_config.json", "gguf"
  std::optional<std::string> bos_token, eos_token;
  std::optional<Json> generation_config;
};

enum class NeedWeights { kNo, kYes };
// MODEL as spec/cli.md defines it; without weights also a directory, a tokenizer.json or a *.jinja
// file.
Result<ModelFiles> open_model(const std::string& model, NeedWeights need);

// Where models installed with sluice lie, relative to the program.
std::vector<std::filesystem::path> installed_model_folders();

// What the program holds beside the model's own memory, for the plan.
uint64_t resident_bytes(const ModelFiles& files);

// A model taken in by a backend. Members are destroyed in reverse order.
struct LoadedModel {
  ModelFiles files;
  std::unique_ptr<ops::Backend> backend;
  model::Binding binding;
  runtime::EngineShape shape;
  runtime::MemoryPlan plan;
  std::unique_ptr<model::TextModel> model;
  double load_ms = 0;

  // nullptr if the files have none: ids in, ids out.
  const tokenizer::Tokenizer* tokenizer() const {
    return files.tokenizer ? &*files.tokenizer : nullptr;
  }
};

// Opens, checks the plan, and loads. `shape` carries what the command wants; its kv and draft depth
// are filled in from the options. Errors: not runnable (3), does not fit (4), the tokenizer's if
// there is none.
Result<std::unique_ptr<LoadedModel>> load_model(const Console& console, const ModelOptions& options,
                                                runtime::EngineShape shape);
// The same in two steps, for commands that need tokenizer and template before they know the shape.
Result<std::unique_ptr<LoadedModel>> prepare_model(const Console& console,
                                                   const ModelOptions& options);
Status finish_loading(const Console& console, const ModelOptions& options, LoadedModel& loaded,
                      runtime::EngineShape shape);

}  // namespace sluice::cli
