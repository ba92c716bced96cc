// Prometheus metrics under vLLM's names, so that dashboards and gateways work unchanged
// (serving-ops.md 7.2).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "server/core/engine_host.h"
#include "server/core/model_text.h"
#include "server/request_record.h"

namespace sluice::server {

class Metrics {
 public:
  // `lossy_states`: as in ServerOptions.
  Metrics(const ModelText& model, int64_t sequences, bool prefix_cache,
          const std::string& lossy_states);
  ~Metrics();

  void count(const RequestRecord& record);
  // Time between two tokens of one answer; any thread. Tokens that one verification step accepts
  // come together, with no time between them.
  void observe_token_gap(double seconds);
  // The text format 0.0.4 as of now. `kv_use`: share of the pages in use, 0 to 1.
  std::string render(const EngineCounters& engine, double kv_use, const runtime::DiskUse& disk);

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace sluice::server
