// Names to roles on the tiny checkpoint: every naming layout, and every kind of damage to names and
// shapes.
#include "model/binding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <numeric>

#include "model/binding_report.h"
#include "model/editable_model.h"
#include "model/session.h"
#include "support/paths.h"

namespace sluice::test {
namespace {

using model::Part;
using model::Problem;
using Severity = Problem::Severity;

class BindingTest : public ::testing::Test {
 protected:
  Report report() { return bind_edited(edited_); }
  std::vector<float> logits(const EditableModel& edited) {
    TemporaryFolder folder;
    edited.write(folder.path());
    Session session(folder.path());
    session.read(std::vector<int32_t>{5, 9, 200, 17, 64, 3});
    return session.all_logits();
  }

  EditableModel edited_{tests_folder() / "model/data/tiny"};
};

TEST_F(BindingTest, EveryTensorHasARole) {
  const Report bound = report();
  ASSERT_TRUE(bound.binding);
  EXPECT_EQ(bound->tensors.size(), edited_.tensors.size());
  EXPECT_EQ(bound->weights.size(),
            edited_.tensors.size());  // nothing is quantized, so one tensor a weight
  for (const auto& tensor : bound->tensors)
    EXPECT_FALSE(tensor.role.empty()) << tensor.stored->name;
  const model::BoundWeight* conv = bound->find("layers.0.gdn.conv");
  ASSERT_NE(conv, nullptr);
  EXPECT_EQ(conv->matrix.rows, 136);
  EXPECT_EQ(conv->matrix.columns, 4);
  EXPECT_EQ(bound->find("layers.0.gdn.norm")->transform, model::Transform::kNone);
  EXPECT_EQ(bound->find("layers.0.input_norm")->transform, model::Transform::kAddOne);
  EXPECT_EQ(bound->find("layers.3.attention.query_norm")->transform, model::Transform::kAddOne);
  EXPECT_EQ(bound->find("layers.0.gdn.decay")->transform, model::Transform::kMinusExp);
  EXPECT_EQ(bound->find("mtp.fc")->part, Part::kMtp);
  EXPECT_EQ(bound->find("nothing"), nullptr);
}

TEST_F(BindingTest, NamingLayoutsMeanTheSame) {
  const std::vector<float> wanted = logits(edited_);
  const EditableModel original = edited_;
  edited_.rename_all([](const std::string& name) {
    return name.starts_with("model.") ? "model.language_" + name : name;
  });
  EXPECT_EQ(logits(edited_), wanted);
  edited_ = original;
  edited_.rename_all([](const std::string& name) {
    if (name.starts_with("mtp.")) return "model." + name;
    return "language_model." + name;  // language_model.lm_head too
  });
  EXPECT_EQ(logits(edited_), wanted);
}

TEST_F(BindingTest, ConvertedByMlx) {
  const std::vector<float> wanted = logits(edited_);
  for (auto& [name, tensor] : edited_.tensors) {
    if (name.ends_with("conv1d.weight")) std::swap(tensor.shape[1], tensor.shape[2]);
    const bool norm =
        (name.find("norm") != std::string::npos) && name.find("linear_attn") == std::string::npos;
    if (!norm) continue;
    // 1 + w, in F32 so that nothing is lost.
    std::string ready;
    for (size_t i = 0; i < tensor.bytes.size(); i += 2) {
      const uint32_t bits = static_cast<uint32_t>(static_cast<uint8_t>(tensor.bytes[i]) |
                                                  static_cast<uint8_t>(tensor.bytes[i + 1]) << 8)
                            << 16;
      ready += float_bytes(1.0f + std::bit_cast<float>(bits));
    }
    tensor.bytes = ready;
    tensor.dtype = "F32";
  }
  EXPECT_EQ(logits(edited_), wanted);
  EXPECT_THAT(report().messages(Severity::kNote), testing::HasSubstr("MLX"));
  // One of the three kept its layout: the convention is unknown.
  std::swap(edited_.tensor("model.layers.0.linear_attn.conv1d.weight").shape[1],
            edited_.tensor("model.layers.0.linear_attn.conv1d.weight").shape[2]);
  EXPECT_THAT(report().messages(Severity::kError),
              testing::HasSubstr("convention of the norms is unknown"));
}

TEST_F(BindingTest, TwoNamesForOneTensor) {
  edited_.tensors["model.language_model.norm.weight"] = edited_.tensor("model.norm.weight");
  const Report bound = report();
  EXPECT_FALSE(bound->runnable);
  EXPECT_THAT(bound.messages(Severity::kError), testing::HasSubstr("means the same tensor"));
}

// Each missing text tensor is one error that names it, and nothing else is reported.
TEST_F(BindingTest, AnyMissingTextTensorStopsTheModel) {
  const EditableModel original = edited_;
  for (const auto& [name, tensor] : original.tensors) {
    if (name.starts_with("mtp.")) continue;
    edited_ = original;
    edited_.tensors.erase(name);
    const Report bound = report();
    ASSERT_TRUE(bound.binding) << name;
    EXPECT_FALSE(bound->runnable) << name;
    EXPECT_EQ(bound->problems.size(), 1u) << name << bound.messages(Severity::kError);
    EXPECT_THAT(bound.messages(Severity::kError), testing::HasSubstr("is missing")) << name;
    const Status status = model::require_runnable(*bound.binding, "m");
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kBadInput);
  }
}

TEST_F(BindingTest, AnyDamageOfTheHeadCostsTheHeadOnly) {
  const EditableModel original = edited_;
  const std::vector<float> wanted = logits(original);
  for (const auto& [name, tensor] : original.tensors) {
    if (!name.starts_with("mtp.")) continue;
    edited_ = original;
    edited_.tensors.erase(name);
    Report bound = report();
    EXPECT_TRUE(bound->runnable) << name;
    EXPECT_TRUE(bound->mtp_present && !bound->mtp_usable) << name;
    EXPECT_THAT(bound.messages(Severity::kWarning), testing::HasSubstr("draft head")) << name;
    edited_.tensors[name] = tensor;
    edited_.tensors[name].shape.front() += 1;
    edited_.tensors[name].bytes +=
        std::string(tensor.shape.size() == 2 ? static_cast<size_t>(tensor.shape[1]) * 2 : 2, '\0');
    bound = report();
    EXPECT_TRUE(bound->runnable) << name;
    EXPECT_FALSE(bound->mtp_usable) << name;
    EXPECT_THAT(bound.messages(Severity::kWarning), testing::HasSubstr("Q-13")) << name;
  }
  // The text model runs on, without a head.
  TemporaryFolder folder;
  edited_.write(folder.path());
  Session session(folder.path());
  EXPECT_EQ(session.text_model->mtp(), nullptr);
  session.read(std::vector<int32_t>{5, 9, 200, 17, 64, 3});
  EXPECT_EQ(session.all_logits(), wanted);
  EXPECT_EQ(model::TextModel::weight_bytes(*session.binding, *session.backend, true).mtp, 0u);
}

TEST_F(BindingTest, NoHeadAtAll) {
  edited_.rename_all(
      [](const std::string& name) { return name.starts_with("mtp.") ? std::string() : name; });
  Report bound = report();
  EXPECT_TRUE(bound->runnable);
  EXPECT_FALSE(bound->mtp_present || bound->mtp_usable);
  EXPECT_THAT(bound.messages(Severity::kNote), testing::HasSubstr("announces a draft head"));
  edited_.text_config().set("mtp_num_hidden_layers", 0);
  EXPECT_TRUE(report()->problems.empty());
}

TEST_F(BindingTest, MoreDraftLayersThanOneAreNotUsed) {
  edited_.text_config().set("mtp_num_hidden_layers", 2);
  const Report bound = report();
  EXPECT_TRUE(bound->runnable);
  EXPECT_FALSE(bound->mtp_usable);
}

TEST_F(BindingTest, WrongShapesAndDtypes) {
  const EditableModel original = edited_;
  for (const char* name :
       {"model.layers.0.mlp.up_proj.weight", "model.layers.0.linear_attn.A_log",
        "model.layers.3.self_attn.q_norm.weight", "model.layers.1.linear_attn.conv1d.weight",
        "model.embed_tokens.weight"}) {
    edited_ = original;
    EditableTensor& tensor = edited_.tensor(name);
    tensor.shape.back() *= 2;
    tensor.bytes += tensor.bytes;
    Report bound = report();
    EXPECT_FALSE(bound->runnable) << name;
    EXPECT_THAT(bound.messages(Severity::kError), testing::HasSubstr("Q-13")) << name;
    edited_ = original;
    edited_.tensor(name).dtype = "I16";
    bound = report();
    EXPECT_FALSE(bound->runnable) << name;
    EXPECT_THAT(bound.messages(Severity::kError), testing::HasSubstr("Q-4")) << name;
  }
}

TEST_F(BindingTest, UnknownTensors) {
  const EditableModel original = edited_;
  const std::pair<const char*, const char*> cases[] = {
      {"model.layers.0.mlp.extra.weight", "no tensor of this model"},
      {"somewhere.else", "no tensor of this model"},
      {"model.layers.7.mlp.up_proj.weight", "no tensor of this model"},
      {"model.layers.0.mlp.up_proj.bias", "bias"},
      {"model.layers.0.mlp.up_proj.weight_scale", "Q-2"},
      {"model.layers.0.mlp.missing.weight_scale", "Q-2"},
      {"model.layers.0.self_attn.k_scale", "Q-2"}};  // a linear-attention layer has no KV cache
  for (const auto& [name, part] : cases) {
    edited_ = original;
    edited_.tensors[name] = {"BF16", {1}, std::string(2, '\0')};
    const Report bound = report();
    EXPECT_FALSE(bound->runnable) << name;
    EXPECT_THAT(bound.messages(Severity::kError), testing::HasSubstr(part)) << name;
  }
  edited_ = original;
  edited_.tensors["mtp.extra.weight"] = {"BF16", {1}, std::string(2, '\0')};
  EXPECT_TRUE(report()->runnable);
  EXPECT_FALSE(report()->mtp_usable);
  // A saved rotary table is computed anyway, and vision tensors are set aside.
  edited_ = original;
  edited_.tensors["model.rotary_emb.inv_freq"] = {"F32", {4}, std::string(16, '\0')};
  edited_.tensors["model.visual.patch_embed.proj.bias"] = {"BF16", {1}, std::string(2, '\0')};
  const Report bound = report();
  EXPECT_TRUE(bound->runnable);
  EXPECT_TRUE(bound->vision_present);
  EXPECT_EQ(bound.messages(Severity::kError), "");
}

TEST_F(BindingTest, ValuesThatAreNoNumbers) {
  const EditableModel original = edited_;
  const std::string nan("\xc0\x7f", 2), large("\x80\x43", 2);  // BF16 NaN and 256
  edited_.tensor("model.layers.0.input_layernorm.weight").bytes.replace(0, 2, nan);
  EXPECT_FALSE(report()->runnable);
  edited_ = original;
  edited_.tensor("model.layers.0.linear_attn.A_log").bytes.replace(0, 2, large);
  EXPECT_FALSE(report()->runnable);
  EXPECT_THAT(report().messages(Severity::kError), testing::HasSubstr("A_log"));
}

TEST_F(BindingTest, TiedHead) {
  edited_.text_config().set("tie_word_embeddings", true);
  // A head that differs from the embedding is a contradiction, a copy of it is not, none at all is
  // usual.
  EXPECT_FALSE(report()->runnable);
  edited_.tensors["lm_head.weight"] = edited_.tensor("model.embed_tokens.weight");
  const Report copied = report();
  EXPECT_TRUE(copied->runnable);
  EXPECT_THAT(copied.messages(Severity::kNote), testing::HasSubstr("copy of the embedding"));
  const std::vector<float> wanted = logits(edited_);
  edited_.tensors.erase("lm_head.weight");
  EXPECT_TRUE(report()->problems.empty());
  EXPECT_EQ(logits(edited_), wanted);
  // Missing without being tied.
  edited_.text_config().set("tie_word_embeddings", false);
  EXPECT_FALSE(report()->runnable);
}

TEST_F(BindingTest, KvScalesInEveryPlace) {
  const EditableModel original = edited_;
  const std::string k = float_bytes(0.5f), v = float_bytes(0.25f);
  const std::pair<const char*, const char*> places[] = {
      {"model.layers.3.self_attn.k_proj.k_scale", "model.layers.3.self_attn.v_proj.v_scale"},
      {"model.layers.3.self_attn.k_scale", "model.layers.3.self_attn.v_scale"},
      {"model.layers.3.self_attn.attn.k_scale", "model.layers.3.self_attn.attn.v_scale"},
      {"model.layers.3.self_attn.k_proj.output_scale",
       "model.layers.3.self_attn.v_proj.output_scale"}};
  for (const auto& [key, value] : places) {
    edited_ = original;
    edited_.tensors[key] = {"F32", {}, k};
    edited_.tensors[value] = {"F32", {1}, v};
    const Report bound = report();
    EXPECT_TRUE(bound->runnable) << key << bound.messages(Severity::kError);
    EXPECT_EQ(bound->key_scales, (std::vector<float>{0.5f, 1.0f})) << key;  // the draft head's is 1
    EXPECT_EQ(bound->value_scales, (std::vector<float>{0.25f, 1.0f})) << key;
    const ops::KvSpec spec =
        model::TextModel::kv_spec(*bound.binding, false, 1, ops::KvFormat::kFp8);
    EXPECT_EQ(spec.key_scales, std::vector<float>{0.5f});
    EXPECT_EQ(model::TextModel::kv_spec(*bound.binding, true, 1, ops::KvFormat::kFp8).layers, 2);
  }
  edited_ = original;
  edited_.tensors["model.layers.3.self_attn.kv_scale"] = {"F32", {}, k};
  edited_.tensors["mtp.layers.0.self_attn.k_proj.k_scale"] = {"F32", {}, v};
  Report bound = report();
  EXPECT_EQ(bound->key_scales, (std::vector<float>{0.5f, 0.25f}));
  EXPECT_EQ(bound->value_scales, (std::vector<float>{0.5f, 1.0f}));
  // Twice the same scale, and one that is no number.
  edited_.tensors["model.layers.3.self_attn.k_scale"] = {"F32", {}, k};
  EXPECT_THAT(report().messages(Severity::kError), testing::HasSubstr("Q-3"));
  edited_ = original;
  edited_.tensors["model.layers.3.self_attn.k_scale"] = {
      "F32", {}, float_bytes(std::numeric_limits<float>::infinity())};
  EXPECT_THAT(report().messages(Severity::kError), testing::HasSubstr("Q-5"));
}

TEST_F(BindingTest, NoUsableConfigIsAnError) {
  edited_.files.erase("config.json");
  EXPECT_FALSE(report().binding);
}

}  // namespace
}  // namespace sluice::test
