// Buffers and weights.
#include <algorithm>

#include "backend/ref/matrix.h"
#include "backend/ref/ref_backend.h"
#include "codec/codec.h"

namespace sluice::ref {
namespace {

// Separately allocated, so that a sanitizer sees a kernel that leaves its buffer.
class HostBuffer final : public ops::DeviceBuffer {
 public:
  HostBuffer(std::unique_ptr<float[]> memory, size_t bytes)
      : DeviceBuffer(memory.get(), bytes), memory_(std::move(memory)) {}

 private:
  std::unique_ptr<float[]> memory_;
};

}  // namespace

RefBackend::RefBackend(int threads) : pool_(threads) {
  info_.name = "ref";
  info_.activations = ops::ActivationMode::kWide;
  info_.default_kv = ops::KvFormat::kF32;
  info_.threads = threads;
}

Result<std::unique_ptr<ops::DeviceBuffer>> RefBackend::allocate(size_t bytes) {
  return or_does_not_fit<ops::DeviceBuffer>("buffer", bytes, [&] {
    auto memory = std::make_unique<float[]>((bytes + sizeof(float) - 1) / sizeof(float));
    return std::make_unique<HostBuffer>(std::move(memory), bytes);
  });
}

void RefBackend::do_upload(const ops::View& to, std::span<const float> values) {
  const RowsOf out = rows_of(to);
  for (int64_t r = 0; r < out.rows; ++r) {
    std::copy_n(values.data() + r * out.columns, out.columns, out.row(r));
  }
}

void RefBackend::do_download(const ops::View& from, std::span<float> values) {
  const RowsOf in = rows_of(from);
  for (int64_t r = 0; r < in.rows; ++r) {
    std::copy_n(in.row(r), in.columns, values.data() + r * in.columns);
  }
}

Result<std::unique_ptr<ops::Matrix>> RefBackend::load_matrix(const EncodedMatrix& source,
                                                             ops::MatrixUse use) {
  SLUICE_TRY(codec::check_matrix(source, "matrix"));
  if (use == ops::MatrixUse::kLookup) {
    return std::unique_ptr<ops::Matrix>(std::make_unique<LookupMatrix>(source));
  }
  return or_does_not_fit<ops::Matrix>("weight matrix", matrix_bytes(source, use), [&] {
    std::vector<float> values(static_cast<size_t>(source.rows * source.columns));
    codec::decode_rows(source, 0, source.rows, values.data());
    return std::make_unique<ProductMatrix>(source, std::move(values));
  });
}

size_t RefBackend::matrix_bytes(const EncodedMatrix& source, ops::MatrixUse use) const {
  return use == ops::MatrixUse::kLookup
             ? 0
             : static_cast<size_t>(source.rows * source.columns) * sizeof(float);
}

size_t RefBackend::scratch_bytes(int64_t /*rows*/, int64_t /*max_columns*/) const { return 0; }

Status RefBackend::reserve_scratch(int64_t /*rows*/, int64_t /*max_columns*/) { return {}; }

}  // namespace sluice::ref
