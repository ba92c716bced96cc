// The vision tower as a file of its own beside a GGUF: what llama.cpp's converter makes of the same
// checkpoint, back again, carried along, and files that are not what they say.
#include "tools/convert/vision_tower.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/gguf_writer.h"
#include "support/paths.h"
#include "support/sha256.h"
#include "tools/quantize/build.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using checkpoint::Checkpoint;
using checkpoint::GgufValue;
using checkpoint::TensorSpec;
using convert::TowerGeometry;
using convert::TowerTensor;
using testing::HasSubstr;

std::string read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// ---------------------------------------------- of a small checkpoint with three blocks

class Tower : public testing::Test {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_SHARED(golden, "goldens/vlm-r1-tied-mtp");
    // The converter makes the model's name of the folder's.
    published_ = folder_.path() / "M";
    fs::create_directory(published_);
    for (const auto& entry : fs::directory_iterator(golden)) {
      if (entry.path().filename() != "goldens.safetensors")
        fs::copy_file(entry.path(), published_ / entry.path().filename());
    }
  }

  Result<quantize::BuildReport> make(
      const fs::path& in, const fs::path& out,
      std::variant<quantize::GgufRequest, quantize::SafetensorsRequest> how, bool overwrite = false,
      const quantize::BuildEvents& events = {}) const {
    SLUICE_ASSIGN(auto source, convert::open_source(in));
    SLUICE_TRY(convert::open_tower_beside(source));
    quantize::BuildRequest request;
    request.out = out;
    request.overwrite = overwrite;
    request.target = "test";
    request.how = std::move(how);
    ThreadPool pool(2);
    return quantize::make_build(source, request, pool, events);
  }

  static quantize::GgufRequest gguf(const char* mixture, std::optional<DType> vision = {}) {
    quantize::GgufRequest request;
    request.mixture = quantize::find_mixture(mixture);
    request.draft = quantize::DraftHead::kSame;
    request.vision_type = vision;
    return request;
  }

  static quantize::SafetensorsRequest safetensors() {
    quantize::SafetensorsRequest request;
    request.recipe = quantize::find_recipe("safetensors");
    request.draft = quantize::DraftHead::kSame;
    return request;
  }

  void expect_done(const Result<quantize::BuildReport>& made) const {
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message());
  }

  Status beside(const std::string& model) const {
    SLUICE_ASSIGN(auto source, convert::open_source(at(model)));
    return convert::open_tower_beside(source);
  }

  fs::path at(const std::string& name) const { return folder_.path() / name; }

  test::TemporaryFolder folder_;
  fs::path published_;
};

// SHA-256 of what `convert_hf_to_gguf.py M --mmproj --outtype TYPE` wrote, llama.cpp of October
// 2026 (as llama-cpp-python 0.3.36 carries it).
TEST_F(Tower, FileIsTheConvertersByteForByte) {
  for (const auto& [type, hash] :
       {std::pair{"bf16", "d46472731d436c8bf9cc54b3482c40b1bf61406b4f00b9fba1c6c982746be29f"},
        {"f16", "9264ea36217cfcab3e931ed7d55910e4a714523048c9cbbc8ddf7ef3b5305fd1"},
        {"f32", "298889a67ea92bea97d8081ef2c0bd077c1df7eb0d3bfca51c963b4201ab424d"},
        {"q8_0", "42e043b397f2f94c376dfcc044a7fe76ed877cb46be0f508046ff61152e16b31"}}) {
    const auto made =
        make(published_, at("x.gguf"), gguf("bf16", quantize::find_tower_type(type)), true);
    expect_done(made);
    std::string upper(type);
    std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
    const std::string name = "mmproj-x-" + upper + ".gguf";
    const std::string bytes = read_bytes(at(name));
    EXPECT_EQ(test::sha256_hex(std::as_bytes(std::span(bytes))), hash) << type;
    ASSERT_TRUE(made.ok() && made->vision.has_value());
    EXPECT_EQ(made->vision->file, name);
    EXPECT_EQ(made->vision->format, type);
    EXPECT_EQ(made->vision->tensors.size(), 46u);
  }
}

