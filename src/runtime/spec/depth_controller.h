// How many drafts a sequence verifies at a time: from how many of its own held, and from what steps
// cost on this machine (docs/decisions/draft-depth.md). It moves time only, never an answer.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace sluice::runtime {

// What steps cost, in milliseconds; one for all sequences of an engine. Whoever owns the engine
// tells the time, so that tests can say what it is.
class StepCosts {
 public:
  // A step that verified `rows` rows of answers and read no prompt.
  void on_verified(int64_t rows, double ms);
  // A run of the draft head after such a step, with so many passes that made proposals.
  void on_drafted(int passes, double ms);

  // Numbers of rows that were measured often enough to be believed.
  int known() const;
  // Between measured numbers of rows and beyond them: on the line through the nearest two.
  double verify_ms(int64_t rows) const;
  double draft_ms(int passes) const;

 private:
  struct Measured {
    double ms = 0;
    int64_t samples = 0;
    void add(double sample);
  };
  std::map<int64_t, Measured> verified_;  // by rows
  Measured idle_, pass_;                  // the head without proposals; one pass more
};

// Shares of drafts that held, by their position, given that those before them held. Old ones fade.
class Acceptance {
 public:
  // Begins as if `weight` drafts of each position had been seen.
  Acceptance(int positions, double share, double weight, double memory);
  Acceptance(const Acceptance& like, double weight, double memory);

  void on_verified(int proposed, int held);
  void forget(double share, double weight);
  double share(int position) const;
  // Tokens that a step gives on average: the drafts that hold, and the one that is drawn anyway.
  double tokens(int depth) const;

 private:
  struct Position {
    double reached = 0, held = 0;
  };
  std::vector<Position> positions_;
  double memory_;  // weight of the past against one new draft
};

// Whether the head is any use at all, over all sequences; says so once.
class HeadHealth {
 public:
  void on_verified(int proposed, int held);
  // True once: so many drafts in a row of the newest held so seldom that something is wrong.
  bool newly_dead();
  double share() const { return first_.share(0); }

 private:
  Acceptance first_{1, 0.5, 4, 0.98};
  int64_t seen_ = 0;
  bool told_ = false;
};

// The rest of the step that a sequence's drafts would be verified in.
struct Company {
  int64_t rows = 0;   // of the other sequences
  double tokens = 0;  // that they will give
  int passes = 0;     // of the head, for the deepest of them
};

// One per sequence. Between steps: on_verified() with what became of the drafts, then choose().
//
// It takes the depth with the most tokens per millisecond for the whole step. Where no draft is
// worth its row it is off, and tries a few again after a while; the while doubles each time that
// they fail. Now and then it steps one deeper or shallower, so that what it knows does not grow
// old.
class DepthController {
 public:
  DepthController(int most, const Acceptance& shared);

  void on_verified(int proposed, int held);
  int choose(const StepCosts& costs, const Company& company);
  int depth() const { return depth_; }
  double tokens() const { return acceptance_.tokens(depth_); }  // expected of the next step

 private:
  int best(const StepCosts& costs, const Company& company) const;
  int choose_while_off(int best);

  const int most_;
  Acceptance acceptance_;
  int depth_ = 0, settled_ = 0;  // of the next step; without excursions
  bool off_ = false;
  int64_t steps_ = 0;        // since the last excursion, or since it went off
  int64_t quiet_;            // steps to stay off
  int trial_ = 0;            // steps left of a trial
  bool deeper_next_ = true;  // the next excursion's direction
};

}  // namespace sluice::runtime
