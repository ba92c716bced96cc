// Any bytes as a file of kept turns: refused, or turns that written again are the same bytes.
#include <xxhash.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "chat/turn_files.h"

namespace {

using namespace sluice::chat;

void try_file(std::string_view file, const TurnOwner& owner) {
  std::string again = encode_turn_header(owner);
  const auto whole =
      read_turns(file, owner, [&](const KeptTurn& turn) { again += encode_turn(turn); });
  if (!whole.ok()) return;
  if (*whole != again.size() || file.substr(0, *whole) != again) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const TurnOwner owner{"a model", 1000};
  try_file(bytes, owner);
  // Chance does not get past a header and checksums: put them right, behind a good turn.
  const std::string good = encode_turn_header(owner) + encode_turn({"key", "thought", 7, {1, 2}});
  try_file(good + std::string(bytes), owner);
  if (size < 32) return 0;
  std::string turn(bytes);
  const uint64_t seal = XXH3_64bits(turn.data() + 8, turn.size() - 8);
  std::memcpy(turn.data(), &seal, sizeof seal);
  try_file(good + turn, owner);
  // And with lengths that fit.
  const uint32_t key = data[8], thought = data[12], tokens = data[16], none = 0;
  std::memcpy(turn.data() + 8, &key, sizeof key);
  std::memcpy(turn.data() + 12, &thought, sizeof thought);
  std::memcpy(turn.data() + 16, &tokens, sizeof tokens);
  std::memcpy(turn.data() + 20, &none, sizeof none);
  turn.resize(32 + key + thought + 4 * tokens);
  const uint64_t sealed = XXH3_64bits(turn.data() + 8, turn.size() - 8);
  std::memcpy(turn.data(), &sealed, sizeof sealed);
  try_file(good + turn, owner);
  return 0;
}
