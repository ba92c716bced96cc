// The quantized checkpoints of ../shared/goldens/formats, as the formats' own tools wrote them:
// every matrix bound under its format, bit for bit the tools' values, and the logits of the
// dequantized model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "codec/codec.h"
#include "model/golden.h"
#include "model/session.h"
#include "support/paths.h"
#include "support/sha256.h"

namespace sluice::test {
namespace {

struct FormatCase {
  const char* folder;
  std::map<std::string, ActivationScheme>
      formats;  // of the quantized matrices, and what the recipe does to inputs
  bool draft_head = false;
  bool kv_scales = false, fp8_kv = false;
  // llm-compressor saves the norms as bf16(bf16(1 + w) - 1); the golden logits are those of the
  // original norms. This folder has them: another tool's build of the same base.
  const char* original_norms = nullptr;
};

void PrintTo(const FormatCase& format, std::ostream* out) { *out << format.folder; }

using enum ActivationScheme;

// Copies a checkpoint folder and overwrites its norms with those of `donor`. How many tensors
// changed.
int restore_norms(const std::filesystem::path& folder, const std::filesystem::path& donor,
                  const std::filesystem::path& out) {
  std::filesystem::copy(folder, out);
  const auto source = checkpoint::Checkpoint::open(donor);
  const auto target = checkpoint::Checkpoint::open(folder);
  if (!source.ok() || !target.ok()) return -1;
  int changed = 0;
  for (const checkpoint::StoredTensor& tensor : target->tensors()) {
    if (tensor.name.find("norm.weight") == std::string::npos || tensor.name.starts_with("mtp."))
      continue;
    const checkpoint::StoredTensor* original = source->find(tensor.name);
    if (original == nullptr || original->bytes.size() != tensor.bytes.size()) continue;
    if (std::equal(original->bytes.begin(), original->bytes.end(), tensor.bytes.begin())) continue;
    const std::filesystem::path file =
        out / target->files()[static_cast<size_t>(tensor.file)].filename();
    std::filesystem::permissions(file, std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(tensor.bytes.data() - target->mapping(tensor).bytes().data());
    stream.write(reinterpret_cast<const char*>(original->bytes.data()),
                 static_cast<std::streamsize>(original->bytes.size()));
    ++changed;
  }
  return changed;
}

class Formats : public ::testing::TestWithParam<FormatCase> {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_SHARED(folder, std::string("goldens/formats/") + GetParam().folder);
    folder_ = folder;
  }
  std::filesystem::path folder_;
};

TEST_P(Formats, BindWithoutAProblem) {
  const Session session(folder_);
  const model::Binding& binding = *session.binding;
  EXPECT_TRUE(binding.runnable);
  for (const model::Problem& problem : binding.problems) {
    // Nothing but the note that a head is announced and absent, where the base has none.
    EXPECT_EQ(problem.severity, model::Problem::Severity::kNote)
        << problem.tensor << ": " << problem.message;
  }
  EXPECT_EQ(binding.mtp_present, GetParam().draft_head);
  EXPECT_EQ(binding.mtp_usable, GetParam().draft_head);
  EXPECT_TRUE(binding.vision_present || std::string(GetParam().folder) == "fp8-block-edge");
  EXPECT_EQ(!binding.key_scales.empty(), GetParam().kv_scales);
  EXPECT_EQ(binding.fp8_kv_announced, GetParam().fp8_kv);
  if (GetParam().kv_scales) {
    ASSERT_EQ(binding.key_scales.size(), binding.value_scales.size());
    EXPECT_EQ(static_cast<int64_t>(binding.key_scales.size()),
              binding.config.attention_layers() + (binding.mtp_present ? 1 : 0));
    EXPECT_NE(binding.key_scales.front(), 1.0f);
    EXPECT_NE(binding.value_scales.front(), 1.0f);
  }
  std::map<std::string, ActivationScheme> seen;
  for (const model::BoundWeight& weight : binding.weights) {
    if (weight.matrix.format == Format::kBF16 || weight.matrix.format == Format::kF32) continue;
    const auto [it, fresh] =
        seen.emplace(format_name(weight.matrix.format), weight.matrix.activations);
    EXPECT_EQ(it->second, weight.matrix.activations) << weight.name;
    const bool wants_scale =
        weight.matrix.activations == kNvfp4 || weight.matrix.activations == kFp8TensorStatic;
    EXPECT_EQ(weight.matrix.input_scale.use != TensorScale::Use::kNone, wants_scale) << weight.name;
  }
  EXPECT_EQ(seen, GetParam().formats);
  for (const model::BoundTensor& tensor : binding.tensors)
    EXPECT_FALSE(tensor.role.empty()) << tensor.stored->name;
}

TEST_P(Formats, EveryMatrixDecodesToTheToolsValues) {
  const auto file = checkpoint::Checkpoint::open(folder_);
  ASSERT_TRUE(file.ok());
  const auto binding = model::bind(*file);
  ASSERT_TRUE(binding.ok());
  const auto text = read_file(folder_ / "dequantized.json", 1 << 20);
  ASSERT_TRUE(text.ok());
  const auto json = parse_json(*text);
  ASSERT_TRUE(json.ok());
  std::map<std::string, const model::BoundWeight*> by_name;
  for (const model::BoundWeight& weight : binding->weights) {
    std::string name = weight.name;
    if (name.ends_with("_packed")) name.resize(name.size() - 7);
    by_name[name] = &weight;
  }
  for (const auto& [name, entry] : json->find("tensors")->members()) {
    ASSERT_TRUE(by_name.contains(name)) << name;
    const EncodedMatrix& matrix = by_name[name]->matrix;
    std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.columns));
    codec::decode_rows(matrix, 0, matrix.rows, values.data());
    for (float& value : values) value += 0.0f;  // every zero as +0
    EXPECT_EQ(sha256_hex(std::as_bytes(std::span(values))), entry.find("sha256")->string()) << name;
  }
}

