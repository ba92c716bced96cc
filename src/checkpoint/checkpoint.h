// A checkpoint on disk: names, shapes and bytes of its tensors, whatever the container. No
// arithmetic and no meaning: what the bytes say is the codec's business (style: containers carry
// bytes, codecs give them meaning).
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
#include "checkpoint/locate.h"
#include "checkpoint/stored_tensor.h"

namespace sluice::checkpoint {

// What a file is opened for. As a model, GGUF files that are only a part of one (a vision tower, a
// draft head, an importance matrix) or hold types without a decoder are refused with an
// explanation. As any file they are read, tensors without a decoder left out with a note.
enum class Purpose { kModel, kAnyFile };

class Checkpoint {
 public:
  // A directory (index first, then a lone model.safetensors, then *.safetensors sorted, then the
  // one *.gguf), an *.index.json, a *.safetensors file, or a *.gguf (first part of a split). The
  // index wins over a lone model.safetensors beside it; a *.safetensors named by the user is read
  // alone, with a note if an index beside it lists more. Every rule of
  // spec/formats-safetensors.md 1.4 and formats-gguf.md 1.2 that concerns the container is enforced
  // here; the error names file, tensor and rule. No tensor byte is read.
  static Result<Checkpoint> open(const std::filesystem::path& path,
                                 Purpose purpose = Purpose::kModel);

  Container container() const { return container_; }
  // Where config.json and the tokenizer lie.
  const std::filesystem::path& folder() const { return folder_; }
  const std::vector<std::filesystem::path>& files() const { return files_; }

  // In file order: file by file, by place in the file.
  std::span<const StoredTensor> tensors() const { return tensors_; }
  const StoredTensor* find(std::string_view name) const;

  // Metadata of a GGUF (first part); nullptr for safetensors.
  const GgufMetadata* gguf() const { return gguf_.get(); }

  // Files of the same folder that belong to a text model and are no part of this checkpoint:
  // *mmproj*.gguf and mtp-*.gguf.
  const std::vector<std::filesystem::path>& vision_beside() const { return vision_beside_; }
  const std::vector<std::filesystem::path>& draft_beside() const { return draft_beside_; }

  // A JSON file beside the weights ("config.json", "generation_config.json",
  // "hf_quant_config.json"); nothing if there is none; an error if it is damaged or larger than 16
  // MiB (ST-15).
  Result<std::optional<Json>> side_json(std::string_view name) const;

  // Things worth telling the user that do not stop the run (trailing bytes after the last tensor,
  // an unused lone file beside an index, ...), one sentence each.
  const std::vector<std::string>& notes() const { return notes_; }

  // The mapping that holds a tensor, for read-ahead and dropping pages.
  const MappedFile& mapping(const StoredTensor& tensor) const;

 private:
  Status open_index(const std::filesystem::path& index);
  Status open_safetensors(const std::filesystem::path& path);
  Status open_gguf(const std::filesystem::path& first, Purpose purpose);
  Status open_later_parts(const std::filesystem::path& first, Purpose purpose);
  Result<GgufMetadata> add_gguf(const std::filesystem::path& path, Purpose purpose);
  void note_index_beside(const std::filesystem::path& file);
  void add_file(MappedFile mapping, std::vector<StoredTensor> tensors);
  Status index_names();

  Container container_ = Container::kSafetensors;
  std::filesystem::path folder_;
  std::vector<std::filesystem::path> files_;
  std::vector<MappedFile> mappings_;  // one per file
  std::vector<StoredTensor> tensors_;
  std::unordered_map<std::string_view, size_t> by_name_;  // keys borrow the names in tensors_
  std::unique_ptr<GgufMetadata> gguf_;
  size_t left_out_ = 0;  // tensors of types without a decoder
  std::vector<std::filesystem::path> vision_beside_, draft_beside_;
  std::vector<std::string> notes_;
};

// ST-16: the file still has the size that was mapped. Checked after the header was judged against
// that size.
Status check_size_unchanged(const MappedFile& mapping);

// What the user wrote as MODEL (spec/cli.md): a path; the name of an installed model, looked up in
// SLUICE_MODELS, then the `installed` folders; org/name in the local Hugging Face cache. The error
// lists where it looked.
Result<std::filesystem::path> resolve_model(std::string_view model,
                                            std::span<const std::filesystem::path> installed);

}  // namespace sluice::checkpoint
