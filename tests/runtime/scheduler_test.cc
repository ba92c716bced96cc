#include "runtime/scheduler/scheduler.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "runtime/byte_tokenizer.h"

namespace sluice::runtime {
namespace {

std::unique_ptr<Sequence> sequence(int64_t prompt, int64_t processed, int32_t slot) {
  Request request;
  request.prompt.assign(static_cast<size_t>(prompt), 1);
  auto result = std::make_unique<Sequence>(1, request, nullptr, &test::byte_tokenizer());
  result->tokens = request.prompt;
  result->prompt_length = prompt;
  result->processed = processed;
  if (processed >= prompt) result->tokens.resize(static_cast<size_t>(processed + 1), 1);
  result->slot = slot;
  result->pages.assign(static_cast<size_t>(prompt / 64 + 8), slot);
  return result;
}

TEST(Scheduler, AnswersFirstThenPromptsOnTheGrid) {
  auto reading = sequence(300, 0, 0);
  auto answering = sequence(10, 12, 1);
  answering->drafts = {7, 8};
  answering->commit = 2;
  Sequence* both[] = {reading.get(), answering.get()};
  const StepPlan plan = schedule(both, 200);
  ASSERT_EQ(plan.segments.size(), 2u);
  EXPECT_TRUE(plan.segments[0].answer);
  EXPECT_EQ(plan.segments[0].row_count, 3);
  EXPECT_EQ(plan.batch.segments[0].commit, 2);
  EXPECT_EQ(plan.batch.rows[1].token, 7);
  EXPECT_EQ(plan.batch.rows[1].index, 13);
  EXPECT_EQ(plan.segments[1].row_count, 192) << "200 rows are cut down to the grid";
  EXPECT_EQ(plan.batch.answer_rows(), 3);
}

TEST(Scheduler, EveryPromptIsReadOnceInOrder) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    const int64_t length = 1 + random() % 500;
    const int64_t budget = 64 * (1 + random() % 4);
    auto one = sequence(length, 0, 0);
    Sequence* all[] = {one.get()};
    int64_t steps = 0;
    while (one->reading_prompt()) {
      const StepPlan plan = schedule(all, budget);
      ASSERT_EQ(plan.segments.size(), 1u);
      EXPECT_EQ(plan.batch.rows.front().index, one->processed);
      one->processed += plan.segments[0].row_count;
      EXPECT_TRUE(one->processed == length || one->processed % ops::kGrid == 0);
      ASSERT_LT(++steps, 100);
    }
    EXPECT_EQ(one->processed, length);
  }
}

TEST(Scheduler, APromptWaitsWhenTheRowsAreTaken) {
  auto first = sequence(64, 0, 0);
  auto second = sequence(64, 0, 1);
  Sequence* both[] = {first.get(), second.get()};
  EXPECT_EQ(schedule(both, 64).segments.size(), 1u);
  EXPECT_EQ(schedule(both, 128).segments.size(), 2u);
}

TEST(Scheduler, TheUrgentThenClientsInTurn) {
  std::vector<std::unique_ptr<Sequence>> all;
  for (int32_t slot = 0; slot < 4; ++slot) all.push_back(sequence(192, 0, slot));
  for (const auto& each : all) each->rows_before = 1000 * each->slot;  // came one after the other
  all[2]->request.client = "other";
  all[3]->request.priority = -1;
  std::vector<Sequence*> running;
  for (const auto& each : all) running.push_back(each.get());
  std::string order;
  for (int64_t step = 1; step <= 12; ++step) {
    const StepPlan plan = schedule(running, 64);
    const ScheduledSegment& segment = plan.segments.back();
    ASSERT_FALSE(segment.answer);
    order += static_cast<char>('a' + segment.sequence->slot);
    segment.sequence->processed += segment.row_count;
    segment.sequence->last_read = step;
  }
  EXPECT_EQ(order, "dddcacacabbb") << "d is urgent; c is the other client's";
}

TEST(Scheduler, AShortPromptPassesALongOneThatIsNotOvertakenForEver) {
  auto long_one = sequence(640, 0, 0);
  std::vector<std::unique_ptr<Sequence>> short_ones;
  int64_t rows_read = 0, waited = 0;
  for (int step = 0; step < 30 && long_one->reading_prompt(); ++step) {
    // A new short one each time.
    short_ones.push_back(sequence(64, 0, 1));
    short_ones.back()->rows_before = rows_read;
    std::vector<Sequence*> all = {long_one.get()};
    for (const auto& each : short_ones)
      if (each->reading_prompt()) all.push_back(each.get());
    const StepPlan plan = schedule(all, 64);
    ASSERT_EQ(plan.segments.size(), 1u);
    Sequence& read = *plan.segments[0].sequence;
    EXPECT_EQ(read.slot == 1, step < 9) << step;
    waited += read.slot == 1;
    read.processed += plan.segments[0].row_count;
    rows_read += plan.segments[0].row_count;
  }
  EXPECT_EQ(waited, 9) << "no more rows than its own";
}

}  // namespace
}  // namespace sluice::runtime
