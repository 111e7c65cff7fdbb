// SPDX-License-Identifier: Apache-2.0
#include "http/exchange.hpp"

#include <fmt/core.h>

#include <unistd.h>
#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>

namespace centrale::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::seconds kConnectMax{5};
constexpr std::chrono::seconds kPooledMax{60};  // engines close idle connections; rather do it first
constexpr std::size_t kPooledPerHostMax = 128;

bool has_header(const Headers& headers, std::string_view lower_case_name) {
  return std::ranges::any_of(headers, [&](const auto& field) {
    return std::ranges::equal(field.first, lower_case_name,
                              [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b; });
  });
}

std::string request_head(const Outbound& outbound, const std::string& key) {
  std::string out = outbound.method + " ";
  for (const char c : outbound.target) {
    if (static_cast<unsigned char>(c) > 0x20 && c != 0x7f) {  // a blank would end the target
      out += c;
    }
  }
  out += " HTTP/1.1\r\n";
  if (!has_header(outbound.headers, "host")) { append_header(out, "Host", key); }
  for (const auto& [name, value] : outbound.headers) { append_header(out, name, value); }
  if (!outbound.body.empty() || outbound.method == "POST" || outbound.method == "PUT" || outbound.method == "PATCH") {
    append_header(out, "Content-Length", std::to_string(outbound.body.size()));
  }
  return out + "\r\n";
}

}  // namespace

