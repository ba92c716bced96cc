#include "tools/bench/peer.h"

#include <gtest/gtest.h>

namespace sluice::tools {
namespace {

using Words = std::vector<std::string>;

TEST(SplitCommand, BlanksQuotesAndBackslashes) {
  EXPECT_EQ(*split_command("  a  b\tc "), (Words{"a", "b", "c"}));
  EXPECT_EQ(*split_command("a 'b  c' \"d e\"f"), (Words{"a", "b  c", "d ef"}));
  EXPECT_EQ(*split_command("a\\ b \"\\\"\" '\\'"), (Words{"a b", "\"", "\\"}));
  EXPECT_EQ(*split_command("a '' b"), (Words{"a", "", "b"}));
  EXPECT_EQ(*split_command("echo $HOME; rm *"), (Words{"echo", "$HOME;", "rm", "*"}));
}

TEST(SplitCommand, RefusesWhatIsNoCommand) {
  EXPECT_EQ(split_command("").error().code, ErrorCode::kUsage);
  EXPECT_EQ(split_command("   ").error().code, ErrorCode::kUsage);
  EXPECT_EQ(split_command("a 'b").error().code, ErrorCode::kUsage);
  EXPECT_EQ(split_command("a \"b'").error().code, ErrorCode::kUsage);
}

TEST(RunPeer, StatusAndOutputOfBothStreams) {
  const auto run = run_peer({"sh", "-c", "echo one; echo two >&2; exit 3"}, 60);
  ASSERT_TRUE(run.ok()) << run.error().message();
  EXPECT_EQ(run->exit_status, 3);
  EXPECT_EQ(run->output, "one\ntwo\n");
  EXPECT_FALSE(run->timed_out);
  EXPECT_GT(run->seconds, 0);
}

TEST(RunPeer, ReadsNothing) {
  const auto run = run_peer({"cat"}, 60);
  ASSERT_TRUE(run.ok()) << run.error().message();
  EXPECT_EQ(run->exit_status, 0);
  EXPECT_EQ(run->output, "");
}

TEST(RunPeer, ASignalIsAStatus) {
  const auto run = run_peer({"sh", "-c", "kill -TERM $$"}, 60);
  ASSERT_TRUE(run.ok()) << run.error().message();
  EXPECT_EQ(run->exit_status, 128 + 15);
}

TEST(RunPeer, KeepsTheEndOfALongOutput) {
  const auto run = run_peer({"sh", "-c", "seq 1 300000; echo last"}, 60);
  ASSERT_TRUE(run.ok()) << run.error().message();
  EXPECT_TRUE(run->output.ends_with("300000\nlast\n"));
  EXPECT_LT(run->output.size(), size_t{1} << 20);
}

TEST(RunPeer, AMissingProgramIsNamed) {
  const auto run = run_peer({"no-such-program-anywhere"}, 60);
  ASSERT_FALSE(run.ok());
  EXPECT_EQ(run.error().code, ErrorCode::kUsage);
  EXPECT_EQ(run.error().what, "no-such-program-anywhere");
  EXPECT_NE(run.error().why.find("No such file"), std::string::npos) << run.error().why;
}

// The first keeps its output open, the second closes it, the third has started another program.
TEST(RunPeer, ATimeoutEndsIt) {
  for (const char* script :
       {"sleep 60", "exec >/dev/null 2>&1; sleep 60", "sleep 60 & sleep 60; wait"}) {
    const auto run = run_peer({"sh", "-c", script}, 0.05);
    ASSERT_TRUE(run.ok()) << run.error().message();
    EXPECT_TRUE(run->timed_out) << script;
    EXPECT_EQ(run->exit_status, 128 + 9) << script;
    EXPECT_LT(run->seconds, 30) << script;
  }
}

TEST(NumberBehind, TheLastPlaceCounts) {
  EXPECT_EQ(number_behind("tg32 | 5.5\ntg32 | 6.25 ± 0.1\n", "tg32 |"), 6.25);
  EXPECT_EQ(number_behind("speed: about 7 tokens", "speed:"), 7.0);
  EXPECT_EQ(number_behind("speed: none", "speed:"), std::nullopt);
  EXPECT_EQ(number_behind("7", "speed:"), std::nullopt);
  EXPECT_EQ(number_behind("speed 1", ""), std::nullopt);
}

}  // namespace
}  // namespace sluice::tools
