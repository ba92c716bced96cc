// sluice inspect: what a checkpoint holds and whether it can run.
#include <fmt/format.h>
#include <fnmatch.h>

#include <map>
#include <memory>

#include "checkpoint/safetensors_writer.h"
#include "cli/command.h"
#include "cli/session.h"
#include "codec/codec.h"
#include "tools/convert/vision_tower.h"

namespace sluice::cli {
namespace {

using model::BoundTensor;
using model::Part;
using model::Problem;

const char* severity_name(Problem::Severity severity) {
  switch (severity) {
    case Problem::Severity::kNote:
      return "note";
    case Problem::Severity::kWarning:
      return "warning";
    case Problem::Severity::kError:
      return "error";
  }
  return "unknown";
}

Json dimensions(const model::TextConfig& config) {
  Json result = Json::object();
  result.set("layers", config.layers);
  result.set("hidden", config.hidden);
  result.set("intermediate", config.intermediate);
  result.set("query_heads", config.query_heads);
  result.set("kv_heads", config.kv_heads);
  result.set("head_dim", config.head_dim);
  result.set("gdn_key_heads", config.gdn_key_heads);
  result.set("gdn_value_heads", config.gdn_value_heads);
  result.set("gdn_key_dim", config.gdn_key_dim);
  result.set("gdn_value_dim", config.gdn_value_dim);
  result.set("conv_kernel", config.conv_kernel);
  result.set("vocab", config.vocabulary);
  return result;
}

// Counts by part of the model: parameters of weights, bytes of everything stored.
struct Totals {
  uint64_t text = 0, mtp = 0, vision = 0, other = 0;
  uint64_t& of(Part part) {
    switch (part) {
      case Part::kText:
        return text;
      case Part::kMtp:
        return mtp;
      case Part::kVision:
        return vision;
      case Part::kOther:
        return other;
    }
    return other;
  }
};

Json totals_json(const Totals& totals, bool with_total) {
  Json result = Json::object();
  result.set("text", totals.text);
  result.set("mtp", totals.mtp);
  result.set("vision", totals.vision);
  if (with_total) result.set("total", totals.text + totals.mtp + totals.vision + totals.other);
  return result;
}

class Inspect : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option(
           "MODEL", model_,
           "a model: directory, *.index.json, *.safetensors, *.gguf, installed name or org/name")
        ->required();
    app.add_flag("--tensors", tensors_, "lists every tensor");
    app.add_option("--values", values_,
                   "a glob: writes the matching tensors dequantized, F32, to --out");
    app.add_option("--out", out_, "the safetensors file of --values");
    app.add_flag("--overwrite", overwrite_, "replaces --out if it exists");
    app.add_flag("--validate", validate_,
                 "reads every weight and reports codes that no writer may produce");
  }

  bool watches_interrupts() const override { return false; }

  Status run(const Console& console) override {
    if (values_.has_value() != out_.has_value())
      return usage_error(values_ ? "--values" : "--out", "needs its partner",
                         "Give --values GLOB --out F.safetensors");
    SLUICE_ASSIGN(const ModelFiles files, open_model(model_, NeedWeights::kYes));
    SLUICE_ASSIGN(model::Binding binding, model::bind(*files.checkpoint));
    find_tower(files, binding);
    if (validate_) validate_codes(binding);
    if (values_) SLUICE_TRY(write_values(binding));
    if (console.settings().json) {
      console.print_json(document(files, binding));
    } else {
      print_report(console, files, binding);
    }
    // The report has said what is wrong; the status only carries the exit code.
    if (!binding.runnable) return Error{ErrorCode::kBadInput, {}, {}, {}};
    return {};
  }

 private:
  // A tower that cannot be used does not keep the text model from running.
  void find_tower(const ModelFiles& files, model::Binding& binding) {
    auto tower = convert::tower_beside(*files.checkpoint, binding.config.hidden);
    if (tower.ok()) {
      tower_ = std::move(*tower);
      return;
    }
    const Error& error = tower.error();
    binding.problems.push_back({Problem::Severity::kWarning, "",
                                "vision tower: " + error.what + ": " + error.why, error.remedy});
  }

  static void validate_codes(model::Binding& binding) {
    for (const model::BoundWeight& weight : binding.weights) {
      const Status status = codec::check_codes(weight.matrix, weight.name);
      if (status.ok()) continue;
      binding.problems.push_back({Problem::Severity::kError, weight.name, status.error().message(),
                                  status.error().remedy});
      if (weight.part == Part::kText) binding.runnable = false;
    }
  }

