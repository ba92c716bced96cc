#include "tools/distill/run_state.h"

#include <fmt/format.h>
#include <torch/types.h>

#include <charconv>
#include <cstring>
#include <map>
#include <string>

#include "base/file.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_writer.h"

namespace sluice::distill {
namespace {

using Tensors = std::map<std::string, torch::Tensor>;

Tensors tensors_of(const ParameterSet& parameters, const Moments& moments) {
  Tensors tensors;
  for (size_t i = 0; i < parameters.all.size(); ++i) {
    const std::string& name = parameters.all[i].name();
    tensors["value." + name] = parameters.all[i].value.detach();
    tensors["first." + name] = moments.first[i];
    tensors["second." + name] = moments.second[i];
  }
  return tensors;
}

Result<int64_t> number(const checkpoint::SafetensorsFile& file, std::string_view key,
                       const std::filesystem::path& path) {
  for (const auto& [name, text] : file.metadata) {
    if (name != key) continue;
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value >= 0) return value;
  }
  return bad_input(path.string(), fmt::format("is no state of a training run: it lacks {}", key));
}

}  // namespace

Status save_state(const std::filesystem::path& file, const ParameterSet& parameters,
                  const Moments& moments, const RunPosition& position) {
  const Tensors tensors = tensors_of(parameters, moments);
  std::vector<checkpoint::TensorSpec> specs;
  for (const auto& [name, tensor] : tensors)
    specs.push_back({name, DType::kF32, tensor.sizes().vec()});
  checkpoint::SafetensorsOptions options;
  options.overwrite = true;
  options.metadata = {{"step", std::to_string(position.step)},
                      {"tokens", std::to_string(position.tokens)},
                      {"epoch", std::to_string(position.data.epoch)},
                      {"next", std::to_string(position.data.next)}};
  SLUICE_ASSIGN(auto writer,
                checkpoint::SafetensorsWriter::create_file(file, std::move(specs), options));
  for (const checkpoint::TensorSpec& spec : writer.plan()) {
    const torch::Tensor values = tensors.at(spec.name).contiguous();
    SLUICE_TRY(writer.append(spec.name,
                             {static_cast<const std::byte*>(values.data_ptr()), values.nbytes()}));
  }
  return writer.finish();
}

Result<RunPosition> load_state(const std::filesystem::path& file, ParameterSet& parameters,
                               Moments& moments) {
  SLUICE_ASSIGN(const MappedFile mapping, MappedFile::open(file));
  SLUICE_ASSIGN(const auto stored,
                checkpoint::parse_safetensors(mapping.bytes(), file.filename().string()));
  Tensors tensors = tensors_of(parameters, moments);
  size_t found = 0;
  for (const checkpoint::StoredTensor& tensor : stored.tensors) {
    const auto own = tensors.find(tensor.name);
    if (own == tensors.end() || tensor.dtype != DType::kF32 ||
        own->second.sizes() != tensor.shape) {
      return bad_input(file.string(),
                       fmt::format("{} does not fit the model of the config", tensor.name),
                       "Resume with the config of the run, or train into another folder");
    }
    std::memcpy(own->second.data_ptr(), tensor.bytes.data(), tensor.bytes.size());
    ++found;
  }
  if (found != tensors.size()) {
    return bad_input(file.string(), fmt::format("has {} tensors, the config's model and moments "
                                                "are {}",
                                                found, tensors.size()));
  }
  RunPosition position;
  SLUICE_ASSIGN(position.step, number(stored, "step", file));
  SLUICE_ASSIGN(position.tokens, number(stored, "tokens", file));
  SLUICE_ASSIGN(position.data.epoch, number(stored, "epoch", file));
  SLUICE_ASSIGN(position.data.next, number(stored, "next", file));
  return position;
}

}  // namespace sluice::distill
