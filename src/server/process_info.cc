#include "server/process_info.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace sluice::server {
namespace {

// Field 22 of /proc/self/stat, in ticks since the machine started, on top of the machine's start.
double start_seconds() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  // The second field is the program's name in parentheses and may hold anything.
  std::istringstream rest(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  std::string word;
  for (int field = 3; field <= 22; ++field) rest >> word;
  const double ticks = std::atof(word.c_str());
  std::ifstream system("/proc/stat");
  double boot = 0;
  for (std::string key; system >> key;) {
    if (key == "btime" && system >> boot) break;
  }
  return boot + ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

int64_t count_descriptors() {
  std::error_code error;
  const std::filesystem::directory_iterator folder("/proc/self/fd", error);
  return error ? 0 : std::distance(begin(folder), end(folder));
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

ProcessInfo process_info() {
  static const double started = start_seconds();
  ProcessInfo info;
  info.start_seconds = started;
  std::ifstream file("/proc/self/statm");
  uint64_t virtual_pages = 0, resident_pages = 0;
  file >> virtual_pages >> resident_pages;
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  info.resident_bytes = resident_pages * page;
  info.virtual_bytes = virtual_pages * page;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0)
    info.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  info.open_descriptors = count_descriptors();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0)
    info.most_descriptors = static_cast<int64_t>(limit.rlim_cur);
  return info;
}

}  // namespace sluice::server
