// Tells a service manager how far the server is: systemd's protocol for units of Type=notify.
#pragma once

#include <string_view>

namespace sluice::server {

// Sends "READY=1", "STOPPING=1" and the like to $NOTIFY_SOCKET; does nothing without one. A manager
// that does not listen is no reason to stop.
void notify_manager(std::string_view state);

}  // namespace sluice::server
