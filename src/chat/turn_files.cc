#include "chat/turn_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"

namespace sluice::chat {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie");

constexpr std::string_view kMagic = "sluturn1";
constexpr std::string_view kBeginning = "turns-", kEnding = ".log";
constexpr size_t kHeaderBytes = 32, kTurnBytes = 32;

template <typename T>
void put(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
T number_at(std::string_view from, size_t offset) {
  T value;
  std::memcpy(&value, from.data() + offset, sizeof value);
  return value;
}

uint64_t checksum(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

// The turn at the beginning of `file` and its length; nothing if it is not whole.
std::optional<std::pair<KeptTurn, size_t>> turn_at(std::string_view file, int64_t vocabulary) {
  if (file.size() < kTurnBytes) return std::nullopt;
  const size_t key = number_at<uint32_t>(file, 8), reasoning = number_at<uint32_t>(file, 12);
  const size_t tokens = number_at<uint32_t>(file, 16);
  const size_t length = kTurnBytes + key + reasoning + tokens * sizeof(tokenizer::TokenId);
  if (length > file.size() || number_at<uint32_t>(file, 20) != 0) return std::nullopt;
  if (number_at<uint64_t>(file, 0) != checksum(file.substr(8, length - 8))) return std::nullopt;
  KeptTurn turn;
  turn.place = number_at<uint64_t>(file, 24);
  turn.key = file.substr(kTurnBytes, key);
  turn.reasoning = file.substr(kTurnBytes + key, reasoning);
  turn.tokens.resize(tokens);
  if (tokens > 0) {
    std::memcpy(turn.tokens.data(), file.data() + kTurnBytes + key + reasoning,
                tokens * sizeof turn.tokens[0]);
  }
  const bool known = std::all_of(turn.tokens.begin(), turn.tokens.end(),
                                 [&](auto token) { return token >= 0 && token < vocabulary; });
  if (!known) return std::nullopt;
  return std::pair(std::move(turn), length);
}

struct FoundFile {
  std::string path;
  int64_t written = 0;  // when
  uint64_t bytes = 0;
  bool held = false;  // by a server
};

bool is_held(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return true;
  const bool held = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0;
  ::close(descriptor);
  return held;
}

std::vector<FoundFile> files_of(const std::string& folder) {
  std::vector<FoundFile> found;
  std::error_code error;
  for (std::filesystem::directory_iterator i(folder, error), end; !error && i != end;
       i.increment(error)) {
    const std::string name = i->path().filename().string();
    struct stat info {};
    if (!name.starts_with(kBeginning) || !name.ends_with(kEnding) ||
        ::lstat(i->path().c_str(), &info) != 0 || !S_ISREG(info.st_mode))
      continue;
    found.push_back({i->path().string(),
                     int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec,
                     static_cast<uint64_t>(info.st_size), is_held(i->path().string())});
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.written < b.written; });
  return found;
}

}  // namespace

std::string encode_turn_header(const TurnOwner& owner) {
  const XXH128_hash_t model = XXH3_128bits(owner.model.data(), owner.model.size());
  std::string header(kMagic);
  put(header, model.low64);
  put(header, model.high64);
  put(header, checksum(header));
  return header;
}

std::string encode_turn(const KeptTurn& turn) {
  std::string body;
  put(body, static_cast<uint32_t>(turn.key.size()));
  put(body, static_cast<uint32_t>(turn.reasoning.size()));
  put(body, static_cast<uint32_t>(turn.tokens.size()));
  put(body, uint32_t{0});
  put(body, turn.place);
  body += turn.key;
  body += turn.reasoning;
  for (const tokenizer::TokenId token : turn.tokens) put(body, token);
  std::string whole;
  put(whole, checksum(body));
  return whole + body;
}

Result<size_t> read_turns(std::string_view file, const TurnOwner& owner,
                          const std::function<void(KeptTurn)>& take) {
  if (file.size() < kHeaderBytes || file.substr(0, 7) != kMagic.substr(0, 7))
    return bad_input("turns", "not a file of turns");
  if (file[7] != kMagic[7])
    return Error{ErrorCode::kRefused, "turns", "another version of the format", {}};
  if (number_at<uint64_t>(file, 24) != checksum(file.substr(0, 24)))
    return bad_input("turns", "its header is damaged");
  if (file.substr(0, kHeaderBytes) != encode_turn_header(owner))
    return Error{ErrorCode::kRefused, "turns", "another model's", {}};
  size_t whole = kHeaderBytes;
  while (auto turn = turn_at(file.substr(whole), owner.vocabulary)) {
    whole += turn->second;
    take(std::move(turn->first));
  }
  return whole;
}

TurnFiles::TurnFiles(std::string folder, TurnOwner owner, uint64_t most_bytes)
    : folder_(std::move(folder)), owner_(std::move(owner)), most_bytes_(most_bytes) {}

TurnFiles::~TurnFiles() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void TurnFiles::restore(TurnMemory& memory) {
  std::vector<FoundFile> files = files_of(folder_);
  uint64_t bytes = 0;
  for (const FoundFile& file : files) bytes += file.held ? 0 : file.bytes;
  for (const FoundFile& file : files) {
    if (bytes > most_bytes_ && !file.held) {
      ::unlink(file.path.c_str());
      bytes -= file.bytes;
      continue;
    }
    const auto text = read_file(file.path, std::max(kMostBytes, most_bytes_));
    if (!text.ok()) {
      log_warning("{}", text.error().message());
      continue;
    }
    const auto whole =
        read_turns(*text, owner_, [&](KeptTurn turn) { memory.restore(std::move(turn)); });
    if (!whole.ok() && whole.error().code == ErrorCode::kRefused) continue;
    // A turn that another server is writing at this moment is not damage.
    if (file.held || (whole.ok() && *whole == text->size())) continue;
    log_warning("{}: {}; turns of answers that it held are rendered anew", file.path,
                whole.ok() ? fmt::format("damaged from byte {} on", *whole) : whole.error().why);
    if (!whole.ok()) ::unlink(file.path.c_str());
    if (whole.ok() && ::truncate(file.path.c_str(), static_cast<off_t>(*whole)) != 0)
      ::unlink(file.path.c_str());
  }
}

Status TurnFiles::begin_file() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  // Of a file that could not be begun nothing is worth keeping; otherwise the one before the one
  // at hand has had its time.
  std::string& over = written_ == 0 ? present_ : before_;
  if (!over.empty()) ::unlink(over.c_str());
  if (written_ > 0) before_ = present_;
  present_ = fmt::format("{}/{}{:08x}{:08x}{}", folder_, kBeginning, std::random_device()(),
                         std::random_device()(), kEnding);
  written_ = 0;
  // Prompts are private.
  descriptor_ = ::open(present_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor_ < 0) return failed(present_, std::strerror(errno));
  (void)::flock(descriptor_, LOCK_EX | LOCK_NB);
  return write(encode_turn_header(owner_));
}

Status TurnFiles::write(std::string_view bytes) {
  uint64_t at = written_;
  for (std::string_view rest = bytes; !rest.empty();) {
    const ssize_t n = ::pwrite(descriptor_, rest.data(), rest.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const Error error = failed(present_, std::strerror(errno));
      // What follows must not stand behind half a turn.
      (void)::ftruncate(descriptor_, static_cast<off_t>(written_));
      return error;
    }
    rest.remove_prefix(static_cast<size_t>(n));
    at += static_cast<uint64_t>(n);
  }
  written_ = at;
  return {};
}

void TurnFiles::append(const KeptTurn& turn) {
  const std::string bytes = encode_turn(turn);
  const std::lock_guard lock(mutex_);
  Status status;
  // Two files: what is given up is the older half.
  if (written_ == 0 || written_ + bytes.size() > most_bytes_ / 2) status = begin_file();
  if (status.ok()) status = write(bytes);
  if (!status.ok() && !failing_)
    log_warning("turns are not kept on disk: {}", status.error().message());
  failing_ = !status.ok();
}

}  // namespace sluice::chat
