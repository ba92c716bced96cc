// The fast CPU backend.
//
// Products are matmul.h's; everything else is vectorised per instruction set (vector/). A row's
// bits depend on nothing but the row and its own sequence: sums have a fixed order, attention is
// split on an absolute grid of the context, and threads share out whole results only.
// One file per subject: cpu_backend.cc (memory and weights), rows.cc, attention.cc, gdn.cc.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/cpu/detect.h"
#include "backend/cpu/fetch.h"
#include "backend/cpu/kv_cache.h"
#include "backend/cpu/matmul.h"
#include "backend/cpu/recurrent_state.h"
#include "backend/cpu/rotary.h"
#include "backend/cpu/vector/attention_kernels.h"
#include "backend/cpu/vector/gdn_kernels.h"
#include "backend/cpu/vector/row_kernels.h"
#include "base/memory.h"
#include "base/result.h"
#include "base/threads.h"
#include "ops/backend.h"

namespace sluice::cpu {

struct CpuOptions {
  int threads = 1;
  // Nothing: the level's default.
  std::optional<ops::ActivationMode> activations = {};
  // Must be supported. Nothing: SLUICE_CPU, or else the best.
  std::optional<InstructionSet> instruction_set = {};
  // Of all products and of attention. Nothing: SLUICE_PREFETCH, or else measured by tune().
  std::optional<FetchDistance> fetch = {};
};

// Errors: a wrong SLUICE_CPU or SLUICE_PREFETCH, or no room for the fixed scratch memory.
Result<std::unique_ptr<ops::Backend>> create_cpu_backend(const CpuOptions& options);

// A view with its address resolved.
struct Rows {
  float* data = nullptr;
  int64_t rows = 0, columns = 0, stride = 0;

  float* row(int64_t index) const { return data + index * stride; }
};

class CpuBackend final : public ops::Backend {
 public:
  CpuBackend(int threads, InstructionSet set, ops::ActivationMode activations,
             std::optional<FetchDistance> fetch, PageBlock scratch);

  // The fixed scratch of a backend with this many threads.
  static size_t fixed_scratch_bytes(int threads);

  const ops::BackendInfo& info() const override { return info_; }

  Result<std::unique_ptr<ops::DeviceBuffer>> allocate(size_t bytes) override;
  Result<std::unique_ptr<ops::Matrix>> load_matrix(const EncodedMatrix& source,
                                                   ops::MatrixUse use) override;
  size_t matrix_bytes(const EncodedMatrix& source, ops::MatrixUse use) const override;
  void tune(std::span<const ops::Matrix* const> products) override;
  size_t scratch_bytes(int64_t rows, int64_t max_columns) const override;
  Status reserve_scratch(int64_t rows, int64_t max_columns) override;

  Result<std::unique_ptr<ops::KvCache>> create_kv_cache(const ops::KvSpec& spec) override;
  Result<std::unique_ptr<ops::RecurrentState>> create_recurrent_state(
      const ops::RecurrentSpec& spec) override;
  void reset_slot(ops::RecurrentState& state, int64_t slot) override;
  void flush_slot(ops::RecurrentState& state, int64_t slot, int64_t commit) override;
  void copy_slot(const ops::RecurrentState& from, int64_t from_slot, ops::RecurrentState& to,
                 int64_t to_slot) override;
  ops::RecurrentImage export_slot(const ops::RecurrentState& state, int64_t slot) override;
  void import_slot(ops::RecurrentState& state, int64_t slot,
                   const ops::RecurrentImage& image) override;
  void export_layer(const ops::RecurrentState& state, int64_t slot, int64_t layer,
                    std::span<float> image) override;
  void import_layer(ops::RecurrentState& state, int64_t slot, int64_t layer,
                    std::span<const float> image) override;
  std::vector<float> export_keys(const ops::KvCache& cache, int64_t layer,
                                 std::span<const int32_t> pages, int64_t count) override;
  std::vector<float> export_values(const ops::KvCache& cache, int64_t layer,
                                   std::span<const int32_t> pages, int64_t count) override;
  void copy_page(ops::KvCache& cache, int32_t from, int32_t to) override;
  void export_page(const ops::KvCache& cache, int32_t page, std::span<std::byte> bytes) override;
  void import_page(ops::KvCache& cache, int32_t page, std::span<const std::byte> bytes) override;

 private:
  // What all items of an operation share; attention.cc and gdn.cc.
  struct HeadTask;
  struct AttentionRun;
  struct DeltaRun;

  // Of each member's scratch, for partial results of attention; attention.cc cuts them up.
  static constexpr int64_t kAttentionFloats = 32 * 1024;

  static Rows rows_of(const ops::View& view) {
    return view.empty() ? Rows{} : Rows{address(view), view.rows, view.columns, view.stride};
  }
  float* attention_scratch(int member) const;
  float* gdn_scratch(int member) const;
  void ensure_matmul_scratch(int64_t rows, int64_t columns);

  void do_upload(const ops::View& to, std::span<const float> values) override;
  void do_download(const ops::View& from, std::span<float> values) override;
  void do_embed(const ops::EmbedArgs& args) override;
  void do_rms_norm(const ops::RmsNormArgs& args) override;
  void do_matmul(const ops::MatmulArgs& args) override;
  void do_swiglu(const ops::SwigluArgs& args) override;
  void do_attention_input(const ops::AttentionInputArgs& args) override;
  void do_attention(const ops::AttentionArgs& args) override;
  void do_attention_gate(const ops::AttentionGateArgs& args) override;
  void do_gdn_conv(const ops::GdnConvArgs& args) override;
  void do_gdn_input(const ops::GdnInputArgs& args) override;
  void do_gdn_delta(const ops::GdnDeltaArgs& args) override;
  void do_gdn_norm(const ops::GdnNormArgs& args) override;
  void do_gather_rows(const ops::GatherRowsArgs& args) override;
  void do_argmax(const ops::ArgmaxArgs& args) override;

  ops::BackendInfo info_;
  InstructionSet set_;
  const RowKernels& rows_;
  const AttentionKernels& attention_;
  const GdnKernels& gdn_;
  ThreadPool pool_;
  FetchDistances fetch_;
  bool fetch_forced_;
  PageBlock fixed_scratch_;  // per member: attention, then GDN
  PageBlock matmul_scratch_;
  RotaryAngles angles_;
  std::vector<DenseProduct> products_;  // of the running product, kept for its capacity
};

}  // namespace sluice::cpu
