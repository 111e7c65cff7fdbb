// SPDX-License-Identifier: Apache-2.0
#include "operate/local_ports.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>

#include "task/folder.hpp"

namespace centrale::local {
namespace {

bool is_free(int port) {
  const task::Fd probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return probe && bind(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

// Two centres of one machine would otherwise both begin at kFirst and meet in the window between look and bind.
Ports::Ports() : next_(static_cast<int>(std::random_device{}() % kCount)) {}

Result<int> Ports::take() {
  for (int tries = 0; tries < kCount; ++tries) {
    const int port = kFirst + next_;
    next_ = (next_ + 1) % kCount;
    if (!taken_.contains(port) && is_free(port)) {
      taken_.insert(port);
      return port;
    }
  }
  return fail(ErrorKind::unavailable, "no free port on 127.0.0.1", "", "stop something that listens");
}

}  // namespace centrale::local
