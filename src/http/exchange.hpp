// SPDX-License-Identifier: Apache-2.0
// One request of the client and its answer, and the pool of connections it draws from. Private to this part.
#pragma once
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <memory>
#include <set>

#include "http/parser.hpp"
#include "http/server.hpp"
#include "http/socket.hpp"

namespace centrale::http {

class Exchange;

/// Connections that wait for their next request, by "host:port". A closed one leaves the pool the moment it is closed.
class Pool : public std::enable_shared_from_this<Pool> {
 public:
  explicit Pool(boost::asio::io_context& rim) : rim_(rim) {}
  /// An open idle connection, the one used last; null if there is none.
  [[nodiscard]] std::shared_ptr<Tcp::socket> take(const std::string& key);
  void give(const std::string& key, std::shared_ptr<Tcp::socket> socket);
  void close();

  [[nodiscard]] boost::asio::io_context& rim() const { return rim_; }
  [[nodiscard]] boost::asio::mutable_buffer scratch() { return boost::asio::buffer(scratch_); }

  std::set<Exchange*> exchanges;  // those that are under way; ended with the client

 private:
  struct Idle {
    Idle(std::shared_ptr<Tcp::socket> s, boost::asio::io_context& rim) : socket(std::move(s)), expiry(rim) {}
    std::shared_ptr<Tcp::socket> socket;
    boost::asio::steady_timer expiry;
    bool taken = false;
  };
  void drop(const std::string& key, const std::shared_ptr<Idle>& idle);

  boost::asio::io_context& rim_;
  std::map<std::string, std::deque<std::shared_ptr<Idle>>> idle_;
  std::array<char, 64UL * 1024> scratch_{};
  bool closed_ = false;
};

struct Outbound {
  std::string host;
  std::uint16_t port = 0;
  std::string method, target;
  Headers headers;
  std::string body;
};

/// connect (or reuse) -> send -> head -> part, part, … -> end. Reads only when asked, but for the head.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(std::shared_ptr<Pool> pool, Outbound outbound, std::chrono::milliseconds idle, CallEvents events);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  void start();
  void read_more();
  void set_idle(std::chrono::milliseconds idle) { idle_ = idle; }
  void cancel();

 private:
  using Clock = std::chrono::steady_clock;
  void connect();
  void resolve();
  void connect_to(std::vector<Tcp::endpoint> endpoints, std::size_t at);
  void connected();
  void send_request();
  void wait_readable();
  void readable();
  void progress();
  void deliver();
  void transport_failed(std::string what);
  void failed(ErrorKind kind, std::string what);
  void set_deadline(std::chrono::milliseconds from_now);
  void arm_timer();
  void timed_out();
  void close_socket();
  void stop();

  std::shared_ptr<Pool> pool_;
  Outbound outbound_;
  std::string key_;
  std::string head_;  // the request's head as sent
  std::chrono::milliseconds idle_;
  std::shared_ptr<CallEvents> events_;  // null when over; shared, so that an event may end the call it comes from
  std::unique_ptr<Tcp::resolver> resolver_;
  std::shared_ptr<Tcp::socket> socket_;  // one for each attempt: what is left of an older one must not write into a newer
  boost::asio::steady_timer timer_;
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point armed_ = Clock::time_point::max();
  std::unique_ptr<ResponseParser> parser_;
  bool reused_ = false;  // the connection served another request before
  bool connected_ = false;
  bool sent_ = false;      // the whole request
  bool answered_ = false;  // a byte of the answer came
  bool head_told_ = false;
  bool wanted_ = false;   // read_more() was called and not yet served
  bool waiting_ = false;  // a read is pending
  bool posted_ = false;
};

}  // namespace centrale::http
