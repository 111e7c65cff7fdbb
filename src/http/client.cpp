// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include "http/exchange.hpp"

namespace centrale::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

class ExchangeCall final : public Call {
 public:
  explicit ExchangeCall(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  ~ExchangeCall() override { exchange_->cancel(); }
  ExchangeCall(const ExchangeCall&) = delete;
  ExchangeCall& operator=(const ExchangeCall&) = delete;
  void cancel() override { exchange_->cancel(); }
  void read_more() override { exchange_->read_more(); }
  void set_idle(std::chrono::milliseconds idle) override { exchange_->set_idle(idle); }

 private:
  std::shared_ptr<Exchange> exchange_;
};

/// A whole answer being collected. Its call's events hold it; with the client it ends unheard.
struct Fetch : std::enable_shared_from_this<Fetch> {
  Fetch(asio::io_context& rim, std::size_t bytes_max, std::function<void(Result<Response>)> callback)
      : timer(rim), body_bytes_max(bytes_max), done(std::move(callback)) {}

  void finish(Result<Response> result) {
    const auto held = shared_from_this();
    const auto callback = std::exchange(done, nullptr);
    timer.cancel();
    if (call) {
      call->cancel();
      call.reset();
    }
    if (callback) { callback(std::move(result)); }
  }

  asio::steady_timer timer;
  std::size_t body_bytes_max;
  std::function<void(Result<Response>)> done;
  Response response;
  std::unique_ptr<Call> call;
};

}  // namespace

struct Client::State {
  explicit State(asio::io_context& rim) : pool(std::make_shared<Pool>(rim)) {}
  std::shared_ptr<Pool> pool;
};

Client::Client(asio::io_context& rim) : state_(std::make_shared<State>(rim)) {}
Client::~Client() { state_->pool->close(); }

std::unique_ptr<Call> Client::stream(const std::string& host, std::uint16_t port, std::string method, std::string target, Headers headers,
                                     std::string body, std::chrono::milliseconds idle, CallEvents events) {
  auto exchange = std::make_shared<Exchange>(
      state_->pool, Outbound{host, port, std::move(method), std::move(target), std::move(headers), std::move(body)}, idle,
      std::move(events));
  exchange->start();
  return std::make_unique<ExchangeCall>(std::move(exchange));
}

void Client::fetch(const std::string& host, std::uint16_t port, std::string method, std::string target, Headers headers, std::string body,
                   std::chrono::milliseconds timeout, std::size_t body_bytes_max, std::function<void(Result<Response>)> done) {
  const auto fetch = std::make_shared<Fetch>(state_->pool->rim(), body_bytes_max, std::move(done));
  const std::string where = host_and_port(host, port);
  CallEvents events;
  events.on_head = [fetch](int status, const Headers& head) {
    fetch->response.status = status;
    fetch->response.headers = head;
    fetch->call->read_more();
  };
  events.on_body = [fetch, where](std::string_view part) {
    if (fetch->response.body.size() + part.size() > fetch->body_bytes_max) {
      fetch->finish(fail(ErrorKind::io, fmt::format("the answer is longer than {} bytes", fetch->body_bytes_max), where));
      return;
    }
    fetch->response.body += part;
    fetch->call->read_more();
  };
  events.on_end = [fetch] { fetch->finish(std::move(fetch->response)); };
  events.on_error = [fetch](Error error, bool) { fetch->finish(std::unexpected(std::move(error))); };
  fetch->call = stream(host, port, std::move(method), std::move(target), std::move(headers), std::move(body), timeout, std::move(events));
  fetch->timer.expires_after(timeout);
  fetch->timer.async_wait([weak = std::weak_ptr{fetch}, where, timeout](error_code ec) {
    if (const auto alive = weak.lock(); alive && !ec && alive->done) {
      alive->finish(fail(ErrorKind::exhausted, fmt::format("no whole answer within {} ms", timeout.count()), where));
    }
  });
}

}  // namespace centrale::http
