// SPDX-License-Identifier: Apache-2.0
#include "http/connection.hpp"

#include <cstdio>

#include "http/answer.hpp"
#include "http/url.hpp"

namespace centrale::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t kKeptCapacity = 4096;  // an idle connection gives larger buffers back

/// "/a/" matches what begins with it; "/a" matches itself and what is below it.
bool matches(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) { return false; }
  return prefix.ends_with('/') || path.size() == prefix.size() || path[prefix.size()] == '/';
}

}  // namespace

Connection::Connection(std::shared_ptr<Shared> shared, Tcp::socket socket)
    : shared_(std::move(shared)), socket_(std::move(socket)), timer_(shared_->rim) {
  tune(socket_);
  error_code ec;
  socket_.non_blocking(true, ec);
  const Tcp::endpoint peer = socket_.remote_endpoint(ec);
  if (!ec) { remote_ = host_and_port(peer.address().to_string(), peer.port()); }
  shared_->connections.insert(this);
}

Connection::~Connection() {
  hold_bytes(0);
  shared_->connections.erase(this);
  shared_->turned_away -= turned_away_ ? 1 : 0;
}

void Connection::start() {
  set_deadline(shared_->limits.idle_max);
  wait_readable();
}

void Connection::turn_away() {
  turned_away_ = true;
  ++shared_->turned_away;
  refuse(503, "too many connections");
  wait_readable();
}

void Connection::abandon() {
  gone_ = nullptr;
  close();
  out_.clear();
}

void Connection::close_if_idle() {
  keep_alive_ = false;
  if (phase_ == Phase::reading && !parser_ && received_.empty()) { close(); }
}

// Reading.

void Connection::wait_readable() {
  const bool full = phase_ == Phase::answering && received_.size() >= shared_->limits.header_bytes_max;
  if (waiting_ || input_ended_ || full || phase_ == Phase::closed) { return; }
  waiting_ = true;
  socket_.async_wait(Tcp::socket::wait_read, [self = shared_from_this()](error_code ec) {
    self->waiting_ = false;
    if (self->phase_ == Phase::closed) { return; }
    if (ec) {
      self->lost();
    } else {
      self->readable();
    }
  });
}

void Connection::readable() {
  error_code ec;
  const std::size_t n = socket_.read_some(asio::buffer(shared_->scratch), ec);
  if (ec == asio::error::would_block || ec == asio::error::interrupted) {
    wait_readable();
  } else if (ec == asio::error::eof) {
    end_of_input();
  } else if (ec) {
    lost();
  } else {
    if (phase_ != Phase::lingering) { received_.append(shared_->scratch.data(), n); }
    if (phase_ == Phase::reading) { parse(); }
    wait_readable();
  }
}

void Connection::end_of_input() {
  input_ended_ = true;
  if (phase_ == Phase::answering && complete_) {
    return;  // it may still read what is being sent
  }
  lost();
}

void Connection::parse() {
  while (phase_ == Phase::reading && !received_.empty()) {
    if (!parser_) {
      parser_.emplace(shared_->limits.header_bytes_max, shared_->limits.body_bytes_max);
      looked_at_head_ = false;
      set_deadline(shared_->limits.read_max);
    }
    const std::size_t used = parser_->feed(received_);
    received_.erase(0, used);
    hold_bytes(parser_->body_bytes());
    if (const int status = parser_->refusal(); status != 0) {
      refuse(status, status == 413   ? "the body is longer than " + std::to_string(shared_->limits.body_bytes_max) + " bytes"
                     : status == 431 ? "the header is longer than " + std::to_string(shared_->limits.header_bytes_max) + " bytes"
                                     : std::string{"this is not an HTTP/1.1 request"});
      return;
    }
    if (shared_->held_bytes > shared_->limits.held_bytes_max) {
      refuse(503, "too many large requests at once; try again");
      return;
    }
    if (parser_->done()) {
      dispatch();
      return;
    }
    if (parser_->head_done() && !looked_at_head_) {
      looked_at_head_ = true;
      if (parser_->expects_continue() && received_.empty()) {
        queue({.head = "HTTP/1.1 100 Continue\r\n\r\n", .body = {}, .tail = {}, .written = {}});
        flush();
      }
      continue;
    }
    if (used == 0) { return; }
  }
}