TEST_F(Tower, ComesBackBitByBit) {
  const auto before = Checkpoint::open(published_);
  ASSERT_TRUE(before.ok());
  for (const auto type : {std::optional<DType>(), std::optional(DType::kF32)}) {
    expect_done(make(published_, at("x.gguf"), gguf("bf16", type), true));
    expect_done(make(at("x.gguf"), at("back"), safetensors(), true));
    const auto after = Checkpoint::open(at("back"));
    ASSERT_TRUE(after.ok());
    EXPECT_EQ(after->tensors().size(), before->tensors().size());
    size_t compared = 0;
    for (const auto& tensor : before->tensors()) {
      const auto* other = after->find(tensor.name);
      ASSERT_NE(other, nullptr) << tensor.name;
      if (!tensor.name.starts_with("model.visual.")) continue;
      EXPECT_EQ(other->dtype, tensor.dtype) << tensor.name;
      EXPECT_EQ(other->shape, tensor.shape) << tensor.name;
      EXPECT_TRUE(same_bytes(tensor.bytes, other->bytes)) << tensor.name;
      ++compared;
    }
    EXPECT_EQ(compared, 45u);
  }
  // What the configs say of the tower is what they said.
  const auto one = before->side_json("config.json");
  const auto two = Checkpoint::open(at("back"))->side_json("config.json");
  ASSERT_TRUE(one.ok() && two.ok() && *one && *two);
  for (const char* key : {"architectures", "model_type", "image_token_id", "video_token_id",
                          "vision_start_token_id", "vision_end_token_id"})
    EXPECT_EQ((*two)->find(key)->dump(), (*one)->find(key)->dump()) << key;
  for (const auto& [key, value] : (*one)->find("vision_config")->members()) {
    const Json* own = (*two)->find("vision_config")->find(key);
    ASSERT_NE(own, nullptr) << key;
    EXPECT_EQ(own->dump(), value.dump()) << key;
  }
  for (const char* file : {"preprocessor_config.json", "video_preprocessor_config.json"}) {
    const auto own = parse_json(read_bytes(at("back") / file)),
               theirs = parse_json(read_bytes(published_ / file));
    ASSERT_TRUE(own.ok() && theirs.ok()) << file;
    for (const auto& [key, value] : theirs->members())
      EXPECT_EQ(own->find(key)->dump(), value.dump()) << file << " " << key;
  }
}

TEST_F(Tower, QuantizedGgufTakesItAlong) {
  expect_done(make(published_, at("x.gguf"), gguf("bf16")));
  const auto made = make(at("x.gguf"), at("small.gguf"), gguf("q8_0"));
  expect_done(made);
  EXPECT_EQ(read_bytes(at("mmproj-small-BF16.gguf")), read_bytes(at("mmproj-x-BF16.gguf")));
  ASSERT_TRUE(made.ok() && made->vision);
  EXPECT_EQ(made->vision->file, "mmproj-small-BF16.gguf");
  // Another type is what the converter would have written.
  expect_done(make(at("x.gguf"), at("half.gguf"), gguf("q8_0", DType::kF16)));
  expect_done(make(published_, at("y.gguf"), gguf("q8_0", DType::kF16)));
  EXPECT_EQ(read_bytes(at("mmproj-half-F16.gguf")), read_bytes(at("mmproj-y-F16.gguf")));
  // Left out: text-only, and said.
  quantize::GgufRequest without = gguf("q8_0");
  without.keep_vision = false;
  const auto text = make(at("x.gguf"), at("text.gguf"), without);
  expect_done(text);
  EXPECT_FALSE(text->vision.has_value());
  EXPECT_THAT(text->notes, testing::Contains(HasSubstr("vision tower is left out")));
  const auto opened = convert::open_source(at("text.gguf"));
  ASSERT_TRUE(opened.ok());
  EXPECT_TRUE(opened->checkpoint->vision_beside().empty());  // the others are other models'
  // A model in a folder has the tower in the folder.
  expect_done(make(published_, at("folder"), gguf("q8_0")));
  EXPECT_TRUE(fs::exists(at("folder") / "mmproj-model-test-BF16.gguf"));
}

