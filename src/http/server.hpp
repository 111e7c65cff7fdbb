// SPDX-License-Identifier: Apache-2.0
// The one HTTP/1.1 server of the centre, and a small client. Everything runs on one io_context thread, the
// rim thread; handlers must not block. Boost.Beast stays inside the .cpp files.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace boost::asio {
class io_context;
}

namespace centrale::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// What a client asked. The path is decoded and normalised; no ".." survives.
struct Request {
  std::string method;                        // "GET"
  std::string path;                          // "/api/v1/jobs/j12"
  std::map<std::string, std::string> query;  // decoded
  Headers headers;                           // names in lower case
  std::string body;
  std::string remote;  // "127.0.0.1:51234"

  /// The first header of that (lower-case) name, or nothing.
  [[nodiscard]] std::string_view header(std::string_view lower_case_name) const;
};

/// The answer to one request. HEAD reaches a handler as GET and the server leaves the body out; a streamed answer to it ends
/// at begin(), as if the client had gone. Exactly one of send() or begin() … end() is called, from the rim thread.
/// A handler may keep the Reply and answer later. If it drops it unanswered, the client gets 500.
class Reply {
 public:
  virtual ~Reply() = default;
  virtual void send(int status, std::string_view content_type, std::string body, const Headers& extra = {}) = 0;
  /// Starts a streamed answer (chunked). Each write() calls `written(true)` when the bytes have left, `written(false)` when
  /// the client is gone; a producer that waits for it never holds more than one chunk for a slow reader.
  virtual void begin(int status, std::string_view content_type, const Headers& extra = {}) = 0;
  virtual void write(std::string chunk, std::function<void(bool)> written) = 0;
  virtual void end() = 0;
  /// Called once, when the client goes away before the answer is complete. A client that shuts down its sending side while
  /// it waits counts as gone: nothing else tells the two apart.
  virtual void on_close(std::function<void()> gone) = 0;
};

using Handler = std::function<void(Request, std::shared_ptr<Reply>)>;

/// Limits on what comes from outside; each keeps one client from taking the centre's memory or time.
struct Limits {
  std::size_t header_bytes_max = 64 * 1024;
  std::size_t body_bytes_max = 32 * 1024 * 1024;  // a long prompt with images
  std::size_t connections_max = 20'000;
  std::chrono::seconds idle_max{75};                      // between requests, and without a byte taken of an answer that waits to be sent
  std::chrono::seconds read_max{60};                      // to receive one whole request
  std::size_t held_bytes_max = 2UL * 1024 * 1024 * 1024;  // of all bodies received and not yet answered
};

class Server {
 public:
  Server(boost::asio::io_context& rim, Limits limits = {});
  ~Server();
  /// The longest matching prefix wins; "/v1/" serves everything below it, "/metrics" itself and everything below it.
  /// May be called while the server runs.
  void route(std::string prefix, Handler handler);
  /// Opens the port (0: any free one) and returns the port in use. Errors: port taken, address not ours. May be called again
  /// for a further address.
  [[nodiscard]] Result<std::uint16_t> listen(const std::string& address, std::uint16_t port);
  /// Stops accepting and closes idle connections; open answers go on.
  void drain();
  [[nodiscard]] std::size_t connections() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// What an upstream answered.
struct Response {
  int status = 0;
  Headers headers;
  std::string body;
};

/// One request to an upstream, on a connection of a pool that is kept alive. Destroying the handle, or cancel(), closes the
/// connection at once: that is how an engine learns that nobody waits any more.
class Call {
 public:
  virtual ~Call() = default;
  virtual void cancel() = 0;
  /// Asks for the next part of the body (after on_head). Back-pressure: nothing is read before it is asked for.
  virtual void read_more() = 0;
  /// From the next read on, another longest silence.
  virtual void set_idle(std::chrono::milliseconds) {}
};

/// What becomes of a call. Nothing is called from inside stream(), read_more() or cancel(), nor after cancel(); each of them
/// may be called, and the handle destroyed, from inside an event.
struct CallEvents {
  std::function<void(int status, const Headers&)> on_head;
  std::function<void(std::string_view part)> on_body;  // after each read_more()
  std::function<void()> on_end;                        // after the last part was read and read_more() called again
  /// Kinds: unavailable (no connection; nothing was sent), exhausted (silent for too long), io (the answer broke off or is
  /// not HTTP).
  std::function<void(Error, bool head_seen)> on_error;
};

class Client {
 public:
  explicit Client(boost::asio::io_context& rim);
  ~Client();
  /// Streams an answer. `idle` is the longest silence allowed between two bytes.
  [[nodiscard]] std::unique_ptr<Call> stream(const std::string& host, std::uint16_t port, std::string method, std::string target,
                                             Headers headers, std::string body, std::chrono::milliseconds idle, CallEvents events);
  /// Fetches a whole answer of at most body_bytes_max bytes.
  void fetch(const std::string& host, std::uint16_t port, std::string method, std::string target, Headers headers, std::string body,
             std::chrono::milliseconds timeout, std::size_t body_bytes_max, std::function<void(Result<Response>)> done);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace centrale::http
