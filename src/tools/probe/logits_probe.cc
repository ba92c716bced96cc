#include "tools/probe/logits_probe.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "base/check.h"
#include "model/mtp/mtp_head.h"

namespace sluice::tools {
namespace {

// Collects rows under their names; pieces of a prompt follow each other.
class Recorder : public model::TraceSink {
 public:
  Recorder(ops::Backend& backend, const model::TextConfig& config, bool keep_all)
      : backend_(backend), config_(config), keep_all_(keep_all) {}

  void record(const std::string& name, const ops::View& value) override {
    if (keep_all_) append(name, value);
  }

  void append(const std::string& name, const ops::View& value) {
    const std::vector<float> rows = backend_.download(value);
    const auto [entry, is_new] = index_.try_emplace(name, tensors.size());
    if (is_new) tensors.push_back({name, shape_of_row(name, value.columns), {}});
    NamedTensor& tensor = tensors[entry->second];
    tensor.shape.front() += value.rows;
    tensor.values.insert(tensor.values.end(), rows.begin(), rows.end());
  }

  void add(std::string name, std::vector<int64_t> shape, std::vector<float> values) {
    tensors.push_back({std::move(name), std::move(shape), std::move(values)});
  }

  std::vector<NamedTensor> tensors;

 private:
  // [0, ...]: per-head values are stored with their heads, as in the goldens.
  std::vector<int64_t> shape_of_row(std::string_view name, int64_t columns) const {
    const auto heads = [&](int64_t dimension) {
      return std::vector<int64_t>{0, columns / dimension, dimension};
    };
    if (name.ends_with(".q_l2") || name.ends_with(".k_l2")) return heads(config_.gdn_key_dim);
    if (name.ends_with(".core_out") || name.ends_with(".core_normed"))
      return heads(config_.gdn_value_dim);
    if (name.ends_with("_normed") || name.ends_with("_roped")) return heads(config_.head_dim);
    return {0, columns};
  }

  ops::Backend& backend_;
  const model::TextConfig& config_;
  const bool keep_all_;
  std::unordered_map<std::string, size_t> index_;
};

struct State {
  std::unique_ptr<ops::KvCache> cache;
  std::unique_ptr<ops::RecurrentState> recurrent;
  std::unique_ptr<model::Workspace> workspace;
  std::vector<int32_t> pages;
};

Result<State> make_state(const model::TextModel& model, const ProbeOptions& options, int64_t rows) {
  State state;
  ops::Backend& backend = model.backend();
  const auto length = static_cast<int64_t>(options.ids.size());
  const int64_t pages = (length + ops::kGrid - 1) / ops::kGrid;
  for (int64_t page = 0; page < pages; ++page) state.pages.push_back(static_cast<int32_t>(page));
  SLUICE_ASSIGN(state.cache, backend.create_kv_cache(model.kv_spec(pages, options.kv)));
  SLUICE_ASSIGN(state.recurrent, backend.create_recurrent_state(model.recurrent_spec(1, 1)));
  backend.reset_slot(*state.recurrent, 0);
  constexpr int64_t kLogitRows = 16;
  SLUICE_ASSIGN(state.workspace,
                model::Workspace::create(model.config(), backend, rows, kLogitRows));
  return state;
}

// Tokens [begin, end) as one segment. For the draft head every index is one higher than its rotary
// position.
ops::Batch make_batch(const State& state, const ProbeOptions& options, int64_t begin, int64_t end,
                      bool answer, int64_t shift) {
  const auto tokens =
      std::span(options.ids)
          .subspan(static_cast<size_t>(begin + shift), static_cast<size_t>(end - begin));
  ops::Batch batch =
      ops::one_sequence(tokens, begin + shift, options.first_position + begin, state.pages,
                        answer ? ops::Role::kAnswer : ops::Role::kPrompt);
  batch.segments[0].commit = answer && begin > 0 && shift == 0 ? 1 : 0;
  return batch;
}

// Logits of rows of `hidden`, in pieces of what the workspace holds.
void append_logits(const model::TextModel& model, const ops::View& hidden,
                   std::span<const int32_t> rows, model::Workspace& workspace,
                   std::vector<float>& out) {
  const auto most = static_cast<size_t>(workspace.max_logit_rows());
  for (size_t begin = 0; begin < rows.size(); begin += most) {
    const auto part = rows.subspan(begin, std::min(most, rows.size() - begin));
    const std::vector<float> values =
        model.backend().download(model.logits(hidden, part, workspace));
    out.insert(out.end(), values.begin(), values.end());
  }
}

void record_states(const model::TextModel& model, State& state, int64_t length, bool pending,
                   Recorder& recorder) {
  ops::Backend& backend = model.backend();
  backend.flush_slot(*state.recurrent, 0, pending ? 1 : 0);
  const ops::RecurrentImage image = backend.export_slot(*state.recurrent, 0);
  const ops::RecurrentSpec& spec = state.recurrent->spec();
  const int64_t matrix = spec.value_heads * spec.key_dim * spec.value_dim;
  const int64_t columns = spec.conv_channels() * (spec.conv_kernel - 1);
  auto at = image.begin();
  int64_t attention = 0;
  const model::TextConfig& config = model.config();
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = "state.layers." + std::to_string(layer) + ".";
    if (config.layer_types[static_cast<size_t>(layer)] == model::LayerType::kLinearAttention) {
      recorder.add(prefix + "S", {spec.value_heads, spec.key_dim, spec.value_dim},
                   {at, at + matrix});
      at += matrix;
      recorder.add(prefix + "conv", {spec.conv_channels(), spec.conv_kernel - 1},
                   {at, at + columns});
      at += columns;
    } else {
      const std::vector<int64_t> shape = {length, config.kv_heads, config.head_dim};
      recorder.add(prefix + "k", shape,
                   backend.export_keys(*state.cache, attention, state.pages, length));
      recorder.add(prefix + "v", shape,
                   backend.export_values(*state.cache, attention, state.pages, length));
      ++attention;
    }
  }
}

}  // namespace

