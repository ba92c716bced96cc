// SHA-256 of bytes, as lower-case hex.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace sluice::test {

std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace sluice::test
