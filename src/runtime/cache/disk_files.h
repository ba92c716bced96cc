// Names and small helpers that reading and writing of the disk tier share.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::runtime {

inline constexpr std::string_view kSegmentEnding = ".segment";
// A file that is being written. Its writer holds a lock on it, so that whoever sweeps the folder
// can tell it from what a killed server left, also where process numbers mean nothing.
inline constexpr std::string_view kPartialBeginning = ".partial-";

class FileDescriptor {
 public:
  explicit FileDescriptor(int value) : value_(value) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int value() const { return value_; }

 private:
  const int value_;
};

int64_t file_clock();  // nanoseconds since 1970, as files are dated
void set_file_time(int descriptor, int64_t nanoseconds);

// Removes it unless somebody is writing it.
void sweep_partial(const std::string& file);

}  // namespace sluice::runtime
