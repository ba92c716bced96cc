#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice {
namespace {

Error system_error(const std::filesystem::path& path, const char* action, int error) {
  const bool of_the_disk = error == ENOSPC || error == EIO || error == EDQUOT || error == EFBIG;
  const ErrorCode code = of_the_disk ? ErrorCode::kFailed : ErrorCode::kBadInput;
  return {code, path.string(), fmt::format("cannot {}: {}", action, std::strerror(error)), {}};
}

// Closes a descriptor on every way out.
struct Descriptor {
  int value = -1;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

// Enough for a disk to be busy with, little enough to be begun early.
constexpr uint64_t kWriteOutBytes = uint64_t{8} << 20;

Status write_all(int descriptor, uint64_t offset, std::span<const std::byte> bytes,
                 const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return system_error(path, "write", errno);
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.value < 0) return system_error(path, "open", errno);
  struct stat info {};
  if (::fstat(file.value, &info) != 0) return system_error(path, "read its size", errno);
  if (!S_ISREG(info.st_mode)) return bad_input(path.string(), "not a regular file");
  MappedFile mapped;
  mapped.path_ = path;
  mapped.size_ = static_cast<size_t>(info.st_size);
  if (mapped.size_ > 0) {
    void* address = ::mmap(nullptr, mapped.size_, PROT_READ, MAP_SHARED, file.value, 0);
    if (address == MAP_FAILED) return system_error(path, "map", errno);
    mapped.data_ = static_cast<const std::byte*>(address);
  }
  mapped.descriptor_ = std::exchange(file.value, -1);
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

namespace {
void advise(std::span<const std::byte> part, int advice, bool inner_pages_only) {
  if (part.empty()) return;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  uintptr_t begin = reinterpret_cast<uintptr_t>(part.data());
  uintptr_t end = begin + part.size();
  begin = inner_pages_only ? (begin + page - 1) / page * page : begin / page * page;
  end = inner_pages_only ? end / page * page : (end + page - 1) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}
}  // namespace

void MappedFile::will_need(std::span<const std::byte> part) const {
  advise(part, MADV_WILLNEED, false);
}
void MappedFile::drop(std::span<const std::byte> part) const { advise(part, MADV_DONTNEED, true); }

void MappedFile::forget(std::span<const std::byte> part) const {
  if (part.empty()) return;
  drop(part);
  // A large page of which only a piece is named stays: its rest may be wanted next.
  ::posix_fadvise(descriptor_, part.data() - data_, static_cast<off_t>(part.size()),
                  POSIX_FADV_DONTNEED);
}

Result<std::string> read_file(const std::filesystem::path& path, uint64_t max_bytes) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.value < 0) return system_error(path, "open", errno);
  struct stat info {};
  if (::fstat(file.value, &info) != 0) return system_error(path, "read its size", errno);
  if (S_ISDIR(info.st_mode)) return bad_input(path.string(), "is a directory, a file was expected");
  const auto too_large = [&] {
    return bad_input(path.string(), fmt::format("larger than the limit of {} bytes", max_bytes));
  };
  if (S_ISREG(info.st_mode) && static_cast<uint64_t>(info.st_size) > max_bytes) return too_large();
  std::string text;
  text.reserve(S_ISREG(info.st_mode) ? static_cast<size_t>(info.st_size) : 0);
  char chunk[1 << 16];
  while (true) {
    const ssize_t n = ::read(file.value, chunk, sizeof chunk);
    if (n < 0) {
      if (errno == EINTR) continue;
      return system_error(path, "read", errno);
    }
    if (n == 0) return text;
    text.append(chunk, static_cast<size_t>(n));
    if (text.size() > max_bytes) return too_large();
  }
}

