// A build to convert from, and its weights row by row in the conventions of either container.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "checkpoint/checkpoint.h"
#include "model/binding.h"

namespace sluice::convert {

// Norms as offsets, A_log, value heads grouped; or 1 + w, -exp(A_log), heads tiled.
enum class Convention : uint8_t { kPublished, kGguf };

struct SourceWeight {
  const model::BoundWeight* bound = nullptr;
  std::string canonical;  // "layers.0.mlp.up_proj.weight"
  bool draft() const { return bound->part == model::Part::kMtp; }
};

struct VisionTower;  // tools/convert/vision_tower.h

struct Source {
  std::filesystem::path path;
  std::unique_ptr<checkpoint::Checkpoint> checkpoint;
  model::Binding binding;
  std::vector<SourceWeight> weights;                    // in the order of a forward pass
  std::vector<const checkpoint::StoredTensor*> vision;  // of safetensors, as they are stored
  std::shared_ptr<const VisionTower> mmproj;            // beside a GGUF, if it was asked for

  bool gguf() const { return checkpoint->gguf() != nullptr; }
  bool has_vision() const { return !vision.empty() || mmproj != nullptr; }
  const SourceWeight* find(std::string_view canonical) const;
};

enum class DamagedDraft : uint8_t { kRefuse, kAllow };

// Opens and binds; refuses a build that cannot run, since what it would become could not either.
// A draft head that is present and damaged is refused as well, since its loss would go unnoticed;
// kAllow is for those who take it out.
Result<Source> open_source(const std::filesystem::path& path,
                           DamagedDraft damaged = DamagedDraft::kRefuse);

// Rows of values as a target wants them, wherever they come from. Safe from several threads.
class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual int64_t rows() const = 0;
  virtual int64_t columns() const = 0;
  virtual const std::string& name() const = 0;  // for errors
  // Rows [first, first + count), count * columns values.
  virtual void read(int64_t first, int64_t count, float* out) const = 0;
};

// Reads one weight in a target's convention. Borrows the source.
class RowReader final : public RowSource {
 public:
  RowReader(const Source& source, const SourceWeight& weight, Convention target);

  int64_t rows() const override { return matrix_->rows; }
  int64_t columns() const override { return matrix_->columns; }
  const std::string& name() const override { return weight_->canonical; }
  void read(int64_t first, int64_t count, float* out) const override;
  // Whether the values are exactly what is stored (no permutation, no arithmetic), so that bytes of
  // a float tensor may be copied.
  bool untouched() const {
    return row_map_.empty() && column_map_.empty() && change_ == Change::kNone;
  }

 private:
  enum class Change : uint8_t { kNone, kAddOne, kSubtractOne, kMinusExp, kLogMinus };

  const SourceWeight* weight_;
  const EncodedMatrix* matrix_;
  std::vector<int64_t> row_map_, column_map_;  // target to source; empty: the same
  Change change_ = Change::kNone;
};

// The smallest of BF16 and F32 that keeps a vector: all values as they were before a container's
// convention was applied to them. (For A_log "as they were" means: the same decay comes out again.)
DType vector_type(const Source& source, const SourceWeight& weight, std::span<const float> values);

}  // namespace sluice::convert
