#include "model/binding.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "model/expected_weights.h"
#include "model/module_reading.h"
#include "model/quantization_config.h"
#include "model/stored_values.h"
#include "model/tensor_names.h"

namespace sluice::model {

using checkpoint::Checkpoint;
using checkpoint::StoredTensor;
using Severity = Problem::Severity;

namespace {

Part part_of(std::string_view canonical) {
  if (canonical.starts_with("visual.")) return Part::kVision;
  if (canonical.starts_with("mtp.")) return Part::kMtp;
  for (const std::string_view text : {"layers.", "embed_tokens", "norm.", "lm_head"}) {
    if (canonical.starts_with(text)) return Part::kText;
  }
  return Part::kOther;
}

class Binder {
 public:
  Binder(const Checkpoint& checkpoint, TextConfig config)
      : checkpoint_(checkpoint), gguf_(checkpoint.gguf() != nullptr) {
    out_.config = std::move(config);
  }

  Result<Binding> bind() {
    for (const std::string& note : checkpoint_.notes())
      out_.problems.push_back({Severity::kNote, "", note, ""});
    if (!gguf_) {
      std::vector<Problem> problems;
      SLUICE_ASSIGN(quantization_, QuantizationConfig::read(checkpoint_, problems));
      report(Part::kText, std::move(problems));
      out_.fp8_kv_announced = quantization_.fp8_kv_cache();
    }
    index_names();
    const StoredConventions conventions = detect_conventions();
    bind_weights(expected_text_weights(out_.config, conventions));
    bind_tied_head();
    if (out_.mtp_present) bind_weights(expected_mtp_weights(out_.config, conventions));
    bind_kv_scales();
    report_leftovers();
    conclude();
    return std::move(out_);
  }

 private:
  // An error of the draft head costs the head, not the model.
  void report(Part part, Problem problem) {
    if (problem.severity == Severity::kError && part == Part::kMtp) {
      problem.severity = Severity::kWarning;
      problem.message = "draft head: " + problem.message;
      mtp_damaged_ = true;
    }
    if (problem.severity == Severity::kError) text_damaged_ = true;
    out_.problems.push_back(std::move(problem));
  }
  void report(Part part, std::vector<Problem> problems) {
    for (Problem& problem : problems) report(part, std::move(problem));
  }

  // Canonical names of all tensors; two stored names for one canonical name are an error
  // (formats.md 2.4).
  void index_names() {
    out_.tensors.reserve(checkpoint_.tensors().size());
    for (const StoredTensor& stored : checkpoint_.tensors()) {
      const std::string canonical = gguf_ ? canonical_gguf_name(stored.name, out_.config.layers)
                                          : canonical_name(stored.name);
      const Part part = part_of(canonical);
      out_.tensors.push_back({&stored, part, "", std::nullopt});
      place_[&stored] = out_.tensors.size() - 1;
      if (part == Part::kVision) out_.vision_present = true;
      if (part == Part::kMtp) out_.mtp_present = true;
      const NameParts name = split_name(canonical);
      const auto [it, fresh] = modules_[name.module].emplace(name.leaf, &stored);
      if (!fresh) {
        report(part, {Severity::kError, stored.name,
                      fmt::format("means the same tensor as {}", it->second->name),
                      "keep one of the two"});
        claim(&stored, "unused", std::nullopt);
      }
    }
  }

