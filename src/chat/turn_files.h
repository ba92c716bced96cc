// The turn memory on disk, beside the files of the prefix cache's disk tier: without it a client
// that drops thoughts or spells arguments anew would make the server read its conversation again
// after a restart, although the pages are there.
//
//   header   magic and version, whose it is (128 bits of the model's identity), a checksum
//   turns    a checksum, lengths, place, then key, thought and tokens; one behind the other
//
// Numbers are little-endian. Each server writes a file of its own and holds a lock on it, so
// several may share a folder. A turn is written at once and not synced: what a power cut takes away
// costs hits. A damaged or half-written turn ends its file.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"
#include "chat/turn_memory.h"

namespace sluice::chat {

// Whose turns a file holds.
struct TurnOwner {
  std::string model;       // text that differs whenever anything could differ in what is sampled
  int64_t vocabulary = 0;  // tokens are below
};

std::string encode_turn_header(const TurnOwner& owner);
std::string encode_turn(const KeptTurn& turn);

// Hands on the turns of a file, in order. Returns how many bytes of it are whole. Errors: not such
// a file, or damaged in its header (kBadInput); another model's or another version's (kRefused).
Result<size_t> read_turns(std::string_view file, const TurnOwner& owner,
                          const std::function<void(KeptTurn)>& take);

class TurnFiles {
 public:
  static constexpr uint64_t kMostBytes = uint64_t{128} << 20;

  // `folder` exists. `most_bytes`: of this server's files, and of all those together that no server
  // holds; the oldest go first. Nothing is written before the first turn.
  TurnFiles(std::string folder, TurnOwner owner, uint64_t most_bytes = kMostBytes);
  ~TurnFiles();
  TurnFiles(const TurnFiles&) = delete;
  TurnFiles& operator=(const TurnFiles&) = delete;

  // What servers before this one kept, the oldest first. Damage is reported and costs the rest of
  // its file.
  void restore(TurnMemory& memory);

  // Thread-safe. A disk that takes no more is said once, until it does again.
  void append(const KeptTurn& turn);

 private:
  Status write(std::string_view bytes);
  Status begin_file();

  const std::string folder_;
  const TurnOwner owner_;
  const uint64_t most_bytes_;
  std::mutex mutex_;  // guards the following
  int descriptor_ = -1;
  uint64_t written_ = 0;
  std::string before_;  // the file that this server wrote before the one at hand, and the latter
  std::string present_;
  bool failing_ = false;
};

}  // namespace sluice::chat
