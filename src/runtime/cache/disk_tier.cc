#include "runtime/cache/disk_tier.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "base/check.h"
#include "base/log.h"
#include "ops/batch.h"
#include "runtime/cache/disk_files.h"

namespace sluice::runtime {
namespace {

// 32 hexadecimal digits and the ending, or nothing of ours.
std::optional<SegmentHash> id_in_name(std::string_view name) {
  if (!name.ends_with(kSegmentEnding)) return std::nullopt;
  name.remove_suffix(kSegmentEnding.size());
  if (name.size() != 32) return std::nullopt;
  SegmentHash id;
  for (auto* half : {&id.high, &id.low}) {
    const char* const end = name.data() + 16;
    const auto parsed = std::from_chars(name.data(), end, *half, 16);
    if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
    name.remove_prefix(16);
  }
  return id;
}

Status read_exactly(int descriptor, std::span<std::byte> to, uint64_t offset) {
  while (!to.empty()) {
    const ssize_t n = ::pread(descriptor, to.data(), to.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("read", std::strerror(errno));
    if (n == 0) return bad_input("read", "it ends too early");
    to = to.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

}  // namespace

int64_t file_clock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

void set_file_time(int descriptor, int64_t nanoseconds) {
  constexpr int64_t kSecond = 1'000'000'000;
  const timespec time{static_cast<time_t>(nanoseconds / kSecond),
                      static_cast<long>(nanoseconds % kSecond)};
  const std::array<timespec, 2> both = {time, time};
  (void)::futimens(descriptor, both.data());  // without it the file only looks older
}

// ---- the folder

Status DiskTier::prepare_folder(const std::string& folder) {
  std::error_code error;
  std::string name = folder;  // "cache/" would be its own parent
  while (name.size() > 1 && name.ends_with('/')) name.pop_back();
  std::filesystem::create_directories(std::filesystem::path(name).parent_path(), error);
  // Prompts are private.
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return bad_input(folder, fmt::format("cannot be made: {}", std::strerror(errno)));
  if (!std::filesystem::is_directory(folder, error)) return bad_input(folder, "is not a folder");
  if (::access(folder.c_str(), R_OK | W_OK | X_OK) != 0)
    return bad_input(folder, fmt::format("cannot be used: {}", std::strerror(errno)));
  return {};
}

size_t DiskTier::memory(const SegmentForm& form, uint64_t bytes) {
  const uint64_t files =
      std::min<uint64_t>(bytes / std::max<uint64_t>(form.state_bytes(), 1), kMostFiles);
  return 2 * form.largest_piece() + files * DiskIndex::kEntryBytes;
}

Result<std::unique_ptr<DiskTier>> DiskTier::open(Options options) {
  SLUICE_TRY(prepare_folder(options.folder));
  const uint64_t least = options.form.state_bytes() + 16 * options.form.page_bytes;
  if (options.bytes < least) {
    return usage_error("--disk-cache-bytes",
                       fmt::format("{} bytes hold no prompt of this model", options.bytes),
                       fmt::format("Give at least {}", least));
  }
  std::unique_ptr<DiskTier> tier(new DiskTier(std::move(options)));
  SLUICE_TRY(tier->scan());
  tier->writer_ = std::thread([raw = tier.get()] { raw->write_loop(); });
  return tier;
}

DiskTier::DiskTier(Options options)
    : options_(std::move(options)), buffer_(options_.form.largest_piece()) {}

DiskTier::~DiskTier() {
  revoke();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (writer_.joinable()) writer_.join();
}

std::string DiskTier::path_of(const SegmentHash& id) const {
  return fmt::format("{}/{}{}", options_.folder, id.hex(), kSegmentEnding);
}

Result<SegmentHeader> DiskTier::read_header(int descriptor, uint64_t bytes) const {
  std::array<std::byte, kSegmentFixedBytes> fixed;
  SLUICE_TRY(read_exactly(descriptor, fixed, 0));
  SLUICE_ASSIGN(const size_t length, segment_header_bytes(fixed, bytes, options_.form));
  std::vector<std::byte> header(length);
  SLUICE_TRY(read_exactly(descriptor, header, 0));
  return parse_segment_header(header, bytes, options_.form);
}

Status DiskTier::scan() {
  std::vector<DiskEntry> found;
  std::error_code error;
  std::string first_damage;
  for (std::filesystem::directory_iterator i(options_.folder, error), end; !error && i != end;
       i.increment(error)) {
    const std::string name = i->path().filename().string();
    if (name.starts_with(kPartialBeginning)) {
      sweep_partial(i->path());
      continue;
    }
    const auto id = id_in_name(name);
    if (!id) continue;
    const FileDescriptor file(::open(i->path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct stat info {};
    if (file.value() < 0 || ::fstat(file.value(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    const auto bytes = static_cast<uint64_t>(info.st_size);
    const int64_t time = int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
    Result<SegmentHeader> header = read_header(file.value(), bytes);
    if (header.ok() && header->id != *id) header = bad_input("segment", "its name is another's");
    if (header.ok()) {
      found.push_back(DiskEntry::of(*header, bytes, time));
    } else if (header.error().code == ErrorCode::kRefused) {
      DiskEntry other;
      other.id = *id;
      other.foreign = true;
      other.bytes = bytes;
      other.last_use = time;
      found.push_back(std::move(other));
    } else {
      ++use_.damaged;
      if (first_damage.empty()) first_damage = name + ": " + header.error().why;
      ::unlink(i->path().c_str());
    }
  }
  if (error) return failed(options_.folder, "cannot be listed: " + error.message());
  if (use_.damaged > 0) {
    log_warning("{}: {} damaged files were removed, the first was {}", options_.folder,
                use_.damaged, first_damage);
  }
  // What hangs on another comes behind it; in the order of their dates one round is mostly enough.
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.last_use < b.last_use; });
  for (size_t before = found.size() + 1; found.size() < before;) {
    before = found.size();
    std::erase_if(found, [this](const DiskEntry& entry) { return index_.add(entry) != 0; });
  }
  for (const DiskEntry& orphan : found) ::unlink(path_of(orphan.id).c_str());
  make_room(0, {});
  if (index_.foreign_files() > 0) {
    log_info("{}: {} files are of other models or builds of sluice; they count in the budget",
             options_.folder, index_.foreign_files());
  }
  return {};
}

void DiskTier::lose(uint64_t number, Loss loss, const std::string& why) {
  std::vector<SegmentHash> gone;
  {
    const std::lock_guard lock(mutex_);
    const DiskEntry* entry = index_.at(number);
    if (entry == nullptr) return;
    if (loss == Loss::kDamaged) {
      ++use_.damaged;
      log_warning("{}: {}; the file is removed", path_of(entry->id), why);
    }
    gone = index_.remove(number);
  }
  // Another server replaced the file: what hangs on it may be of use to that one.
  if (loss == Loss::kReplaced) return;
  for (const SegmentHash& id : gone) ::unlink(path_of(id).c_str());
}

bool DiskTier::make_room(uint64_t bytes, const SegmentHash& parent) {
  if (bytes > options_.bytes) return false;
  while (true) {
    uint64_t oldest = 0;
    {
      const std::lock_guard lock(mutex_);
      const auto most = static_cast<uint64_t>(kMostFiles - (bytes > 0 ? 1 : 0));
      if (index_.bytes() + bytes <= options_.bytes && static_cast<uint64_t>(index_.files()) <= most)
        return true;
      oldest = index_.oldest();
      const auto kept = index_.find_id(parent);
      const auto chain = kept ? index_.chain(*kept) : std::vector<uint64_t>();
      if (oldest == 0 || std::find(chain.begin(), chain.end(), oldest) != chain.end()) return false;
    }
    lose(oldest, Loss::kGivenUp);
  }
}

DiskUse DiskTier::use() const {
  const std::lock_guard lock(mutex_);
  DiskUse use = use_;
  use.on = true;
  use.files = index_.files();
  use.foreign = index_.foreign_files();
  use.bytes = index_.bytes();
  use.most_bytes = options_.bytes;
  return use;
}

// ---- finding and reading

SegmentHash DiskTier::space_key(std::string_view space) const {
  return hash_behind(options_.form.fingerprint, std::as_bytes(std::span(space)));
}

std::optional<DiskTier::Hit> DiskTier::find(std::string_view space, Tokens tokens,
                                            bool with_answers) const {
  const std::vector<SegmentHash> keys = prompt_keys(space_key(space), tokens);
  const std::lock_guard lock(mutex_);
  // Of the files before the last only the pages are read.
  const auto fits = [this](uint64_t number) {
    uint64_t bytes = options_.form.state_bytes();
    for (const uint64_t file : index_.chain(number))
      bytes += index_.at(file)->bytes - options_.form.state_bytes();
    return bytes <= kMostReadBytes;
  };
  const auto file = index_.find(keys, tokens, with_answers, fits);
  if (!file) return std::nullopt;
  return Hit{*file, index_.at(*file)->position()};
}

std::vector<uint64_t> DiskTier::begin_reading(const Hit& hit) {
  const std::lock_guard lock(mutex_);
  index_.touch(hit.file, file_clock());
  return index_.chain(hit.file);
}

SegmentHash DiskTier::id_of(uint64_t number) const {
  const std::lock_guard lock(mutex_);
  const DiskEntry* entry = index_.at(number);
  return entry == nullptr ? SegmentHash() : entry->id;
}

std::optional<uint64_t> DiskTier::find_id(const SegmentHash& id) const {
  const std::lock_guard lock(mutex_);
  return index_.find_id(id);
}

DiskTier::Reader::Reader(DiskTier& tier, uint64_t number, int descriptor)
    : tier_(tier), number_(number), descriptor_(descriptor) {}

DiskTier::Reader::~Reader() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool DiskTier::Reader::read(size_t piece, std::span<std::byte> to) {
  SLUICE_CHECK(piece < pieces_.size() && to.size() == pieces_[piece].bytes,
               "{} bytes for piece {} of {}", to.size(), piece, pieces_.size());
  uint64_t offset = payload_;
  for (size_t i = 0; i < piece; ++i) offset += pieces_[i].bytes;
  if (const Status got = read_exactly(descriptor_, to, offset); !got.ok()) {
    tier_.lose(number_, Loss::kDamaged, got.error().why);
    return false;
  }
  if (piece_checksum(to) == header_.checksums[piece]) return true;
  tier_.lose(number_, Loss::kDamaged, fmt::format("the checksum of piece {} is wrong", piece));
  return false;
}

std::unique_ptr<DiskTier::Reader> DiskTier::read(uint64_t number, std::string_view space,
                                                 Tokens tokens, bool to_its_end) {
  DiskEntry entry;
  {
    const std::lock_guard lock(mutex_);
    const DiskEntry* known = index_.at(number);
    if (known == nullptr) return nullptr;
    entry = *known;
  }
  const int descriptor = ::open(path_of(entry.id).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) {
    // Another server on this folder may have given it up.
    const bool gone = errno == ENOENT;
    lose(number, gone ? Loss::kReplaced : Loss::kDamaged, std::strerror(errno));
    return nullptr;
  }
  std::unique_ptr<Reader> reader(new Reader(*this, number, descriptor));
  struct stat info {};
  if (::fstat(descriptor, &info) != 0) info.st_size = 0;
  auto header = read_header(descriptor, static_cast<uint64_t>(info.st_size));
  if (!header.ok()) {
    lose(number, Loss::kDamaged, header.error().why);
    return nullptr;
  }
  if (header->id != entry.id) {
    lose(number, Loss::kDamaged, "its name is another's");
    return nullptr;
  }
  const bool same = header->first_page == entry.first_page && header->parent == entry.parent &&
                    header->first_page + header->pages == entry.end_page;
  // Names are hashes: that two prompts share one is as good as impossible, and must do no harm.
  const auto begin = static_cast<size_t>(header->first_page * ops::kGrid);
  const Tokens mine =
      Tokens(header->tokens)
          .first(header->tokens.size() - (to_its_end ? 0 : static_cast<size_t>(header->rest())));
  const bool ours =
      header->space == space && begin + mine.size() <= tokens.size() &&
      std::equal(mine.begin(), mine.end(), tokens.begin() + static_cast<std::ptrdiff_t>(begin));
  if (!same || !ours) {
    lose(number, Loss::kReplaced);
    return nullptr;
  }
  set_file_time(descriptor, file_clock());
  reader->header_ = std::move(*header);
  reader->pieces_ = segment_pieces(reader->header_, options_.form);
  reader->payload_ = static_cast<uint64_t>(info.st_size);
  for (const SegmentPiece& piece : reader->pieces_) reader->payload_ -= piece.bytes;
  return reader;
}

}  // namespace sluice::runtime
