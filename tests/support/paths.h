// Where tests find their inputs.
#pragma once

#include <filesystem>
#include <optional>

namespace sluice::test {

// tests/ of the checkout: what a test always needs lives there.
std::filesystem::path tests_folder();

// The shared material beside the checkout (../shared), or nothing: a test that needs it then skips
// by name.
std::optional<std::filesystem::path> shared_folder();

// A fresh empty folder, removed when the object dies.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace sluice::test

// Skips the running test, by name, when ../shared lacks `relative`.
#define SLUICE_REQUIRE_SHARED(variable, relative)                                    \
  const auto variable##_root = ::sluice::test::shared_folder();                      \
  if (!variable##_root || !std::filesystem::exists(*variable##_root / (relative))) { \
    GTEST_SKIP() << "needs ../shared/" << (relative);                                \
  }                                                                                  \
  const std::filesystem::path variable = *variable##_root / (relative)
