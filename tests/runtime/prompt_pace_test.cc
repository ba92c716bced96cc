#include "runtime/scheduler/prompt_pace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace sluice::runtime {
namespace {

// A machine on which a step of answers takes `answers` ms and a row of a prompt `row` ms more.
struct Machine {
  double answers, row;
  double prompt_ms = 0, answer_ms = 0;
  int64_t rows = 0, steps = 0, most_in_a_step = 0;

  void run(PromptPace& pace, int count) {
    for (int i = 0; i < count; ++i) {
      const int64_t read = pace.rows(true);
      const double reading = row * static_cast<double>(read);
      pace.on_step(true, read, answers + reading);
      prompt_ms += reading;
      answer_ms += answers;
      rows += read;
      most_in_a_step = std::max(most_in_a_step, read);
    }
    steps += count;
  }
};

TEST(PromptPace, AnswersKeepAThirdWhateverThingsCost) {
  for (const Machine& kind :
       {Machine{115, 27}, Machine{10, 0.1}, Machine{1, 50}, Machine{100, 0.5}}) {
    Machine machine = kind;
    PromptPace pace(512, true);
    machine.run(pace, 20'000);
    const double share = machine.prompt_ms / machine.answer_ms;
    EXPECT_LT(share, 2.1) << kind.answers << " and " << kind.row;
    // All that is theirs, unless every step has the most rows that there can be.
    if (machine.most_in_a_step < 512) {
      EXPECT_GT(share, 1.8) << kind.answers << " and " << kind.row;
    }
  }
}

TEST(PromptPace, PiecesAreOfTheGridAndAsSmallAsTheyMustBe) {
  Machine slow{115, 27};
  PromptPace pace(512, true);
  slow.run(pace, 1000);
  EXPECT_EQ(slow.most_in_a_step, 64);
  Machine fast{100, 0.5};
  PromptPace other(512, true);
  fast.run(other, 1000);
  EXPECT_EQ(other.rows(true) % 64, 0);
  EXPECT_EQ(fast.most_in_a_step, 384) << "200 ms are 400 rows";
}

TEST(PromptPace, WhatIsFetchedCountsAsPrompt) {
  PromptPace pace(512, true);
  EXPECT_EQ(pace.fetch_ms(true), 0) << "nothing is known yet";
  pace.on_step(true, 0, 10);
  EXPECT_EQ(pace.fetch_ms(true), 20);
  pace.on_fetch(30);
  EXPECT_EQ(pace.fetch_ms(true), 0);
  EXPECT_EQ(pace.rows(true), 0);
  pace.on_step(true, 0, 10);
  EXPECT_EQ(pace.rows(true), 0) << "ten of the thirty are still owed";
  pace.on_step(true, 0, 10);
  EXPECT_EQ(pace.fetch_ms(true), 20);
  EXPECT_EQ(pace.rows(true), 64);
  for (const double unbounded : {pace.fetch_ms(false), PromptPace(512, false).fetch_ms(true)})
    EXPECT_EQ(unbounded, std::numeric_limits<double>::infinity());
}

TEST(PromptPace, WithoutAnswersAndWithoutBeingAskedAllRows) {
  PromptPace pace(256, true);
  EXPECT_EQ(pace.rows(false), 256);
  EXPECT_EQ(pace.rows(true), 64) << "nothing is known yet";
  pace.on_step(true, 64, 5000);
  EXPECT_EQ(pace.rows(true), 0) << "the answers are owed time";
  EXPECT_EQ(pace.rows(false), 256);
  pace.on_step(false, 256, 100);
  EXPECT_GT(pace.rows(true), 0) << "nobody is owed anything";
  PromptPace careless(256, false);
  careless.on_step(true, 256, 5000);
  EXPECT_EQ(careless.rows(true), 256);
}

TEST(PromptPace, TheEndOfAPromptTellsNothingAboutARow) {
  PromptPace pace(512, true);
  pace.on_step(true, 0, 100);
  pace.on_step(false, 512, 512);  // 1 ms each
  EXPECT_EQ(pace.rows(true), 192);
  pace.on_step(true, 3, 190);
  EXPECT_EQ(pace.rows(true), 192);
}

}  // namespace
}  // namespace sluice::runtime
