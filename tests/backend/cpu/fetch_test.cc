// How the distances of software prefetch are chosen, named and forced; and that none of them
// changes a bit.
#include "backend/cpu/fetch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/fetch_tuning.h"
#include "backend/matmul_matrices.h"

namespace sluice::cpu {
namespace {

constexpr FetchDistance kNone = {}, kNear = {0, 1024}, kBoth = {4096, 1024};
constexpr FetchDistance kThree[] = {kNone, kNear, kBoth};

// A machine on which each distance takes so many milliseconds, times what `noise` says of a run.
struct FakeMachine {
  double none = 1, near = 1, both = 1;
  std::function<double(int run)> noise = [](int) { return 1.0; };
  int runs = 0;

  double seconds(const FetchDistance& distance) {
    const double time = distance == kNone ? none : distance == kNear ? near : both;
    return time * noise(runs++) * 1e-3;
  }
  FetchDistance chosen(double budget = 1) {
    return choose_fetch(kThree, budget,
                        [&](const FetchDistance& distance) { return seconds(distance); });
  }
};

TEST(ChooseFetch, TakesTheFastestIfItIsClearlyFaster) {
  EXPECT_EQ(FakeMachine({.near = 0.9, .both = 0.8}).chosen(), kBoth);
  EXPECT_EQ(FakeMachine({.near = 0.9, .both = 0.95}).chosen(), kNear);
  EXPECT_EQ(FakeMachine({.near = 1.2, .both = 0.96}).chosen(), kBoth);
}

TEST(ChooseFetch, TakesNoneForTiesLossesAndSmallGains) {
  EXPECT_EQ(FakeMachine().chosen(), kNone);
  EXPECT_EQ(FakeMachine({.near = 1.1, .both = 1.3}).chosen(), kNone);
  EXPECT_EQ(FakeMachine({.near = 0.98, .both = 0.975}).chosen(), kNone);
}

TEST(ChooseFetch, AFewDisturbedRunsChangeNothing) {
  // Every fourth run takes three times as long, whichever it hits.
  const auto disturbed = [](int run) { return run % 4 == 1 ? 3.0 : 1.0; };
  EXPECT_EQ(FakeMachine({.noise = disturbed}).chosen(), kNone);
  EXPECT_EQ(FakeMachine({.near = 0.9, .noise = disturbed}).chosen(), kNear);
  // A machine that gets slower from run to run.
  EXPECT_EQ(FakeMachine({.near = 0.9, .noise = [](int run) { return 1 + 0.005 * run; }}).chosen(),
            kNear);
}

TEST(ChooseFetch, ALuckyWinnerMustWinAgain) {
  // "near" is faster in the first rounds of three, and no more afterwards.
  FakeMachine machine;
  machine.noise = [](int run) { return run < 15 && run % 3 == 1 ? 0.8 : 1.0; };
  EXPECT_EQ(machine.chosen(), kNone);
  EXPECT_GT(machine.runs, 15);
}

TEST(ChooseFetch, WhenTheBudgetIsSpentOnlyMuchLessCounts) {
  // One round says nothing.
  FakeMachine once{.none = 100, .near = 50, .both = 50};
  EXPECT_EQ(once.chosen(0.15), kNone);
  EXPECT_EQ(once.runs, 3);
  // Two rounds, with small gains and with large ones.
  FakeMachine small{.none = 100, .near = 90, .both = 100};
  EXPECT_EQ(small.chosen(0.4), kNone);
  EXPECT_EQ(small.runs, 6);
  EXPECT_EQ(FakeMachine({.none = 100, .near = 100, .both = 80}).chosen(0.4), kBoth);
  // A busy machine, where two runs of three are interrupted for longer than they take.
  FakeMachine busy{.near = 0.5, .noise = [](int run) { return run % 5 < 3 ? 8.0 : 1.0; }};
  EXPECT_EQ(busy.chosen(0.04), kNear);
}

TEST(FetchNames, AreReadBack) {
  for (const FetchDistance& distance : fetch_candidates()) {
    const auto parsed = parse_fetch(fetch_name(distance));
    ASSERT_TRUE(parsed.ok()) << fetch_name(distance);
    EXPECT_EQ(parsed.value(), distance);
  }
  EXPECT_EQ(fetch_candidates()[0], kNone);
  for (const char* wrong : {"", "0", "-64", "100", "1024+", "+1024", "131072", "far", "1024 "}) {
    const auto parsed = parse_fetch(wrong);
    ASSERT_FALSE(parsed.ok()) << wrong;
    EXPECT_NE(parsed.error().message().find("FAR+NEAR"), std::string::npos);
  }
  FetchDistances distances;
  EXPECT_EQ(fetch_names(distances), "none");
  distances.of(CodeKind::kSix, 1) = kNear;
  distances.of(CodeKind::kSix, 2) = kBoth;
  distances.attention = kBoth;
  EXPECT_EQ(fetch_names(distances), "six 1024, six tiles 4096+1024, attention 4096+1024");
}

class SluicePrefetch : public testing::Test {
 protected:
  void TearDown() override { ::unsetenv("SLUICE_PREFETCH"); }
};

TEST_F(SluicePrefetch, ForcesOrFails) {
  ::setenv("SLUICE_PREFETCH", "4096+1024", 1);
  const auto forced = create_cpu_backend({});
  ASSERT_TRUE(forced.ok());
  EXPECT_NE(forced.value()->info().prefetch.find("byte 4096+1024"), std::string::npos);
  ::setenv("SLUICE_PREFETCH", "soon", 1);
  const auto wrong = create_cpu_backend({});
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, ErrorCode::kUsage);
  ::setenv("SLUICE_PREFETCH", "", 1);
  const auto unset = create_cpu_backend({});
  ASSERT_TRUE(unset.ok());
  EXPECT_EQ(unset.value()->info().prefetch, "none");
}

// Matrices as a model's, far smaller than any cache.
struct SmallModel {
  std::vector<std::unique_ptr<ops::Matrix>> owned;
  std::vector<const ops::Matrix*> products;

