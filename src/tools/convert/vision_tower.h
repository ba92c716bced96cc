// The vision tower in its two forms: tensors of a published checkpoint (`model.visual.*`) and a
// GGUF of its own beside the text model's, the mmproj (formats-gguf.md 6).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "checkpoint/checkpoint.h"
#include "tools/convert/source.h"
#include "tools/convert/tower_geometry.h"

namespace sluice::convert {

struct VisionTower {
  std::unique_ptr<checkpoint::Checkpoint> file;  // the mmproj; null: part of the model's files
  TowerGeometry geometry;
  std::vector<TowerTensor> tensors;  // sorted by canonical name

  bool gguf() const { return file != nullptr; }
  int64_t parameters() const;
};

// The tower of a published checkpoint, or of a GGUF opened with open_tower_beside(); null if there
// is none. Errors: sizes that config.json does not state, a tensor that is missing, left over, of
// another shape or quantized.
Result<std::shared_ptr<const VisionTower>> tower_of(const Source& source);

// Reads one mmproj for a text model of this width and compares every tensor's shape with what its
// metadata say. Reads no values.
Result<VisionTower> read_mmproj(const std::filesystem::path& file, int64_t hidden);

// The mmproj beside a GGUF for a text model of this width; null if there is none, or for other
// containers. Of several that fit, BF16 is taken before F32 before F16. Errors: those of
// read_mmproj, none that fits, two that are equally good.
Result<std::shared_ptr<const VisionTower>> tower_beside(const checkpoint::Checkpoint& text,
                                                        int64_t hidden);
// Makes it the source's tower.
Status open_tower_beside(Source& source);

// Reads a tensor of the tower in the form of either container. Borrows the tower.
class TowerReader final : public RowSource {
 public:
  // `frame`: of the patch embedding in a GGUF; 0 for all others.
  TowerReader(const VisionTower& tower, const TowerTensor& tensor, Convention target,
              size_t frame = 0);

  int64_t rows() const override { return rows_; }
  int64_t columns() const override { return columns_; }
  const std::string& name() const override { return tensor_->canonical; }
  void read(int64_t first, int64_t count, float* out) const override;

 private:
  const TowerTensor* tensor_;
  std::vector<EncodedMatrix> parts_;
  bool joins_ = false, cuts_ = false;  // frames into one tensor, or one out of it
  size_t frame_ = 0;
  int64_t rows_ = 0, columns_ = 0;
};

}  // namespace sluice::convert
