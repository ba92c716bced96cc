// Responses that clients may refer back to, the oldest forgotten first. In memory only.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "base/json.h"

namespace sluice::server {

struct StoredResponse {
  Json body;
  Json items;  // the conversation up to and with this response
};

// One thread's.
class ResponseStore {
 public:
  explicit ResponseStore(size_t most_bytes) : most_bytes_(most_bytes) {}

  void put(const std::string& id, StoredResponse response);
  const StoredResponse* find(const std::string& id) const;
  bool erase(const std::string& id);

 private:
  struct Entry {
    StoredResponse response;
    size_t bytes = 0;
  };
  const size_t most_bytes_;
  size_t bytes_ = 0;
  std::map<std::string, Entry> entries_;
  std::deque<std::string> order_;  // ids, the oldest first
};

}  // namespace sluice::server
