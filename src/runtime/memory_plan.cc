#include "runtime/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/memory.h"
#include "runtime/cache/prefix_cache.h"

namespace sluice::runtime {

namespace {
// More logit rows than this are made in several products: each is V floats (1 MB at V = 248,320).
constexpr int64_t kMostLogitRows = 64;
}  // namespace

int64_t EngineShape::pages_per_sequence() const { return (context + ops::kGrid - 1) / ops::kGrid; }

int64_t EngineShape::max_rows() const {
  const int64_t prompt = std::min(prompt_rows, pages_per_sequence() * ops::kGrid * sequences);
  return prompt + sequences * (draft_depth + 1);
}

int64_t EngineShape::max_logit_rows() const {
  return std::min(sequences * (draft_depth + 1), kMostLogitRows);
}

uint64_t CacheShape::pages_per_state(StateForm form) {
  return form == StateForm::kF32     ? kPagesPerState
         : form == StateForm::kInt16 ? kPagesPerState / 2
                                     : kPagesPerState / 4;
}

uint64_t CacheShape::least_bytes(const model::TextConfig& config, size_t page_bytes, bool with_mtp,
                                 StateForm form) {
  return StateStore::bytes(config, with_mtp, form) + page_bytes;
}

CacheShape CacheShape::of(uint64_t bytes, const model::TextConfig& config, size_t page_bytes,
                          bool with_mtp, StateForm form) {
  // Looking for the least valuable one goes through all of them.
  constexpr uint64_t kMostStates = 4096;
  const uint64_t state = StateStore::bytes(config, with_mtp, form);
  if (bytes < state + page_bytes) return {};
  const uint64_t states =
      std::clamp<uint64_t>(bytes / (state + pages_per_state(form) * page_bytes), 1, kMostStates);
  return {static_cast<int64_t>(states),
          static_cast<int64_t>((bytes - states * state) / page_bytes)};
}

MemoryPlan plan_memory(const model::Binding& binding, const ops::Backend& backend,
                       const EngineShape& shape, uint64_t resident_bytes) {
  const bool with_mtp = shape.draft_depth > 0 && binding.mtp_usable;
  const model::TextConfig& config = binding.config;
  const auto weights = model::TextModel::weight_bytes(binding, backend, with_mtp);
  const int64_t pages = shape.pages_per_sequence() * shape.sequences;
  const ops::KvSpec all = model::TextModel::kv_spec(binding, with_mtp, pages, shape.kv);
  const ops::KvSpec text = model::TextModel::kv_spec(binding, false, pages, shape.kv);
  const ops::RecurrentSpec recurrent =
      model::TextModel::recurrent_spec(config, shape.sequences, shape.draft_depth + 1);

  MemoryPlan plan;
  plan.weights = weights.text;
  plan.kv = PageBlock::footprint(text.bytes_per_page() * static_cast<size_t>(pages));
  plan.draft = weights.mtp +
               (PageBlock::footprint(all.bytes_per_page() * static_cast<size_t>(pages)) - plan.kv);
  plan.recurrent = static_cast<uint64_t>(shape.sequences) *
                   (recurrent.state_bytes() + recurrent.pending_bytes());
  const auto widest = std::max({config.intermediate, config.hidden * (with_mtp ? 2 : 1),
                                config.query_heads * config.head_dim,
                                config.gdn_value_heads * config.gdn_value_dim});
  plan.workspace = model::Workspace::bytes(config, shape.max_rows(), shape.max_logit_rows()) +
                   backend.scratch_bytes(shape.max_rows(), widest) + resident_bytes;
  if (with_mtp)
    plan.workspace += static_cast<uint64_t>(shape.max_rows() * config.hidden) * sizeof(float);
  const size_t page_bytes = all.bytes_per_page();
  const StateForm form = shape.saved_states;
  const CacheShape cache = CacheShape::of(shape.prefix_cache, config, page_bytes, with_mtp, form);
  plan.saved_states = cache.checkpoints;
  if (cache.checkpoints > 0) {
    const auto footprint = [&](int64_t count) {
      return PageBlock::footprint(page_bytes * static_cast<size_t>(count));
    };
    plan.prefix_cache =
        StateStore::memory(config, shape.sequences, cache.checkpoints, with_mtp, form) +
        footprint(pages + cache.pages) - footprint(pages) +
        PrefixTree::memory(pages + cache.pages, cache.checkpoints);
    if (shape.disk.on()) {
      plan.prefix_cache += DiskTier::memory(
          PrefixCache::file_form(config, page_bytes, with_mtp, form), shape.disk.bytes);
    }
  }
  plan.available = available_memory();
  if (shape.most_memory > 0) plan.available = std::min(plan.available, shape.most_memory);
  return plan;
}

EngineShape nearest_shape(const model::Binding& binding, const ops::Backend& backend,
                          const EngineShape& asked, uint64_t resident_bytes) {
  const auto plan_of = [&](const EngineShape& shape) {
    return plan_memory(binding, backend, shape, resident_bytes);
  };
  // The plan grows with everything that is looked for: what fits is found by bisection.
  const auto most = [&](int64_t limit, const auto& with) {
    int64_t low = 0, high = limit;
    while (low < high) {
      const int64_t middle = low + (high - low + 1) / 2;
      if (plan_of(with(middle)).fits()) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  };
  EngineShape shape = asked;
  if (asked.prefix_cache > 0) {
    constexpr uint64_t kStep = uint64_t{1} << 20;
    const auto with_cache = [&](int64_t steps) {
      EngineShape tried = asked;
      tried.prefix_cache = static_cast<uint64_t>(steps) * kStep;
      return tried;
    };
    shape = with_cache(most(static_cast<int64_t>(asked.prefix_cache / kStep), with_cache));
    if (plan_of(shape).saved_states == 0) shape.prefix_cache = 0;  // too little for one state
    if (plan_of(shape).fits()) return shape;
  }
  // The most sequences with a page each, then the most pages of these.
  shape.context = std::min<int64_t>(ops::kGrid, asked.context);
  shape.sequences = most(asked.sequences, [&](int64_t sequences) {
    EngineShape tried = shape;
    tried.sequences = sequences;
    return tried;
  });
  if (shape.sequences == 0) {
    shape.context = 0;
    return shape;
  }
  const int64_t pages = most(asked.pages_per_sequence(), [&](int64_t count) {
    EngineShape tried = shape;
    tried.context = count * ops::kGrid;
    return tried;
  });
  shape.context = std::min(pages * ops::kGrid, asked.context);
  return shape;
}

std::string format_bytes(uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= 1000000000) return fmt::format("{:.2f} GB", value * 1e-9);
  if (bytes >= 1000000) return fmt::format("{:.1f} MB", value * 1e-6);
  return fmt::format("{} bytes", bytes);
}

Error does_not_fit(const std::string& model, const MemoryPlan& plan, const EngineShape& asked,
                   const EngineShape& nearest) {
  std::string why = fmt::format(
      "needs {} (weights {}, keys and values {}, recurrent state {}, draft head {}, workspace {}, "
      "prefix cache {}) for "
      "a context of {} tokens and {} sequence{}, and {} are available",
      format_bytes(plan.total()), format_bytes(plan.weights), format_bytes(plan.kv),
      format_bytes(plan.recurrent), format_bytes(plan.draft), format_bytes(plan.workspace),
      format_bytes(plan.prefix_cache), asked.context, asked.sequences,
      asked.sequences == 1 ? "" : "s", format_bytes(plan.available));
  std::string remedy = nearest.context > 0
                           ? fmt::format("The nearest that fits is --context {} --sequences {}",
                                         nearest.context, nearest.sequences) +
                                 (nearest.prefix_cache < asked.prefix_cache
                                      ? fmt::format(" --prefix-cache {}", nearest.prefix_cache)
                                      : std::string())
                           : std::string("No context fits: free memory or choose a smaller build");
  return {ErrorCode::kDoesNotFit, model, std::move(why), std::move(remedy)};
}

}  // namespace sluice::runtime
