// SPDX-License-Identifier: Apache-2.0
#include "http/server.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cstring>

#include "http/connection.hpp"

namespace centrale::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::milliseconds kAcceptPause{100};  // when the process has no descriptor left
constexpr std::size_t kTurnedAwayMax = 64;              // clients too many that are told so before they are cut

Error listen_error(int code, const std::string& address, std::uint16_t port) {
  const std::string where = host_and_port(address, port);
  switch (code) {
    case EADDRINUSE:
      return {ErrorKind::conflict, fmt::format("port {} is taken by another program", port), where,
              fmt::format("stop that program (`ss -ltnp 'sport = :{}'` names it) or choose another port with --listen {}", port,
                          host_and_port(address, port < 65535 ? static_cast<std::uint16_t>(port + 1) : port))};
    case EADDRNOTAVAIL:
      return {ErrorKind::invalid, fmt::format("{} is not an address of this machine", address), where,
              fmt::format("choose one that `ip addr` lists, for example --listen {}", host_and_port("127.0.0.1", port))};
    case EACCES:
      return {ErrorKind::forbidden, fmt::format("this user may not open port {}", port), where,
              fmt::format("choose a port from 1024 up, for example --listen {}", host_and_port(address, 7070))};
    default:
      return {ErrorKind::io, fmt::format("cannot listen: {}", std::strerror(code)), where,
              fmt::format("try another address or port, for example --listen {}", host_and_port("127.0.0.1", 0))};
  }
}

/// A listening socket that no child inherits, or errno.
std::expected<int, int> open_listener(const Tcp::endpoint& endpoint) {
  const int fd = open_stream_socket(endpoint.protocol());
  if (fd < 0) { return std::unexpected(errno); }
  // Lets a restarted centre have its port back while old connections linger. Two listeners are still refused.
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd, endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0 || ::listen(fd, SOMAXCONN) != 0) {
    const int code = errno;
    ::close(fd);
    return std::unexpected(code);
  }
  return fd;
}

}  // namespace

std::string_view Request::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) { return value; }
  }
  return {};
}

struct Server::State : std::enable_shared_from_this<Server::State> {
  struct Listener {
    Tcp::acceptor acceptor;
    asio::steady_timer pause;
  };

  State(asio::io_context& rim, Limits limits) : shared(std::make_shared<Shared>(rim, limits)) {}

  void wait(const std::shared_ptr<Listener>& listener) {
    listener->acceptor.async_wait(Tcp::acceptor::wait_read, [self = shared_from_this(), listener](error_code ec) {
      if (!ec && listener->acceptor.is_open()) { self->accept_all(listener); }
    });
  }

  void accept_all(const std::shared_ptr<Listener>& listener) {
    constexpr int kBurstMax = 64;  // then others get their turn
    for (int i = 0; i < kBurstMax; ++i) {
      const int fd = ::accept4(listener->acceptor.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd >= 0) {
        accepted(fd, *listener);
        continue;
      }
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        // Waiting for readability would return at once, again and again.
        listener->pause.expires_after(kAcceptPause);
        listener->pause.async_wait([self = shared_from_this(), listener](error_code ec) {
          if (!ec && listener->acceptor.is_open()) { self->wait(listener); }
        });
        return;
      }
      if (errno == EAGAIN) { break; }
      // Anything else concerns the one connection that was to be accepted.
    }
    wait(listener);
  }

  void accepted(int fd, Listener& listener) {
    const bool full = shared->connections.size() - shared->turned_away >= shared->limits.connections_max;
    if (full && shared->turned_away >= kTurnedAwayMax) {
      ::close(fd);
      return;
    }
    error_code ec;
    Tcp::socket socket{shared->rim};
    socket.assign(listener.acceptor.local_endpoint(ec).protocol(), fd, ec);
    if (ec) {
      ::close(fd);
      return;
    }
    const auto connection = std::make_shared<Connection>(shared, std::move(socket));
    if (full) {
      connection->turn_away();
    } else {
      connection->start();
    }
  }

  void stop_listening() {
    for (const auto& listener : listeners) {
      error_code ec;
      listener->acceptor.close(ec);
      listener->pause.cancel();
    }
    listeners.clear();
  }

  /// Holds each while it is visited: closing one may end the life of another.
  [[nodiscard]] std::vector<std::shared_ptr<Connection>> open_connections() const {
    std::vector<std::shared_ptr<Connection>> open;
    for (Connection* connection : shared->connections) {
      if (auto held = connection->weak_from_this().lock()) { open.push_back(std::move(held)); }
    }
    return open;
  }

  std::shared_ptr<Shared> shared;
  std::vector<std::shared_ptr<Listener>> listeners;
};

Server::Server(asio::io_context& rim, Limits limits) : state_(std::make_shared<State>(rim, limits)) {}

Server::~Server() {
  state_->stop_listening();
  for (const auto& connection : state_->open_connections()) { connection->abandon(); }
  state_->shared->routes.clear();
}

void Server::route(std::string prefix, Handler handler) {
  auto& routes = state_->shared->routes;
  const auto place = std::ranges::find_if(routes, [&](const auto& r) { return r->prefix.size() <= prefix.size(); });
  routes.insert(place, std::make_shared<const Route>(Route{std::move(prefix), std::move(handler)}));
}

Result<std::uint16_t> Server::listen(const std::string& address, std::uint16_t port) {
  error_code ec;
  const auto ip = asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, ec);
  if (ec) {
    return fail(ErrorKind::invalid, fmt::format("'{}' is not an IP address", address), host_and_port(address, port),
                fmt::format("write one, for example --listen {}", host_and_port("127.0.0.1", port)));
  }
  const Tcp::endpoint endpoint{ip, port};
  const auto fd = open_listener(endpoint);
  if (!fd) { return std::unexpected(listen_error(fd.error(), address, port)); }
  Tcp::acceptor acceptor{state_->shared->rim};
  acceptor.assign(endpoint.protocol(), *fd, ec);
  if (ec) {
    ::close(*fd);
    return std::unexpected(listen_error(ec.value(), address, port));
  }
  auto listener = std::make_shared<State::Listener>(State::Listener{std::move(acceptor), asio::steady_timer{state_->shared->rim}});
  const std::uint16_t bound = listener->acceptor.local_endpoint(ec).port();
  state_->listeners.push_back(listener);
  state_->wait(listener);
  return bound;
}

void Server::drain() {
  state_->shared->draining = true;
  state_->stop_listening();
  for (const auto& connection : state_->open_connections()) { connection->close_if_idle(); }
}

std::size_t Server::connections() const { return state_->shared->connections.size(); }

}  // namespace centrale::http
