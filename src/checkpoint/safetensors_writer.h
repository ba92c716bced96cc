// Writes safetensors checkpoints tensor by tensor (spec/formats-safetensors.md 1.5): sorted,
// contiguous, in shards, under temporary names until all of it is there, the index last.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "checkpoint/kept_tensors.h"
#include "checkpoint/stored_tensor.h"
#include "checkpoint/tensor_sequence.h"

namespace sluice::checkpoint {

struct SafetensorsOptions {
  // Bytes of tensors in one shard; a larger tensor is a shard of its own. 5 GB is the hub's
  // default.
  uint64_t shard_limit = 5'000'000'000;
  std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"}};
  bool overwrite = false;
  // append() expects the tensors in the order of the given specs, whatever their order in the file:
  // for a caller that makes several in one pass over its source.
  bool as_given = false;
  // Goes on behind the tensors that an earlier run has left and leaves its own when it is destroyed
  // before finish(): the folder is temporary itself, the files have their final names at once.
  IsIntact kept = nullptr;
};

// One checkpoint in a folder: model.safetensors, or model-00001-of-0000N.safetensors and their
// index.
//
// The order of writing is the plan's: shards are filled in the order of the given specs, and inside
// a shard tensors are sorted by (bytes per element descending, name), so that each lies naturally
// aligned. With `as_given` the plan is the order of the specs and each tensor goes to its place,
// with gaps before it until all are there; the finished files are the same. Nothing is buffered
// here. Destroying the writer before finish() leaves nothing.
class SafetensorsWriter {
 public:
  // The folder must exist. An error if a spec cannot be stored (name, rank, size, duplicate), or if
  // the folder holds a checkpoint already and `overwrite` is off.
  static Result<SafetensorsWriter> create(const std::filesystem::path& folder,
                                          std::vector<TensorSpec> specs,
                                          SafetensorsOptions options = {});
  // The same for one file of a given name (test vectors, single tensors); shard_limit has no
  // meaning here.
  static Result<SafetensorsWriter> create_file(const std::filesystem::path& file,
                                               std::vector<TensorSpec> specs,
                                               SafetensorsOptions options = {});

  // Bytes of all files of weights together, headers included, that create() with the same arguments
  // leads to.
  static Result<uint64_t> total_bytes(std::vector<TensorSpec> specs,
                                      SafetensorsOptions options = {});

  // All tensors in the order in which append expects them.
  const std::vector<TensorSpec>& plan() const { return sequence_.specs(); }

  // Numbers of the plan's tensors in the order of the files and inside them.
  std::vector<size_t> file_order() const;

  // The tensor of the plan whose bytes come next: 0, unless tensors of an earlier run were kept.
  size_t next() const { return sequence_.current(); }

  // The next bytes of `name`, whole or in parts; the next tensor begins when all bytes of this one
  // were given. A name out of turn or too many bytes are contract violations.
  Status append(std::string_view name, std::span<const std::byte> bytes);

  // All tensors must be complete. Renames the files to their final names, then writes the index.
  Status finish();

 private:
  struct Shard {
    std::string file_name;
    size_t first = 0, end = 0;  // range of the plan
    std::string header;
    std::vector<uint64_t> places;      // of the range, from the file's first byte
    std::optional<FileWriter> writer;  // from its first byte to finish()
  };

  // Sorts the specs into the plan's order.
  static Result<std::vector<Shard>> shards_of(std::vector<TensorSpec>& specs,
                                              const SafetensorsOptions& options);
  static Result<SafetensorsWriter> start(std::filesystem::path folder, std::vector<TensorSpec> plan,
                                         std::vector<Shard> shards, SafetensorsOptions options);
  Status open_shard(Shard& shard);
  Status lay_out(Shard& shard);
  std::vector<size_t> file_order(const Shard& shard) const;
  Status write_index() const;

  std::filesystem::path folder_;
  SafetensorsOptions options_;
  TensorSequence sequence_;
  std::vector<Shard> shards_;
  size_t shard_ = 0;           // the one being written
  bool is_checkpoint_ = true;  // false: a lone file, no index to care for
};

}  // namespace sluice::checkpoint
