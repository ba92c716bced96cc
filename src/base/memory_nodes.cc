#include "base/memory_nodes.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace sluice {
namespace {

// More than any machine has; keeps a damaged list from becoming a long one.
constexpr int kMostCores = CPU_SETSIZE;

std::optional<int> take_number(std::string_view& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0 || number >= kMostCores) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

}  // namespace

std::optional<Cores> parse_core_list(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  Cores cores;
  while (!text.empty()) {
    const auto first = take_number(text);
    if (!first) return std::nullopt;
    auto last = first;
    if (text.starts_with('-')) {
      text.remove_prefix(1);
      last = take_number(text);
      if (!last || *last < *first) return std::nullopt;
    }
    for (int core = *first; core <= *last; ++core) cores.push_back(core);
    if (text.empty()) break;
    if (!text.starts_with(',') || text.size() == 1) return std::nullopt;
    text.remove_prefix(1);
  }
  std::sort(cores.begin(), cores.end());
  cores.erase(std::unique(cores.begin(), cores.end()), cores.end());
  return cores;
}

std::vector<Cores> memory_nodes() {
  const std::filesystem::path root = "/sys/devices/system/node";
  std::vector<std::filesystem::path> folders;
  std::error_code error;
  for (std::filesystem::directory_iterator at(root, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename();
    if (name.starts_with("node") && name.size() > 4 && name[4] >= '0' && name[4] <= '9')
      folders.push_back(at->path());
  }
  std::sort(folders.begin(), folders.end());
  std::vector<Cores> nodes;
  for (const auto& folder : folders) {
    std::ifstream file(folder / "cpulist");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    // A node of memory alone has an empty list.
    if (auto cores = parse_core_list(text); cores && !cores->empty())
      nodes.push_back(std::move(*cores));
  }
  return nodes;
}

Cores allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  Cores cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

Cores cores_of_member(const std::vector<Cores>& nodes, const Cores& allowed, int member, int size) {
  std::vector<Cores> usable;
  size_t total = 0;
  for (const Cores& node : nodes) {
    Cores both;
    std::set_intersection(node.begin(), node.end(), allowed.begin(), allowed.end(),
                          std::back_inserter(both));
    total += both.size();
    if (!both.empty()) usable.push_back(std::move(both));
  }
  if (usable.size() < 2) return {};
  size_t place = total * static_cast<size_t>(member) / static_cast<size_t>(size);
  for (Cores& node : usable) {
    if (place < node.size()) return std::move(node);
    place -= node.size();
  }
  return {};
}

void keep_to(const Cores& cores) {
  if (cores.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

}  // namespace sluice
