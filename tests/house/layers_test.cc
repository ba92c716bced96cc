// Keeps the direction of includes: down the rows of docs/structure.md, never up, never sideways.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "support/paths.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

// Folder of src/ -> folders that it may include (itself is always allowed). `*` stands for all.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"base", {}},
    {"tensor", {"base"}},
    {"checkpoint", {"tensor", "base"}},
    {"codec", {"tensor", "base"}},
    {"ops", {"tensor", "base"}},
    {"tokenizer", {"base"}},
    {"chat", {"tokenizer", "base"}},
    {"backend/ref", {"ops", "codec", "tensor", "base"}},
    {"backend/cpu", {"ops", "codec", "tensor", "base"}},
    {"backend", {"backend/ref", "backend/cpu", "ops", "tensor", "base"}},
    {"model", {"ops", "checkpoint", "codec", "tensor", "base"}},
    {"runtime", {"model", "ops", "tokenizer", "tensor", "base"}},
    {"server/http", {"base"}},
    {"server/core", {"runtime", "chat", "tokenizer", "base"}},
    {"server/openai", {"server/core", "server/http", "runtime", "chat", "tokenizer", "base"}},
    {"server/anthropic", {"server/core", "server/http", "runtime", "chat", "tokenizer", "base"}},
    {"server",
     {"server/openai", "server/anthropic", "server/core", "server/http", "runtime", "chat",
      "tokenizer", "base"}},
    {"tools",
     {"runtime", "chat", "model", "checkpoint", "codec", "ops", "tokenizer", "tensor", "base"}},
    {"cli",
     {"tools", "server", "server/core", "runtime", "chat", "model", "backend", "checkpoint",
      "codec", "ops", "tokenizer", "tensor", "base"}},
};

// The layer of a path relative to src/: the longest key that is a folder of it.
std::string layer_of(const std::string& path) {
  std::string best;
  for (const auto& [layer, allowed] : kMayInclude) {
    if (path.rfind(layer + "/", 0) == 0 && layer.size() > best.size()) best = layer;
  }
  return best;
}

struct Include {
  fs::path file;
  int line;
  std::string target;
};

// The name between the quotes of an #include line; empty for other lines.
std::string quoted_include(std::string_view line) {
  const auto skip = [&](std::string_view word) {
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (!line.starts_with(word)) return false;
    line.remove_prefix(word.size());
    return true;
  };
  if (!skip("#") || !skip("include") || !skip("\"")) return {};
  return std::string(line.substr(0, line.find('"')));
}

std::vector<Include> scan(const fs::path& source) {
  std::vector<Include> includes;
  for (const auto& entry : fs::recursive_directory_iterator(source)) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".h" && extension != ".cc" && extension != ".cu" && extension != ".cuh")
      continue;
    std::ifstream file(entry.path());
    std::string text;
    for (int line = 1; std::getline(file, text); ++line) {
      if (const std::string target = quoted_include(text); !target.empty())
        includes.push_back({entry.path(), line, target});
    }
  }
  return includes;
}

bool allowed(const std::string& from, const std::string& to) {
  if (from == to) return true;
  const auto row = kMayInclude.find(from);
  return row != kMayInclude.end() && row->second.contains(to);
}

TEST(Layers, IncludesGoDown) {
  const fs::path source = fs::path(SLUICE_SOURCE_DIR) / "src";
  const auto includes = scan(source);
  ASSERT_GT(includes.size(), 100u) << "the scan found too little to mean anything";
  for (const Include& include : includes) {
    const std::string file = fs::relative(include.file, source).string();
    if (include.target.rfind("hwy/", 0) == 0)
      continue;  // Highway's headers are written with quotes
    const std::string from = layer_of(file), to = layer_of(include.target);
    EXPECT_FALSE(from.empty())
        << file << " lies in no layer: add a row to docs/structure.md and to this test";
    // Highway re-includes the file itself by its path; generated headers live in the includer's
    // layer.
    EXPECT_FALSE(to.empty()) << file << ":" << include.line << ": \"" << include.target
                             << "\" names no layer";
    if (from.empty() || to.empty()) continue;
    EXPECT_TRUE(allowed(from, to)) << file << ":" << include.line << ": " << from
                                   << " must not include " << to << " (" << include.target << ")";
  }
}

TEST(Layers, TheTableHasNoCycle) {
  for (const auto& [layer, lower] : kMayInclude) {
    for (const std::string& other : lower) {
      ASSERT_TRUE(kMayInclude.contains(other)) << layer << " names " << other;
      EXPECT_FALSE(kMayInclude.at(other).contains(layer))
          << layer << " and " << other << " include each other";
    }
  }
}

TEST(Layers, AWrongEdgeIsSeen) {
  EXPECT_FALSE(allowed("model", "backend"));
  EXPECT_FALSE(allowed("checkpoint", "codec"));
  EXPECT_FALSE(allowed("base", "tensor"));
  EXPECT_EQ(layer_of("backend/cpu/avx2/x.h"), "backend/cpu");
  EXPECT_EQ(layer_of("backend/registry.h"), "backend");
}

}  // namespace
}  // namespace sluice