std::shared_ptr<Tcp::socket> Pool::take(const std::string& key) {
  const auto found = idle_.find(key);
  if (found == idle_.end()) { return nullptr; }
  auto& idle = found->second;
  while (!idle.empty()) {
    const std::shared_ptr<Idle> last = idle.back();
    idle.pop_back();
    last->taken = true;
    last->expiry.cancel();
    error_code ec;
    last->socket->cancel(ec);
    char byte = 0;
    const bool quiet =
        ::recv(last->socket->native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (quiet) { return last->socket; }
  }
  return nullptr;
}

void Pool::give(const std::string& key, std::shared_ptr<Tcp::socket> socket) {
  if (closed_) { return; }
  auto& idle = idle_[key];
  if (idle.size() >= kPooledPerHostMax) { return; }
  auto entry = std::make_shared<Idle>(std::move(socket), rim_);
  idle.push_back(entry);
  const auto leave = [weak = weak_from_this(), key, entry](error_code) {
    if (const auto self = weak.lock(); self && !entry->taken) { self->drop(key, entry); }
  };
  entry->expiry.expires_after(kPooledMax);
  entry->expiry.async_wait(leave);
  // Nobody asked anything: whatever comes, the end most likely, makes the connection useless.
  entry->socket->async_wait(Tcp::socket::wait_read, leave);
}

void Pool::drop(const std::string& key, const std::shared_ptr<Idle>& entry) {
  entry->taken = true;
  entry->expiry.cancel();
  error_code ec;
  entry->socket->close(ec);
  const auto found = idle_.find(key);
  if (found != idle_.end()) {
    std::erase(found->second, entry);
    if (found->second.empty()) { idle_.erase(found); }
  }
}

void Pool::close() {
  closed_ = true;
  const auto running = std::exchange(exchanges, {});
  std::vector<std::shared_ptr<Exchange>> held;
  for (Exchange* exchange : running) {
    if (auto alive = exchange->weak_from_this().lock()) { held.push_back(std::move(alive)); }
  }
  for (const auto& exchange : held) { exchange->cancel(); }
  for (auto& [key, entries] : std::exchange(idle_, {})) {
    for (const auto& entry : entries) {
      entry->taken = true;
      entry->expiry.cancel();
      error_code ec;
      entry->socket->close(ec);
    }
  }
}

Exchange::Exchange(std::shared_ptr<Pool> pool, Outbound outbound, std::chrono::milliseconds idle, CallEvents events)
    : pool_(std::move(pool)),
      outbound_(std::move(outbound)),
      key_(host_and_port(outbound_.host, outbound_.port)),
      head_(request_head(outbound_, key_)),
      idle_(idle),
      events_(std::make_shared<CallEvents>(std::move(events))),
      timer_(pool_->rim()) {
  pool_->exchanges.insert(this);
}

Exchange::~Exchange() { pool_->exchanges.erase(this); }

void Exchange::start() {
  // Posted: no event may come from inside stream().
  asio::post(pool_->rim(), [self = shared_from_this()] {
    if (!self->events_) { return; }
    self->socket_ = self->pool_->take(self->key_);
    if (self->socket_) {
      self->reused_ = true;
      self->send_request();
    } else {
      self->connect();
    }
  });
}

void Exchange::connect() {
  reused_ = false;
  connected_ = false;
  set_deadline(kConnectMax);
  error_code ec;
  const auto ip = asio::ip::make_address(outbound_.host == "localhost" ? "127.0.0.1" : outbound_.host, ec);
  if (ec) {
    resolve();
  } else {
    connect_to({Tcp::endpoint{ip, outbound_.port}}, 0);
  }
}

void Exchange::resolve() {
  resolver_ = std::make_unique<Tcp::resolver>(pool_->rim());
  resolver_->async_resolve(outbound_.host, std::to_string(outbound_.port),
                           [self = shared_from_this()](error_code ec, const Tcp::resolver::results_type& results) {
                             if (!self->events_) { return; }
                             if (ec) {
                               self->failed(ErrorKind::unavailable, "the host name is not known: " + ec.message());
                               return;
                             }
                             std::vector<Tcp::endpoint> endpoints;
                             for (const auto& entry : results) { endpoints.push_back(entry.endpoint()); }
                             self->connect_to(std::move(endpoints), 0);
                           });
}

void Exchange::connect_to(std::vector<Tcp::endpoint> endpoints, std::size_t at) {
  close_socket();
  const Tcp::endpoint endpoint = endpoints.at(at);
  const int fd = open_stream_socket(endpoint.protocol());
  if (fd < 0) {
    failed(ErrorKind::unavailable, fmt::format("no socket: {}", error_code{errno, boost::system::system_category()}.message()));
    return;
  }
  error_code ec;
  socket_ = std::make_shared<Tcp::socket>(pool_->rim());
  socket_->assign(endpoint.protocol(), fd, ec);
  if (ec) {
    ::close(fd);
    failed(ErrorKind::unavailable, "no socket: " + ec.message());
    return;
  }
  socket_->async_connect(endpoint, [self = shared_from_this(), endpoints = std::move(endpoints), at](error_code failure) mutable {
    if (!self->events_) { return; }
    if (!failure) {
      self->connected();
    } else if (at + 1 < endpoints.size()) {
      self->connect_to(std::move(endpoints), at + 1);
    } else {
      self->failed(ErrorKind::unavailable, "no connection: " + failure.message());
    }
  });
}

void Exchange::connected() {
  tune(*socket_);
  error_code ec;
  socket_->non_blocking(true, ec);
  send_request();
}

void Exchange::send_request() {
  connected_ = true;
  sent_ = false;
  parser_ = std::make_unique<ResponseParser>(outbound_.method == "HEAD");
  set_deadline(idle_);
  const std::array<asio::const_buffer, 2> buffers{asio::buffer(head_), asio::buffer(outbound_.body)};
  asio::async_write(*socket_, buffers, [self = shared_from_this(), socket = socket_](error_code ec, std::size_t) {
    // A failure is not told here: an engine that refuses early may close its side before it has read everything, and the
    // pending read finds its answer, or the end.
    if (!ec && socket == self->socket_) { self->sent_ = true; }
  });
  wait_readable();
}

void Exchange::wait_readable() {
  if (waiting_ || !events_) { return; }
  waiting_ = true;
  socket_->async_wait(Tcp::socket::wait_read, [self = shared_from_this()](error_code ec) {
    self->waiting_ = false;
    if (!self->events_ || ec == asio::error::operation_aborted) { return; }
    self->readable();
  });
}

void Exchange::readable() {
  error_code ec;
  const std::size_t n = socket_->read_some(pool_->scratch(), ec);
  if (ec == asio::error::would_block || ec == asio::error::interrupted) {
    wait_readable();
    return;
  }
  if (ec && ec != asio::error::eof) {
    transport_failed(ec.message());
    return;
  }
  if (ec) {
    parser_->feed_end();
    if (parser_->failed() || !parser_->head_done()) {
      transport_failed("the connection was closed");
      return;
    }
  } else {
    answered_ = true;
    parser_->feed({static_cast<const char*>(pool_->scratch().data()), n});
    if (parser_->failed()) {
      failed(ErrorKind::io, "the answer is not HTTP/1.1");
      return;
    }
    if (sent_ && parser_->reusable()) { pool_->give(key_, std::exchange(socket_, nullptr)); }
  }
  progress();
}

/// Something was read, or something was asked for: tell what can be told, else read on.
void Exchange::progress() {
  if (!events_) { return; }
  deliver();
  if (!events_) { return; }
  const bool read_on = !parser_->done() && (!parser_->head_done() || wanted_);
  if (read_on) {
    set_deadline(idle_);
    wait_readable();
  } else {
    deadline_ = Clock::time_point::max();
  }
}

void Exchange::deliver() {
  const auto events = events_;  // an event may end the call, and must outlive that
  if (parser_->head_done() && !head_told_) {
    head_told_ = true;
    if (events->on_head) { events->on_head(parser_->status(), parser_->headers()); }
    return;  // what was asked for inside on_head is served by the call that it posted
  }
  if (!wanted_) { return; }
  if (std::string part = parser_->take_body(); !part.empty()) {
    wanted_ = false;
    if (events->on_body) { events->on_body(part); }
  } else if (parser_->done()) {
    wanted_ = false;
    const auto held = shared_from_this();
    stop();
    if (events->on_end) { events->on_end(); }
  }
}

void Exchange::read_more() {
  if (!events_) { return; }
  wanted_ = true;
  if (!posted_ && head_told_) {
    posted_ = true;
    asio::post(pool_->rim(), [self = shared_from_this()] {
      self->posted_ = false;
      self->progress();
    });
  }
}

void Exchange::transport_failed(std::string what) {
  // The pooled connection was closed under our hands before the engine saw the request: that is no failure of the engine.
  if (reused_ && !answered_) {
    close_socket();
    connect();
    return;
  }
  failed(ErrorKind::io, answered_ ? "the answer broke off: " + what : "no answer: " + what);
}

void Exchange::failed(ErrorKind kind, std::string what) {
  const auto events = events_;
  const auto held = shared_from_this();
  stop();
  if (events && events->on_error) { events->on_error({kind, std::move(what), key_, ""}, head_told_); }
}

void Exchange::set_deadline(std::chrono::milliseconds from_now) {
  deadline_ = Clock::now() + from_now;
  if (deadline_ < armed_) { arm_timer(); }
}

/// As in Connection: rarely moved, it fires early, sees a later deadline and is set again.
void Exchange::arm_timer() {
  armed_ = deadline_;
  timer_.expires_at(deadline_);
  timer_.async_wait([self = shared_from_this()](error_code ec) {
    if (ec || !self->events_) { return; }
    self->armed_ = Clock::time_point::max();
    if (self->deadline_ <= Clock::now()) {
      self->timed_out();
    } else if (self->deadline_ != Clock::time_point::max()) {
      self->arm_timer();
    }
  });
}

void Exchange::timed_out() {
  if (!connected_) {
    failed(ErrorKind::unavailable, fmt::format("no connection within {} s", kConnectMax.count()));
  } else {
    failed(ErrorKind::exhausted, fmt::format("{} for {} ms", head_told_ ? "silent" : "no answer", idle_.count()));
  }
}

void Exchange::cancel() { stop(); }

void Exchange::stop() {
  const auto held = shared_from_this();  // the events may own the last handle
  events_.reset();
  timer_.cancel();
  if (resolver_) { resolver_->cancel(); }
  close_socket();
}

void Exchange::close_socket() {
  if (const auto socket = std::exchange(socket_, nullptr)) {
    error_code ec;
    socket->close(ec);
  }
}

}  // namespace centrale::http
