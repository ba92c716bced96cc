// Broken copies of the quantized checkpoints in ../shared/goldens/formats: each contradiction of
// formats-safetensors.md section 5 is one problem that names its rule.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "model/binding_report.h"
#include "model/editable_model.h"
#include "support/paths.h"

namespace sluice::test {
namespace {

using model::Problem;
using Severity = Problem::Severity;
using testing::HasSubstr;

const std::string kLayer = "model.language_model.layers.0.";
const std::string kUp = kLayer + "mlp.up_proj.";
const float kNan = std::numeric_limits<float>::quiet_NaN();

Json parsed(const std::string& text) {
  const auto json = parse_json(text);
  EXPECT_TRUE(json.ok()) << text;
  return json.ok() ? *json : Json();
}

class Damage : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto root = shared_folder();
    if (!root || !std::filesystem::exists(*root / "goldens/formats"))
      GTEST_SKIP() << "needs ../shared/goldens/formats";
    folder_ = *root / "goldens/formats";
  }

  EditableModel load(const std::string& name) { return EditableModel(folder_ / name); }

  void expect(const EditableModel& edited, Severity severity, bool runnable,
              const std::string& part) {
    const Report report = bind_edited(edited);
    ASSERT_TRUE(report.binding) << report.error;
    EXPECT_EQ(report->runnable, runnable) << report.messages(Severity::kError);
    EXPECT_THAT(report.messages(severity), HasSubstr(part));
  }
  void expect_error(const EditableModel& edited, const std::string& part) {
    expect(edited, Severity::kError, false, part);
  }
  void expect_warning(const EditableModel& edited, const std::string& part) {
    expect(edited, Severity::kWarning, true, part);
  }
  void expect_clean(const EditableModel& edited) {
    const Report report = bind_edited(edited);
    ASSERT_TRUE(report.binding) << report.error;
    EXPECT_TRUE(report->runnable) << report.messages(Severity::kError);
    EXPECT_EQ(report.messages(Severity::kWarning), "");
  }

  static Json& quantization(EditableModel& edited) {
    return *edited.files.at("config.json").find("quantization_config");
  }
  static Json& group(EditableModel& edited, const char* name = "group_0") {
    return *quantization(edited).find("config_groups")->find(name);
  }

  std::filesystem::path folder_;
};

TEST_F(Damage, MissingScales) {
  const std::pair<const char*, const char*> cases[] = {
      {"fp8-block", "weight_scale_inv"},  {"ct-fp8-dynamic", "weight_scale"},
      {"ct-nvfp4", "weight_scale"},       {"ct-nvfp4", "weight_global_scale"},
      {"ct-nvfp4", "input_global_scale"}, {"ct-mxfp4", "weight_scale"},
      {"ct-w4a16-asym", "weight_shape"},  {"ct-w4afp8", "weight_scale"},
      {"mo-fp8", "weight_scale"},         {"mo-fp8", "input_scale"},
      {"mo-nvfp4", "weight_scale_2"},     {"mo-nvfp4", "input_scale"},
      {"mo-w4a8", "weight_scale_2"},      {"mo-w4a8", "input_scale"},
      {"mo-w4a16", "weight_scale"}};
  for (const auto& [name, leaf] : cases) {
    EditableModel edited = load(name);
    ASSERT_EQ(edited.tensors.erase(kUp + leaf), 1u) << name << " " << leaf;
    SCOPED_TRACE(std::string(name) + " without " + leaf);
    expect_error(edited, "Q-1");
    // Nothing else is said about that module: one cause, one problem.
    int errors = 0;
    const Report report = bind_edited(edited);
    for (const Problem& problem : report->problems) errors += problem.severity == Severity::kError;
    EXPECT_EQ(errors, 1) << report.messages(Severity::kError);
  }
}

