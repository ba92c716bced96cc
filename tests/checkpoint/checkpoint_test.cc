// Opening what a user names: folders, indexes, splits, links, and models by name.
#include "checkpoint/checkpoint.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "checkpoint/forge.h"
#include "checkpoint/tower_name.h"
#include "support/paths.h"

namespace sluice::checkpoint {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A safetensors file of one-byte tensors.
std::string shard(std::initializer_list<const char*> names) {
  std::string header = "{", data;
  for (const char* name : names) {
    header += fmt::format(R"({}"{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})",
                          data.empty() ? "" : ",", name, data.size(), data.size() + 1);
    data += name[0];
  }
  return safetensors(header + "}", data);
}

GgufForge text_model() {
  GgufForge forge;
  forge.text("general.architecture", "qwen35").u32("qwen35.block_count", 2);
  return forge;
}

class CheckpointTest : public testing::Test {
 protected:
  const fs::path& folder() const { return folder_.path(); }
  void put(const std::string& name, std::string_view bytes) const {
    put_file(folder() / name, bytes);
  }
  // A text model with one tensor in block 0.
  void put_gguf(const std::string& name) const {
    put(name, text_model().tensor("blk.0.a", {1}, 24, 0).data("x").bytes());
  }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(CheckpointTest, LoneFileThenAllFilesThenGguf) {
  put_gguf("model.gguf");
  put("b.safetensors", shard({"b"}));
  put("a.safetensors", shard({"a"}));
  const auto all = Checkpoint::open(folder());
  ASSERT_TRUE(all.ok()) << all.error().message();
  EXPECT_EQ(all->container(), Container::kSafetensors);
  EXPECT_THAT(all->files(), ElementsAre(folder() / "a.safetensors", folder() / "b.safetensors"));
  EXPECT_EQ(all->find("b")->file, 1);
  EXPECT_EQ(&all->mapping(*all->find("b")), &all->mapping(all->tensors()[1]));
  EXPECT_EQ(all->find("b")->bytes[0], std::byte{'b'});
  EXPECT_EQ(all->find("c"), nullptr);
  EXPECT_EQ(all->gguf(), nullptr);
  EXPECT_THAT(all->notes(), ElementsAre(HasSubstr("model.gguf")));

  put("model.safetensors", shard({"lone"}));
  const auto lone = Checkpoint::open(folder());
  ASSERT_TRUE(lone.ok()) << lone.error().message();
  EXPECT_THAT(lone->files(), ElementsAre(folder() / "model.safetensors"));
  EXPECT_THAT(lone->notes(), ElementsAre(HasSubstr("a.safetensors"), HasSubstr("model.gguf")));
}

TEST_F(CheckpointTest, IndexWinsAndUnlistedFilesAreNoted) {
  put("model.safetensors", shard({"lone"}));
  put("one.safetensors", shard({"a", "c"}));
  put("two.safetensors", shard({"b"}));
  put("model.safetensors.index.json",
      R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  const auto checkpoint = Checkpoint::open(folder());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
  EXPECT_THAT(checkpoint->files(),
              ElementsAre(folder() / "one.safetensors", folder() / "two.safetensors"));
  EXPECT_NE(checkpoint->find("c"), nullptr);  // in a shard, not in the index: kept and noted
  EXPECT_THAT(checkpoint->notes(),
              ElementsAre(HasSubstr("not in the index"), HasSubstr("model.safetensors: not read")));
}

TEST_F(CheckpointTest, ST_14_IndexAgainstShards) {
  put("one.safetensors", shard({"a"}));
  put("two.safetensors", shard({"b"}));
  const auto with_map = [&](const char* map) {
    put("model.safetensors.index.json", fmt::format(R"({{"weight_map":{}}})", map));
    return Checkpoint::open(folder());
  };
  EXPECT_TRUE(with_map(R"({"a":"one.safetensors","b":"two.safetensors"})").ok());
  EXPECT_REFUSED(with_map(R"({"a":"one.safetensors","b":"three.safetensors"})"), "ST-14",
                 "three.safetensors");
  EXPECT_REFUSED(with_map(R"({"a":"one.safetensors","x":"two.safetensors"})"), "ST-14", "\"x\"");
  EXPECT_REFUSED(with_map(R"({"a":"one.safetensors","b":"one.safetensors"})"), "ST-14", "\"b\"");
  put("two.safetensors", shard({"b", "a"}));
  EXPECT_REFUSED(with_map(R"({"a":"one.safetensors","b":"two.safetensors"})"), "ST-14", "\"a\"");
}

TEST_F(CheckpointTest, ST_14_DuplicateAcrossFilesWithoutIndex) {
  put("one.safetensors", shard({"a"}));
  put("two.safetensors", shard({"a"}));
  EXPECT_REFUSED(Checkpoint::open(folder()), "ST-14", "\"a\"");
}

TEST_F(CheckpointTest, ST_15_SideFiles) {
  put("model.safetensors", shard({"a"}));
  put("config.json", R"({"model_type":"qwen3_5"})");
  put("damaged.json", R"({"model_type":)");
  put("large.json", "\"" + std::string(16u << 20, 'x') + "\"");
  fs::create_symlink(folder() / "gone", folder() / "dangling.json");
  const auto checkpoint = Checkpoint::open(folder());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
  EXPECT_EQ((**checkpoint->side_json("config.json")).find("model_type")->string(), "qwen3_5");
  EXPECT_EQ(*checkpoint->side_json("absent.json"), std::nullopt);
  const auto damaged = checkpoint->side_json("damaged.json");
  ASSERT_FALSE(damaged.ok());
  EXPECT_THAT(damaged.error().message(), HasSubstr("damaged.json"));
  const auto large = checkpoint->side_json("large.json");
  ASSERT_FALSE(large.ok());
  EXPECT_THAT(large.error().message(), HasSubstr("16777216"));
  EXPECT_FALSE(checkpoint->side_json("dangling.json").ok());
}

TEST_F(CheckpointTest, ST_16_FileThatGrowsWhileItIsOpened) {
  put("model.safetensors", shard({"a"}));
  const auto mapping = MappedFile::open(folder() / "model.safetensors");
  ASSERT_TRUE(mapping.ok());
  EXPECT_TRUE(check_size_unchanged(*mapping).ok());
  fs::resize_file(folder() / "model.safetensors", 1000);
  EXPECT_REFUSED(check_size_unchanged(*mapping), "ST-16", "model.safetensors");
  fs::remove(folder() / "model.safetensors");
  EXPECT_REFUSED(check_size_unchanged(*mapping), "ST-16", "model.safetensors");
}

TEST_F(CheckpointTest, WhatCannotBeOpenedIsExplained) {
  const auto expect = [](const fs::path& path, const char* text) {
    const auto refused = Checkpoint::open(path);
    ASSERT_FALSE(refused.ok()) << path;
    EXPECT_THAT(refused.error().message(), HasSubstr(text));
    EXPECT_EQ(refused.error().code, ErrorCode::kBadInput);
  };
  expect(folder() / "absent", "does not exist");
  expect(folder(), "holds no weights");
  put("notes.txt", "x");
  expect(folder() / "notes.txt", "not a model file");
  fs::create_symlink(folder() / "gone", folder() / "link.gguf");
  expect(folder() / "link.gguf", "link");
  put("mmproj-F16.gguf", "x");
  fs::remove(folder() / "link.gguf");
  expect(folder(), "no text model");
}

TEST_F(CheckpointTest, SeveralGgufModelsAreListedAndNeighboursRecorded) {
  put_gguf("m-Q4_K_M.gguf");
  put("mmproj-F16.gguf", "not read");
  put("mtp-m.gguf", "not read");
  const auto one = Checkpoint::open(folder());
  ASSERT_TRUE(one.ok()) << one.error().message();
  EXPECT_THAT(one->vision_beside(), ElementsAre(folder() / "mmproj-F16.gguf"));
  EXPECT_THAT(one->draft_beside(), ElementsAre(folder() / "mtp-m.gguf"));
  const auto by_file = Checkpoint::open(folder() / "m-Q4_K_M.gguf");
  ASSERT_TRUE(by_file.ok()) << by_file.error().message();
  EXPECT_THAT(by_file->vision_beside(), ElementsAre(folder() / "mmproj-F16.gguf"));

  put_gguf("m-Q8_0.gguf");
  const auto two = Checkpoint::open(folder());
  ASSERT_FALSE(two.ok());
  EXPECT_THAT(two.error().message(), HasSubstr("2 GGUF models: m-Q4_K_M.gguf, m-Q8_0.gguf"));
}

TEST_F(CheckpointTest, ATowerNamedAfterAModelIsThatModels) {
  put_gguf("m-27B.gguf");
  put_gguf("m-27B-small.gguf");
  put("mmproj-F16.gguf", "not read");
  put("mmproj-m-27B-BF16.gguf", "not read");
  const auto towers = [&](const char* model) {
    std::vector<std::string> names;
    const auto opened = Checkpoint::open(folder() / model);
    for (const fs::path& tower : opened->vision_beside()) names.push_back(tower.filename());
    return names;
  };
  EXPECT_THAT(towers("m-27B.gguf"), ElementsAre("mmproj-m-27B-BF16.gguf"));
  EXPECT_THAT(towers("m-27B-small.gguf"), ElementsAre("mmproj-F16.gguf"));
  // The size of a model is no type of its tower.
  EXPECT_TRUE(is_tower_name("mmproj-m-27B.gguf", "m-27B"));
  EXPECT_FALSE(is_tower_name("mmproj-m-27B.gguf", "m"));
  EXPECT_FALSE(is_tower_name("mmproj-m-27B-BF16.gguf", "m"));
  EXPECT_EQ(tower_name("m-27B", "Q8_0"), "mmproj-m-27B-Q8_0.gguf");
}

TEST_F(CheckpointTest, PartsOfAModelAreExplained) {
  put("mmproj.gguf", GgufForge().text("general.architecture", "clip").bytes());
  EXPECT_REFUSED(Checkpoint::open(folder() / "mmproj.gguf"), "GG-15", "mmproj.gguf");
  EXPECT_TRUE(Checkpoint::open(folder() / "mmproj.gguf", Purpose::kAnyFile).ok());

  GgufForge draft = text_model();
  draft.tensor("token_embd.weight", {1}, 24, 0).tensor("output_norm.weight", {1}, 24, 32);
  draft.tensor("blk.1.attn_norm.weight", {1}, 24, 64).data(std::string(96, 'x'));
  put("mtp-m.gguf", draft.bytes());
  const auto refused = Checkpoint::open(folder() / "mtp-m.gguf");
  EXPECT_REFUSED(refused, "GG-15", "mtp-m.gguf");
  EXPECT_THAT(refused.error().message(), HasSubstr("draft head"));
  EXPECT_TRUE(Checkpoint::open(folder() / "mtp-m.gguf", Purpose::kAnyFile).ok());
}

TEST_F(CheckpointTest, TypesWithoutADecoder) {
  put("m.gguf", text_model()
                    .tensor("blk.0.a", {256}, 16, 0)
                    .tensor("blk.0.b", {1}, 24, 96)
                    .data(std::string(97, 'x'))
                    .bytes());
  const auto refused = Checkpoint::open(folder());
  EXPECT_REFUSED(refused, "GG-11", "\"blk.0.a\"");
  EXPECT_THAT(refused.error().message(), HasSubstr("IQ2_XXS"));
  const auto any = Checkpoint::open(folder(), Purpose::kAnyFile);
  ASSERT_TRUE(any.ok()) << any.error().message();
  EXPECT_EQ(any->tensors().size(), 1u);
  EXPECT_THAT(any->notes(), ElementsAre(HasSubstr("IQ2_XXS")));
}

class SplitTest : public CheckpointTest {
 protected:
  void part(int number, uint16_t split_number, uint16_t count, const char* tensor, int total = -1) {
    GgufForge forge = number == 1 ? text_model() : GgufForge();
    forge.u16("split.no", split_number).u16("split.count", count);
    if (total >= 0) forge.key("split.tensors.count", 5, raw(static_cast<int32_t>(total)));
    put(split_name("m", number, 3), forge.tensor(tensor, {1}, 24, 0).data("x").bytes());
  }
  fs::path first() const { return folder() / split_name("m", 1, 3); }
};

TEST_F(SplitTest, PartsAreReadTogether) {
  part(1, 0, 3, "blk.0.a", 3);
  part(2, 1, 3, "blk.0.b");
  part(3, 2, 3, "blk.0.c");
  for (const fs::path& path : {first(), folder()}) {
    const auto checkpoint = Checkpoint::open(path);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
    EXPECT_EQ(checkpoint->files().size(), 3u);
    EXPECT_EQ(checkpoint->find("blk.0.c")->file, 2);
    EXPECT_EQ(*checkpoint->gguf()->string("general.architecture"), "qwen35");
  }
}

TEST_F(SplitTest, GG_19_Parts) {
  part(1, 0, 3, "blk.0.a", 3);
  part(2, 1, 3, "blk.0.b");
  EXPECT_REFUSED(Checkpoint::open(first()), "GG-19", split_name("m", 3, 3));  // missing
  part(3, 2, 2, "blk.0.c");
  EXPECT_REFUSED(Checkpoint::open(first()), "GG-19", split_name("m", 3, 3));  // another count
  part(3, 1, 3, "blk.0.c");
  EXPECT_REFUSED(Checkpoint::open(first()), "GG-19", split_name("m", 3, 3));  // out of order
  part(3, 2, 3, "blk.0.a");
  EXPECT_REFUSED(Checkpoint::open(first()), "GG-19", "\"blk.0.a\"");  // duplicate across parts
  part(3, 2, 3, "blk.0.c");
  part(1, 0, 3, "blk.0.a", 4);
  EXPECT_REFUSED(Checkpoint::open(first()), "GG-19", split_name("m", 1, 3));  // total
  part(1, 0, 3, "blk.0.a", 3);
  EXPECT_TRUE(Checkpoint::open(first()).ok());
  EXPECT_REFUSED(Checkpoint::open(folder() / split_name("m", 2, 3)), "GG-19",
                 split_name("m", 2, 3));  // not the first
  fs::rename(first(), folder() / "renamed.gguf");
  EXPECT_REFUSED(Checkpoint::open(folder() / "renamed.gguf"), "GG-19", "renamed.gguf");
  fs::remove(folder() / "renamed.gguf");
  EXPECT_REFUSED(Checkpoint::open(folder()), "GG-19", split_name("m", 1, 3));  // the first is gone
  part(1, 0, 0, "blk.0.a");
  EXPECT_REFUSED(Checkpoint::open(first()), "GG-19", split_name("m", 1, 3));
}

TEST(SplitName, ParsesAndPrints) {
  const auto name = parse_split_name("a-b-00002-of-00010.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->prefix, "a-b");
  EXPECT_EQ(name->number, 2);
  EXPECT_EQ(name->count, 10);
  EXPECT_EQ(split_name("a-b", 2, 10), "a-b-00002-of-00010.gguf");
  for (const char* wrong :
       {"-00001-of-00002.gguf", "a-00003-of-00002.gguf", "a-00000-of-00002.gguf",
        "a-0001-of-00002.gguf", "a-00001-of-00002.ggu", "a-00001-in-00002.gguf",
        "a-0000x-of-00002.gguf", "a-+0001-of-00002.gguf"}) {
    EXPECT_FALSE(parse_split_name(wrong)) << wrong;
  }
}

TEST_F(CheckpointTest, TruncatedFilesAreRefused) {
  const std::string whole = shard({"abc", "def", "ghi"});
  for (size_t size = 0; size < whole.size(); size += 7) {
    put("x.safetensors", whole.substr(0, size));
    EXPECT_FALSE(Checkpoint::open(folder() / "x.safetensors").ok()) << size;
  }
}

TEST_F(CheckpointTest, MovedCheckpointKeepsItsNamesAndBytes) {
  put("model.safetensors", shard({"a", "b"}));
  auto opened = Checkpoint::open(folder());
  ASSERT_TRUE(opened.ok());
  const Checkpoint moved = std::move(opened).value();
  ASSERT_NE(moved.find("b"), nullptr);
  EXPECT_EQ(moved.find("b")->bytes[0], std::byte{'b'});
  EXPECT_EQ(moved.find("b"), &moved.tensors()[1]);
}

class ResolveTest : public CheckpointTest {
 protected:
  ResolveTest() {
    for (const char* name : kNames) {
      if (const char* value = std::getenv(name)) saved_.emplace_back(name, value);
      ::unsetenv(name);
    }
  }
  ~ResolveTest() override {
    for (const char* name : kNames) ::unsetenv(name);
    for (const auto& [name, value] : saved_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  void set(const char* name, const fs::path& value) { ::setenv(name, value.c_str(), 1); }

 private:
  static constexpr const char* kNames[] = {"SLUICE_MODELS", "HF_HUB_CACHE", "HF_HOME", "HOME"};
  std::vector<std::pair<std::string, std::string>> saved_;
};

TEST_F(ResolveTest, PathThenInstalledName) {
  fs::create_directories(folder() / "models" / "sprout");
  fs::create_directories(folder() / "shared" / "sprout");
  const fs::path shared[] = {folder() / "shared"};
  EXPECT_EQ(*resolve_model(folder().string(), {}), folder());
  EXPECT_EQ(*resolve_model("sprout", shared), folder() / "shared" / "sprout");
  set("SLUICE_MODELS", folder() / "models");
  EXPECT_EQ(*resolve_model("sprout", shared), folder() / "models" / "sprout");
  const auto absent = resolve_model("other", shared);
  ASSERT_FALSE(absent.ok());
  EXPECT_THAT(absent.error().message(), HasSubstr((folder() / "models" / "other").string()));
  EXPECT_THAT(absent.error().message(), HasSubstr((folder() / "shared" / "other").string()));
  for (const char* name : {"", "../models/sprout", "a/b/c", "sprout/.."}) {
    EXPECT_FALSE(resolve_model(name, shared).ok()) << name;
  }
}

TEST_F(ResolveTest, HuggingFaceCache) {
  // The layout of a real cache: blobs, links in the snapshot, refs/main.
  const fs::path hub = folder() / "home" / ".cache" / "huggingface" / "hub";
  const fs::path repository = hub / "models--Qwen--Tiny";
  fs::create_directories(repository / "blobs");
  fs::create_directories(repository / "refs");
  fs::create_directories(repository / "snapshots" / "old");
  fs::create_directories(repository / "snapshots" / "new");
  put_file(repository / "refs" / "main", "new\n");
  put_file(repository / "blobs" / "0123", shard({"a"}));
  put_file(repository / "blobs" / "4567",
           R"({"weight_map":{"a":"model-00001-of-00001.safetensors"}})");
  const fs::path snapshot = repository / "snapshots" / "new";
  fs::create_symlink("../../blobs/0123", snapshot / "model-00001-of-00001.safetensors");
  fs::create_symlink("../../blobs/4567", snapshot / "model.safetensors.index.json");

  EXPECT_FALSE(resolve_model("Qwen/Tiny", {}).ok());
  set("HOME", folder() / "home");
  EXPECT_EQ(*resolve_model("Qwen/Tiny", {}), snapshot);
  set("HF_HOME", folder() / "elsewhere");
  const auto absent = resolve_model("Qwen/Tiny", {});
  ASSERT_FALSE(absent.ok());
  EXPECT_THAT(absent.error().message(),
              HasSubstr((folder() / "elsewhere" / "hub" / "models--Qwen--Tiny").string()));
  set("HF_HUB_CACHE", hub);
  EXPECT_EQ(*resolve_model("Qwen/Tiny", {}), snapshot);

  const auto checkpoint = Checkpoint::open(snapshot);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
  EXPECT_NE(checkpoint->find("a"), nullptr);
  EXPECT_EQ(checkpoint->folder(), snapshot);

  // A ref that points outside is not followed; without a ref the only snapshot is taken.
  put_file(repository / "refs" / "main", "../old");
  EXPECT_FALSE(resolve_model("Qwen/Tiny", {}).ok());
  fs::remove(repository / "refs" / "main");
  EXPECT_FALSE(resolve_model("Qwen/Tiny", {}).ok());
  fs::remove(repository / "snapshots" / "old");
  EXPECT_EQ(*resolve_model("Qwen/Tiny", {}), snapshot);
}

}  // namespace
}  // namespace sluice::checkpoint
