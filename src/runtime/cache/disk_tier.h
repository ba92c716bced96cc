// The disk tier of the prefix cache: a folder of files (segment_file.h), found again after a
// restart by what is in them. There is no index file that could contradict them.
//
// Writing has a thread of its own and one file at a time in hand. The engine's thread gives it a
// file whose pages and state stay where they are; the writer copies them piece by piece into one
// buffer and writes that. When the engine needs the memory earlier it calls revoke(), which waits
// for the copy of one piece at most, never for the disk: what was written so far is thrown away.
// So nothing is copied ahead, the memory that all this takes is two pieces, and a disk that is too
// slow or full costs hits, not answers.
//
// Reading happens on the engine's thread when a request is about to get its place, since it cannot
// begin before; at most kMostReadBytes, and beside running answers a few pieces a step, as many as
// their pace allows (scheduler/prompt_pace.h). Rejected: reading on a thread too. The request would
// wait as long, what is read would need memory of its own, and checks and copies, half of the time,
// would still be the engine's.
//
// Files are written under another name, synced and renamed: who looks sees whole files. Several
// servers may share a folder: none harms another's files, but each sees only what lay there when it
// started and what it wrote, and keeps its own account of the budget.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"
#include "runtime/cache/disk_index.h"
#include "runtime/cache/segment_file.h"
#include "runtime/engine.h"

namespace sluice::runtime {

class DiskTier {
 public:
  static constexpr uint64_t kMostReadBytes = uint64_t{4} << 30;
  static constexpr int64_t kMostFiles = 16'384;

  struct Options {
    std::string folder;
    uint64_t bytes = 0;  // of all files of the folder, those of other models included
    SegmentForm form;
  };

  // Makes the folder if need be, for nobody else's eyes, and sees that files can be made in it.
  static Status prepare_folder(const std::string& folder);
  // Host memory: two pieces, and what is known of the files.
  static size_t memory(const SegmentForm& form, uint64_t bytes);

  // Looks through the folder: removes damaged files and what a killed server left half written;
  // files of other models or versions stay as long as the budget lasts.
  static Result<std::unique_ptr<DiskTier>> open(Options options);
  ~DiskTier();  // what is being written is thrown away

  const SegmentForm& form() const { return options_.form; }
  DiskUse use() const;  // thread-safe, as all below is unless it says otherwise

  // ---- finding and reading; the engine's thread

  SegmentHash space_key(std::string_view space) const;

  struct Hit {
    uint64_t file = 0;
    int64_t position = 0;
  };
  // Nothing where all files for it together are longer than kMostReadBytes.
  std::optional<Hit> find(std::string_view space, Tokens tokens, bool with_answers) const;
  // The files to read for a hit, the first page's first. Marks them as used.
  std::vector<uint64_t> begin_reading(const Hit& hit);

  // A file that is being read. Whatever is wrong with it has been reported and counted, the file is
  // out of the index, and the answer is "no".
  class Reader {
   public:
    ~Reader();
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    const SegmentHeader& header() const { return header_; }
    const std::vector<SegmentPiece>& pieces() const { return pieces_; }
    // In their order or any other; checked before this returns. `to` is as long as the piece.
    bool read(size_t piece, std::span<std::byte> to);

   private:
    friend class DiskTier;
    Reader(DiskTier& tier, uint64_t number, int descriptor);
    DiskTier& tier_;
    const uint64_t number_;
    const int descriptor_;
    uint64_t payload_ = 0;  // where it begins
    SegmentHeader header_;
    std::vector<SegmentPiece> pieces_;
  };
  // nullptr: no longer there, damaged, or not of a prompt that begins with these tokens; of those
  // behind its last whole page only with `to_its_end`.
  std::unique_ptr<Reader> read(uint64_t number, std::string_view space, Tokens tokens,
                               bool to_its_end);

  SegmentHash id_of(uint64_t number) const;  // empty: it is gone
  std::optional<uint64_t> find_id(const SegmentHash& id) const;

  // ---- writing; the engine's thread

  // Copies a piece; called on the writer's thread, between begin_writing() and the end of the file
  // or revoke().
  using Copy = std::function<void(const SegmentPiece& piece, std::span<std::byte> to)>;
  bool writing() const;
  // Not while writing(). The header's checksums are filled in here.
  void begin_writing(SegmentHeader header, Copy copy);
  // Nothing is copied any more once this returns; the writer may need longer to notice.
  void revoke();
  // What became of the file, once: its number, or 0 if it could not be written. Nothing while it is
  // being written and after revoke().
  std::optional<uint64_t> take_written();

  void count_dropped();  // a state was given up before its turn to be written came

 private:
  explicit DiskTier(Options options);
  Status scan();
  std::string path_of(const SegmentHash& id) const;
  Result<SegmentHeader> read_header(int descriptor, uint64_t bytes) const;

  // Out of the index with all that hang on it; and from the disk.
  enum class Loss : uint8_t { kDamaged, kGivenUp, kReplaced };
  void lose(uint64_t number, Loss loss, const std::string& why = {});
  bool make_room(uint64_t bytes, const SegmentHash& parent);

  // disk_tier_writing.cc
  void write_loop();
  Result<uint64_t> write(SegmentHeader& header);
  Status write_file(int descriptor, SegmentHeader& header);
  Status copy_piece(const SegmentPiece& piece, std::span<std::byte> to);
  void account(const Result<uint64_t>& written);

  const Options options_;
  std::vector<std::byte> buffer_;  // the writer's

  mutable std::mutex mutex_;  // guards the following
  std::condition_variable wake_;
  DiskIndex index_;
  DiskUse use_;
  bool said_too_small_ = false;
  bool failing_ = false;                  // said once, until a file can be written again
  std::optional<SegmentHeader> waiting_;  // begun, and not yet the writer's
  bool writing_ = false, stopping_ = false;
  std::optional<uint64_t> written_;

  std::mutex copy_mutex_;  // held while a piece is copied; guards copy_
  Copy copy_;
  std::atomic<bool> revoked_{false};  // set before the lock is asked for: no copy begins any more

  std::thread writer_;
};

}  // namespace sluice::runtime