TEST_F(Damage, MissingCodes) {
  for (const char* name : {"fp8-block", "mo-w4a8"}) {
    EditableModel edited = load(name);
    edited.tensors.erase(kUp + "weight");
    expect_error(edited, "is missing");
  }
  EditableModel edited = load("ct-nvfp4");
  edited.tensors.erase(kUp + "weight_packed");
  expect_error(edited, "is missing");
}

TEST_F(Damage, TwoOfAKind) {
  EditableModel edited = load("ct-nvfp4");
  edited.tensors[kUp + "weight"] = edited.tensor(kUp + "weight_packed");
  expect_error(edited, "Q-3");
  edited = load("fp8-block");
  edited.tensors[kUp + "weight_scale"] = edited.tensor(kUp + "weight_scale_inv");
  expect_error(edited, "Q-3");
  edited = load("ct-nvfp4");
  edited.tensors[kUp + "weight_scale_2"] = edited.tensor(kUp + "weight_global_scale");
  expect_error(edited, "Q-3");
}

TEST_F(Damage, ExtraTensors) {
  for (const char* name : {"fp8-block", "ct-mixed", "mo-nvfp4", "ct-w4a16-asym"}) {
    EditableModel edited = load(name);
    edited.tensors[kUp + "weight_mystery"] = {"F32", {1}, float_bytes(1)};
    SCOPED_TRACE(name);
    expect_error(edited, "Q-2");
  }
  // A scale beside a weight that is not quantized.
  EditableModel edited = load("fp8-block");
  edited.tensors[kLayer + "linear_attn.in_proj_a.weight_scale_inv"] = {
      "F32", {1, 1}, float_bytes(1)};
  expect_error(edited, "Q-2");
  edited = load("ct-w4a16-asym");
  edited.tensors[kUp + "weight_g_idx"] = {"I32", {1}, std::string(4, '\0')};
  expect_error(edited, "weight_g_idx");
  for (const char* leaf : {"pre_quant_scale", "svdquant_lora_a"}) {
    edited = load("mo-nvfp4");
    edited.tensors[kUp + leaf] = {"BF16", {1}, std::string(2, '\0')};
    expect_error(edited, leaf[0] == 'p' ? "pre_quant_scale" : "SVDQuant");
  }
}

TEST_F(Damage, WrongShapesAndDtypes) {
  const auto grow = [](EditableTensor& tensor) {
    tensor.shape.back() *= 2;
    tensor.bytes += tensor.bytes;
  };
  for (const auto& [name, leaf] :
       {std::pair{"fp8-block", "weight_scale_inv"}, std::pair{"ct-fp8-dynamic", "weight_scale"},
        std::pair{"ct-mxfp4", "weight_scale"}, std::pair{"ct-nvfp4", "weight_scale"},
        std::pair{"ct-nvfp4", "weight_global_scale"}, std::pair{"mo-w4a8", "input_scale"}}) {
    EditableModel edited = load(name);
    EditableTensor& tensor = edited.tensor(kUp + leaf);
    if (tensor.shape.empty()) tensor.shape = {1};
    grow(tensor);
    SCOPED_TRACE(std::string(name) + " " + leaf);
    expect_error(edited, "Q-4");
  }
  for (const auto& [name, leaf] :
       {std::pair{"fp8-block", "weight"}, std::pair{"ct-nvfp4", "weight_packed"},
        std::pair{"mo-w4a8", "weight"}}) {
    EditableModel edited = load(name);
    grow(edited.tensor(kUp + leaf));
    expect_error(edited, "Q-13");
  }
  EditableModel edited = load("fp8-block");  // scales of another format's dtype
  EditableTensor& scale = edited.tensor(kUp + "weight_scale_inv");
  scale.dtype = "F8_E4M3";
  scale.bytes.resize(scale.bytes.size() / 2);
  expect_error(edited, "Q-4");
  edited = load("ct-w4a16-asym");
  edited.tensor(kUp + "weight_shape").bytes[0] ^= 1;
  expect_error(edited, "Q-13");
  for (const char* dtype : {"F8_E5M2", "F8_E4M3FNUZ"}) {
    edited = load("fp8-block");
    edited.tensor(kUp + "weight").dtype = dtype;
    expect_error(edited, dtype);
  }
}