  Status write_values(const model::Binding& binding) const {
    std::vector<const model::BoundWeight*> matching;
    for (const model::BoundWeight& weight : binding.weights) {
      if (::fnmatch(values_->c_str(), weight.name.c_str(), 0) == 0) matching.push_back(&weight);
    }
    if (matching.empty())
      return usage_error("--values", fmt::format("no tensor matches \"{}\"", *values_),
                         "inspect --tensors lists the names");
    std::vector<checkpoint::TensorSpec> specs;
    std::map<std::string, const model::BoundWeight*> by_name;
    for (const auto* weight : matching) {
      specs.push_back({weight->name, DType::kF32, shape_of(binding, *weight)});
      by_name[weight->name] = weight;
    }
    checkpoint::SafetensorsOptions options;
    options.overwrite = overwrite_;
    SLUICE_ASSIGN(auto writer,
                  checkpoint::SafetensorsWriter::create_file(*out_, std::move(specs), options));
    std::vector<float> values;
    for (const checkpoint::TensorSpec& spec : writer.plan()) {
      const EncodedMatrix& matrix = by_name.at(spec.name)->matrix;
      values.resize(static_cast<size_t>(matrix.rows * matrix.columns));
      codec::decode_rows(matrix, 0, matrix.rows, values.data());
      SLUICE_TRY(writer.append(spec.name, std::as_bytes(std::span(values))));
    }
    return writer.finish();
  }

  // Vectors and convolutions keep their stored shape; packed codes have the matrix's.
  static std::vector<int64_t> shape_of(const model::Binding& binding,
                                       const model::BoundWeight& weight) {
    const int64_t elements = weight.matrix.rows * weight.matrix.columns;
    for (const BoundTensor& tensor : binding.tensors) {
      if (tensor.stored->name == weight.name && tensor.stored->elements() == elements)
        return tensor.stored->shape;
    }
    return {weight.matrix.rows, weight.matrix.columns};
  }

  Json document(const ModelFiles& files, const model::Binding& binding) const {
    const checkpoint::Checkpoint& stored = *files.checkpoint;
    const model::TextConfig& config = binding.config;
    Json result = Json::object();
    result.set("architecture", config.architecture);
    result.set("container",
               stored.container() == checkpoint::Container::kGguf ? "gguf" : "safetensors");
    result.set("files", static_cast<int64_t>(stored.files().size()));
    result.set("dimensions", dimensions(config));
    Json::Array types;
    for (const model::LayerType type : config.layer_types) {
      types.emplace_back(type == model::LayerType::kFullAttention ? "full_attention"
                                                                  : "linear_attention");
    }
    result.set("layer_types", std::move(types));
    result.set("context", config.context);
    result.set("tied", config.tied);
    set_totals(binding, tower_.get(), result);
    Json mtp = Json::object();
    mtp.set("present", binding.mtp_present);
    mtp.set("usable", binding.mtp_usable);
    if (const model::BoundWeight* weight = binding.find("mtp.layer.attention.query_gate");
        weight != nullptr) {
      mtp.set("format", format_name(weight->matrix.format));
    }
    result.set("mtp", std::move(mtp));
    Json vision = Json::object();
    vision.set("present", binding.vision_present || tower_ != nullptr);
    if (tower_ != nullptr) vision.set("file", tower_->file->files().front().filename().string());
    result.set("vision", std::move(vision));
    Json tokenizer = Json::object();
    tokenizer.set("present", files.tokenizer.has_value());
    if (files.tokenizer) tokenizer.set("tokens", files.tokenizer->size());
    result.set("tokenizer", std::move(tokenizer));
    Json chat = Json::object();
    chat.set("present", files.chat_template.has_value());
    if (files.chat_template) chat.set("source", files.template_source);
    result.set("template", std::move(chat));
    result.set("problems", problems(files, binding));
    if (tensors_) result.set("tensors", tensor_list(stored, binding));
    return result;
  }

  // A tower in a file of its own counts as one in the model's files does.
  static void set_totals(const model::Binding& binding, const convert::VisionTower* tower,
                         Json& result) {
    Totals parameters, bytes;
    std::map<std::string, std::pair<int64_t, uint64_t>> formats;
    for (const model::BoundWeight& weight : binding.weights) {
      parameters.of(weight.part) +=
          static_cast<uint64_t>(weight.matrix.rows * weight.matrix.columns);
    }
    for (const BoundTensor& tensor : binding.tensors) {
      bytes.of(tensor.part) += tensor.stored->bytes.size();
      const bool weight = tensor.format.has_value();
      if (tensor.part == Part::kVision)
        parameters.vision += static_cast<uint64_t>(tensor.stored->elements());
      if (!weight) continue;
      auto& [count, size] = formats[std::string(format_name(*tensor.format))];
      count += 1;
      size += tensor.stored->bytes.size();
    }
    if (tower != nullptr) {
      parameters.vision += static_cast<uint64_t>(tower->parameters());
      for (const auto& stored : tower->file->tensors()) bytes.vision += stored.bytes.size();
    }
    result.set("parameters", totals_json(parameters, false));
    result.set("bytes", totals_json(bytes, true));
    Json by_format = Json::object();
    for (const auto& [name, sums] : formats) {
      Json entry = Json::object();
      entry.set("tensors", sums.first);
      entry.set("bytes", sums.second);
      by_format.set(name, std::move(entry));
    }
    result.set("formats", std::move(by_format));
  }

