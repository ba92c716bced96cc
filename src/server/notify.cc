#include "server/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "base/log.h"
#include "base/switches.h"

namespace sluice::server {

// One datagram; libsystemd would be a library for these lines.
void notify_manager(std::string_view state) {
  const auto path = environment("NOTIFY_SOCKET");
  if (!path) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path->size() >= sizeof address.sun_path) return log_warning("NOTIFY_SOCKET is too long");
  std::memcpy(address.sun_path, path->data(), path->size());
  // A leading @ stands for the zero byte of an abstract name.
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path->size());
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return;
  const auto sent = ::sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address), size);
  if (sent < 0) log_warning("the service manager at NOTIFY_SOCKET cannot be reached");
  ::close(descriptor);
}

}  // namespace sluice::server