TEST_F(Tower, AnotherBuildOfTheNameReplacesIt) {
  expect_done(make(published_, at("x.gguf"), gguf("bf16", DType::kF16)));
  const auto refused = make(published_, at("x.gguf"), gguf("bf16"));
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  expect_done(make(published_, at("x.gguf"), gguf("bf16"), true));
  EXPECT_TRUE(fs::exists(at("mmproj-x-BF16.gguf")));
  EXPECT_FALSE(fs::exists(at("mmproj-x-F16.gguf")));
  // A tower alone keeps a name from being taken, and the source's is never touched.
  fs::rename(at("x.gguf"), at("y.gguf"));
  const std::string tower = read_bytes(at("mmproj-x-BF16.gguf"));
  EXPECT_FALSE(make(published_, at("x.gguf"), gguf("bf16")).ok());
  EXPECT_FALSE(make(at("y.gguf"), at("x.gguf"), gguf("bf16"), true).ok());
  EXPECT_EQ(read_bytes(at("mmproj-x-BF16.gguf")), tower);
  EXPECT_FALSE(fs::exists(at("x.gguf")) || fs::exists(at("x.gguf.partial")));
}

TEST_F(Tower, AnInterruptedBuildGoesOn) {
  expect_done(make(published_, at("x.gguf"), gguf("q8_0")));
  const std::string text = read_bytes(at("x.gguf")), tower = read_bytes(at("mmproj-x-BF16.gguf"));
  for (const size_t stop : {0, 7, 45, 46, 47, 60}) {
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      if (entry.path() != published_) fs::remove_all(entry.path());
    }
    std::vector<size_t> made;
    quantize::BuildEvents events;
    events.progress = [&](size_t done, size_t, const std::string&) { return done < stop; };
    const auto half = make(published_, at("x.gguf"), gguf("q8_0"), false, events);
    ASSERT_FALSE(half.ok());
    EXPECT_EQ(half.error().code, ErrorCode::kInterrupted);
    EXPECT_FALSE(fs::exists(at("x.gguf")) || fs::exists(at("mmproj-x-BF16.gguf")));
    events.progress = [&](size_t done, size_t, const std::string&) {
      made.push_back(done);
      return true;
    };
    const auto rest = make(published_, at("x.gguf"), gguf("q8_0"), false, events);
    expect_done(rest);
    ASSERT_FALSE(made.empty());
    EXPECT_EQ(made.front(), stop);
    EXPECT_EQ(read_bytes(at("x.gguf")), text) << stop;
    EXPECT_EQ(read_bytes(at("mmproj-x-BF16.gguf")), tower) << stop;
    EXPECT_EQ(rest->vision->tensors.size(), 46u);
  }
}

// ---------------------------------------------- files made to be wrong

// A tower of one block, every number small; a case changes one thing.
struct Forged {
  std::map<std::string, GgufValue> keys = {{"general.architecture", std::string("clip")},
                                           {"clip.projector_type", std::string("qwen3vl_merger")},
                                           {"clip.vision.block_count", uint64_t{1}},
                                           {"clip.vision.embedding_length", uint64_t{8}},
                                           {"clip.vision.feed_forward_length", uint64_t{16}},
                                           {"clip.vision.attention.head_count", uint64_t{2}},
                                           {"clip.vision.projection_dim", uint64_t{12}},
                                           {"clip.vision.patch_size", uint64_t{2}},
                                           {"clip.vision.image_size", uint64_t{4}}};
  std::vector<TensorSpec> tensors;

  Forged() {
    for (const TowerTensor& tensor : convert::expected_tower({1, 8, 16, 2, 12, 2, 2, 4})) {
      for (const std::string& name : tensor.gguf_names)
        tensors.push_back({name, DType::kF32, tensor.gguf_shape});
    }
  }
  TensorSpec& tensor(const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(),
                         [&](const TensorSpec& one) { return one.name == name; });
  }
  void remove(const std::string& name) {
    std::erase_if(tensors, [&](const TensorSpec& one) { return one.name == name; });
  }
  void write(const fs::path& path) const {
    checkpoint::GgufMetadata metadata;
    for (const auto& [key, value] : keys) metadata.add(key, value);
    checkpoint::GgufOptions options;
    options.overwrite = true;
    auto writer = checkpoint::GgufWriter::create(path, metadata, tensors, options);
    ASSERT_TRUE(writer.ok()) << writer.error().message();
    for (const TensorSpec& spec : tensors) {
      uint64_t elements = 1;
      for (const int64_t extent : spec.shape) elements *= static_cast<uint64_t>(extent);
      const std::vector<std::byte> zeros(*dtype_bytes(spec.dtype, elements));
      ASSERT_TRUE(writer->append(spec.name, zeros).ok());
    }
    ASSERT_TRUE(writer->finish().ok());
  }
};

