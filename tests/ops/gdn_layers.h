// A stack of GDN layers without the products around them: convolution, gates and delta rule, fed
// with inputs that are a function of the token. What the suites drive the deferred commit with.
#pragma once

#include <memory>
#include <vector>

#include "ops/arrays.h"

namespace sluice::ops::testing {

class GdnLayers {
 public:
  GdnLayers(Backend& backend, const RecurrentSpec& spec, uint64_t seed);

  // Runs all layers over the pieces. One result per row, in row order: of every layer the
  // convolution's output, then the delta rule's.
  std::vector<std::vector<float>> step(std::span<const Piece> pieces);

  RecurrentState& state() { return *state_; }
  RecurrentImage image(int slot) { return backend_->export_slot(*state_, slot); }
  void import(int slot, const RecurrentImage& image) {
    backend_->import_slot(*state_, slot, image);
  }
  void flush(int slot, int commit) { backend_->flush_slot(*state_, slot, commit); }
  void reset(int slot) { backend_->reset_slot(*state_, slot); }

 private:
  struct Layer {
    Array conv_weight, decay, dt_bias;
  };

  Backend* backend_;
  RecurrentSpec spec_;
  uint64_t seed_;
  std::vector<Layer> layers_;
  std::unique_ptr<RecurrentState> state_;
};

// A spec with the given shape; 2 layers.
RecurrentSpec gdn_spec(int key_heads, int value_heads, int key_dim, int value_dim, HeadOrder order,
                       int slots, int pending_rows);

}  // namespace sluice::ops::testing
