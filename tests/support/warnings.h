// What the library warns of while this lives, instead of saying it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"

namespace sluice::test {

class Warnings {
 public:
  Warnings() {
    set_log_sink([this](LogLevel level, std::string_view text) {
      if (level == LogLevel::kWarning) said_.emplace_back(text);
    });
  }
  ~Warnings() { set_log_sink(nullptr); }
  Warnings(const Warnings&) = delete;
  Warnings& operator=(const Warnings&) = delete;

  // Read it while nothing else warns.
  const std::vector<std::string>& said() const { return said_; }

 private:
  std::vector<std::string> said_;  // the sink is called by one thread at a time
};

}  // namespace sluice::test
