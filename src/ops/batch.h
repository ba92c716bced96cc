// The flat, ragged batch: the one kind of work a step has (design.md section 3).
//
// Rows of several sequences lie one after the other without padding. Prefill chunks, decode tokens
// and the verification of drafts differ only in their row counts and their role.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sluice::ops {

// Decides the arithmetic of a row, never the number of rows: answer rows use the sequential delta
// rule and the few-row products; prompt rows the chunked rule on the absolute grid and the many-row
// products.
enum class Role : int32_t { kAnswer, kPrompt };

// Tokens per page of the key-value cache and per chunk of the delta rule. One grid for both, so
// that a page border is always a place where a recurrent-state checkpoint may stand.
inline constexpr int kGrid = 64;

// Consecutive rows of one sequence.
struct Segment {
  int32_t first_row = 0;
  int32_t row_count = 0;
  int32_t first_index =
      0;  // place of the first row in its sequence: token index, cache index, grid position
  int32_t slot = 0;  // recurrent-state slot of the sequence
  // How many of the slot's pending rows were accepted: they are applied to the state, in order,
  // before this segment's rows; the rest are forgotten. 0..pending capacity.
  int32_t commit = 0;
  Role role = Role::kAnswer;
  int32_t first_page = 0;  // where the sequence's page list begins in Batch::pages
  int32_t page_count = 0;
};

struct Row {
  int32_t token = 0;
  int32_t segment = 0;
  int32_t index = 0;            // first_index + offset in the segment
  int32_t rope[3] = {0, 0, 0};  // position triple (t, h, w); equal for text
};

// What a step works on. Plain host arrays: backends with memory of their own copy them once per
// step. Invariant (checked at the door): segments cover rows 0..rows.size() in order; all answer
// segments come before all prompt segments; a slot occurs in at most one segment.
struct Batch {
  std::vector<Row> rows;
  std::vector<Segment> segments;
  std::vector<int32_t> pages;  // page ids of all sequences, each list contiguous, page i holds
                               // indices [64 i, 64 i + 64)

  int64_t row_count() const { return static_cast<int64_t>(rows.size()); }
  int64_t answer_rows() const {
    int64_t count = 0;
    for (const Segment& segment : segments) {
      if (segment.role == Role::kAnswer) count += segment.row_count;
    }
    return count;
  }
};

// What reads one text and nothing else: `tokens` as one segment of slot 0, its first row at cache
// index `first_index` and rotary position `first_position`. (A draft head's row p holds token p +
// 1: its index is one higher than its position.) `pages` are all of the sequence's.
Batch one_sequence(std::span<const int32_t> tokens, int64_t first_index, int64_t first_position,
                   std::span<const int32_t> pages, Role role);

}  // namespace sluice::ops