  explicit SmallModel(ops::Backend& backend) {
    for (const test::MatrixForm& form : test::all_forms()) {
      const test::RandomMatrix source(form, 48, 1536, 5);
      owned.push_back(
          std::move(backend.load_matrix(source.encoded(), ops::MatrixUse::kProduct)).value());
      products.push_back(owned.back().get());
    }
  }
};

TEST(MeasuredFetch, IsNoneForASmallModelAndKeptWhereForced) {
  const auto backend = std::move(create_cpu_backend({.threads = 2})).value();
  backend->tune(SmallModel(*backend).products);
  EXPECT_EQ(backend->info().prefetch, "none");
  const auto forced = std::move(create_cpu_backend({.fetch = kNear})).value();
  const std::string before = forced->info().prefetch;
  forced->tune(SmallModel(*forced).products);
  EXPECT_EQ(forced->info().prefetch, before);
}

// What it finds is the machine's; that it reads all kinds of weights without harm is ours.
TEST(MeasuredFetch, RunsOverEveryKind) {
  ThreadPool pool(2);
  for (const InstructionSet set : {supported_instruction_sets().back()}) {
    std::vector<std::unique_ptr<ops::Matrix>> owned;
    std::vector<const PackedMatrix*> matrices;
    for (const char* name : {"q4_k", "q6_k", "bf16", "mxfp8"}) {
      for (const test::MatrixForm& form : test::all_forms()) {
        if (form.name != name) continue;
        const test::RandomMatrix source(form, 520, 1536, 5);
        owned.push_back(
            std::move(pack_matrix(source.encoded(), set, ops::ActivationMode::kWide, pool))
                .value());
        matrices.push_back(&static_cast<const PackedMatrix&>(*owned.back()));
      }
    }
    ASSERT_GE(matrices.size(), 3u);
    const FetchDistances found = measure_fetch(matrices, 1, attention_kernels(set), pool);
    for (const auto& of_rows : {found.products, found.tiles}) {
      for (const FetchDistance& distance : of_rows) {
        EXPECT_NE(std::find(fetch_candidates().begin(), fetch_candidates().end(), distance),
                  fetch_candidates().end());
      }
    }
  }
}

// Equal bits over tails of rows and columns; asking behind the last matrix is harmless.
TEST(ForcedFetch, ChangesNoBitOfProducts) {
  constexpr int64_t kMostRows = 14;  // more than a tile of any set
  ThreadPool pool(2);
  for (const InstructionSet set : supported_instruction_sets()) {
    for (const test::MatrixForm& form : test::all_forms()) {
      for (const ops::ActivationMode mode :
           {ops::ActivationMode::kWide, ops::ActivationMode::kDigit}) {
        const int64_t n = 37, columns = (416 / form.column_step + 1) * form.column_step;
        const test::RandomMatrix source(form, n, columns, 7);
        const auto weight = std::move(pack_matrix(source.encoded(), set, mode, pool)).value();
        test::Random random(9);
        std::vector<float> x(static_cast<size_t>(kMostRows * columns));
        for (float& value : x) value = random.normal();
        std::vector<std::byte> scratch(matmul_scratch_bytes(kMostRows, columns));
        for (const int64_t rows : {int64_t{1}, int64_t{2}, int64_t{3}, kMostRows}) {
          const auto product = [&](const FetchDistance& distance) {
            std::vector<float> out(static_cast<size_t>(rows * n));
            const DenseProduct products[] = {{weight.get(), out.data(), n}};
            matmul(x.data(), rows, columns, columns, rows, products, scratch, pool,
                   FetchDistances::all(distance));
            return out;
          };
          const std::vector<float> expected = product(kNone);
          for (const FetchDistance& distance : {kNear, kBoth, FetchDistance{65536, 65536}}) {
            const std::vector<float> out = product(distance);
            EXPECT_EQ(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)), 0)
                << instruction_set_name(set) << " " << form.name << " " << rows;
          }
        }
      }
    }
  }
}

TEST(ForcedFetch, ChangesNoBitOfAttention) {
  constexpr int64_t kHeads = 5, kDim = 72;
  test::Random random(11);
  for (const InstructionSet set : supported_instruction_sets()) {
    const AttentionKernels& kernels = attention_kernels(set);
    for (const ops::KvFormat format :
         {ops::KvFormat::kF32, ops::KvFormat::kBF16, ops::KvFormat::kFp8}) {
      // Codes of ordinary size in every format: 0.5 to 2.
      const size_t bytes = kDim * ops::kGrid * 4;
      std::vector<std::byte> keys(bytes, std::byte{0x3f}), values(bytes, std::byte{0x3f});
      std::vector<float> queries(kHeads * kDim);
      for (float& value : queries) value = random.normal();
      const auto attend = [&](const FetchDistance& distance) {
        const PageView page = {keys.data(), values.data(), format, kDim, 0.1f, distance};
        std::vector<SoftmaxState> states(kHeads, SoftmaxState{-1e30f, 0});
        std::vector<float> out(kHeads * kDim, 0.0f);
        kernels.attend_page(page, queries.data(), kHeads, 3, 61, states.data(), out.data());
        return out;
      };
      EXPECT_EQ(attend(kNone), attend(kBoth)) << instruction_set_name(set);
    }
  }
}

}  // namespace
}  // namespace sluice::cpu
