// Software prefetch of the weights to be packed next, where it is found to pay.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/product.h"
#include "tensor/matrix.h"

namespace sluice::cpu {

// Asks for the stored bytes of a unit that comes soon. Speed alone depends on it.
class LookAhead {
 public:
  LookAhead(const EncodedMatrix& source, const UnitShape& shape);

  // Of the unit kUnits behind unit `unit` of the group that begins with row first_row; behind the
  // last unit of a group comes the first of the next one.
  void ask(int64_t first_row, int64_t unit) const;

 private:
  static constexpr int64_t kUnits = 2;

  // What the units of a row take of a plane.
  struct Walk {
    const std::byte* bytes = nullptr;
    int64_t row_bytes = 0, unit_bytes = 0;
  };
  static Walk walk_over(const Plane& plane, const EncodedMatrix& source, const UnitShape& shape);
  static void ask_for(const Walk& walk, int64_t first_row, int64_t unit);

  int64_t rows_, units_;
  Walk codes_, scales_;
};

// Whether to look ahead, tried on the first groups of a run: a few with and a few without, in
// turns.
class LookAheadTrial {
 public:
  // A run of this many groups. Short ones are not worth a trial, and go without.
  explicit LookAheadTrial(int64_t groups);

  // For the group that begins now. Until the trial is over, it must end by finish_group().
  bool looks_ahead() const { return running() ? block() % 2 == 1 : pays_; }
  bool running() const { return running_; }
  void finish_group(double seconds);

 private:
  // The first group of a block does not count: its first units were asked for, or not, by the block
  // before, and it asks for those of the group behind it. With groups in turns it is all one sees:
  // that found a loss of up to a third where whole runs gain a fifth.
  static constexpr int kBlock = 4, kBlocks = 6, kCounted = (kBlock - 1) * kBlocks / 2;

  int block() const { return done_ / kBlock; }

  std::array<std::array<double, kCounted>, 2> seconds_ = {};
  std::array<size_t, 2> counted_ = {};
  int done_ = 0;
  bool running_, pays_ = false;
};

}  // namespace sluice::cpu
