// Where a build goes: written beside its place under another name and renamed when it is whole, so
// that a reader sees the old build or the new one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::convert {

// A folder, or a lone file (`x.gguf`) whose companions are then named after it (`x.README.md`,
// `mmproj-x-BF16.gguf`).
class BuildPlace {
 public:
  // Refuses a place that is the source, that exists (unless `overwrite`, and then only what is a
  // build: a regular file, or a folder with a config.json or a *.gguf and without folders inside;
  // a lone file's vision towers of any type go with it),
  // or that has no room for `bytes` (exit 4). What an interrupted run has left is removed, or
  // counted among the bytes that are there already.
  enum class Leftover : uint8_t { kRemove, kKeep };
  static Result<BuildPlace> create(const std::filesystem::path& out,
                                   const std::vector<std::filesystem::path>& sources,
                                   bool overwrite, uint64_t bytes,
                                   Leftover leftover = Leftover::kRemove);
  BuildPlace(BuildPlace&& other) noexcept;
  BuildPlace& operator=(BuildPlace&& other) noexcept;
  ~BuildPlace();  // without commit() or leave() nothing stays

  // Where to write, an existing folder; empty unless leftovers are kept.
  const std::filesystem::path& staging() const { return staging_; }
  // The name under which the lone file is to be written into staging(); empty for a folder.
  const std::string& file_name() const { return file_name_; }
  // The name of a companion ("README.md") in staging().
  std::string companion(const std::string& name) const;
  Status commit();
  // Leaves what is written for a later run.
  void leave() { staging_.clear(); }

 private:
  BuildPlace() = default;
  std::vector<std::filesystem::path> towers_beside() const;
  Status replace_folder();
  Status move_files();

  std::filesystem::path out_, staging_;
  std::string file_name_;
  bool overwrite_ = false;
};

}  // namespace sluice::convert