TEST_F(Damage, SixBitMxIsRefusedByName) {
  EditableModel edited = load("ct-mxfp4");
  EditableTensor& codes = edited.tensor(kUp + "weight_packed");
  codes.shape[1] = codes.shape[1] * 3 / 2;
  codes.bytes.resize(codes.bytes.size() * 3 / 2);
  expect_error(edited, "MXFP6");
  edited = load("ct-mxfp4");
  quantization(edited).set("format", "mxfp6-pack-quantized");
  expect_error(edited, "mxfp6-pack-quantized");
}

TEST_F(Damage, ScalesThatAreNoNumbers) {
  struct Case {
    const char *folder, *leaf, *rule;
    std::string bytes;
  };
  const std::string bf16_nan("\xc0\x7f", 2), bf16_minus("\x80\xbf", 2);
  for (const Case& damage : {Case{"fp8-block", "weight_scale_inv", "Q-5", bf16_nan},
                             Case{"fp8-block", "weight_scale_inv", "Q-5", bf16_minus},
                             Case{"ct-fp8-dynamic", "weight_scale", "Q-5", bf16_nan},
                             Case{"mo-fp8", "weight_scale", "Q-5", float_bytes(kNan)},
                             Case{"mo-fp8", "input_scale", "Q-5", float_bytes(-1)},
                             Case{"ct-nvfp4", "weight_scale", "Q-6", "\x7f"},
                             Case{"ct-nvfp4", "weight_scale", "Q-6", "\x81"},
                             Case{"ct-mxfp4", "weight_scale", "Q-6", "\xff"},
                             Case{"ct-nvfp4", "weight_global_scale", "Q-5", float_bytes(kNan)},
                             Case{"mo-nvfp4", "weight_scale_2", "Q-8", float_bytes(1e37f)},
                             Case{"mo-nvfp4", "weight_scale_2", "Q-5", float_bytes(0)},
                             Case{"ct-w4a16-asym", "weight_scale", "Q-5", bf16_nan}}) {
    EditableModel edited = load(damage.folder);
    edited.tensor(kUp + damage.leaf).bytes.replace(0, damage.bytes.size(), damage.bytes);
    SCOPED_TRACE(std::string(damage.folder) + " " + damage.leaf);
    expect_error(edited, damage.rule);
  }
}

// The draft head of a quantized build is damaged: the model runs on.
TEST_F(Damage, HeadOfAQuantizedBuild) {
  EditableModel edited = load("fp8-block");
  edited.tensors.erase("mtp.layers.0.mlp.up_proj.weight_scale_inv");
  expect_warning(edited, "draft head: Q-1");
  edited = load("fp8-block");
  edited.tensor("mtp.layers.0.mlp.up_proj.weight_scale_inv").bytes.replace(0, 2, "\xc0\x7f");
  expect_warning(edited, "draft head: rule Q-5");
}

// ---------------------------------------------- against the JSON

TEST_F(Damage, AnnouncedButStoredUnquantized) {
  EditableModel edited = load("fp8-block");
  EditableTensor& weight = edited.tensor(kUp + "weight");
  weight.dtype = "BF16";
  weight.bytes.resize(weight.bytes.size() * 2);
  edited.tensors.erase(kUp + "weight_scale_inv");
  expect_error(edited, "Q-1");
  quantization(edited).find("modules_to_not_convert")->push_back(kUp.substr(0, kUp.size() - 1));
  expect_clean(edited);
  // In the draft head storage counts: recipes often forget to exclude it.
  edited = load("ct-fp8-dynamic");
  Json& ignore = *quantization(edited).find("ignore");
  std::erase_if(ignore.items(), [](const Json& entry) { return entry.string() == "re:^mtp.*"; });
  expect(edited, Severity::kNote, true, "is stored unquantized");
}

