// Files of ../shared that are stored compressed (zstd, long window).
#pragma once

#include <filesystem>
#include <string>

namespace sluice::test {

// The decompressed content. Throws std::runtime_error, which fails the test, when it cannot be
// read.
std::string read_zstd(const std::filesystem::path& path);

// Decompresses into `folder` under the name without ".zst" and returns that path.
std::filesystem::path unpack_zstd(const std::filesystem::path& path,
                                  const std::filesystem::path& folder);

}  // namespace sluice::test
