#include "support/paths.h"

#include <stdlib.h>

#include <stdexcept>
#include <string>

namespace sluice::test {

std::filesystem::path tests_folder() { return std::filesystem::path(SLUICE_SOURCE_DIR) / "tests"; }

std::optional<std::filesystem::path> shared_folder() {
  std::filesystem::path folder = std::filesystem::path(SLUICE_SOURCE_DIR).parent_path() / "shared";
  if (std::filesystem::is_directory(folder)) return folder;
  return std::nullopt;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "sluice-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot create " + pattern);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace sluice::test