  // GGUF stores ready values. MLX's conversions add 1 to the norms and move the kernel of the
  // convolution to the middle, which is their mark; raw files keep [C, 1, K] (architecture.md
  // section 8).
  StoredConventions detect_conventions() {
    if (gguf_) return {true, true};
    size_t moved = 0, kept = 0;
    for (const auto& [module, tensors] : modules_) {
      const auto it = module.ends_with(".conv1d") ? tensors.find("weight") : tensors.end();
      if (it == tensors.end() || it->second->shape.size() != 3) continue;
      const std::vector<int64_t>& shape = it->second->shape;
      if (shape[1] > 1 && shape[2] == 1)
        ++moved;
      else
        ++kept;
    }
    if (moved == 0) return {};
    if (kept > 0) {
      report(
          Part::kText,
          {Severity::kError, "",
           fmt::format("{} convolutions are laid out as MLX converts them and {} are not, so the "
                       "convention of the norms is unknown",
                       moved, kept),
           "convert the model again"});
    } else {
      out_.problems.push_back(
          {Severity::kNote, "", "converted by MLX: norms are stored as 1 + w", ""});
    }
    return {true, false};
  }

  void claim(const StoredTensor* stored, std::string role, std::optional<Format> format) {
    BoundTensor& tensor = out_.tensors[place_.at(stored)];
    tensor.role = std::move(role);
    tensor.format = format;
    claimed_.insert(stored);
  }

  void bind_weights(const std::vector<ExpectedWeight>& expected) {
    for (const ExpectedWeight& weight : expected) {
      const auto module = modules_.find(weight.module);
      static const ModuleTensors kNone;
      const ModuleTensors& tensors = module == modules_.end() ? kNone : module->second;
      if (weight.optional && tensors.empty()) continue;
      take(weight, weight.kind == ExpectedWeight::Kind::kVector ? vector(weight, tensors)
                                                                : matrix(weight, tensors));
    }
  }

  ModuleReading vector(const ExpectedWeight& weight, const ModuleTensors& tensors) {
    const auto it = tensors.find(weight.leaf);
    if (it != tensors.end()) return read_vector(weight, *it->second);
    ModuleReading missing;
    missing.problems.push_back({Severity::kError, "",
                                fmt::format("{}: {}.{} is missing ({})", gguf_ ? "GG-16" : "Q-13",
                                            weight.module, weight.leaf, weight.role),
                                "get the file again, or ask its maker"});
    return missing;
  }

  ModuleReading matrix(const ExpectedWeight& weight, const ModuleTensors& tensors) {
    if (gguf_) return read_gguf_module(weight, tensors);
    const ModuleName name(weight.module,
                          weight.kind == ExpectedWeight::Kind::kTable ? "Embedding" : "Linear");
    std::vector<Problem> problems;
    const std::vector<ModuleScheme> announced = quantization_.announced(name, problems);
    report(weight.part, std::move(problems));
    return read_safetensors_module(weight, tensors, announced);
  }

  void take(const ExpectedWeight& weight, ModuleReading reading) {
    report(weight.part, std::move(reading.problems));
    BoundWeight bound;
    for (const UsedTensor& used : reading.used) {
      const bool codes = used.purpose.empty();
      claim(used.stored, codes ? weight.role : fmt::format("{} {}", weight.role, used.purpose),
            codes && reading.matrix ? std::optional(reading.matrix->format) : std::nullopt);
      bound.stored.push_back(used.stored);
    }
    if (!reading.matrix) {
      failed_modules_.insert(weight.module);
      return;
    }
    bound.role = weight.role;
    bound.name = reading.used.front().stored->name;
    bound.part = weight.part;
    bound.matrix = *reading.matrix;
    bound.vector = weight.kind == ExpectedWeight::Kind::kVector;
    bound.transform = weight.transform;
    out_.weights.push_back(std::move(bound));
  }

  // A head that is stored although the embedding doubles as the head must be the embedding.
  void bind_tied_head() {
    const auto head = modules_.find("lm_head");
    if (!out_.config.tied || head == modules_.end()) return;
    const BoundWeight* embedding = out_.find("embedding");
    for (const auto& [leaf, stored] : head->second) {
      const bool copy = leaf == "weight" && embedding != nullptr &&
                        stored->dtype == embedding->stored.front()->dtype &&
                        stored->shape == embedding->stored.front()->shape &&
                        std::equal(stored->bytes.begin(), stored->bytes.end(),
                                   embedding->stored.front()->bytes.begin(),
                                   embedding->stored.front()->bytes.end());
      claim(stored, "unused", std::nullopt);
      if (copy) {
        report(Part::kText, {Severity::kNote, stored->name,
                             "is a copy of the embedding, which doubles as the head", ""});
      } else {
        report(Part::kText,
               {Severity::kError, stored->name,
                "tie_word_embeddings is true, but a head is stored that differs from the embedding",
                "correct tie_word_embeddings in config.json"});
      }
    }
  }