TEST_F(Damage, StoredQuantizedButNotAnnounced) {
  EditableModel edited = load("fp8-block");
  quantization(edited).find("modules_to_not_convert")->push_back(kUp.substr(0, kUp.size() - 1));
  expect_warning(edited, "the stored form is used");
  // Without any config storage alone decides, silently.
  for (const char* name : {"fp8-block", "ct-nvfp4a16", "ct-mxfp4", "mo-w4a16"}) {
    edited = load(name);
    edited.files.at("config.json").set("quantization_config", nullptr);
    edited.files.erase("hf_quant_config.json");
    SCOPED_TRACE(name);
    expect_clean(edited);
  }
}

TEST_F(Damage, AnotherSchemeAnnounced) {
  EditableModel edited = load("ct-fp8-dynamic");
  group(edited).find("weights")->set("strategy", "tensor");
  expect_warning(edited, "the stored form is used");
  edited = load("ct-nvfp4");
  group(edited).find("weights")->set("group_size", 32);
  expect_error(edited, "Q-4");
  edited = load("mo-w4a8");  // converters write 16 here
  edited.files.at("hf_quant_config.json").find("quantization")->set("group_size", 16);
  expect(edited, Severity::kNote, true, "the shapes count");
  edited = load("ct-w4a16-asym");
  group(edited).find("weights")->set("num_bits", 3);
  expect_error(edited, "Q-4");
}

TEST_F(Damage, ModelOptFilesThatContradictEachOther) {
  // Storage supports one of the two: it is used.
  EditableModel edited = load("mo-fp8");
  edited.files.at("hf_quant_config.json").find("quantization")->set("quant_algo", "NVFP4");
  expect_warning(edited, "Q-11");
  edited = load("mo-w4a16");
  quantization(edited).set("quant_algo", "NVFP4");  // would need input scales
  expect_warning(edited, "Q-11");
  // Neither, and both.
  edited = load("mo-fp8");
  quantization(edited).set("quant_algo", "MXFP8");
  edited.files.at("hf_quant_config.json").find("quantization")->set("quant_algo", "NVFP4");
  expect_error(edited, "Q-11");
  edited = load("mo-nvfp4");
  quantization(edited).set("quant_algo", "W4A16_NVFP4");
  expect_error(edited, "Q-11");
}

// The known lie of a published file: config_groups with input activations over W4A16 layers.
TEST_F(Damage, QuantizedLayersWinOverGroups) {
  EditableModel edited = load("mo-mixed");
  for (auto& [name, entry] : quantization(edited).find("config_groups")->members()) {
    entry.set("input_activations",
              parsed(R"({"dynamic":false,"num_bits":4,"type":"float","group_size":16})"));
  }
  expect_clean(edited);
}

