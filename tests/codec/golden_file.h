// A plain reader of the golden files, safetensors and GGUF, for the codec's tests only.
//
// Deliberately not checkpoint::Checkpoint: codec and checkpoint are neighbours that do not know
// each other, and types.gguf holds block types that sluice refuses. Trusts its input; anything odd
// throws and fails the test.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace sluice::codec::test {

struct GoldenTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // outermost first
  std::span<const std::byte> bytes;

  int64_t rows() const;  // product of all but the last
  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
};

class GoldenFile {
 public:
  // *.safetensors, *.gguf, or either with .zst. Tensors of unknown block types are left out.
  explicit GoldenFile(const std::filesystem::path& path);
  GoldenFile(GoldenFile&&) = default;  // tensors point into content_, which keeps its place

  const std::vector<GoldenTensor>& tensors() const { return tensors_; }
  const GoldenTensor* find(std::string_view name) const;
  const GoldenTensor& at(std::string_view name) const;  // throws if absent

 private:
  void read_safetensors();
  void read_gguf();

  std::string content_;
  std::vector<GoldenTensor> tensors_;
};

}  // namespace sluice::codec::test
