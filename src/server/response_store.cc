#include "server/response_store.h"

namespace sluice::server {

void ResponseStore::put(const std::string& id, StoredResponse response) {
  erase(id);
  Entry entry;
  entry.bytes = response.body.dump().size() + response.items.dump().size();
  entry.response = std::move(response);
  bytes_ += entry.bytes;
  entries_.emplace(id, std::move(entry));
  order_.push_back(id);
  while (bytes_ > most_bytes_ && !order_.empty()) {
    const std::string oldest = order_.front();
    erase(oldest);
  }
}

const StoredResponse* ResponseStore::find(const std::string& id) const {
  const auto entry = entries_.find(id);
  return entry == entries_.end() ? nullptr : &entry->second.response;
}

bool ResponseStore::erase(const std::string& id) {
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return false;
  bytes_ -= entry->second.bytes;
  entries_.erase(entry);
  std::erase(order_, id);
  return true;
}

}  // namespace sluice::server