Result<FileWriter> FileWriter::create(const std::filesystem::path& path, bool overwrite) {
  std::error_code ignored;
  if (!overwrite && std::filesystem::exists(path, ignored)) {
    return usage_error(path.string(), "exists already", "Choose another name or add --overwrite");
  }
  // The file takes the name by a rename: a device or a pipe would be gone, for every program. So is
  // a link to a file, whose target stays as it is.
  const auto there = std::filesystem::status(path, ignored);
  if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there))
    return usage_error(path.string(), "is not a regular file", "Name a file");
  FileWriter writer;
  writer.path_ = path;
  writer.temporary_ = path;
  writer.temporary_ += fmt::format(".partial-{}", ::getpid());
  writer.descriptor_ =
      ::open(writer.temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (writer.descriptor_ < 0) return system_error(writer.temporary_, "create", errno);
  return writer;
}

Result<FileWriter> FileWriter::go_on(const std::filesystem::path& path, uint64_t keep) {
  FileWriter writer;
  writer.path_ = writer.temporary_ = path;
  writer.stays_ = true;
  writer.descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (writer.descriptor_ < 0) return system_error(path, "open", errno);
  struct stat info {};
  if (::fstat(writer.descriptor_, &info) != 0) return system_error(path, "read its size", errno);
  if (static_cast<uint64_t>(info.st_size) < keep)
    return bad_input(path.string(),
                     fmt::format("has {} bytes, {} are to be kept", info.st_size, keep));
  if (::ftruncate(writer.descriptor_, static_cast<off_t>(keep)) != 0)
    return system_error(path, "shorten", errno);
  writer.written_ = keep;
  return writer;
}

FileWriter::FileWriter(FileWriter&& other) noexcept { *this = std::move(other); }

FileWriter& FileWriter::operator=(FileWriter&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(stays_, other.stays_);
  std::swap(written_, other.written_);
  std::swap(dirty_begin_, other.dirty_begin_);
  std::swap(dirty_end_, other.dirty_end_);
  return *this;
}

FileWriter::~FileWriter() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!stays_) ::unlink(temporary_.c_str());
}

Status FileWriter::append(std::span<const std::byte> bytes) { return write_at(written_, bytes); }

Status FileWriter::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  SLUICE_TRY(write_all(descriptor_, offset, bytes, path_));
  written_ = std::max(written_, offset + bytes.size());
  start_write_out(offset, bytes.size());
  return {};
}

// Left alone, the kernel keeps a file of a gigabyte in memory until fsync() asks for it, and then
// the processors wait for the disk. The call starts the writing and waits for nothing; its errors
// are those of commit() as well.
void FileWriter::start_write_out(uint64_t offset, uint64_t bytes) {
  if (offset != dirty_end_) dirty_begin_ = offset;
  dirty_end_ = offset + bytes;
  if (dirty_end_ - dirty_begin_ < kWriteOutBytes) return;
  // Not the last page, which the next bytes would make dirty again.
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t end = dirty_end_ / page * page;
  ::sync_file_range(descriptor_, static_cast<off_t>(dirty_begin_),
                    static_cast<off_t>(end - dirty_begin_), SYNC_FILE_RANGE_WRITE);
  dirty_begin_ = end;
}

Status FileWriter::append(std::string_view text) {
  return append(std::as_bytes(std::span(text.data(), text.size())));
}

Status FileWriter::commit() {
  if (::fsync(descriptor_) != 0) return system_error(path_, "write", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return system_error(path_, "rename", errno);
  ::close(descriptor_);
  descriptor_ = -1;
  // The rename survives a power cut only when the folder is on disk as well. Some file systems
  // cannot sync a folder (EINVAL); the data is safe there, so that is no error.
  const std::string folder = path_.has_parent_path() ? path_.parent_path().string() : ".";
  const int folder_descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_descriptor < 0) return system_error(folder, "open", errno);
  const int failure = ::fsync(folder_descriptor) == 0 ? 0 : errno;
  ::close(folder_descriptor);
  if (failure != 0 && failure != EINVAL) return system_error(folder, "write", failure);
  return {};
}

Status write_file(const std::filesystem::path& path, std::span<const std::byte> bytes,
                  bool overwrite) {
  SLUICE_ASSIGN(FileWriter writer, FileWriter::create(path, overwrite));
  SLUICE_TRY(writer.append(bytes));
  return writer.commit();
}

}  // namespace sluice
