// The reference backend: every operation in its plainest form, the oracle of all others.
//
// Sums and products accumulate in double in ascending order and are rounded to F32 once, where the
// result is stored. Threads share out whole results only, so their number cannot change a bit.
// One file per subject: memory.cc, rows.cc, matmul.cc, attention.cc, gdn.cc.
#pragma once

#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/threads.h"
#include "ops/backend.h"

namespace sluice::ref {

// A view with its address resolved.
struct RowsOf {
  float* data = nullptr;
  int64_t rows = 0, columns = 0, stride = 0;

  float* row(int64_t index) const { return data + index * stride; }
  float& at(int64_t row_index, int64_t column) const { return data[row_index * stride + column]; }
};

// The object that `make` makes, or an error when the system refuses its memory.
template <typename T, typename Make>
Result<std::unique_ptr<T>> or_does_not_fit(const std::string& what, size_t bytes,
                                           const Make& make) {
  const auto refused = [&] {
    return Error{ErrorCode::kDoesNotFit, what,
                 "the system refused " + std::to_string(bytes) + " bytes",
                 "A smaller model or context fits"};
  };
  try {
    return std::unique_ptr<T>(make());
  } catch (const std::bad_alloc&) {
    return refused();
  } catch (const std::length_error&) {
    return refused();
  }
}

class RefBackend final : public ops::Backend {
 public:
  explicit RefBackend(int threads);  // threads >= 1

  const ops::BackendInfo& info() const override { return info_; }

  Result<std::unique_ptr<ops::DeviceBuffer>> allocate(size_t bytes) override;
  Result<std::unique_ptr<ops::Matrix>> load_matrix(const EncodedMatrix& source,
                                                   ops::MatrixUse use) override;
  size_t matrix_bytes(const EncodedMatrix& source, ops::MatrixUse use) const override;
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
  static RowsOf rows_of(const ops::View& view) {
    return view.empty() ? RowsOf{} : RowsOf{address(view), view.rows, view.columns, view.stride};
  }

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
  ThreadPool pool_;
};

}  // namespace sluice::ref
