#include "tools/bench/bench_backend.h"

#include <algorithm>
#include <random>
#include <set>
#include <span>
#include <string_view>
#include <utility>

namespace sluice::tools {

void BenchBackend::start() {
  times_.clear();
  recording_ = true;
}

OperationTimes BenchBackend::stop() {
  recording_ = false;
  return std::exchange(times_, {});
}

// ---- memory, weights and state: passed on

Result<std::unique_ptr<ops::DeviceBuffer>> BenchBackend::allocate(size_t bytes) {
  return inner_->allocate(bytes);
}

Result<std::unique_ptr<ops::Matrix>> BenchBackend::load_matrix(const EncodedMatrix& source,
                                                               ops::MatrixUse use) {
  return inner_->load_matrix(source, use);
}

size_t BenchBackend::matrix_bytes(const EncodedMatrix& source, ops::MatrixUse use) const {
  return inner_->matrix_bytes(source, use);
}

size_t BenchBackend::scratch_bytes(int64_t rows, int64_t max_columns) const {
  return inner_->scratch_bytes(rows, max_columns);
}

Status BenchBackend::reserve_scratch(int64_t rows, int64_t max_columns) {
  return inner_->reserve_scratch(rows, max_columns);
}

Result<std::unique_ptr<ops::KvCache>> BenchBackend::create_kv_cache(const ops::KvSpec& spec) {
  return inner_->create_kv_cache(spec);
}

Result<std::unique_ptr<ops::RecurrentState>> BenchBackend::create_recurrent_state(
    const ops::RecurrentSpec& spec) {
  return inner_->create_recurrent_state(spec);
}

void BenchBackend::reset_slot(ops::RecurrentState& state, int64_t slot) {
  inner_->reset_slot(state, slot);
}

void BenchBackend::flush_slot(ops::RecurrentState& state, int64_t slot, int64_t commit) {
  inner_->flush_slot(state, slot, commit);
}

void BenchBackend::copy_slot(const ops::RecurrentState& from, int64_t from_slot,
                             ops::RecurrentState& to, int64_t to_slot) {
  inner_->copy_slot(from, from_slot, to, to_slot);
}

ops::RecurrentImage BenchBackend::export_slot(const ops::RecurrentState& state, int64_t slot) {
  return inner_->export_slot(state, slot);
}

void BenchBackend::import_slot(ops::RecurrentState& state, int64_t slot,
                               const ops::RecurrentImage& image) {
  inner_->import_slot(state, slot, image);
}

std::vector<float> BenchBackend::export_keys(const ops::KvCache& cache, int64_t layer,
                                             std::span<const int32_t> pages, int64_t count) {
  return inner_->export_keys(cache, layer, pages, count);
}

std::vector<float> BenchBackend::export_values(const ops::KvCache& cache, int64_t layer,
                                               std::span<const int32_t> pages, int64_t count) {
  return inner_->export_values(cache, layer, pages, count);
}

void BenchBackend::copy_page(ops::KvCache& cache, int32_t from, int32_t to) {
  inner_->copy_page(cache, from, to);
}
void BenchBackend::export_layer(const ops::RecurrentState& state, int64_t slot, int64_t layer,
                                std::span<float> image) {
  inner_->export_layer(state, slot, layer, image);
}
void BenchBackend::import_layer(ops::RecurrentState& state, int64_t slot, int64_t layer,
                                std::span<const float> image) {
  inner_->import_layer(state, slot, layer, image);
}
void BenchBackend::export_page(const ops::KvCache& cache, int32_t page,
                               std::span<std::byte> bytes) {
  inner_->export_page(cache, page, bytes);
}
void BenchBackend::import_page(ops::KvCache& cache, int32_t page,
                               std::span<const std::byte> bytes) {
  inner_->import_page(cache, page, bytes);
}

void BenchBackend::do_upload(const ops::View& to, std::span<const float> values) {
  inner_->upload(to, values);
}

void BenchBackend::do_download(const ops::View& from, std::span<float> values) {
  timed("download", [&] {
    const std::vector<float> downloaded = inner_->download(from);
    std::copy(downloaded.begin(), downloaded.end(), values.begin());
  });
}

// ---- operations: timed

std::string BenchBackend::product_name(const ops::MatmulArgs& args) const {
  // Sorted: which matrix of a group has which format changes from layer to layer.
  std::set<std::string_view> formats;
  bool head = false;
  for (const ops::Product& product : args.products) {
    head = head || product.weight->rows() == vocabulary_;
    formats.insert(format_name(product.weight->format()));
  }
  std::string name = head ? "head" : "products";
  const char* separator = " ";
  for (const std::string_view format : formats) {
    name += separator + std::string(format);
    separator = " + ";
  }
  return name;
}

void BenchBackend::do_matmul(const ops::MatmulArgs& args) {
  if (skimming_) return;
  if (!recording_) return inner_->matmul(args);
  timed(product_name(args), [&] { inner_->matmul(args); });
}

void BenchBackend::do_embed(const ops::EmbedArgs& args) {
  computed("embedding", [&] { inner_->embed(args); });
}

void BenchBackend::do_rms_norm(const ops::RmsNormArgs& args) {
  computed("norms", [&] { inner_->rms_norm(args); });
}

void BenchBackend::do_swiglu(const ops::SwigluArgs& args) {
  computed("swiglu", [&] { inner_->swiglu(args); });
}

// Keys that are all alike would do as well today; a cache that looks at them need not be fooled.
void BenchBackend::upload_noise(const ops::View& to) {
  const auto count = static_cast<size_t>(to.rows * to.columns);
  std::minstd_rand random;
  std::uniform_real_distribution<float> value(-1, 1);
  while (noise_.size() < count) noise_.push_back(value(random));
  inner_->upload(to, std::span(noise_).first(count));
}

void BenchBackend::do_attention_input(const ops::AttentionInputArgs& args) {
  if (skimming_) {
    upload_noise(args.key);
    upload_noise(args.value);
  }
  timed("attention input", [&] { inner_->attention_input(args); });
}

void BenchBackend::do_attention(const ops::AttentionArgs& args) {
  computed("attention", [&] { inner_->attention(args); });
}

void BenchBackend::do_attention_gate(const ops::AttentionGateArgs& args) {
  computed("attention gate", [&] { inner_->attention_gate(args); });
}

void BenchBackend::do_gdn_conv(const ops::GdnConvArgs& args) {
  computed("convolution", [&] { inner_->gdn_conv(args); });
}

void BenchBackend::do_gdn_input(const ops::GdnInputArgs& args) {
  computed("gdn input", [&] { inner_->gdn_input(args); });
}

void BenchBackend::do_gdn_delta(const ops::GdnDeltaArgs& args) {
  computed("gdn delta rule", [&] { inner_->gdn_delta(args); });
}

void BenchBackend::do_gdn_norm(const ops::GdnNormArgs& args) {
  computed("gdn norm", [&] { inner_->gdn_norm(args); });
}

void BenchBackend::do_gather_rows(const ops::GatherRowsArgs& args) {
  timed("gather", [&] { inner_->gather_rows(args); });
}

void BenchBackend::do_argmax(const ops::ArgmaxArgs& args) {
  timed("sampling", [&] { inner_->argmax(args); });
}

}  // namespace sluice::tools
