// Takes the weights of one part of a model into a backend, one by one. Internal to src/model.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/binding.h"
#include "model/text/layer.h"
#include "ops/backend.h"

namespace sluice::model {

class WeightLoader {
 public:
  using Progress = std::function<void(uint64_t done, uint64_t total)>;

  // `total`: stored bytes of all parts that will be loaded; `done` runs on from part to part.
  // `stays_cached`: whether the system's page cache keeps the files (below).
  WeightLoader(const checkpoint::Checkpoint& checkpoint, const Binding& binding,
               ops::Backend& backend, Progress progress, uint64_t total, bool stays_cached)
      : checkpoint_(checkpoint),
        binding_(binding),
        backend_(backend),
        progress_(std::move(progress)),
        total_(total),
        stays_cached_(stays_cached) {}

  // Whether a model's `stored` bytes stay cached beside its `packed` ones, so that the next start
  // finds the file warm: a quarter of what those leave of the `available` memory is for keys,
  // values and others. If not, all of them leave the cache, each behind its packing.
  static bool stays_cached(uint64_t stored, uint64_t packed, uint64_t available);

  // Must come before vector(): allocates one buffer for all vectors of the part.
  Result<std::unique_ptr<ops::DeviceBuffer>> begin_vectors(Part part);

  bool has(const std::string& role) const { return binding_.find(role) != nullptr; }
  Status matrix(const std::string& role, MatrixPointer& out,
                ops::MatrixUse use = ops::MatrixUse::kProduct);
  void vector(const std::string& role, ops::View& out);  // [1, n], or [rows, n] for the convolution
  // Behind the last matrix of all parts.
  void tune_backend() { backend_.tune(products_); }
  Status layer(const std::string& prefix, LayerType type, int64_t state_layer, LayerWeights& out);

  // What begin_vectors(part) allocates, and what the matrices of a part take.
  static uint64_t vector_bytes(const Binding& binding, Part part);
  static uint64_t matrix_bytes(const Binding& binding, const ops::Backend& backend, Part part);
  static uint64_t stored_bytes(const Binding& binding, Part part);
  static uint64_t stored_bytes(const BoundWeight& weight);

 private:
  const BoundWeight& find(const std::string& role) const;
  void count(const BoundWeight& weight);
  void drop_source(const BoundWeight& weight);

  const checkpoint::Checkpoint& checkpoint_;
  const Binding& binding_;
  ops::Backend& backend_;
  Progress progress_;
  uint64_t done_ = 0, total_ = 0;
  bool stays_cached_ = true;
  std::vector<const ops::Matrix*> products_;  // those that were loaded for products
  ops::DeviceBuffer* vectors_ = nullptr;
  int64_t next_ = 0;  // element of vectors_
};

}  // namespace sluice::model
