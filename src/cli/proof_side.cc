#include "cli/proof_side.h"

namespace sluice::cli {
namespace {

constexpr const char* kMeasuredDrafts = "3";

}  // namespace

Result<std::unique_ptr<ProofSide>> ProofSide::open(const Console& console,
                                                   const std::filesystem::path& path,
                                                   const ProofOptions& options) {
  std::unique_ptr<ProofSide> side(new ProofSide(console));
  side->options_.model = path.string();
  side->options_.threads = options.threads;
  side->options_.context = options.context;
  side->options_.draft_depth = kMeasuredDrafts;
  SLUICE_ASSIGN(side->loaded_, prepare_model(console, side->options_));
  side->shape_.context = options.context;
  SLUICE_ASSIGN(side->shape_.kv, side->options_.kv_format(*side->loaded_->backend));
  SLUICE_ASSIGN(const int depth, side->options_.drafts());
  side->shape_.draft_depth = side->loaded_->binding.mtp_usable ? depth : 0;
  return side;
}

uint64_t ProofSide::needed() const {
  const auto plan = runtime::plan_memory(loaded_->binding, *loaded_->backend, shape_,
                                         resident_bytes(loaded_->files));
  return plan.total() +
         tools::WindowRunner::bytes_beside_plan(config(), shape_.context, shape_.draft_depth);
}

Status ProofSide::load() {
  SLUICE_TRY(finish_loading(console_, options_, *loaded_, shape_));
  SLUICE_ASSIGN(runner_, tools::WindowRunner::create(*loaded_->model, shape_.context, shape_.kv,
                                                     shape_.draft_depth));
  return {};
}

std::vector<double> ProofSide::acceptance() const {
  std::vector<double> out;
  const auto &proposed = runner_->drafts_proposed(), &accepted = runner_->drafts_accepted();
  for (size_t i = 0; i < proposed.size(); ++i) {
    if (proposed[i] > 0)
      out.push_back(static_cast<double>(accepted[i]) / static_cast<double>(proposed[i]));
  }
  return out;
}

}  // namespace sluice::cli
