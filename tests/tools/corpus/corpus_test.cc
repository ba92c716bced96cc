#include "tools/distill/corpus/corpus.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "tools/distill/corpus/scratch.h"
#include "tools/distill/corpus/subjects.h"

namespace sluice::tools::corpus {
namespace {

constexpr uint64_t kSeed = 7;
constexpr int64_t kPerKind = 600;

// All text of a sample, in order.
std::string all_text(const Sample& sample) {
  if (!sample.text.empty()) return sample.text;
  std::string text;
  for (const Json& message : sample.messages.items()) {
    if (const Json* thought = message.find("reasoning_content")) text += thought->string() + "\n";
    text += message.find("content")->string() + "\n";
    if (const Json* calls = message.find("tool_calls")) text += calls->dump() + "\n";
  }
  return text;
}

// Names of the pairs that the text works on: "347+285", "3471 + 2856"; lines of the working
// ("7+5+0=...") and options are no tasks.
std::set<std::string> pairs_in(const std::string& text) {
  static const std::regex task(R"((\d+) ?([-+*]) ?(\d+))");
  std::set<std::string> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(':') != std::string::npos && line.find('=') < line.find(':') &&
        line.find_first_not_of("0123456789+-*=:") == std::string::npos)
      continue;
    for (std::sregex_iterator match(line.begin(), line.end(), task), end; match != end; ++match)
      names.insert(
          pair_name(std::stoll((*match)[1]), (*match)[2].str()[0], std::stoll((*match)[3])));
  }
  return names;
}

TEST(Corpus, NoHeldOutPairOrWordingInTraining) {
  std::set<std::string> wordings[2], pairs[2];
  for (const Kind& kind : kinds()) {
    for (const Split split : {Split::kTrain, Split::kHeldOut}) {
      if (split == Split::kHeldOut && !kind.judged) continue;
      for (int64_t i = 0; i < kPerKind; ++i) {
        const Sample sample = make_sample(kind, split, kSeed, i);
        const auto side = static_cast<size_t>(split);
        wordings[side].insert(sample.wordings.begin(), sample.wordings.end());
        pairs[side].merge(pairs_in(all_text(sample)));
      }
    }
  }
  for (const std::string& name : wordings[0]) {
    EXPECT_FALSE(is_held_out(name)) << name;
    EXPECT_FALSE(wordings[1].contains(name)) << name;
  }
  for (const std::string& name : wordings[1]) EXPECT_TRUE(is_held_out(name)) << name;
  for (const std::string& name : pairs[0]) EXPECT_FALSE(is_held_out(name)) << name;
  size_t held_out_pairs = 0;
  for (const std::string& name : pairs[1]) held_out_pairs += is_held_out(name) ? 1 : 0;
  EXPECT_GT(wordings[0].size(), 2000u);
  EXPECT_GT(wordings[1].size(), 500u);
  EXPECT_GT(pairs[0].size(), 3000u);
  EXPECT_GT(held_out_pairs, 2000u);
}

// The scan above would see a held-out pair if there was one.
TEST(Corpus, TheScanSeesPairs) {
  EXPECT_EQ(pairs_in("What is 34 + 5?\n34+05\n4+5+0=9+0:9"), (std::set<std::string>{"+:5:34"}));
  EXPECT_EQ(pairs_in("90-12\n0-2-0=8-10:8"), (std::set<std::string>{"-:90:12"}));
}

// Nothing of a held-out wording is new by itself: its parts occur in training with other parts.
TEST(Corpus, PartsOfHeldOutWordingsOccurInTraining) {
  const auto parts_of = [](const std::string& name) {
    std::set<std::string> parts;
    std::istringstream stream(name);
    std::string family, part;
    std::getline(stream, family, '.');
    for (int position = 0; std::getline(stream, part, '.'); ++position)
      parts.insert(family + " " + std::to_string(position) + " " + part);
    return parts;
  };
  std::set<std::string> known;
  for (const Kind& kind : kinds()) {
    for (int64_t i = 0; i < 3000; ++i) {
      for (const std::string& name : make_sample(kind, Split::kTrain, kSeed, i).wordings)
        known.merge(parts_of(name));
    }
  }
  for (const Kind& kind : kinds()) {
    if (!kind.judged) continue;
    for (int64_t i = 0; i < kPerKind; ++i) {
      for (const std::string& name : make_sample(kind, Split::kHeldOut, kSeed, i).wordings) {
        for (const std::string& part : parts_of(name)) EXPECT_TRUE(known.contains(part)) << part;
      }
    }
  }
}

