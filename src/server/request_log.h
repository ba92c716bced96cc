// One JSON line a request (serving-ops.md 7.8).
#pragma once

#include <memory>
#include <string>

#include "server/request_record.h"

namespace sluice::server {

std::string request_log_line(const RequestRecord& record);

class RequestLog {
 public:
  // To the file, or to standard error if it is empty; nowhere if quiet.
  RequestLog(const std::string& file, bool quiet);
  ~RequestLog();
  void write(const RequestRecord& record);

 private:
  struct Sink;
  std::unique_ptr<Sink> sink_;
};

}  // namespace sluice::server