TEST_F(Damage, UnknownWordsInTheConfig) {
  struct Case {
    const char* folder;
    std::function<void(EditableModel&)> change;
    const char* part;
  };
  const Case cases[] = {
      {"fp8-block", [](auto& m) { quantization(m).set("quant_method", "gptq"); }, "gptq"},
      {"fp8-block", [](auto& m) { quantization(m).set("fmt", "e5m2"); }, "e5m2"},
      {"fp8-block", [](auto& m) { quantization(m).set("activation_scheme", "magic"); }, "magic"},
      {"fp8-block", [](auto& m) { quantization(m).set("modules_to_not_convert", "lm_head"); },
       "modules_to_not_convert"},
      {"fp8-block",
       [](auto& m) {
         quantization(m).set("weight_block_size", Json::Array{0, 128});
       },
       "weight_block_size"},
      {"fp8-block",
       [](auto& m) {
         quantization(m).set("weight_block_size", Json::Array{64, 64});
       },
       "Q-4"},
      {"ct-nvfp4", [](auto& m) { quantization(m).set("format", "marlin-24"); }, "marlin-24"},
      {"ct-nvfp4",
       [](auto& m) {
         quantization(m).set("sparsity_config", parsed(R"({"format":"sparse-24-bitmask"})"));
       },
       "sparsity_config"},
      {"ct-nvfp4",
       [](auto& m) {
         quantization(m).set("transform_config", parsed(R"({"config_groups":{"u":{}}})"));
       },
       "transform_config"},
      {"ct-nvfp4",
       [](auto& m) { quantization(m).set("moe_sparsity_config", parsed(R"({"a":1})")); },
       "moe_sparsity_config"},
      {"ct-nvfp4", [](auto& m) { group(m).find("weights")->set("type", "posit"); }, "posit"},
      {"ct-nvfp4", [](auto& m) { group(m).find("weights")->set("symmetric", false); },
       "asymmetric"},
      {"ct-nvfp4", [](auto& m) { group(m).find("weights")->set("strategy", "spiral"); }, "spiral"},
      {"ct-nvfp4", [](auto& m) { group(m).set("format", "float-quantized"); }, "float-quantized"},
      {"ct-nvfp4", [](auto& m) { quantization(m).find("ignore")->push_back("re:(?=x)"); }, "Q-12"},
      {"ct-nvfp4",
       [](auto& m) { quantization(m).find("ignore")->push_back("re:.*([a-z_.0-9]|[a-z])+[A-Z]$"); },
       "Q-12"},
      {"ct-mixed",
       [](auto& m) {
         quantization(m).set("kv_cache_scheme", parsed(R"({"num_bits":4,"type":"float"})"));
       },
       "kv_cache_scheme"},
      {"mo-nvfp4",
       [](auto& m) {
         m.files.at("hf_quant_config.json")
             .find("quantization")
             ->set("kv_cache_quant_algo", "NVFP4");
       },
       "kv_cache_quant_algo"},
      {"mo-nvfp4", [](auto& m) { quantization(m).set("quant_algo", "NVFP4_AWQ"); }, "NVFP4_AWQ"},
      {"mo-nvfp4", [](auto& m) { m.files.at("hf_quant_config.json").set("quantization", nullptr); },
       "hf_quant_config.json"}};
  for (const Case& damage : cases) {
    EditableModel edited = load(damage.folder);
    damage.change(edited);
    SCOPED_TRACE(damage.part);
    expect_error(edited, damage.part);
  }
  EditableModel edited =
      load("ct-fp8-dynamic");  // only the activations are unknown: the weights can be read
  group(edited).find("input_activations")->set("num_bits", 5);
  expect_warning(edited, "untouched activations");
}

// ---------------------------------------------- accepted variants

TEST_F(Damage, VariantsThatMeanTheSame) {
  EditableModel edited = load("mo-w4a8");
  for (auto& [name, tensor] : edited.tensors) {
    if (name.ends_with("_scale_2") || name.ends_with("input_scale"))
      tensor.shape = {1};  // [] and [1]
  }
  expect_clean(edited);
  edited = load("mo-fp8");
  quantization(edited).set("quant_algo", "fp8");  // compared case-insensitively
  expect_clean(edited);
  edited = load("ct-fp8-block");
  group(edited).find("weights")->set("block_structure", "128x128");
  expect_clean(edited);
  edited = load("ct-nvfp4a16");  // older files name the format at the top only
  group(edited).set("format", nullptr);
  expect_clean(edited);
  edited = load("ct-fp8-dynamic");
  quantization(edited).set("format", "naive-quantized");
  group(edited).set("format", "naive-quantized");
  quantization(edited).set("sparsity_config", parsed(R"({"format":"dense"})"));
  expect_clean(edited);
}