Result<ProbeResult> run_probe(const model::TextModel& model, const ProbeOptions& options) {
  const auto length = static_cast<int64_t>(options.ids.size());
  SLUICE_CHECK(length > 0 && options.chunk >= 0, "{} ids, chunk {}", length, options.chunk);
  SLUICE_CHECK(!options.mtp || model.mtp() != nullptr, "no draft head is loaded");
  const bool answer = options.chunk == 1;
  const int64_t piece = options.chunk == 0 ? kProbeRows : options.chunk;
  SLUICE_ASSIGN(State state, make_state(model, options, std::min(piece, length)));
  Recorder recorder(model.backend(), model.config(), options.trace);
  model::TraceSink* const trace = options.trace ? &recorder : nullptr;

  ProbeResult result;
  std::vector<float> mtp_logits;
  auto wanted = options.positions.begin();
  for (int64_t begin = 0; begin < length; begin += piece) {
    const int64_t end = std::min(begin + piece, length);
    const ops::Batch batch = make_batch(state, options, begin, end, answer, 0);
    const ops::View hidden =
        model.forward(batch, *state.cache, *state.recurrent, *state.workspace, trace);
    std::vector<int32_t> rows;
    for (; wanted != options.positions.end() && *wanted < end; ++wanted)
      rows.push_back(static_cast<int32_t>(*wanted - begin));
    append_logits(model, hidden, rows, *state.workspace, result.logits);
    if (options.hidden) recorder.append("hidden", hidden);
    const int64_t last_slot = std::min(end, length - 1);  // the last token has no successor to feed
    if (!options.mtp || last_slot <= begin) continue;
    const ops::Batch head = make_batch(state, options, begin, last_slot, answer, 1);
    const ops::View m = model.mtp()->forward(head, hidden.first_rows(last_slot - begin),
                                             *state.cache, *state.workspace, trace);
    std::vector<int32_t> all(static_cast<size_t>(last_slot - begin));
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int32_t>(i);
    append_logits(model, m, all, *state.workspace, mtp_logits);
  }
  if (options.trace) record_states(model, state, length, answer, recorder);
  if (options.mtp)
    recorder.add("mtp_logits", {length - 1, model.config().vocabulary}, std::move(mtp_logits));
  result.tensors = std::move(recorder.tensors);
  return result;
}

}  // namespace sluice::tools
