// A backend that passes everything on to another and, while it records, notes how long each
// operation took; while it skims, it leaves out what only makes values. For `sluice bench` alone:
// elsewhere the model holds the other backend itself, and the clock costs nothing.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ops/backend.h"

namespace sluice::tools {

// Seconds by operation: "attention", "products q4_k", "head q6_k", ... Products of one input with
// matrices of several formats are one operation and carry all their names.
using OperationTimes = std::map<std::string, double>;

class BenchBackend final : public ops::Backend {
 public:
  // A product with as many outputs as the vocabulary is the head's.
  BenchBackend(std::unique_ptr<ops::Backend> inner, int64_t vocabulary)
      : inner_(std::move(inner)), vocabulary_(vocabulary) {}

  void start();
  OperationTimes stop();  // since start()

  // While skimming, a prompt fills the key/value cache with arbitrary numbers and leaves recurrent
  // states alone: a long context takes as long as writing it, and steps behind it cost what they
  // would cost behind a text. For prompts only: answers would count on pending rows.
  void skim(bool skimming) { skimming_ = skimming; }

  const ops::BackendInfo& info() const override { return inner_->info(); }
  Result<std::unique_ptr<ops::DeviceBuffer>> allocate(size_t bytes) override;
  Result<std::unique_ptr<ops::Matrix>> load_matrix(const EncodedMatrix& source,
                                                   ops::MatrixUse use) override;
  size_t matrix_bytes(const EncodedMatrix& source, ops::MatrixUse use) const override;
  void tune(std::span<const ops::Matrix* const> products) override { inner_->tune(products); }
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
  std::vector<float> export_keys(const ops::KvCache& cache, int64_t layer,
                                 std::span<const int32_t> pages, int64_t count) override;
  std::vector<float> export_values(const ops::KvCache& cache, int64_t layer,
                                   std::span<const int32_t> pages, int64_t count) override;
  void copy_page(ops::KvCache& cache, int32_t from, int32_t to) override;
  void export_layer(const ops::RecurrentState& state, int64_t slot, int64_t layer,
                    std::span<float> image) override;
  void import_layer(ops::RecurrentState& state, int64_t slot, int64_t layer,
                    std::span<const float> image) override;
  void export_page(const ops::KvCache& cache, int32_t page, std::span<std::byte> bytes) override;
  void import_page(ops::KvCache& cache, int32_t page, std::span<const std::byte> bytes) override;

 private:
  template <typename Work>
  void timed(const char* name, const Work& work) {
    if (!recording_) return work();
    timed(std::string(name), work);
  }
  template <typename Work>
  void timed(const std::string& name, const Work& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    times_[name] += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  // Of operations that skimming leaves out.
  template <typename Work>
  void computed(const char* name, const Work& work) {
    if (!skimming_) timed(name, work);
  }
  std::string product_name(const ops::MatmulArgs& args) const;
  void upload_noise(const ops::View& to);

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

  const std::unique_ptr<ops::Backend> inner_;
  const int64_t vocabulary_;
  bool recording_ = false, skimming_ = false;
  std::vector<float> noise_;
  OperationTimes times_;
};

}  // namespace sluice::tools
