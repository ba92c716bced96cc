// The key-value section of a GGUF file (rules GG-3 to GG-7).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/gguf.h"
#include "checkpoint/gguf_cursor.h"

namespace sluice::checkpoint {

// Reads `count` keys with their values into `metadata`; what is odd but harmless goes to `notes`.
Status read_gguf_keys(GgufCursor& cursor, uint64_t count, GgufMetadata& metadata,
                      std::vector<std::string>& notes);

}  // namespace sluice::checkpoint
