#include "tools/distill/export.h"

#include <torch/types.h>

#include <map>
#include <optional>
#include <string>

#include "base/check.h"
#include "base/file.h"
#include "checkpoint/safetensors_writer.h"

namespace sluice::distill {
namespace {

constexpr uint64_t kMaxSideFileBytes = uint64_t{256} << 20;

struct Place {
  const Parameter* parameter = nullptr;
  int64_t offset = 0, count = 0;  // in elements
};

Status write_weights(const std::filesystem::path& folder, const ParameterSet& parameters,
                     Precision format) {
  const DType dtype = format == Precision::kBf16 ? DType::kBF16 : DType::kF32;
  std::vector<checkpoint::TensorSpec> specs;
  std::map<std::string, Place> places;
  for (const Parameter& parameter : parameters.all) {
    int64_t offset = 0;
    for (const PublishedPart& part : parameter.parts) {
      int64_t count = 1;
      for (const int64_t extent : part.shape) count *= extent;
      specs.push_back({part.name, dtype, part.shape});
      places[part.name] = {&parameter, offset, count};
      offset += count;
    }
    SLUICE_CHECK(offset == parameter.value.numel(), "parts of ", parameter.name());
  }
  checkpoint::SafetensorsOptions options;
  options.overwrite = true;
  SLUICE_ASSIGN(auto writer,
                checkpoint::SafetensorsWriter::create(folder, std::move(specs), options));
  const auto type = format == Precision::kBf16 ? torch::kBFloat16 : torch::kFloat;
  for (const checkpoint::TensorSpec& spec : writer.plan()) {
    const Place& place = places.at(spec.name);
    const torch::Tensor values = place.parameter->value.detach()
                                     .flatten()
                                     .narrow(0, place.offset, place.count)
                                     .to(type)
                                     .contiguous();
    SLUICE_TRY(writer.append(spec.name,
                             {static_cast<const std::byte*>(values.data_ptr()), values.nbytes()}));
  }
  return writer.finish();
}

Status write_json(const std::filesystem::path& path, const Json& json) {
  const std::string text = json.dump(2) + "\n";
  return write_file(path, std::as_bytes(std::span(text)), true);
}

}  // namespace

Status export_model(const std::filesystem::path& folder, const ParameterSet& parameters,
                    Json published, const TextTools& tools, Precision format,
                    const Json& generation) {
  const auto text_end = tools.tokenizer.find_added("<|endoftext|>");
  const auto turn_end = tools.tokenizer.find_added("<|im_end|>");
  Json stops = Json::array();
  for (const auto& id : {turn_end, text_end}) {
    if (id) stops.push_back(static_cast<int64_t>(*id));
  }
  published.set("dtype", format == Precision::kBf16 ? "bfloat16" : "float32");
  if (text_end) {
    published.set("bos_token_id", static_cast<int64_t>(*text_end));
    published.set("eos_token_id", static_cast<int64_t>(*text_end));
  }
  Json defaults = Json::object();
  defaults.set("do_sample", true);
  defaults.set("temperature", 0.6);
  defaults.set("top_k", 20);
  defaults.set("top_p", 0.95);
  if (generation.is_object()) {
    for (const auto& [key, value] : generation.members()) defaults.set(key, value);
  }
  if (text_end) {
    defaults.set("bos_token_id", static_cast<int64_t>(*text_end));
    defaults.set("pad_token_id", static_cast<int64_t>(*text_end));
  }
  if (!stops.items().empty()) defaults.set("eos_token_id", stops);

  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return failed(folder.string(), error.message());
  SLUICE_TRY(write_weights(folder, parameters, format));
  SLUICE_TRY(write_json(folder / "config.json", published));
  SLUICE_TRY(write_json(folder / "generation_config.json", defaults));
  for (const std::string& name : tools.files) {
    SLUICE_ASSIGN(const std::string bytes, read_file(tools.folder / name, kMaxSideFileBytes));
    SLUICE_TRY(write_file(folder / name, std::as_bytes(std::span(bytes)), true));
  }
  return {};
}

}  // namespace sluice::distill
