// A checkpoint on disk: names, shapes and bytes of its tensors, whatever the container. No arithmetic and no
// meaning: what the bytes say is the codec's business (style: containers carry bytes, codecs give them meaning).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/result.h"
#include "checkpoint/gguf.h"
#include "tensor/dtype.h"

namespace sluice::checkpoint {

enum class Container { kSafetensors, kGguf };

// One stored tensor. `bytes` borrow the checkpoint's mappings.
struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // outermost first, also for GGUF (whose ne is reversed here)
  std::span<const std::byte> bytes;
  int file = 0;                // index into Checkpoint::files()

  int64_t elements() const;
};

class Checkpoint {
 public:
  // A directory (index first, then a lone model.safetensors, then *.safetensors sorted, then the one *.gguf),
  // an *.index.json, a *.safetensors file, or a *.gguf (first part of a split). Every rule of
  // spec/formats-safetensors.md 1.4 and formats-gguf.md 1.2 is enforced here; the error names file, tensor and rule.
  static Result<Checkpoint> open(const std::filesystem::path& path);

  Container container() const { return container_; }
  const std::filesystem::path& folder() const { return folder_; }  // where config.json and the tokenizer lie
  const std::vector<std::filesystem::path>& files() const { return files_; }

  std::span<const StoredTensor> tensors() const { return tensors_; }
  const StoredTensor* find(std::string_view name) const;

  // Metadata of a GGUF (first part); nullptr for safetensors.
  const GgufMetadata* gguf() const { return gguf_ ? gguf_.get() : nullptr; }

  // A JSON file beside the weights ("config.json", "generation_config.json", "hf_quant_config.json"); nothing
  // if there is none; an error if it is damaged or larger than 16 MiB.
  Result<std::optional<Json>> side_json(std::string_view name) const;

  // Things worth telling the user that do not stop the run (trailing bytes after the last tensor, an unused
  // lone file beside an index, ...), one sentence each.
  const std::vector<std::string>& notes() const { return notes_; }

  // The mapping that holds a tensor, for read-ahead and dropping pages.
  const MappedFile& mapping(const StoredTensor& tensor) const;

 private:
  Container container_ = Container::kSafetensors;
  std::filesystem::path folder_;
  std::vector<std::filesystem::path> files_;
  std::vector<MappedFile> mappings_;
  std::vector<StoredTensor> tensors_;
  std::unordered_map<std::string_view, size_t> by_name_;
  std::unique_ptr<GgufMetadata> gguf_;
  std::vector<std::string> notes_;
};

// What the user wrote as MODEL (spec/cli.md): a path; the name of an installed model, looked up in
// SLUICE_MODELS, then `installed` folders; org/name in the local Hugging Face cache. The error lists where it looked.
Result<std::filesystem::path> resolve_model(std::string_view model, std::span<const std::filesystem::path> installed);

}  // namespace sluice::checkpoint
