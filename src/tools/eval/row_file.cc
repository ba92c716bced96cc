#include "tools/eval/row_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"

namespace sluice::tools {
namespace {

namespace fs = std::filesystem;

Error system_error(const fs::path& folder, const char* action) {
  return failed(folder.string(),
                fmt::format("cannot {} a temporary file there: {}", action, std::strerror(errno)));
}

}  // namespace

Result<RowFile> RowFile::create(const fs::path& folder, uint64_t rows, int64_t width) {
  const uint64_t needed = bytes(rows, width);
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) return failed(folder.string(), "cannot look at its free space: " + error.message());
  if (space.available < needed) {
    return Error{
        ErrorCode::kDoesNotFit, folder.string(),
        fmt::format("{} rows of distributions take {:.2f} GB, {:.2f} GB are free", rows,
                    static_cast<double>(needed) / 1e9, static_cast<double>(space.available) / 1e9),
        "Free some space, or use less of the text"};
  }
  RowFile file;
  file.folder_ = folder;
  file.row_bytes_ = bytes(1, width);
  std::string name = (folder / ".sluice-rows-XXXXXX").string();
  file.descriptor_ = ::mkstemp(name.data());
  if (file.descriptor_ < 0) return system_error(folder, "make");
  if (::unlink(name.c_str()) != 0) return system_error(folder, "unlink");
  return file;
}

RowFile::RowFile(RowFile&& other) noexcept { *this = std::move(other); }

RowFile& RowFile::operator=(RowFile&& other) noexcept {
  std::swap(folder_, other.folder_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(rows_, other.rows_);
  std::swap(row_bytes_, other.row_bytes_);
  return *this;
}

RowFile::~RowFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status RowFile::append(std::span<const float> values) {
  const auto bytes = std::as_bytes(values);
  SLUICE_CHECK(bytes.size() % row_bytes_ == 0, "{} bytes, rows of {}", bytes.size(), row_bytes_);
  const uint64_t begin = rows_ * row_bytes_;
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done,
                               static_cast<off_t>(begin + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return system_error(folder_, "write");
    done += static_cast<size_t>(n);
  }
  rows_ += bytes.size() / row_bytes_;
  return {};
}

Status RowFile::read(uint64_t row, std::span<float> values) const {
  const auto bytes = std::as_writable_bytes(values);
  SLUICE_CHECK(bytes.size() % row_bytes_ == 0 && row + bytes.size() / row_bytes_ <= rows_,
               "{} bytes at row {} of {}", bytes.size(), row, rows_);
  const uint64_t begin = row * row_bytes_;
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::pread(descriptor_, bytes.data() + done, bytes.size() - done,
                              static_cast<off_t>(begin + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return system_error(folder_, "read");
    done += static_cast<size_t>(n);
  }
  return {};
}

}  // namespace sluice::tools