  // ---------------------------------------------- KV scales

  // The places in which tools put the scales of one attention layer (formats-safetensors.md 3.12).
  void bind_kv_scales() {
    std::vector<std::pair<std::string, Part>> layers;
    for (int64_t i = 0; i < out_.config.layers; ++i) {
      if (out_.config.layer_types[static_cast<size_t>(i)] == LayerType::kFullAttention)
        layers.emplace_back(fmt::format("layers.{}.", i), Part::kText);
    }
    if (out_.mtp_present) layers.emplace_back("mtp.layers.0.", Part::kMtp);
    std::vector<float> keys(layers.size(), 1.0f), values(layers.size(), 1.0f);
    bool any = false;
    for (size_t i = 0; i < layers.size(); ++i) {
      const auto& [prefix, part] = layers[i];
      const std::string attention = prefix + "self_attn";
      using Place = std::pair<std::string, const char*>;
      const Place key_places[] = {
          {attention + ".k_proj", "k_scale"},      {attention, "k_scale"},
          {attention + ".attn", "k_scale"},        {prefix + "attn", "k_scale"},
          {attention + ".k_proj", "output_scale"}, {attention, "kv_scale"}};
      const Place value_places[] = {
          {attention + ".v_proj", "v_scale"},      {attention, "v_scale"},
          {attention + ".attn", "v_scale"},        {prefix + "attn", "v_scale"},
          {attention + ".v_proj", "output_scale"}, {attention, "kv_scale"}};
      any |= kv_scale(part, prefix + "attention.keys scale", key_places, keys[i]);
      any |= kv_scale(part, prefix + "attention.values scale", value_places, values[i]);
    }
    if (!any) return;
    out_.key_scales = std::move(keys);
    out_.value_scales = std::move(values);
  }

  template <typename Places>
  bool kv_scale(Part part, const std::string& role, const Places& places, float& out) {
    const StoredTensor* found = nullptr;
    for (const auto& [module, leaf] : places) {
      const auto tensors = modules_.find(module);
      if (tensors == modules_.end()) continue;
      const auto it = tensors->second.find(leaf);
      if (it == tensors->second.end()) continue;
      claim(it->second, role, std::nullopt);
      if (found != nullptr) {
        report(part, {Severity::kError, it->second->name,
                      fmt::format("Q-3: means the same scale as {}", found->name),
                      "keep one of the two"});
        continue;
      }
      found = it->second;
      if (Result<float> value = read_scale(*found); value.ok()) {
        out = *value;
      } else if (found->elements() == out_.config.kv_heads && found->elements() > 1) {
        report(part,
               {Severity::kWarning, found->name,
                "KV scales per head are not supported: an FP8 cache uses 1.0 for this layer", ""});
      } else {
        report(part, {Severity::kError, found->name, value.error().why,
                      "get the file again, or ask its maker"});
      }
    }
    return found != nullptr;
  }

  // ---------------------------------------------- the rest

