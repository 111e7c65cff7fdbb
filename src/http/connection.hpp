// SPDX-License-Identifier: Apache-2.0
// One client's connection to the server. Private to this part.
#pragma once
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_set>

#include "http/parser.hpp"
#include "http/server.hpp"
#include "http/socket.hpp"

namespace centrale::http {

class Connection;

struct Route {
  std::string prefix;
  Handler handler;
};

/// What the connections of one server share.
struct Shared {
  boost::asio::io_context& rim;
  Limits limits;
  std::vector<std::shared_ptr<const Route>> routes;  // longest prefix first; shared, for a handler may add routes
  std::unordered_set<Connection*> connections;       // never iterated where order could show
  std::size_t held_bytes = 0;                        // bodies received and not yet answered
  std::size_t turned_away = 0;                       // connections that only hear that there are too many
  bool draining = false;
  std::array<char, 64UL * 1024> scratch{};  // every read lands here first: an idle connection owns no buffer
  std::string date;                         // for the Date header, made anew each second
  std::int64_t date_s = 0;

  Shared(boost::asio::io_context& context, Limits given) : rim(context), limits(given) {}
};

/// Reads requests one at a time, hands each to its handler, writes the answers. A read is always pending, also while a
/// handler thinks: that is how a client that goes away is noticed. A chain of callbacks holds the connection alive.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Shared> shared, Tcp::socket socket);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();
  /// Answers 503 without having read anything; for a client too many.
  void turn_away();
  /// Closes at once; `gone` and the pending `written` callbacks are not called.
  void abandon();
  void close_if_idle();

  // For the Reply:
  void answer(int status, std::string_view content_type, std::string body, const Headers& extra);
  /// Whether a body may follow; none does after HEAD, and the connection is then already on its way to the next request.
  [[nodiscard]] bool begin(int status, std::string_view content_type, const Headers& extra);
  void write(std::string chunk, std::function<void(bool)> written);
  void end();
  void on_close(std::function<void()> gone);
  /// A streamed answer that its handler dropped: the client must see that it is not whole.
  void break_off();
  void later(std::function<void()> what);

 private:
  enum class Phase : unsigned char { reading, answering, lingering, closed };
  using Clock = std::chrono::steady_clock;
  struct Outgoing {
    std::string head, body;
    std::string_view tail;
    std::function<void(bool)> written;
  };

  void wait_readable();
  void readable();
  void end_of_input();
  void parse();
  void dispatch();
  void serve(Request request);
  void refuse(int status, std::string_view message);
  void finish_answer();
  [[nodiscard]] std::string head(int status, std::string_view content_type, const Headers& extra) const;
  void queue(Outgoing outgoing);
  void flush();
  void send_some();
  void sent(std::size_t bytes);
  void set_deadline(std::chrono::milliseconds from_now);
  void clear_deadline() { deadline_ = Clock::time_point::max(); }
  void arm_timer();
  void timed_out();
  void lost();
  void close();
  void hold_bytes(std::size_t bytes);

  std::shared_ptr<Shared> shared_;
  Tcp::socket socket_;
  boost::asio::steady_timer timer_;
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point armed_ = Clock::time_point::max();
  std::string remote_;
  std::string received_;  // not yet parsed
  std::optional<RequestParser> parser_;
  std::deque<Outgoing> out_;
  std::vector<boost::asio::const_buffer> sending_;
  std::size_t sending_at_ = 0;
  std::size_t sending_count_ = 0;  // entries of out_ that sending_ covers
  std::function<void()> gone_;
  std::size_t held_bytes_ = 0;
  Phase phase_ = Phase::reading;
  bool turned_away_ = false;
  bool waiting_ = false;         // a read is pending
  bool looked_at_head_ = false;  // of the request being received
  bool keep_alive_ = true;       // after the present answer
  bool http_1_0_ = false;        // of the present request
  bool is_head_ = false;         // of the present request
  bool chunked_ = false;         // of the present answer
  bool complete_ = false;        // the present answer is queued to its end
  bool input_ended_ = false;     // the client sends nothing more
};

/// Holds the connection to the rules of Reply.
[[nodiscard]] std::shared_ptr<Reply> make_reply(std::shared_ptr<Connection> connection);

}  // namespace centrale::http
