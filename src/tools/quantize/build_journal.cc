#include "tools/quantize/build_journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/file.h"

namespace sluice::quantize {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMostBytes = uint64_t{1} << 28;

Error system_error(const fs::path& file, const char* action) {
  return failed(file.string(), fmt::format("cannot {}: {}", action, std::strerror(errno)));
}

std::string difference(const BuildIdentity& before, const BuildIdentity& now) {
  if (before.source != now.source) return "of another source";
  if (before.request != now.request) return "asked for in other words";
  return "made by another build of sluice";
}

}  // namespace

struct BuildJournal::Hasher {
  Hasher() : state(XXH3_createState()) { XXH3_64bits_reset(state); }
  ~Hasher() { XXH3_freeState(state); }
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  XXH3_state_t* state;
};

BuildJournal::BuildJournal() = default;
BuildJournal::BuildJournal(BuildJournal&& other) noexcept { *this = std::move(other); }

BuildJournal& BuildJournal::operator=(BuildJournal&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(parsed_, other.parsed_);
  std::swap(chain_, other.chain_);
  std::swap(finished_, other.finished_);
  std::swap(hasher_, other.hasher_);
  return *this;
}

BuildJournal::~BuildJournal() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<BuildJournal> BuildJournal::open(const fs::path& staging, const BuildIdentity& identity,
                                        const Notice& notice) {
  BuildJournal journal;
  journal.file_ = staging / kJournalName;
  journal.hasher_ = std::make_unique<Hasher>();
  std::error_code error;
  const bool found = fs::exists(journal.file_, error), empty = fs::is_empty(staging, error);
  journal.descriptor_ = ::open(journal.file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (journal.descriptor_ < 0) return system_error(journal.file_, "open it");
  if (::flock(journal.descriptor_, LOCK_EX | LOCK_NB) != 0) {
    return usage_error(staging.string(), "another run is writing there",
                       "Wait for it, stop it, or choose another name");
  }
  std::string refused = empty ? "" : "has no journal";
  if (found) {
    SLUICE_ASSIGN(const std::string text, read_file(journal.file_, kMostBytes));
    auto parsed = parse_journal(text);
    if (!parsed.ok()) {
      refused = "has a journal that cannot be used: it " + parsed.error().why;
    } else if (parsed->identity != identity) {
      refused = "is " + difference(parsed->identity, identity);
    } else {
      journal.parsed_ = std::move(*parsed);
      refused.clear();
    }
  }
  for (const auto& entry : fs::directory_iterator(staging, error)) {
    const std::string extension = entry.path().extension().string();
    const bool weights = extension == ".gguf" || extension == ".safetensors";
    if (entry.path().filename() != kJournalName && (!refused.empty() || !weights))
      fs::remove_all(entry.path(), error);
    if (error) return failed(entry.path().string(), "cannot remove it: " + error.message());
  }
  if (!refused.empty() && notice)
    notice(fmt::format("what lies in {} {}: it is thrown away, the build starts over",
                       staging.string(), refused));
  if (journal.parsed_.head.end == 0) SLUICE_TRY(journal.start_over(identity));
  return journal;
}

Status BuildJournal::start_over(const BuildIdentity& identity) {
  if (::ftruncate(descriptor_, 0) != 0) return system_error(file_, "empty it");
  chain_ = 0;
  SLUICE_TRY(write_line(journal_head(identity, chain_)));
  parsed_.head.chain = chain_;
  parsed_.head.end = static_cast<uint64_t>(::lseek(descriptor_, 0, SEEK_CUR));
  return {};
}

checkpoint::IsIntact BuildJournal::is_intact() const {
  return [this](size_t number, const checkpoint::TensorSpec& tensor,
                std::span<const std::byte> bytes) {
    if (number >= parsed_.entries.size()) return false;
    const JournalEntry& entry = parsed_.entries[number];
    return entry.tensor == tensor.name && entry.hash == XXH3_64bits(bytes.data(), bytes.size());
  };
}

Status BuildJournal::begin(size_t tensors, size_t total, const Notice& notice) {
  const size_t noted = parsed_.entries.size();
  SLUICE_CHECK(tensors <= noted, "{} tensors are kept, {} are noted", tensors, noted);
  if (notice && !parsed_.damage.empty())
    notice(fmt::format("{}: {}; what follows is made again", file_.string(), parsed_.damage));
  if (notice && tensors < noted) {
    notice(fmt::format("{} is not what the journal says of it; it and what follows is made again",
                       parsed_.entries[tensors].tensor));
  }
  if (notice && tensors > 0) {
    notice(fmt::format("goes on where an earlier run stopped: {} of {} tensors are there", tensors,
                       total));
  }
  parsed_.entries.resize(tensors);
  finished_ = tensors;
  const JournalEntry& last = tensors > 0 ? parsed_.entries.back() : parsed_.head;
  chain_ = last.chain;
  if (::ftruncate(descriptor_, static_cast<off_t>(last.end)) != 0 ||
      ::lseek(descriptor_, 0, SEEK_END) < 0)
    return system_error(file_, "shorten it");
  return {};
}

void BuildJournal::take(std::span<const std::byte> bytes) {
  XXH3_64bits_update(hasher_->state, bytes.data(), bytes.size());
}

Status BuildJournal::add(const std::string& tensor, const convert::ErrorSum& error,
                         const std::optional<TensorReport::OutputError>& output_error) {
  const JournalEntry entry{tensor, XXH3_64bits_digest(hasher_->state), error, output_error};
  XXH3_64bits_reset(hasher_->state);
  SLUICE_TRY(write_line(journal_line(entry, chain_)));
  ++finished_;
  return {};
}

// One write, so that a kill leaves whole lines but for the last.
Status BuildJournal::write_line(const std::string& line) {
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = ::write(descriptor_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(file_, "write");
    done += static_cast<size_t>(n);
  }
  return {};
}

Status BuildJournal::remove() {
  std::error_code error;
  fs::remove(file_, error);
  return error ? failed(file_.string(), "cannot remove it: " + error.message()) : Status();
}

}  // namespace sluice::quantize