TEST_P(Formats, LogitsOfTheDequantizedModel) {
  TemporaryFolder temporary;
  std::filesystem::path model = folder_;
  if (GetParam().original_norms != nullptr) {
    model = temporary.path() / "model";
    EXPECT_GT(restore_norms(folder_, folder_.parent_path() / GetParam().original_norms, model), 0);
  }
  Session session(model);
  const auto golden = checkpoint::Checkpoint::open(folder_ / "logits.safetensors");
  ASSERT_TRUE(golden.ok());
  const checkpoint::StoredTensor* ids = golden->find("input_ids");
  std::vector<int64_t> wide(static_cast<size_t>(ids->elements()));
  std::memcpy(wide.data(), ids->bytes.data(), ids->bytes.size());
  session.read(std::vector<int32_t>(wide.begin(), wide.end()));
  EXPECT_LE(peak_error(session.all_logits(), float_values(*golden->find("logits_weight_only"))),
            1e-5);
}

INSTANTIATE_TEST_SUITE_P(
    Goldens, Formats,
    ::testing::Values(
        FormatCase{"fp8-block", {{"fp8_block", kFp8Group128}}, true},
        FormatCase{"fp8-block-edge", {{"fp8_block", kFp8Group128}}},
        FormatCase{
            "ct-fp8-dynamic", {{"fp8_channel", kFp8TokenDynamic}}, true, false, false, "mo-nvfp4"},
        FormatCase{"ct-fp8-block", {{"fp8_block", kFp8Group128}}, false, false, false, "mo-w4a16"},
        FormatCase{"ct-nvfp4", {{"nvfp4_a4", kNvfp4}}, true, false, false, "mo-nvfp4"},
        FormatCase{"ct-nvfp4a16", {{"nvfp4", kNone}}, false, false, false, "mo-w4a16"},
        FormatCase{"ct20-nvfp4a16", {{"nvfp4", kNone}}},
        FormatCase{"ct-mixed",
                   {{"fp8_channel", kFp8TokenDynamic}, {"nvfp4_a4", kNvfp4}},
                   false,
                   true,
                   true,
                   "mo-w4a16"},
        FormatCase{
            "ct-nvfp4-fp8act", {{"nvfp4_a8", kFp8TokenDynamic}}, false, false, false, "mo-w4a16"},
        FormatCase{"ct-w4afp8", {{"int4_a8", kFp8TokenDynamic}}, false, false, false, "mo-w4a16"},
        FormatCase{"ct-w4a16-asym", {{"int4", kNone}}, false, false, false, "mo-w4a16"},
        FormatCase{"ct-mxfp4", {{"mxfp4", kMxfp4}}, false, false, false, "mo-w4a16"},
        FormatCase{"mo-fp8", {{"fp8_tensor", kFp8TensorStatic}}, false, true, true},
        FormatCase{"mo-nvfp4", {{"nvfp4_a4", kNvfp4}}, true, true, true},
        FormatCase{"mo-w4a16", {{"nvfp4", kNone}}, false, true, true},
        FormatCase{
            "mo-mixed", {{"fp8_tensor", kFp8TensorStatic}, {"nvfp4", kNone}}, true, false, true},
        FormatCase{"mo-w4a8", {{"w4a8_nvfp4", kFp8TensorStatic}}},
        FormatCase{"mo-nvfp4-4o6", {{"nvfp4_a4", kNvfp4}}}),
    [](const auto& param) {
      std::string name = param.param.folder;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace sluice::test
