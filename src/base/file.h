// Files: read-only mappings, bounded reads, and writes that appear whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace sluice {

// A read-only mapping of a whole regular file. Move-only; the bytes live as long as the object.
// The size is taken from the open descriptor (fstat), so a file replaced on disk is still the one
// mapped.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  // Advice to the kernel for the pages that hold `part` (a subrange of bytes()).
  void will_need(std::span<const std::byte> part) const;  // start reading ahead
  void drop(std::span<const std::byte> part) const;  // resident pages may go; contents stay valid
  // The same, and out of the system's page cache, as far as nobody else has them mapped: for memory
  // that is wanted at once for something else. Reading them again reads the disk.
  void forget(std::span<const std::byte> part) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int descriptor_ = -1;  // forget() needs one
};

// The whole file as a string; an error names the path and the limit if it is larger than max_bytes.
Result<std::string> read_file(const std::filesystem::path& path, uint64_t max_bytes);

// Writes beside `path` and renames, file and folder synced: readers see the old file or the
// new one. Refuses to replace an existing file unless `overwrite`.
Status write_file(const std::filesystem::path& path, std::span<const std::byte> bytes,
                  bool overwrite);

// A file being written beside its final name. Destroying it without commit() removes the partial
// file.
class FileWriter {
 public:
  static Result<FileWriter> create(const std::filesystem::path& path, bool overwrite);
  // For work that goes on in a later run, in a folder that is itself temporary: under the final
  // name from the first byte, and left there without commit(). The first `keep` bytes of what is
  // there stay, the rest goes; an error if there are fewer.
  static Result<FileWriter> go_on(const std::filesystem::path& path, uint64_t keep);
  FileWriter(FileWriter&& other) noexcept;
  FileWriter& operator=(FileWriter&& other) noexcept;
  ~FileWriter();

  // Large pieces are on their way to the disk when these return, so that commit() has little to
  // wait for; only commit() says whether they got there.
  Status append(std::span<const std::byte> bytes);
  Status append(std::string_view text);
  // At a place of its own, also beyond the end: what lies between must be written as well.
  Status write_at(uint64_t offset, std::span<const std::byte> bytes);
  uint64_t bytes_written() const { return written_; }  // up to the last, with gaps
  // On disk under its final name, file and folder synced. An error after the rename leaves the new
  // file in place.
  Status commit();

 private:
  FileWriter() = default;
  void start_write_out(uint64_t offset, uint64_t bytes);

  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
  bool stays_ = false;  // without commit() as well
  uint64_t written_ = 0;
  uint64_t dirty_begin_ = 0, dirty_end_ = 0;  // written in one go, write-out not started
};

}  // namespace sluice
