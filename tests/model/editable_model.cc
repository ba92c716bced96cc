#include "model/editable_model.h"

#include <cstring>
#include <fstream>
#include <stdexcept>

#include "base/file.h"
#include "checkpoint/checkpoint.h"

namespace sluice::test {
namespace {

void put(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

EditableModel::EditableModel(const std::filesystem::path& folder) {
  const auto checkpoint = checkpoint::Checkpoint::open(folder);
  if (!checkpoint.ok()) throw std::runtime_error(checkpoint.error().message());
  for (const checkpoint::StoredTensor& stored : checkpoint->tensors()) {
    tensors[stored.name] = {
        std::string(dtype_name(stored.dtype)), stored.shape,
        std::string(reinterpret_cast<const char*>(stored.bytes.data()), stored.bytes.size())};
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (entry.path().extension() != ".json" || name == "dequantized.json" ||
        name.ends_with(".index.json"))
      continue;
    const auto text = read_file(entry.path(), 1 << 24);
    const auto json = parse_json(text.ok() ? *text : "");
    if (!json.ok()) throw std::runtime_error(entry.path().string());
    files[name] = *json;
  }
}

void EditableModel::write(const std::filesystem::path& folder) const {
  std::filesystem::create_directories(folder);
  Json header = Json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    Json entry = Json::object();
    entry.set("dtype", tensor.dtype);
    Json::Array shape(tensor.shape.begin(), tensor.shape.end());
    entry.set("shape", std::move(shape));
    entry.set("data_offsets",
              Json::Array{static_cast<uint64_t>(data.size()),
                          static_cast<uint64_t>(data.size() + tensor.bytes.size())});
    header.set(name, std::move(entry));
    data += tensor.bytes;
  }
  const std::string text = header.dump();
  std::string length(8, '\0');
  const uint64_t size = text.size();
  std::memcpy(length.data(), &size, sizeof size);
  put(folder / "model.safetensors", length + text + data);
  for (const auto& [name, json] : files) put(folder / name, json.dump());
}

EditableTensor& EditableModel::tensor(const std::string& name) {
  const auto it = tensors.find(name);
  if (it == tensors.end()) throw std::runtime_error("no tensor " + name);
  return it->second;
}

void EditableModel::rename(const std::string& from, const std::string& to) {
  EditableTensor moved = tensor(from);
  tensors.erase(from);
  tensors[to] = std::move(moved);
}

void EditableModel::rename_all(const std::function<std::string(const std::string&)>& renamed) {
  std::map<std::string, EditableTensor> result;
  for (auto& [name, tensor] : tensors) {
    const std::string to = renamed(name);
    if (!to.empty()) result[to] = std::move(tensor);
  }
  tensors = std::move(result);
}

Json& EditableModel::text_config() {
  Json& config = files.at("config.json");
  Json* inner = config.find("text_config");
  return inner != nullptr ? *inner : config;
}

std::string float_bytes(float value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

}  // namespace sluice::test
