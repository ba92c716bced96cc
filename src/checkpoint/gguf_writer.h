// Writes GGUF v3 files tensor by tensor (spec/formats-gguf.md 1), in one file or as a split, under
// temporary names until all of it is there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "checkpoint/gguf.h"
#include "checkpoint/kept_tensors.h"
#include "checkpoint/tensor_sequence.h"

namespace sluice::checkpoint {

struct GgufOptions {
  uint64_t part_limit = 0;  // bytes of tensors in one part of a split; 0: one file
  bool overwrite = false;
  // Goes on behind the tensors that an earlier run has left and leaves its own when it is destroyed
  // before finish(): the folder is temporary itself, the files have their final names at once.
  IsIntact kept = nullptr;
};

// The tensors stand in the file in the order of the given specs. Values are stored with the types
// that the metadata name; general.alignment is taken from there (32 if absent). Destroying the
// writer before finish() leaves nothing.
class GgufWriter {
 public:
  // `path` is the file, or the name from which those of the parts are made (x.gguf:
  // x-00001-of-00002.gguf). An error if a spec or a key cannot be stored, or if a file exists and
  // `overwrite` is off.
  static Result<GgufWriter> create(const std::filesystem::path& path, const GgufMetadata& metadata,
                                   std::vector<TensorSpec> specs, GgufOptions options = {});

  // Bytes of all files together, headers included, that create() with the same arguments leads to.
  static Result<uint64_t> total_bytes(const std::filesystem::path& path,
                                      const GgufMetadata& metadata, std::vector<TensorSpec> specs,
                                      GgufOptions options = {});

  // The tensor whose bytes come next: 0, unless tensors of an earlier run were kept.
  size_t next() const { return sequence_.current(); }

  // The next bytes of `name`, whole or in parts, in the order of the specs. A name out of turn or
  // too many bytes are contract violations.
  Status append(std::string_view name, std::span<const std::byte> bytes);

  // All tensors must be complete. Renames the files to their final names, the first part last:
  // without it the rest is not taken for a model.
  Status finish();

  const std::vector<std::filesystem::path>& files() const { return files_; }

 private:
  struct Part {
    size_t first = 0, end = 0;         // range of the specs
    std::optional<FileWriter> writer;  // from its first byte to finish()
  };

  static Result<GgufWriter> plan(const std::filesystem::path& path, const GgufMetadata& metadata,
                                 std::vector<TensorSpec> specs, GgufOptions options);
  std::string header(size_t number) const;
  std::vector<uint64_t> places(const Part& part, uint64_t header) const;
  Status open_part(size_t number);
  Status open_file(size_t number, const std::string& begin);
  Status pad(FileWriter& file);

  GgufMetadata metadata_;
  GgufOptions options_;
  uint64_t alignment_ = 0;
  TensorSequence sequence_;
  std::vector<Part> parts_;
  std::vector<std::filesystem::path> files_;
  size_t part_ = 0;  // the one being written
};

}  // namespace sluice::checkpoint
