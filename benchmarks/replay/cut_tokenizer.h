// A published tokenizer with its first merges only, for models so small that the head's product
// would be most of their work: a fifteenth of the vocabulary makes but a fifth more tokens.
#pragma once

#include <cstdint>
#include <filesystem>

namespace sluice::benchmarks {

// Reads and writes tokenizer.json. The added tokens stand where make_random_model expects them in a
// vocabulary of so many rows. Throws std::runtime_error.
void cut_tokenizer(const std::filesystem::path& from, int64_t vocabulary,
                   const std::filesystem::path& to);

}  // namespace sluice::benchmarks