TEST(Corpus, SamplesAreWellFormed) {
  for (const Kind& kind : kinds()) {
    for (const Split split : {Split::kTrain, Split::kHeldOut}) {
      for (int64_t i = 0; i < 200 && (kind.judged || split == Split::kTrain); ++i) {
        const Sample sample = make_sample(kind, split, kSeed, i);
        if (!sample.text.empty()) continue;
        const auto& messages = sample.messages.items();
        SCOPED_TRACE(sample.line("x").dump());
        ASSERT_GE(messages.size(), 2u);
        EXPECT_EQ(messages.back().find("role")->string(), "assistant");
        EXPECT_FALSE(sample.check.is_null());
        ASSERT_GT(sample.prompt, 0u);
        ASSERT_LT(sample.prompt, messages.size());
        EXPECT_NE(messages[sample.prompt - 1].find("role")->string(), "assistant");
        const Json& judged = messages[sample.prompt];
        EXPECT_EQ(judged.find("role")->string(), "assistant");
        EXPECT_EQ(sample.check.find("type")->string() == "calls",
                  judged.find("tool_calls") != nullptr);
        EXPECT_EQ(judged.find("reasoning_content")->string().empty(), !sample.thinking);
      }
    }
  }
}

int64_t questions(const Sample& sample) {
  int64_t count = 0;
  for (const Json& message : sample.messages.items())
    count += message.find("role")->string() == "user" ? 1 : 0;
  return count;
}

// Several questions under one list of tools in training, one in an item; and where earlier turns
// are shown with their thoughts, all of them agree on whether there are any.
TEST(Corpus, ToolConversationsGoOnInTrainingOnly) {
  for (const char* name : {"one_call", "calls_in_a_row", "parallel_calls", "lookup", "echo"}) {
    const auto found = std::find_if(kinds().begin(), kinds().end(), [&](const Kind& kind) {
      return kind.name == std::string(name);
    });
    ASSERT_NE(found, kinds().end()) << name;
    int64_t several = 0;
    for (int64_t i = 0; i < 300; ++i) {
      EXPECT_EQ(questions(make_sample(*found, Split::kHeldOut, kSeed, i)), 1) << name;
      const Sample sample = make_sample(*found, Split::kTrain, kSeed, i);
      EXPECT_TRUE(sample.keep_thoughts);
      several += questions(sample) > 1 ? 1 : 0;
      for (const Json& message : sample.messages.items()) {
        if (message.find("role")->string() != "assistant") continue;
        EXPECT_EQ(message.find("reasoning_content")->string().empty(), !sample.thinking);
      }
    }
    EXPECT_GT(several, 100) << name;
    EXPECT_LT(several, 300) << name;
  }
}

// What has to be copied is not from a list that could be learned by heart: most made-up words occur
// once.
TEST(Corpus, MadeUpWordsAreMany) {
  std::set<std::string> words;
  for (int64_t i = 0; i < 1000; ++i) {
    Draw draw(kSeed, Split::kTrain, "words", i);
    words.insert(made_up_word(draw));
  }
  EXPECT_GT(words.size(), 950u);
}

std::string file_text(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Corpus, SameSeedSameBytes) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("corpus_test_" + std::to_string(::getpid()));
  const auto write = [&](const char* name, uint64_t seed) {
    const auto report =
        write_corpus(folder / name, {.seed = seed, .samples = 500, .held_out_items = 3});
    EXPECT_TRUE(report.ok());
    return file_text(folder / name / "train.jsonl") + file_text(folder / name / "held_out.jsonl");
  };
  const std::string first = write("a", 1);
  EXPECT_GT(first.size(), 100'000u);
  EXPECT_EQ(first, write("b", 1));
  EXPECT_NE(first, write("c", 2));
  // Only some kinds.
  const auto some = write_corpus(
      folder / "some", {.seed = 1, .samples = 40, .held_out_items = 2, .kinds = {"echo", "fact"}});
  ASSERT_TRUE(some.ok());
  EXPECT_EQ(some->samples.size(), 2u);
  EXPECT_EQ(some->held_out, 4);
  EXPECT_FALSE(write_corpus(folder / "d", {.seed = 1, .samples = 1, .kinds = {"ecko"}}).ok());
  // Files that are there stay, unless told otherwise.
  EXPECT_FALSE(write_corpus(folder / "a", {.seed = 1, .samples = 1}).ok());
  EXPECT_TRUE(write_corpus(folder / "a", {.seed = 1, .samples = 1, .overwrite = true}).ok());
  std::filesystem::remove_all(folder);
}

// More samples, other kinds or counts do not change a sample.
TEST(Corpus, ASampleDependsOnItsOwnNumberOnly) {
  const Kind& kind = kinds()[0];
  const std::string tenth = make_sample(kind, Split::kTrain, kSeed, 10).line("x").dump();
  make_sample(kinds()[1], Split::kTrain, kSeed, 10);
  EXPECT_EQ(make_sample(kind, Split::kTrain, kSeed, 10).line("x").dump(), tenth);
  EXPECT_NE(make_sample(kind, Split::kTrain, kSeed, 11).line("x").dump(), tenth);
}

TEST(Fill, Keys) {
  EXPECT_EQ(fill("{a} and {b}, {a}", {{"a", "x"}, {"b", "{a}"}}), "x and {a}, x");
  EXPECT_ANY_THROW(fill("{c}", {{"a", "x"}}));
}

}  // namespace
}  // namespace sluice::tools::corpus