  void report_leftovers() {
    for (BoundTensor& tensor : out_.tensors) {
      const StoredTensor* stored = tensor.stored;
      if (claimed_.contains(stored)) continue;
      const std::string canonical = gguf_ ? canonical_gguf_name(stored->name, out_.config.layers)
                                          : canonical_name(stored->name);
      const NameParts name = split_name(canonical);
      if (tensor.part == Part::kVision) {
        tensor.role = "vision";
        continue;
      }
      tensor.role = "unused";
      if (name.leaf == "inv_freq") {  // old exports saved the rotary table, which is computed
        out_.problems.push_back(
            {Severity::kNote, stored->name, "is a saved rotary table; it is computed instead", ""});
        continue;
      }
      // What belongs to a module whose failure is reported already would only repeat it.
      if (failed_modules_.contains(name.module)) continue;
      report(tensor.part, leftover(*stored, name));
    }
  }

  Problem leftover(const StoredTensor& stored, const NameParts& name) const {
    const std::string remedy =
        "use a build whose tensors are all known, or ask its maker what this one does";
    if (name.leaf == "bias")
      return {Severity::kError, stored.name, "no linear layer of this family has a bias", remedy};
    static constexpr std::string_view kScaleLeaves[] = {"weight_scale",      "weight_scale_inv",
                                                        "weight_scale_2",    "weight_global_scale",
                                                        "weight_zero_point", "weight_shape",
                                                        "input_scale",       "input_global_scale",
                                                        "activation_scale",  "scale",
                                                        "k_scale",           "v_scale",
                                                        "kv_scale",          "output_scale"};
    if (std::find(std::begin(kScaleLeaves), std::end(kScaleLeaves), name.leaf) !=
        std::end(kScaleLeaves)) {
      return {Severity::kError, stored.name,
              fmt::format("Q-2: {} has no quantized weight that this belongs to", name.module),
              remedy};
    }
    return {Severity::kError, stored.name,
            fmt::format("{}: is no tensor of this model", gguf_ ? "GG-16" : "Q-2"), remedy};
  }

  void conclude() {
    const int64_t announced = out_.config.mtp_layers;
    if (out_.mtp_present && announced > 1) {
      report(Part::kMtp, {Severity::kError, "",
                          fmt::format("{} draft layers are not supported, 1 is", announced), ""});
    }
    if (!out_.mtp_present && announced > 0) {
      out_.problems.push_back({Severity::kNote, "",
                               "the config announces a draft head, but the file has none",
                               "graft one to draft with it"});
    }
    out_.runnable = !text_damaged_;
    out_.mtp_usable = out_.mtp_present && !mtp_damaged_;
  }

  const Checkpoint& checkpoint_;
  const bool gguf_;
  Binding out_;
  QuantizationConfig quantization_;
  std::map<std::string, ModuleTensors, std::less<>> modules_;  // by canonical module
  std::unordered_map<const StoredTensor*, size_t> place_;      // in out_.tensors
  std::set<const StoredTensor*> claimed_;
  std::set<std::string, std::less<>> failed_modules_;
  bool text_damaged_ = false, mtp_damaged_ = false;
};

}  // namespace

const BoundWeight* Binding::find(std::string_view role) const {
  const auto it = std::find_if(weights.begin(), weights.end(),
                               [&](const BoundWeight& weight) { return weight.role == role; });
  return it == weights.end() ? nullptr : &*it;
}

Result<Binding> bind(const Checkpoint& checkpoint) {
  SLUICE_ASSIGN(TextConfig config, read_config(checkpoint));
  return Binder(checkpoint, std::move(config)).bind();
}

Status require_runnable(const Binding& binding, const std::string& model) {
  if (binding.runnable) return {};
  const Problem* first = nullptr;
  size_t errors = 0;
  for (const Problem& problem : binding.problems) {
    if (problem.severity != Severity::kError) continue;
    if (first == nullptr) first = &problem;
    ++errors;
  }
  std::string why = first == nullptr        ? "cannot run"
                    : first->tensor.empty() ? first->message
                                            : first->tensor + ": " + first->message;
  if (errors > 1) why += fmt::format(" (and {} more; `sluice inspect` lists them)", errors - 1);
  return bad_input(model, std::move(why), first == nullptr ? "" : first->remedy);
}

}  // namespace sluice::model