TEST(ForgedTower, OneThatIsRightIsRead) {
  const test::TemporaryFolder folder;
  const fs::path file = folder.path() / "mmproj.gguf";
  Forged().write(file);
  const auto tower = convert::read_mmproj(file, 12);
  ASSERT_TRUE(tower.ok()) << tower.error().message();
  EXPECT_EQ(tower->tensors.size(), 21u);
  EXPECT_EQ(tower->geometry.positions, 4);
}

TEST(ForgedTower, WhatIsWrongIsSaid) {
  struct Case {
    std::function<void(Forged&)> edit;
    const char* words;
  };
  const auto key = [](const char* name, GgufValue value) {
    return [=](Forged& forged) { forged.keys[name] = value; };
  };
  const uint64_t huge = uint64_t{1} << 63;
  const std::vector<Case> cases = {
      {key("general.architecture", std::string("qwen35")), "its architecture is \"qwen35\""},
      {key("general.architecture", true), "general.architecture"},
      {key("clip.projector_type", std::string("gemma3")), "its projector is \"gemma3\""},
      {[](Forged& forged) { forged.keys.erase("clip.projector_type"); }, "its projector is \"\""},
      {key("clip.vision.block_count", uint64_t{0}), "blocks: 0"},
      {key("clip.vision.block_count", uint64_t{2}), "holds 22 tensors"},
      {key("clip.vision.block_count", uint64_t{900}), "holds 22 tensors"},
      {key("clip.vision.block_count", huge), "is not within 1 to 1000"},
      {key("clip.vision.block_count", -1.0), "block_count"},
      {key("clip.vision.embedding_length", uint64_t{16}), "its shape is"},
      {key("clip.vision.embedding_length", huge), "width"},
      {key("clip.vision.feed_forward_length", uint64_t{8}), "ffn_"},
      {key("clip.vision.feed_forward_length", uint64_t{0}), "is not within"},
      {key("clip.vision.attention.head_count", uint64_t{3}), "not a multiple of its 3 heads"},
      {key("clip.vision.attention.head_count", uint64_t{0}), "heads: 0"},
      {key("clip.vision.projection_dim", uint64_t{13}), "width 13, this one's is 12"},
      {key("clip.vision.patch_size", uint64_t{0}), "in patches of 0"},
      {key("clip.vision.patch_size", uint64_t{1}), "its shape is"},
      {key("clip.vision.image_size", uint64_t{6}), "position_embd"},
      {key("clip.vision.image_size", huge), "images of"},
      {key("clip.vision.spatial_merge_size", uint64_t{3}), "its shape is"},
      {key("clip.vision.spatial_merge_size", uint64_t{1} << 40), "merged patches"},
      {key("clip.vision.is_deepstack_layers", checkpoint::GgufArray(std::vector<bool>{true})),
       "DeepStack"},
      {key("clip.vision.image_mean", checkpoint::GgufArray(std::vector<double>{0.5, NAN, 0.5})),
       "image_mean is not a list of three numbers"},
      {key("clip.vision.image_std", checkpoint::GgufArray(std::vector<double>{0.5})),
       "image_std is not a list of three numbers"},
      {key("clip.vision.image_std", 0.5), "image_std is not a list of three numbers"},
      {[](Forged& forged) { forged.keys.erase("clip.vision.image_size"); },
       "image_size is missing"},
      {[](Forged& forged) { forged.remove("v.patch_embd.weight.1"); }, "the vision tower lacks it"},
      {[](Forged& forged) { forged.remove("mm.2.bias"); }, "the vision tower lacks it"},
      {[](Forged& forged) {
         forged.tensor("mm.2.bias").shape = {12, 1};
       },
       "its shape is [12, 1]"},
      {[](Forged& forged) { forged.tensor("v.blk.0.ln1.weight").dtype = DType::kI32; },
       "is stored as I32"},
      {[](Forged& forged) {
         forged.tensors.push_back({"v.extra", DType::kF32, {1}});
       },
       "is no tensor of this vision tower"},
      {[](Forged& forged) { forged.tensors.clear(); }, "holds 0 tensors"},
  };
  const test::TemporaryFolder folder;
  const fs::path file = folder.path() / "mmproj.gguf";
  for (const Case& one : cases) {
    Forged forged;
    one.edit(forged);
    forged.write(file);
    const auto tower = convert::read_mmproj(file, 12);
    ASSERT_FALSE(tower.ok()) << one.words;
    EXPECT_EQ(tower.error().code, ErrorCode::kBadInput);
    EXPECT_THAT(tower.error().message(), HasSubstr(one.words));
    EXPECT_THAT(tower.error().what, HasSubstr("mmproj.gguf"));
    EXPECT_FALSE(tower.error().remedy.empty()) << one.words;
  }
}

