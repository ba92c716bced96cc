// How many rows of prompts a step may read while answers are running, so that these keep their
// pace; and how long what is known of prompts may be read from disk.
#pragma once

#include <cstdint>

namespace sluice::runtime {

// Answers keep a third of the pace that they have alone; prompts get the other two, measured in
// time over many steps, because a prompt can be cut on the grid only and on a CPU one piece of the
// grid may cost as much as ten steps of answers. It moves time only, never an answer.
//
// Two thirds: a prompt takes half as long again as on a machine of its own. An equal share would
// double the time to the first token for a pace that nobody reads at.
class PromptPace {
 public:
  // `most_rows`: of one step, a multiple of ops::kGrid. Without `keep` every step has that many.
  PromptPace(int64_t most_rows, bool keep);

  // Rows for the next step, a multiple of the grid; 0 while the answers are owed time.
  int64_t rows(bool answers_running) const;

  // Milliseconds for reading from disk before the next step; 0 while the answers are owed time.
  // Whoever reads tells how many it took.
  double fetch_ms(bool answers_running) const;
  void on_fetch(double ms) { owed_ms_ += ms; }

  // A step that took `ms`.
  void on_step(bool answers_running, int64_t prompt_rows, double ms);

 private:
  void note_reading(int64_t rows, double ms);

  static constexpr double kPromptShare = 2;  // of time, for each of the answers' own

  const int64_t most_rows_;
  const bool keep_;
  double answers_ms_ = 0;  // a step that reads no prompt; 0: not known yet
  double row_ms_ = 0;      // what a row of a prompt adds
  double owed_ms_ = 0;     // that prompts have had beyond their share
};

}  // namespace sluice::runtime
