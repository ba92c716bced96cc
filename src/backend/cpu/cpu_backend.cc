#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <string>
#include <utility>

#include "backend/cpu/block.h"
#include "backend/cpu/fetch_tuning.h"
#include "backend/cpu/gdn_scratch.h"
#include "backend/cpu/lookup_matrix.h"
#include "base/check.h"
#include "codec/codec.h"

namespace sluice::cpu {
namespace {

class CpuBuffer final : public ops::DeviceBuffer {
 public:
  CpuBuffer(PageBlock block, size_t bytes)
      : DeviceBuffer(block.data(), bytes), block_(std::move(block)) {}

 private:
  PageBlock block_;
};

}  // namespace

Result<std::unique_ptr<ops::Backend>> create_cpu_backend(const CpuOptions& options) {
  SLUICE_CHECK(options.threads >= 1, "threads {}", options.threads);
  InstructionSet set = InstructionSet::kPortable;
  if (options.instruction_set) {
    set = *options.instruction_set;
    const auto supported = supported_instruction_sets();
    SLUICE_CHECK(std::find(supported.begin(), supported.end(), set) != supported.end(),
                 "instruction set {}", instruction_set_name(set));
  } else {
    SLUICE_ASSIGN(set, choose_instruction_set());
  }
  std::optional<FetchDistance> fetch = options.fetch;
  if (!fetch) {
    SLUICE_ASSIGN(fetch, forced_fetch());
  }
  const size_t scratch_bytes = CpuBackend::fixed_scratch_bytes(options.threads);
  SLUICE_ASSIGN(PageBlock scratch, take_block("scratch of the CPU backend", scratch_bytes));
  return std::unique_ptr<ops::Backend>(std::make_unique<CpuBackend>(
      options.threads, set, options.activations.value_or(default_mode(set)), fetch,
      std::move(scratch)));
}

CpuBackend::CpuBackend(int threads, InstructionSet set, ops::ActivationMode activations,
                       std::optional<FetchDistance> fetch, PageBlock scratch)
    : set_(set),
      rows_(row_kernels(set)),
      attention_(attention_kernels(set)),
      gdn_(gdn_kernels(set)),
      pool_(threads),
      fetch_(FetchDistances::all(fetch.value_or(FetchDistance{}))),
      fetch_forced_(fetch.has_value()),
      fixed_scratch_(std::move(scratch)) {
  info_.name = "cpu";
  info_.instruction_set = std::string(instruction_set_name(set));
  info_.activations = activations;
  info_.default_kv = ops::KvFormat::kBF16;
  info_.threads = threads;
  info_.prefetch = fetch_names(fetch_);
}

size_t CpuBackend::fixed_scratch_bytes(int threads) {
  constexpr auto kMemberFloats = static_cast<size_t>(kAttentionFloats + GdnScratch::kFloats);
  return static_cast<size_t>(threads) * kMemberFloats * sizeof(float);
}

float* CpuBackend::attention_scratch(int member) const {
  return reinterpret_cast<float*>(fixed_scratch_.data()) + member * kAttentionFloats;
}

float* CpuBackend::gdn_scratch(int member) const {
  return attention_scratch(pool_.size()) + member * GdnScratch::kFloats;
}

// ---- memory

Result<std::unique_ptr<ops::DeviceBuffer>> CpuBackend::allocate(size_t bytes) {
  SLUICE_ASSIGN(PageBlock block, take_block("buffer", bytes));
  return std::unique_ptr<ops::DeviceBuffer>(std::make_unique<CpuBuffer>(std::move(block), bytes));
}

void CpuBackend::do_upload(const ops::View& to, std::span<const float> values) {
  const Rows out = rows_of(to);
  for (int64_t r = 0; r < out.rows; ++r) {
    std::copy_n(values.data() + r * out.columns, out.columns, out.row(r));
  }
}

void CpuBackend::do_download(const ops::View& from, std::span<float> values) {
  const Rows in = rows_of(from);
  for (int64_t r = 0; r < in.rows; ++r) {
    std::copy_n(in.row(r), in.columns, values.data() + r * in.columns);
  }
}

size_t CpuBackend::scratch_bytes(int64_t rows, int64_t max_columns) const {
  return PageBlock::footprint(fixed_scratch_bytes(pool_.size())) +
         PageBlock::footprint(matmul_scratch_bytes(rows, max_columns)) + RotaryAngles::bytes(rows);
}

Status CpuBackend::reserve_scratch(int64_t rows, int64_t max_columns) {
  const size_t bytes = matmul_scratch_bytes(rows, max_columns);
  if (bytes <= matmul_scratch_.size()) return {};
  matmul_scratch_ = PageBlock();  // the old one must not count against the new
  SLUICE_ASSIGN(matmul_scratch_, take_block("scratch of products", bytes));
  return {};
}

// Steps within what was reserved never come here with more; a caller that reserved nothing pays at
// its first product.
void CpuBackend::ensure_matmul_scratch(int64_t rows, int64_t columns) {
  const Status status = reserve_scratch(rows, columns);
  SLUICE_CHECK(status.ok(), "{}", status.error().message());
}

// ---- weights

Result<std::unique_ptr<ops::Matrix>> CpuBackend::load_matrix(const EncodedMatrix& source,
                                                             ops::MatrixUse use) {
  SLUICE_TRY(codec::check_matrix(source, "matrix"));
  if (use == ops::MatrixUse::kLookup) {
    return std::unique_ptr<ops::Matrix>(std::make_unique<LookupMatrix>(source));
  }
  return pack_matrix(source, set_, info_.activations, pool_);
}

size_t CpuBackend::matrix_bytes(const EncodedMatrix& source, ops::MatrixUse use) const {
  return use == ops::MatrixUse::kLookup ? 0 : packed_bytes(source, set_, info_.activations);
}

void CpuBackend::tune(std::span<const ops::Matrix* const> products) {
  if (fetch_forced_) return;
  std::vector<const PackedMatrix*> packed;
  for (const ops::Matrix* matrix : products) {
    packed.push_back(&static_cast<const PackedMatrix&>(*matrix));
  }
  fetch_ = measure_fetch(packed, least_measured_bytes(), attention_, pool_);
  info_.prefetch = fetch_names(fetch_);
}

// ---- key-value cache and state

Result<std::unique_ptr<ops::KvCache>> CpuBackend::create_kv_cache(const ops::KvSpec& spec) {
  return PagedKvCache::create(spec, pool_);
}

std::vector<float> CpuBackend::export_keys(const ops::KvCache& cache, int64_t layer,
                                           std::span<const int32_t> pages, int64_t count) {
  return own(cache).export_part(KvPart::kKeys, layer, pages, count);
}

std::vector<float> CpuBackend::export_values(const ops::KvCache& cache, int64_t layer,
                                             std::span<const int32_t> pages, int64_t count) {
  return own(cache).export_part(KvPart::kValues, layer, pages, count);
}

void CpuBackend::copy_page(ops::KvCache& cache, int32_t from, int32_t to) {
  own(cache).copy_page(from, to);
}

void CpuBackend::export_page(const ops::KvCache& cache, int32_t page, std::span<std::byte> bytes) {
  const std::span<const std::byte> kept = own(cache).page(page);
  SLUICE_CHECK(bytes.size() == kept.size(), "{} bytes for a page of {}", bytes.size(), kept.size());
  std::copy(kept.begin(), kept.end(), bytes.begin());
}

void CpuBackend::import_page(ops::KvCache& cache, int32_t page, std::span<const std::byte> bytes) {
  const std::span<std::byte> kept = own(cache).page(page);
  SLUICE_CHECK(bytes.size() == kept.size(), "{} bytes for a page of {}", bytes.size(), kept.size());
  std::copy(bytes.begin(), bytes.end(), kept.begin());
}

Result<std::unique_ptr<ops::RecurrentState>> CpuBackend::create_recurrent_state(
    const ops::RecurrentSpec& spec) {
  return SlotStates::create(spec, pool_);
}

}  // namespace sluice::cpu