// transformers' names for one scale per tensor, and the embedding in FP8
// (formats-safetensors.md 3.2).
TEST_F(Damage, Fp8PerTensorUnderBothSpellings) {
  EditableModel edited = load("mo-fp8");
  edited.files.erase("hf_quant_config.json");
  edited.files.at("config.json")
      .set("quantization_config",
           parsed(R"({"quant_method":"fp8","activation_scheme":"static","modules_to_not_convert":
      ["lm_head","model.language_model.layers.0.linear_attn.in_proj_a","model.language_model.layers.0.linear_attn.in_proj_b"]})"));
  expect_clean(edited);
  edited.rename_all([](const std::string& name) {
    if (name.ends_with(".weight_scale")) return name + "_inv";
    if (name.ends_with(".input_scale"))
      return name.substr(0, name.size() - 11) + "activation_scale";
    return name;
  });
  expect_clean(edited);
  EditableTensor& table = edited.tensor("model.language_model.embed_tokens.weight");
  table.dtype = "F8_E4M3";
  table.bytes.assign(table.bytes.size() / 2, '\x38');
  edited.tensors["model.language_model.embed_tokens.weight_scale"] = {
      "F32", {1}, float_bytes(0.01f)};
  quantization(edited).set("modules_to_convert", Json::Array{"model.language_model.embed_tokens"});
  expect_clean(edited);
}

// ModelOpt FP8_PB_WO: rank-4 scales.
TEST_F(Damage, RankFourBlockScales) {
  EditableModel edited = load("fp8-block");
  edited.rename_all([](const std::string& name) {
    return name.ends_with("_scale_inv") ? name.substr(0, name.size() - 4) : name;
  });
  for (auto& [name, tensor] : edited.tensors) {
    if (name.ends_with(".weight_scale")) tensor.shape = {tensor.shape[0], 1, tensor.shape[1], 1};
  }
  Json excluded = *quantization(edited).find("modules_to_not_convert");
  edited.files.at("config.json")
      .set("quantization_config",
           parsed(R"({"quant_method":"modelopt","quant_algo":"fp8_pb_wo"})"));
  quantization(edited).set("ignore", excluded);
  const Report report = bind_edited(edited);
  EXPECT_TRUE(report->runnable) << report.messages(Severity::kError);
  EXPECT_EQ(report.messages(Severity::kWarning), "");
  EXPECT_EQ(report->find("layers.0.mlp.up")->matrix.format, Format::kFp8Block);
  EXPECT_EQ(report->find("layers.0.mlp.up")->matrix.activations, ActivationScheme::kNone);
}

// The three things that W4A8 means, and INT8 (formats-safetensors.md 3.3).
TEST_F(Damage, W4A8InAllThreeMeanings) {
  const auto up = [](const EditableModel& edited) {
    const Report report = bind_edited(edited);
    EXPECT_TRUE(report->runnable) << report.messages(Severity::kError);
    const EncodedMatrix& matrix = report->find("layers.0.mlp.up")->matrix;
    return std::tuple(matrix.format, matrix.activations, matrix.bits);
  };
  EditableModel edited = load("ct-w4afp8");
  EXPECT_EQ(up(edited), std::tuple(Format::kInt4A8, ActivationScheme::kFp8TokenDynamic, 4));
  group(edited).find("input_activations")->set("type", "int");
  EXPECT_EQ(up(edited), std::tuple(Format::kInt4A8, ActivationScheme::kInt8TokenDynamic, 4));
  group(edited).find("weights")->set("num_bits", 8);
  EXPECT_EQ(up(edited), std::tuple(Format::kInt8, ActivationScheme::kInt8TokenDynamic, 8));
  group(edited).find("weights")->set("num_bits", 4);
  group(edited).set("input_activations", nullptr);
  EXPECT_EQ(up(edited), std::tuple(Format::kInt4, ActivationScheme::kNone, 4));
  EXPECT_EQ(up(load("mo-w4a8")),
            std::tuple(Format::kW4A8Nvfp4, ActivationScheme::kFp8TensorStatic, 0));
  EXPECT_EQ(up(load("ct-nvfp4-fp8act")),
            std::tuple(Format::kNvfp4A8, ActivationScheme::kFp8TokenDynamic, 0));
}

}  // namespace
}  // namespace sluice::test
