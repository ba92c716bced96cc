// How checkpoints keep recurrent states: as they are, or in fewer bits. The latter is lossy and
// therefore a named mode (design.md section 3, docs/decisions/saved-states.md); a running
// sequence always works on F32.
//
// An integer form keeps values as integers with one F32 scale for all that belong together, their
// greatest magnitude divided by the greatest integer. In S these are the key_dim values of a
// column, one per value head and value index. The convolution's columns, raw values of the model,
// are cut into runs of 128 and keep 16 bits in both forms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "ops/backend.h"

namespace sluice::runtime {

enum class StateForm : uint8_t { kF32, kInt16, kInt8 };

const char* state_form_name(StateForm form);  // "f32", "int16", "int8"
std::optional<StateForm> state_form_named(std::string_view name);

// One layer of a state: `image` as ops::Backend::export_layer() gives it.
//
// A value comes back within m * (1 / (2 q) + 2^-21), where m is the greatest magnitude of those
// that share its scale and q the greatest integer, 32767 or 127; if m is below kVanishing, all come
// back as zeros; if it is above kGreatest or one of them is no number, all come back as NaN: a
// broken state stays visible. The same values give the same bytes, and the same bytes the same
// values.
class StatePacking {
 public:
  static constexpr int64_t kRun = 128;
  static constexpr float kVanishing = 0x1p-100F, kGreatest = 0x1p127F;

  StatePacking() = default;  // of nothing
  StatePacking(const ops::RecurrentSpec& spec, StateForm form);

  StateForm form() const { return form_; }
  size_t values() const { return static_cast<size_t>(state_values_ + column_values_); }
  size_t bytes() const;  // of one layer, a multiple of 4

  // `packed` is aligned to 4 and bytes() long, `image` values() long.
  void pack(std::span<const float> image, std::span<std::byte> packed) const;
  void unpack(std::span<const std::byte> packed, std::span<float> image) const;

 private:
  int64_t scales() const;  // of S
  int64_t runs() const { return (column_values_ + kRun - 1) / kRun; }
  // The parts lie so that each is aligned: scales of S and of the runs, then the runs, then S.
  size_t runs_at() const;
  size_t states_at() const;

  StateForm form_ = StateForm::kF32;
  int64_t keys_ = 0, width_ = 0;  // rows and columns of one head's S
  int64_t state_values_ = 0, column_values_ = 0;
};

}  // namespace sluice::runtime
