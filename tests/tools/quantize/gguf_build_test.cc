// GGUF builds against llama.cpp's own: every tensor's type and bytes.
#include "tools/quantize/gguf_build.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/paths.h"
#include "support/zstd_file.h"
#include "tools/quantize/golden_hashes.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using quantize::DraftHead;
using quantize::GgufRequest;

GgufRequest request_for(const std::string& mixture, DraftHead draft = DraftHead::kSame) {
  GgufRequest request;
  request.mixture = quantize::find_mixture(mixture);
  request.draft = draft;
  return request;
}

// Names, types and bytes of `file` are those of the golden file of that name.
void expect_golden(const fs::path& file, const Json& golden, const std::string& name) {
  const auto opened = checkpoint::Checkpoint::open(file);
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  const Json& expected = *golden.find(name);
  EXPECT_EQ(opened->tensors().size(), expected.members().size());
  for (const auto& [tensor, facts] : expected.members()) {
    const checkpoint::StoredTensor* stored = opened->find(tensor);
    if (stored == nullptr) {
      ADD_FAILURE() << name << ": no " << tensor;
      continue;
    }
    EXPECT_EQ(dtype_name(stored->dtype), facts.items()[0].string()) << name << " " << tensor;
    EXPECT_EQ(test::short_hash(stored->bytes), facts.items()[1].string()) << name << " " << tensor;
  }
}

struct Case {
  std::string model, mixture, golden, importance;
};

void PrintTo(const Case& value, std::ostream* out) { *out << value.golden; }

class GgufGolden : public testing::TestWithParam<Case> {};

TEST_P(GgufGolden, HasItsTypesAndBytes) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens/gguf");
  const test::TemporaryFolder folder;
  const Case& one = GetParam();
  const fs::path source = one.model == "r2" ? test::unpack_r2(goldens, folder.path())
                                            : test::unpack_r3(goldens, folder.path());
  GgufRequest request = request_for(one.mixture);
  std::optional<checkpoint::ImportanceMatrix> importance;
  if (!one.importance.empty()) {
    auto opened = checkpoint::ImportanceMatrix::open(goldens / one.importance);
    ASSERT_TRUE(opened.ok());
    importance = std::move(*opened);
    request.importance = &*importance;
    request.importance_file = one.importance;
  }
  const fs::path out = folder.path() / "out.gguf";
  test::build(source, out, request);
  expect_golden(out, test::golden_tensors(goldens), one.golden);
}

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const std::string model : {"r2", "r3"}) {
    out.push_back({model, "bf16", model + "-bf16", ""});
    out.push_back({model, "f16", model + "-f16", ""});
    for (const auto& [mixture, name] : {std::pair<std::string, std::string>{"q8_0", "Q8_0"},
                                        {"q6_k", "Q6_K"},
                                        {"q5_k_m", "Q5_K_M"},
                                        {"q4_k_m", "Q4_K_M"},
                                        {"q3_k_m", "Q3_K_M"},
                                        {"iq4_xs", "IQ4_XS"},
                                        {"q4_0", "Q4_0"}}) {
      out.push_back({model, mixture, model + "-" + name, ""});
      if (mixture != "q8_0")
        out.push_back({model, mixture, model + "-" + name + "-imat", model + "-imatrix.gguf"});
    }
    out.push_back({model, "q4_k_m", model + "-Q4_K_M-imatdat", model + "-imatrix.dat"});
  }
  for (const auto& [mixture, name] : {std::pair<std::string, std::string>{"q4_k_s", "Q4_K_S"},
                                      {"iq4_nl", "IQ4_NL"},
                                      {"q5_0", "Q5_0"},
                                      {"q5_1", "Q5_1"},
                                      {"q4_1", "Q4_1"}})
    out.push_back({"r3", mixture, "r3-" + name, ""});
  return out;
}

INSTANTIATE_TEST_SUITE_P(Llama, GgufGolden, testing::ValuesIn(cases()), [](const auto& one) {
  std::string name = one.param.golden;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(GgufBuild, WithoutTheDraftHeadIsLlamasFileWithout) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens/gguf");
  const test::TemporaryFolder folder;
  const fs::path out = folder.path() / "out.gguf";
  test::build(test::unpack_r3(goldens, folder.path()), out, request_for("bf16", DraftHead::kNone));
  expect_golden(out, test::golden_tensors(goldens), "r3-nomtp-bf16");
  const auto opened = checkpoint::Checkpoint::open(out);
  ASSERT_TRUE(opened.ok());
  const auto binding = model::bind(*opened);
  ASSERT_TRUE(binding.ok());
  EXPECT_TRUE(binding->runnable);
  EXPECT_FALSE(binding->mtp_present);
}

// Keys and values of the metadata that llama.cpp's converter wrote for the same checkpoint.
TEST(GgufBuild, MetadataAreTheConverters) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens/gguf");
  const test::TemporaryFolder folder;
  const fs::path source = test::unpack_r2(goldens, folder.path());
  const fs::path out = folder.path() / "out.gguf";
  test::build(source, out, request_for("q8_0"));
  const auto ours = checkpoint::Checkpoint::open(out);
  const auto theirs =
      checkpoint::Checkpoint::open(test::unpack_zstd(goldens / "r2-Q8_0.gguf.zst", folder.path()));
  ASSERT_TRUE(ours.ok() && theirs.ok());
  for (size_t i = 0; i < theirs->gguf()->entries().size(); ++i) {
    const auto& [key, value] = theirs->gguf()->entries()[i];
    if (key == "general.name") continue;  // theirs is the folder's name at the time
    const checkpoint::GgufValue* own = ours->gguf()->find(key);
    if (own == nullptr) {
      ADD_FAILURE() << "no " << key;
      continue;
    }
    EXPECT_TRUE(*own == value) << key;
  }
  EXPECT_EQ(ours->gguf()->entries().size(), theirs->gguf()->entries().size());
}

TEST(GgufBuild, KeepsTheDraftHeadInBf16UnlessTold) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens/gguf");
  const test::TemporaryFolder folder;
  const fs::path out = folder.path() / "out.gguf";
  test::build(test::unpack_r3(goldens, folder.path()), out, request_for("q4_0", DraftHead::kBf16));
  const auto opened = checkpoint::Checkpoint::open(out);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened->find("blk.8.ffn_up.weight")->dtype, DType::kBF16);
  EXPECT_EQ(opened->find("blk.8.nextn.eh_proj.weight")->dtype, DType::kBF16);
  EXPECT_EQ(opened->find("blk.8.attn_norm.weight")->dtype, DType::kF32);
  EXPECT_EQ(opened->find("blk.7.ffn_up.weight")->dtype, DType::kQ4_0);
}

}  // namespace
}  // namespace sluice
