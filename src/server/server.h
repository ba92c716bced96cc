// The server as the command line starts it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "server/core/model_text.h"
#include "server/core/step_engine.h"
#include "server/options.h"

namespace sluice::server {

// Serves until SIGTERM or SIGINT, then drains (a second signal ends at once). `ready` is called
// once with the address when requests are taken. `model` must outlive the call. Errors: the address
// or the TLS files cannot be used.
Status run_server(const ServerOptions& options, const ModelText& model,
                  std::unique_ptr<StepEngine> engine,
                  const std::function<void(const std::string& address)>& ready);

}  // namespace sluice::server
