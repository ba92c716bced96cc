// The writer's side of the disk tier.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "base/check.h"
#include "base/log.h"
#include "runtime/cache/disk_files.h"
#include "runtime/cache/disk_tier.h"

namespace sluice::runtime {
namespace {

Error disk_error(const char* action) {
  return failed("the disk cache", fmt::format("cannot {}: {}", action, std::strerror(errno)));
}

Error revoked() { return {ErrorCode::kInterrupted, "the disk cache", "revoked", {}}; }

Status write_at(int descriptor, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return disk_error("write");
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

// A new file that nobody else can read, removed again unless it is renamed.
class PartialFile {
 public:
  explicit PartialFile(const std::string& folder)
      : path_(fmt::format("{}/{}{:08x}{:08x}", folder, kPartialBeginning, std::random_device()(),
                          std::random_device()())),
        file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {
    if (file_.value() >= 0) (void)::flock(file_.value(), LOCK_EX | LOCK_NB);
  }
  ~PartialFile() {
    if (file_.value() >= 0 && !renamed_) ::unlink(path_.c_str());
  }
  int descriptor() const { return file_.value(); }
  Status rename_to(const std::string& path) {
    if (::rename(path_.c_str(), path.c_str()) != 0) return disk_error("rename");
    renamed_ = true;
    return {};
  }

 private:
  const std::string path_;
  const FileDescriptor file_;
  bool renamed_ = false;
};

}  // namespace

void sweep_partial(const std::string& file) {
  const FileDescriptor left(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (left.value() < 0 || ::flock(left.value(), LOCK_EX | LOCK_NB) != 0) return;
  ::unlink(file.c_str());
}

// ---- the engine's side

bool DiskTier::writing() const {
  const std::lock_guard lock(mutex_);
  return writing_;
}

void DiskTier::begin_writing(SegmentHeader header, Copy copy) {
  {
    const std::lock_guard lock(copy_mutex_);
    copy_ = std::move(copy);
    revoked_ = false;
  }
  {
    const std::lock_guard lock(mutex_);
    SLUICE_CHECK(!writing_, "two files at once");
    writing_ = true;
    written_.reset();
    waiting_ = std::move(header);
  }
  wake_.notify_one();
}

void DiskTier::revoke() {
  revoked_ = true;
  const std::lock_guard lock(copy_mutex_);
}

std::optional<uint64_t> DiskTier::take_written() {
  const std::lock_guard lock(mutex_);
  return std::exchange(written_, std::nullopt);
}

void DiskTier::count_dropped() {
  const std::lock_guard lock(mutex_);
  ++use_.dropped;
}

// ---- the writer's thread

void DiskTier::write_loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || waiting_; });
    if (stopping_) return;
    SegmentHeader header = std::move(*waiting_);
    waiting_.reset();
    lock.unlock();
    const Result<uint64_t> written = write(header);
    bool taken_back = false;
    {
      const std::lock_guard copying(copy_mutex_);
      taken_back = revoked_;
      copy_ = nullptr;
    }
    account(written);
    lock.lock();
    writing_ = false;
    if (!taken_back) written_ = written.ok() ? *written : 0;
  }
}

// Counts, and says what is new.
void DiskTier::account(const Result<uint64_t>& written) {
  const std::lock_guard lock(mutex_);
  if (written.ok()) {
    ++use_.written;
    if (std::exchange(failing_, false)) log_info("the disk cache can be written again");
    return;
  }
  const Error& error = written.error();
  if (error.code == ErrorCode::kFailed) {
    ++use_.failed;
  } else {
    ++use_.dropped;
  }
  if (error.code == ErrorCode::kInterrupted) return;
  bool& said = error.code == ErrorCode::kDoesNotFit ? said_too_small_ : failing_;
  if (std::exchange(said, true)) return;
  log_warning("{}; prompts that do not fit in memory are read anew", error.message());
}

Result<uint64_t> DiskTier::write(SegmentHeader& header) {
  const uint64_t bytes = segment_file_bytes(header, options_.form);
  const int64_t now = file_clock();
  if (!header.parent.empty()) {
    const std::lock_guard lock(mutex_);
    const auto parent = index_.find_id(header.parent);
    if (!parent) return revoked();
    index_.touch(*parent, now);
  }
  if (!make_room(bytes, header.parent)) {
    return Error{ErrorCode::kDoesNotFit, "the disk cache",
                 fmt::format("a prompt needs {} bytes beside what it begins with, the budget is {}",
                             bytes, options_.bytes),
                 "Raise --disk-cache-bytes"};
  }
  PartialFile file(options_.folder);
  if (file.descriptor() < 0) return disk_error("create a file");
  SLUICE_TRY(write_file(file.descriptor(), header));
  set_file_time(file.descriptor(), now);
  SLUICE_TRY(file.rename_to(path_of(header.id)));
  // The machine's page cache has better uses: weights are read from it.
  (void)::posix_fadvise(file.descriptor(), 0, 0, POSIX_FADV_DONTNEED);
  const std::lock_guard lock(mutex_);
  const uint64_t number = index_.add(DiskEntry::of(header, bytes, now));
  if (number == 0) {
    ::unlink(path_of(header.id).c_str());
    return revoked();
  }
  return number;
}

// The header last: its place is known, its checksums are not.
Status DiskTier::write_file(int descriptor, SegmentHeader& header) {
  const std::vector<SegmentPiece> pieces = segment_pieces(header, options_.form);
  header.checksums.assign(pieces.size(), 0);
  uint64_t offset = encode_segment_header(header, options_.form).size();
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto piece = std::span(buffer_).first(pieces[i].bytes);
    SLUICE_TRY(copy_piece(pieces[i], piece));
    header.checksums[i] = piece_checksum(piece);
    SLUICE_TRY(write_at(descriptor, piece, offset));
    offset += piece.size();
  }
  SLUICE_TRY(write_at(descriptor, encode_segment_header(header, options_.form), 0));
  if (::fsync(descriptor) != 0) return disk_error("sync");
  return {};
}

Status DiskTier::copy_piece(const SegmentPiece& piece, std::span<std::byte> to) {
  const std::lock_guard lock(copy_mutex_);
  if (revoked_) return revoked();
  copy_(piece, to);
  return {};
}

}  // namespace sluice::runtime