  static Json problems(const ModelFiles& files, const model::Binding& binding) {
    Json::Array list;
    const auto add = [&](const char* severity, const std::string& tensor,
                         const std::string& message, const std::string& remedy) {
      Json entry = Json::object();
      entry.set("severity", severity);
      entry.set("tensor", tensor);
      entry.set("message", message);
      entry.set("remedy", remedy);
      list.push_back(std::move(entry));
    };
    for (const Problem& problem : binding.problems)
      add(severity_name(problem.severity), problem.tensor, problem.message, problem.remedy);
    for (const auto* error : {&files.tokenizer_error, &files.template_error}) {
      if (*error) add("warning", "", (*error)->what + ": " + (*error)->why, (*error)->remedy);
    }
    return list;
  }

  static Json tensor_list(const checkpoint::Checkpoint& stored, const model::Binding& binding) {
    Json::Array list;
    for (const BoundTensor& tensor : binding.tensors) {
      Json entry = Json::object();
      entry.set("name", tensor.stored->name);
      entry.set("role", tensor.role);
      Json::Array shape;
      for (const int64_t extent : tensor.stored->shape) shape.emplace_back(extent);
      entry.set("shape", std::move(shape));
      entry.set("format", tensor.format ? Json(format_name(*tensor.format))
                                        : Json(dtype_name(tensor.stored->dtype)));
      entry.set("bytes", static_cast<uint64_t>(tensor.stored->bytes.size()));
      entry.set("file",
                stored.files()[static_cast<size_t>(tensor.stored->file)].filename().string());
      list.push_back(std::move(entry));
    }
    return list;
  }

  void print_report(const Console& console, const ModelFiles& files,
                    const model::Binding& binding) const {
    const Json all = document(files, binding);
    const model::TextConfig& config = binding.config;
    console.print(
        fmt::format("{}, {} layers ({} full attention), hidden {}, vocabulary {}, context {}\n",
                    config.architecture, config.layers, config.attention_layers(), config.hidden,
                    config.vocabulary, config.context));
    for (const auto& [name, sums] : all.find("formats")->members()) {
      console.print(fmt::format("  {:<12}{:>6} tensors {:>12}\n", name,
                                sums.find("tensors")->spelling(),
                                runtime::format_bytes(*sums.find("bytes")->as_uint64())));
    }
    console.print(fmt::format("draft head: {}\n", !binding.mtp_present ? "none"
                                                  : binding.mtp_usable ? "usable"
                                                                       : "present, not usable"));
    const Json* file = all.find("vision")->find("file");
    console.print(
        fmt::format("vision tower: {}\n", file != nullptr ? file->string() + " (not used yet)"
                                          : binding.vision_present ? "present (not used yet)"
                                                                   : "none"));
    console.print(
        fmt::format("template: {}\n", files.chat_template ? files.template_source : "none"));
    for (const Json& problem : all.find("problems")->items()) {
      const std::string& tensor = problem.find("tensor")->string();
      console.print(fmt::format("{}: {}{}{}. {}\n", problem.find("severity")->string(), tensor,
                                tensor.empty() ? "" : ": ", problem.find("message")->string(),
                                problem.find("remedy")->string()));
    }
    if (tensors_) {
      for (const Json& tensor : all.find("tensors")->items()) {
        console.print(fmt::format("{}\t{}\t{}\t{}\n", tensor.find("name")->string(),
                                  tensor.find("format")->string(), tensor.find("shape")->dump(),
                                  tensor.find("role")->string()));
      }
    }
    console.print(binding.runnable ? "runs\n" : "cannot run\n");
  }

  std::string model_;
  std::shared_ptr<const convert::VisionTower> tower_;  // beside a GGUF
  std::optional<std::string> values_, out_;
  bool tensors_ = false, overwrite_ = false, validate_ = false;
};

}  // namespace

std::unique_ptr<Command> make_inspect() { return std::make_unique<Inspect>(); }

}  // namespace sluice::cli
