// SPDX-License-Identifier: Apache-2.0
// What server and client share about sockets. Private to this part.
#pragma once
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <string_view>

#include "http/server.hpp"

namespace centrale::http {

using Tcp = boost::asio::ip::tcp;

/// A socket that no child process inherits: a task that outlives the centre must not hold its port. Asio's own open() would
/// leave a gap before the flag is set. -1 and errno on failure.
inline int open_stream_socket(const Tcp& protocol) { return ::socket(protocol.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

/// Small messages leave at once, and a peer that lost power is noticed within about two minutes.
inline void tune(Tcp::socket& socket) {
  const int fd = socket.native_handle();
  const int on = 1;
  const int idle_s = 60;
  const int interval_s = 15;
  const int probes = 4;
  // Each of these is a wish; the connection works without it.
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

/// "name: value" and a line end. Line breaks inside would let a value write headers of its own: they become spaces.
inline void append_header(std::string& out, std::string_view name, std::string_view value) {
  const auto append = [&out](std::string_view text) {
    for (const char c : text) { out += c == '\r' || c == '\n' || c == '\0' ? ' ' : c; }
  };
  append(name);
  out += ": ";
  append(value);
  out += "\r\n";
}

/// "127.0.0.1:80", "[::1]:80"
inline std::string host_and_port(std::string_view host, std::uint16_t port) {
  std::string out = host.find(':') == std::string_view::npos ? std::string{host} : "[" + std::string{host} + "]";
  return out + ":" + std::to_string(port);
}

/// A run of buffers that Asio can send without copying the list of them.
class BufferSpan {
 public:
  using value_type = boost::asio::const_buffer;
  using const_iterator = const boost::asio::const_buffer*;
  BufferSpan(const_iterator first, const_iterator last) : first_(first), last_(last) {}
  [[nodiscard]] const_iterator begin() const { return first_; }
  [[nodiscard]] const_iterator end() const { return last_; }

 private:
  const_iterator first_;
  const_iterator last_;
};

}  // namespace centrale::http
