#include "tools/quantize/build_identity.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/file.h"
#include "tools/convert/vision_tower.h"

namespace sluice::quantize {
namespace {

namespace fs = std::filesystem;

void add_file(const fs::path& file, IdentityHash& hash) {
  std::error_code ignored;
  hash.add(file.filename().string());
  hash.add(static_cast<int64_t>(fs::file_size(file, ignored)));
  hash.add(static_cast<int64_t>(fs::last_write_time(file, ignored).time_since_epoch().count()));
}

// The weights, and beside safetensors all that configs and tokenizer may be taken from.
std::vector<fs::path> files_of(const convert::Source& source) {
  std::vector<fs::path> files = source.checkpoint->files();
  if (source.mmproj != nullptr) files.push_back(source.mmproj->file->files().front());
  if (source.gguf()) return files;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(source.checkpoint->folder(), ignored)) {
    const std::string extension = entry.path().extension().string();
    if (entry.is_regular_file(ignored) && extension != ".safetensors" && extension != ".gguf")
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void add_directory(const checkpoint::Checkpoint& checkpoint, IdentityHash& hash) {
  for (const checkpoint::StoredTensor& tensor : checkpoint.tensors()) {
    const auto* begin = checkpoint.mapping(tensor).bytes().data();
    hash.add(tensor.name);
    hash.add(dtype_name(tensor.dtype));
    hash.add(std::span<const int64_t>(tensor.shape));
    hash.add(static_cast<int64_t>(tensor.bytes.data() - begin));
  }
}

}  // namespace

Result<BuildIdentity> identity_of(const convert::Source& source) {
  BuildIdentity identity;
  SLUICE_ASSIGN(const MappedFile program, MappedFile::open("/proc/self/exe"));
  IdentityHash of_program, of_source;
  of_program.add(program.bytes());
  identity.program = of_program.hex();
  for (const fs::path& file : files_of(source)) add_file(file, of_source);
  add_directory(*source.checkpoint, of_source);
  if (source.mmproj != nullptr) add_directory(*source.mmproj->file, of_source);
  identity.source = of_source.hex();
  return identity;
}

void IdentityHash::add(std::span<const std::byte> bytes) {
  const uint64_t size = bytes.size();
  state_ = XXH3_64bits_withSeed(&size, sizeof size, state_);
  state_ = XXH3_64bits_withSeed(bytes.data(), bytes.size(), state_);
}

void IdentityHash::add(std::string_view text) {
  add(std::as_bytes(std::span(text.data(), text.size())));
}

std::string IdentityHash::hex() const { return fmt::format("{:016x}", state_); }

}  // namespace sluice::quantize