void Connection::dispatch() {
  keep_alive_ = parser_->keep_alive() && !shared_->draining;
  http_1_0_ = parser_->is_http_1_0();
  auto target = parse_target(parser_->target());
  Request request = parser_->take();
  parser_.reset();
  clear_deadline();
  if (received_.empty() && received_.capacity() > kKeptCapacity) { received_ = {}; }
  is_head_ = request.method == "HEAD";
  phase_ = Phase::answering;
  complete_ = false;
  chunked_ = false;
  if (!target) {
    refuse(400, "the path or the query is malformed");
    return;
  }
  if (!http_1_0_ && request.header("host").empty()) {
    refuse(400, "there is no Host header");
    return;
  }
  if (is_head_) { request.method = "GET"; }
  request.path = std::move(target->path);
  request.query = std::move(target->query);
  request.remote = remote_;
  serve(std::move(request));
  if (input_ended_ && !complete_) { lost(); }
}

void Connection::serve(Request request) {
  const auto reply = make_reply(shared_from_this());
  for (const auto& route : shared_->routes) {
    if (matches(request.path, route->prefix)) {
      const auto chosen = route;
      try {
        chosen->handler(std::move(request), reply);
      } catch (const std::exception& e) {
        // Its Reply, dropped, says 500 to the client; the operator needs the reason.
        std::fprintf(stderr, "centrale: a handler of %s failed: %s\n", chosen->prefix.c_str(), e.what());
      }
      return;
    }
  }
  reply->send(404, "application/json", error_body("there is nothing at " + request.path, "not_found_error", "not_found"), {});
}

void Connection::refuse(int status, std::string_view message) {
  parser_.reset();
  phase_ = Phase::answering;
  keep_alive_ = false;
  is_head_ = false;
  Headers extra;
  if (status == 503) { extra.emplace_back("Retry-After", "1"); }
  answer(status, "application/json", error_body(message, error_type(status)), extra);
}

// Time and the end.

void Connection::set_deadline(std::chrono::milliseconds from_now) {
  deadline_ = Clock::now() + from_now;
  if (deadline_ < armed_) { arm_timer(); }
}

/// The timer is rarely moved: it fires early, sees a later deadline, and is set again.
void Connection::arm_timer() {
  armed_ = deadline_;
  timer_.expires_at(deadline_);
  timer_.async_wait([self = shared_from_this()](error_code ec) {
    if (ec || self->phase_ == Phase::closed) {
      return;  // moved, or closed
    }
    self->armed_ = Clock::time_point::max();
    if (self->deadline_ <= Clock::now()) {
      self->deadline_ = Clock::time_point::max();
      self->timed_out();
    } else if (self->deadline_ != Clock::time_point::max()) {
      self->arm_timer();
    }
  });
}

void Connection::timed_out() {
  if (phase_ == Phase::reading && parser_) {
    refuse(408, "the request did not arrive within " + std::to_string(shared_->limits.read_max.count()) + " s");
  } else {
    lost();
  }
}

void Connection::lost() {
  auto gone = std::exchange(gone_, nullptr);
  close();
  auto unsent = std::exchange(out_, {});
  for (auto& outgoing : unsent) {
    if (outgoing.written) {
      later([written = std::move(outgoing.written)] { written(false); });
    }
  }
  if (gone) { later(std::move(gone)); }
}

void Connection::close() {
  phase_ = Phase::closed;
  hold_bytes(0);
  parser_.reset();
  received_ = {};
  gone_ = nullptr;
  error_code ec;
  socket_.close(ec);
  timer_.cancel();
}

void Connection::hold_bytes(std::size_t bytes) {
  shared_->held_bytes += bytes - held_bytes_;
  held_bytes_ = bytes;
}

}  // namespace centrale::http
