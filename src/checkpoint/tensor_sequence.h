// The bookkeeping that both container writers share: tensors arrive in a fixed order, each in one
// or more parts.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "checkpoint/stored_tensor.h"

namespace sluice::checkpoint {

class TensorSequence {
 public:
  TensorSequence() = default;
  TensorSequence(std::vector<TensorSpec> specs, std::vector<uint64_t> sizes)
      : specs_(std::move(specs)), sizes_(std::move(sizes)) {}

  const std::vector<TensorSpec>& specs() const { return specs_; }
  uint64_t size(size_t tensor) const { return sizes_[tensor]; }
  size_t current() const { return current_; }  // the tensor whose bytes are expected
  uint64_t given() const { return given_; }    // bytes of it that have been accounted for
  bool done() const { return current_ == specs_.size(); }

  // Begins at a later tensor: those before it are there from an earlier run.
  void begin_at(size_t tensor) { current_ = tensor; }

  // Accounts for the next `bytes` of `name`; true when they complete it. An empty tensor is
  // completed by a call with 0 bytes.
  bool take(std::string_view name, uint64_t bytes) {
    SLUICE_CHECK(!done(), "tensor {} after the last one", name);
    SLUICE_CHECK(specs_[current_].name == name, "tensor {} out of turn, {} is next", name,
                 specs_[current_].name);
    SLUICE_CHECK(bytes <= sizes_[current_] - given_, "tensor {}: {} bytes after {} of {}", name,
                 bytes, given_, sizes_[current_]);
    given_ += bytes;
    if (given_ < sizes_[current_]) return false;
    given_ = 0;
    ++current_;
    return true;
  }

 private:
  std::vector<TensorSpec> specs_;
  std::vector<uint64_t> sizes_;
  size_t current_ = 0;
  uint64_t given_ = 0;
};

}  // namespace sluice::checkpoint