TEST(ForgedTower, HalfAFileIsRefused) {
  const test::TemporaryFolder folder;
  const fs::path file = folder.path() / "mmproj.gguf";
  Forged().write(file);
  for (uintmax_t size = fs::file_size(file) - 1; size > 64; size -= std::min<uintmax_t>(size, 61)) {
    fs::resize_file(file, size);
    EXPECT_FALSE(convert::read_mmproj(file, 12).ok()) << size;
  }
}

// Every byte before the tensors' own, with its bits turned over: refused, or read as the same
// sizes.
TEST(ForgedTower, NoChangedByteIsTrusted) {
  const test::TemporaryFolder folder;
  const fs::path file = folder.path() / "mmproj.gguf";
  Forged().write(file);
  std::string bytes = read_bytes(file);
  const auto whole = Checkpoint::open(file, checkpoint::Purpose::kAnyFile);
  ASSERT_TRUE(whole.ok());
  uint64_t data = 0;
  for (const auto& tensor : whole->tensors()) data += tensor.bytes.size();
  size_t refused = 0, read = 0;
  for (size_t i = 0; i + data < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(~bytes[i]);
    std::ofstream(file, std::ios::binary) << bytes;
    bytes[i] = static_cast<char>(~bytes[i]);
    const auto tower = convert::read_mmproj(file, 12);
    (tower.ok() ? read : refused) += 1;
    EXPECT_TRUE(!tower.ok() || tower->tensors.size() == 21u) << i;
  }
  EXPECT_GT(refused, 1000u);
  EXPECT_GT(read, 0u);  // bytes of padding
}

// ---------------------------------------------- several beside one model

TEST_F(Tower, TheBestOfSeveralIsTaken) {
  expect_done(make(published_, at("x.gguf"), gguf("q8_0", DType::kF16)));
  expect_done(make(published_, at("y.gguf"), gguf("q8_0", DType::kBF16)));
  fs::remove(at("y.gguf"));
  fs::rename(at("mmproj-x-F16.gguf"), at("mmproj-F16.gguf"));
  Forged().write(at("mmproj-other-model.gguf"));  // of another width
  auto source = convert::open_source(at("x.gguf"));
  ASSERT_TRUE(source.ok());
  ASSERT_EQ(source->checkpoint->vision_beside().size(), 3u);
  ASSERT_TRUE(convert::open_tower_beside(*source).ok());
  EXPECT_EQ(source->mmproj->file->files().front().filename(), "mmproj-y-BF16.gguf");
  // Two that are equally good are a question, not a guess.
  fs::copy_file(at("mmproj-y-BF16.gguf"), at("mmproj-BF16.gguf"));
  const Status asked = beside("x.gguf");
  ASSERT_FALSE(asked.ok());
  EXPECT_THAT(asked.error().message(), HasSubstr("is as good a vision tower"));
  // One that is alone and of another model is an error, too.
  for (const char* name : {"mmproj-F16.gguf", "mmproj-y-BF16.gguf", "mmproj-BF16.gguf"})
    fs::remove(at(name));
  const Status other = beside("x.gguf");
  ASSERT_FALSE(other.ok());
  EXPECT_THAT(other.error().message(), HasSubstr("for a text model of width 12"));
}

}  // namespace
}  // namespace sluice
