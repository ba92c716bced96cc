// A safetensors checkpoint in memory that a test may damage and write out again.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"

namespace sluice::test {

struct EditableTensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

class EditableModel {
 public:
  // All tensors of the folder's shards, and its JSON files (config.json, hf_quant_config.json,
  // ...).
  explicit EditableModel(const std::filesystem::path& folder);

  // One model.safetensors, no index.
  void write(const std::filesystem::path& folder) const;

  EditableTensor& tensor(const std::string& name);  // throws if there is none
  void rename(const std::string& from, const std::string& to);
  // Every name through this function; an empty result drops the tensor.
  void rename_all(const std::function<std::string(const std::string&)>& renamed);
  Json& text_config();  // text_config, or config.json itself

  std::map<std::string, EditableTensor> tensors;
  std::map<std::string, Json> files;
};

std::string float_bytes(float value);  // F32, little-endian

}  // namespace sluice::test
