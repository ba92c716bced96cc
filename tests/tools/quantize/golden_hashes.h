// llama.cpp's own conversions and quantizations of the golden models: type and hash of every
// tensor (../shared/goldens/gguf/tensors.json.zst).
#pragma once

#include <filesystem>
#include <string>

#include "base/json.h"
#include "base/threads.h"
#include "tools/convert/source.h"
#include "tools/quantize/build.h"

namespace sluice::test {

Json golden_tensors(const std::filesystem::path& goldens);

// r2 as a Hugging Face folder, r3 as a BF16 GGUF, unpacked into `folder`.
std::filesystem::path unpack_r2(const std::filesystem::path& goldens,
                                const std::filesystem::path& folder);
std::filesystem::path unpack_r3(const std::filesystem::path& goldens,
                                const std::filesystem::path& folder);

// First 16 hex digits of the SHA-256 of a tensor's bytes, as the goldens have them.
std::string short_hash(std::span<const std::byte> bytes);

// Opens, builds, expects success.
quantize::BuildReport build(const std::filesystem::path& source, const std::filesystem::path& out,
                            std::variant<quantize::GgufRequest, quantize::SafetensorsRequest> how);

}  // namespace sluice::test
