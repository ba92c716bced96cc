#include "tools/quantize/automatic.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "model/tensor_names.h"
#include "tools/quantize/allocation.h"
#include "tools/quantize/importance.h"
#include "tools/quantize/trial.h"

namespace sluice::quantize {

using convert::RowReader;
using convert::Source;
using convert::SourceWeight;

namespace {

// More probes than this are a long wait with a large model; parts then share a probe.
constexpr size_t kMostProbes = 24;
constexpr uint64_t kGgufAlignment = 32;

// ---------------------------------------------- families

std::vector<DType> family_of(const Mixture& mixture) {
  using enum DType;
  static const std::vector<std::vector<DType>> kFamilies = {{kQ3_K, kQ4_K, kQ5_K, kQ6_K, kQ8_0},
                                                            {kIQ4_XS, kQ5_K, kQ6_K, kQ8_0},
                                                            {kIQ4_NL, kQ5_K, kQ6_K, kQ8_0},
                                                            {kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0}};
  for (const auto& family : kFamilies) {
    const auto base = std::find(family.begin(), family.end(), mixture.base);
    if (base != family.end()) return {base, family.end()};
  }
  return {};
}

// FP8 beside NVFP4 needs a layout with a scheme for each group of modules.
std::vector<Format> family_of(const SafetensorsRequest& request) {
  const Format base = request.recipe->mlp;
  if (base == Format::kBF16) return {};
  if (block_columns(base) > 0 && request.layout == Layout::kCompressedTensors)
    return {base, Format::kFp8Channel, Format::kBF16};
  return {base, Format::kBF16};
}

// Heads are published in BF16 or FP8 per channel, never smaller.
Format head_format(Format format, const std::vector<Format>& family) {
  if (block_columns(format) == 0) return format;
  return family.size() > 2 ? Format::kFp8Channel : Format::kBF16;
}

// ---------------------------------------------- what a plan gives each weight

struct PlannedWeight {
  TrialFormat format = Format::kBF16;
  uint64_t bytes = 0;
};
struct WholePlan {
  std::map<const SourceWeight*, PlannedWeight> weights;
  uint64_t file_bytes = 0;
};

uint64_t bytes_of(const checkpoint::TensorSpec& spec) {
  uint64_t elements = 1;
  for (const int64_t extent : spec.shape) elements *= static_cast<uint64_t>(extent);
  return dtype_bytes(spec.dtype, elements).value_or(0);
}

Result<WholePlan> whole_plan(const Source& source, const GgufRequest& request) {
  SLUICE_ASSIGN(const GgufPlan plan, plan_gguf(source, request));
  WholePlan out;
  std::vector<checkpoint::TensorSpec> specs;
  for (const GgufTensor& tensor : plan.tensors) {
    const uint64_t bytes = bytes_of(tensor.spec);
    out.weights[tensor.weight] = {tensor.spec.dtype,
                                  (bytes + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment};
    specs.push_back(tensor.spec);
  }
  SLUICE_ASSIGN(out.file_bytes, checkpoint::GgufWriter::total_bytes({}, plan.metadata, specs));
  return out;
}

Result<WholePlan> whole_plan(const Source& source, const SafetensorsRequest& request) {
  SLUICE_ASSIGN(const SafetensorsPlan plan, plan_safetensors(source, request));
  WholePlan out;
  std::vector<checkpoint::TensorSpec> specs;
  for (const PlannedTensor& tensor : plan.tensors) {
    specs.push_back(tensor.spec);
    if (tensor.weight == nullptr) continue;
    PlannedWeight& weight = out.weights[tensor.weight];
    weight.bytes += bytes_of(tensor.spec);
    if (tensor.kind == PlaneKind::kCodes) weight.format = tensor.format;
  }
  SLUICE_ASSIGN(out.file_bytes, checkpoint::SafetensorsWriter::total_bytes(specs));
  return out;
}

// ---------------------------------------------- the choice

struct Part {
  std::string name, kind;
  std::vector<const SourceWeight*> weights;
  std::vector<TrialSettings> settings;  // of each weight
  std::vector<double> errors;           // of each option
  AllocationItem options;
};

class Chooser {
 public:
  Chooser(const Source& source, BuildRequest& request, ThreadPool& pool)
      : source_(source), request_(request), pool_(pool) {
    if (const auto* gguf = std::get_if<GgufRequest>(&request.how)) {
      for (const DType type : family_of(*gguf->mixture)) family_.emplace_back(type);
    } else {
      safetensors_ = family_of(std::get<SafetensorsRequest>(request.how));
      for (const Format format : safetensors_) family_.emplace_back(format);
    }
  }

  Result<AutomaticReport> choose(const AutomaticLimit& limit, const Probing& probing) {
    if (family_.size() < 2) {
      return usage_error("--to", fmt::format("{} leaves nothing to choose", request_.target),
                         "Take a smaller format as the start, like q4_k_m or nvfp4");
    }
    SLUICE_TRY(find_parts());
    if (limit.bytes) SLUICE_TRY(check_least(*limit.bytes));
    SLUICE_TRY(measure_errors());
    SLUICE_TRY(run_probes(probing));
    SLUICE_ASSIGN(const Allocation best,
                  limit.bytes ? under_bytes(*limit.bytes) : under_divergence(*limit.divergence));
    return report(limit, best);
  }

 private:
  // The request with part i in option chosen[i].
  BuildRequest with(const std::vector<size_t>& chosen) const {
    BuildRequest out = request_;
    for (size_t i = 0; i < parts_.size(); ++i) {
      for (const SourceWeight* weight : parts_[i].weights) set(out, *weight, chosen[i]);
    }
    return out;
  }

  void set(BuildRequest& request, const SourceWeight& weight, size_t option) const {
    if (auto* gguf = std::get_if<GgufRequest>(&request.how)) {
      gguf->chosen[weight.canonical] = std::get<DType>(family_[option]);
      return;
    }
    const std::string module = model::split_name(weight.canonical).module;
    const Format format = safetensors_[option];
    std::get<SafetensorsRequest>(request.how).chosen[module] =
        module == "lm_head" ? head_format(format, safetensors_) : format;
  }

  Result<WholePlan> plan_of(const BuildRequest& request) const {
    return std::visit([&](const auto& how) { return whole_plan(source_, how); }, request.how);
  }

  // Whether the recipe says anything of this weight: a mixture of every matrix, a recipe of the
  // projections and the head.
  bool may_choose(const SourceWeight& weight) const {
    if (weight.draft() || weight.bound->vector) return false;
    if (safetensors_.empty()) return true;
    const std::string module = model::split_name(weight.canonical).module;
    const auto& how = std::get<SafetensorsRequest>(request_.how);
    const bool head = module == "lm_head" && how.layout == Layout::kCompressedTensors;
    return head || module_format(*how.recipe, module, false) != Format::kBF16;
  }

  Status find_parts() {
    std::vector<WholePlan> plans;
    for (size_t option = 0; option < family_.size(); ++option) {
      BuildRequest request = request_;
      for (const SourceWeight& weight : source_.weights) {
        if (may_choose(weight)) set(request, weight, option);
      }
      SLUICE_ASSIGN(WholePlan plan, plan_of(request));
      plans.push_back(std::move(plan));
    }
    std::map<std::string, size_t> place;  // of a part, by the first module it may have
    for (const SourceWeight& weight : source_.weights) {
      if (!may_choose(weight)) continue;
      const bool differs = std::any_of(plans.begin(), plans.end(), [&](const WholePlan& plan) {
        return plan.weights.at(&weight).format != plans[0].weights.at(&weight).format;
      });
      if (!differs) continue;
      const std::string module = model::split_name(weight.canonical).module;
      const auto [found, fresh] = place.try_emplace(fused_with(module).front(), parts_.size());
      if (fresh) parts_.emplace_back();
      add(weight, module, plans, parts_[found->second]);
    }
    if (parts_.empty())
      return usage_error("--to", fmt::format("{} leaves nothing to choose", request_.target));
    return {};
  }

  void add(const SourceWeight& weight, const std::string& module,
           const std::vector<WholePlan>& plans, Part& part) {
    const std::string leaf = module.substr(module.rfind('.') + 1);
    part.name += part.weights.empty() ? module : "+" + leaf;
    part.kind += part.weights.empty() ? leaf : "+" + leaf;
    if (part.weights.empty() && module.find("linear_attn") != std::string::npos)
      part.kind = "linear_attn." + part.kind;
    part.weights.push_back(&weight);
    part.options.resize(plans.size());
    for (size_t option = 0; option < plans.size(); ++option)
      part.options[option].bytes += plans[option].weights.at(&weight).bytes;
    formats_[&weight].clear();
    for (const WholePlan& plan : plans)
      formats_[&weight].push_back(plan.weights.at(&weight).format);
  }

  std::vector<AllocationItem> items() const {
    std::vector<AllocationItem> out;
    for (const Part& part : parts_) out.push_back(part.options);
    return out;
  }

  Status check_least(uint64_t most) const {
    const auto least = allocate_bytes(items(), least_bytes(items()));
    SLUICE_ASSIGN(const WholePlan plan, plan_of(with(least->chosen)));
    if (plan.file_bytes <= most) return {};
    return usage_error(
        "--auto",
        fmt::format("{} bytes, the smallest possible with --to {} is {} bytes ({:.2f} MB)", most,
                    request_.target, plan.file_bytes, static_cast<double>(plan.file_bytes) / 1e6),
        "Ask for that, or take a smaller format as --to");
  }

  // ---------------------------------------------- errors and probes

  RowReader reader(const SourceWeight& weight) const {
    return {source_, weight,
            source_.gguf() ? convert::Convention::kGguf : convert::Convention::kPublished};
  }

  Result<TrialSettings> settings_of(const SourceWeight& weight) const {
    const auto* gguf = std::get_if<GgufRequest>(&request_.how);
    const auto* other = std::get_if<SafetensorsRequest>(&request_.how);
    const auto* matrix = gguf != nullptr ? gguf->importance : other->importance;
    const std::string& file = gguf != nullptr ? gguf->importance_file : other->importance_file;
    const model::TextConfig& config = source_.binding.config;
    TrialSettings settings;
    SLUICE_ASSIGN(const auto values, importance_of(matrix, file, weight, config));
    settings.importance = source_.gguf() ? std::vector<float>(values.begin(), values.end())
                                         : in_published_order(values, weight, config);
    if (other != nullptr) settings.search = other->search;
    return settings;
  }

  Status measure_errors() {
    const bool nvfp4 = !safetensors_.empty() && block_columns(safetensors_.front()) > 0;
    for (Part& part : parts_) {
      float largest = 0;
      for (const SourceWeight* weight : part.weights) {
        SLUICE_ASSIGN(TrialSettings settings, settings_of(*weight));
        part.settings.push_back(std::move(settings));
        if (!nvfp4) continue;
        SLUICE_ASSIGN(const float own, largest_magnitude(reader(*weight), pool_));
        largest = std::max(largest, own);
      }
      if (nvfp4) {
        const bool w4a8 = safetensors_.front() == Format::kW4A8Nvfp4;
        for (TrialSettings& settings : part.settings)
          settings.divisor = power_of_two_divisor(largest, w4a8);
      }
    }
    return sample_errors();
  }

  // Each weight in each format, on all cores.
  Status sample_errors() {
    struct Sample {
      Part* part;
      size_t weight, option;
      Result<double> error = 0.0;
    };
    std::vector<Sample> samples;
    for (Part& part : parts_) {
      part.errors.assign(part.options.size(), 0);
      for (size_t weight = 0; weight < part.weights.size(); ++weight) {
        for (size_t option = 0; option < part.options.size(); ++option)
          samples.push_back({&part, weight, option});
      }
    }
    std::atomic<size_t> next{0};
    pool_.run([&](int, int) {
      for (size_t i = next++; i < samples.size(); i = next++) {
        Sample& sample = samples[i];
        const SourceWeight& weight = *sample.part->weights[sample.weight];
        sample.error = trial_error(reader(weight), formats_.at(&weight)[sample.option],
                                   sample.part->settings[sample.weight]);
      }
    });
    for (Sample& sample : samples) {
      if (!sample.error.ok()) return std::move(sample.error).error();
      sample.part->errors[sample.option] += *sample.error;
    }
    return {};
  }

  // Parts that share a probe: each its own while there are few, else one kind in one stretch of
  // depth.
  std::vector<std::vector<Part*>> probes() {
    std::vector<std::vector<Part*>> out;
    if (parts_.size() <= kMostProbes) {
      for (Part& part : parts_) out.push_back({&part});
      return out;
    }
    std::map<std::string, std::vector<Part*>> kinds;
    for (Part& part : parts_) kinds[part.kind].push_back(&part);
    const size_t stretches = std::max<size_t>(1, kMostProbes / kinds.size());
    for (const auto& [kind, parts] : kinds) {
      const size_t count = std::min(stretches, parts.size());
      for (size_t i = 0; i < count; ++i) {
        out.emplace_back(
            parts.begin() + static_cast<std::ptrdiff_t>(parts.size() * i / count),
            parts.begin() + static_cast<std::ptrdiff_t>(parts.size() * (i + 1) / count));
      }
    }
    return out;
  }

  static Status plan_probes(const Probing& probing, const std::vector<std::vector<Part*>>& sets) {
    if (!probing.plan) return {};
    std::vector<ReplacedMatrices> replaced(sets.size());
    for (size_t i = 0; i < sets.size(); ++i) {
      for (const Part* part : sets[i]) {
        for (const SourceWeight* weight : part->weights) {
          const EncodedMatrix& own = weight->bound->matrix;
          replaced[i][weight->bound->role] = trial_shape(own.rows, own.columns);
        }
      }
    }
    return probing.plan(replaced);
  }

  // The divergence of a probe is shared out by error, and goes with the error from one format of a
  // part to the next.
  Status run_probes(const Probing& probing) {
    const auto sets = probes();
    SLUICE_TRY(plan_probes(probing, sets));
    for (size_t i = 0; i < sets.size(); ++i) {
      if (probing.progress && !probing.progress(i, sets.size()))
        return Error{ErrorCode::kInterrupted, "the probes", "interrupted", {}};
      std::vector<std::unique_ptr<TrialMatrix>> kept;
      ReplacedMatrices replaced;
      double error = 0;
      for (const Part* part : sets[i]) {
        error += part->errors.front();
        for (size_t k = 0; k < part->weights.size(); ++k) {
          const SourceWeight& weight = *part->weights[k];
          SLUICE_ASSIGN(auto matrix, trial_matrix(reader(weight), formats_.at(&weight).front(),
                                                  part->settings[k], pool_));
          replaced[weight.bound->role] = matrix->matrix;
          kept.push_back(std::move(matrix));
        }
      }
      SLUICE_ASSIGN(const double divergence, probing.measure(replaced));
      for (Part* part : sets[i]) {
        for (size_t option = 0; option < part->options.size(); ++option)
          part->options[option].loss =
              error > 0 ? std::max(0.0, divergence) * part->errors[option] / error : 0;
      }
    }
    probes_ = sets.size();
    return {};
  }

  // ---------------------------------------------- limits

  // Headers grow with the planes of a choice, so the budget of the parts is what the last choice
  // has left.
  Result<Allocation> under_bytes(uint64_t most) {
    constexpr int kMostRounds = 16;
    const auto all = items();
    const auto least = allocate_bytes(all, least_bytes(all));
    SLUICE_ASSIGN(const WholePlan smallest, plan_of(with(least->chosen)));
    uint64_t budget = most - smallest.file_bytes + least->bytes;
    for (int round = 0; round < kMostRounds; ++round) {
      const auto found = allocate_bytes(all, budget);
      if (!found) break;
      SLUICE_ASSIGN(const WholePlan plan, plan_of(with(found->chosen)));
      if (plan.file_bytes <= most) return *found;
      budget -= std::min(budget, plan.file_bytes - most);
    }
    return *least;
  }

  Result<Allocation> under_divergence(double most) {
    const auto all = items();
    const auto found = allocate_loss(all, most);
    if (found) return *found;
    return usage_error("--auto-kld",
                       fmt::format("{:.3g}, the least that --to {} can do is estimated at {:.3g}",
                                   most, request_.target, least_loss(all)),
                       "Ask for more, or take a larger format as --to");
  }

  Result<AutomaticReport> report(const AutomaticLimit& limit, const Allocation& best) {
    request_ = with(best.chosen);
    SLUICE_ASSIGN(const WholePlan plan, plan_of(request_));
    AutomaticReport out;
    out.most_bytes = limit.bytes;
    out.most_divergence = limit.divergence;
    out.probes = probes_;
    out.file_bytes = plan.file_bytes;
    out.divergence = best.loss;
    out.gap = best.gap;
    for (size_t i = 0; i < parts_.size(); ++i) {
      const Part& part = parts_[i];
      ChosenPart row;
      row.name = part.name;
      row.format = trial_name(plan.weights.at(part.weights.front()).format);
      for (const SourceWeight* weight : part.weights)
        row.parameters +=
            static_cast<uint64_t>(weight->bound->matrix.rows * weight->bound->matrix.columns);
      row.bytes = part.options[best.chosen[i]].bytes;
      row.loss = part.options[best.chosen[i]].loss;
      row.loss_small = part.options.front().loss;
      out.parts.push_back(std::move(row));
    }
    return out;
  }

  const Source& source_;
  BuildRequest& request_;
  ThreadPool& pool_;
  std::vector<TrialFormat> family_;
  std::vector<Format> safetensors_;  // the family, if it is one of those
  std::vector<Part> parts_;
  std::map<const SourceWeight*, std::vector<TrialFormat>> formats_;  // of each option
  size_t probes_ = 0;
};

}  // namespace

Result<AutomaticReport> choose_formats(const Source& source, BuildRequest& request,
                                       const AutomaticLimit& limit, const Probing& probing,
                                       ThreadPool& pool) {
  SLUICE_CHECK(limit.bytes.has_value() != limit.divergence.has_value(), "one limit, not both");
  return Chooser(source, request, pool).choose(limit, probing);
}

}  // namespace sluice::quantize
