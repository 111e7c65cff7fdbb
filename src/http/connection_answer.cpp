// SPDX-License-Identifier: Apache-2.0
// The answering half of a connection: what a handler says through its Reply goes out here.
#include <boost/asio/post.hpp>
#include <charconv>
#include <cstdio>
#include <ctime>

#include "base/ensure.hpp"
#include "http/answer.hpp"
#include "http/connection.hpp"

namespace centrale::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::seconds kLinger{2};  // for a refused client to read why
constexpr std::size_t kGatherMax = 16;      // messages sent by one system call

std::string hex(std::size_t n) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), n, 16).ptr;
  return {digits.data(), end};
}

const std::string& http_date(Shared& shared) {
  const std::int64_t now_s = std::time(nullptr);
  if (now_s != shared.date_s) {
    // strftime's names follow the locale; the header's must not.
    constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const std::time_t t = now_s;
    std::tm utc{};
    gmtime_r(&t, &utc);
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays.at(static_cast<std::size_t>(utc.tm_wday)),
                  utc.tm_mday, kMonths.at(static_cast<std::size_t>(utc.tm_mon)), utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
    shared.date = text.data();
    shared.date_s = now_s;
  }
  return shared.date;
}

bool has_no_body(int status) { return status / 100 == 1 || status == 204 || status == 304; }

/// Holds the connection to the rules of Reply.
class ConnectionReply final : public Reply {
 public:
  explicit ConnectionReply(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}
  ~ConnectionReply() override {
    if (stage_ == Stage::fresh) {
      connection_->answer(500, "application/json", error_body("the request was not answered", "server_error"), {});
    } else if (stage_ == Stage::streaming) {
      connection_->break_off();
    }
  }
  ConnectionReply(const ConnectionReply&) = delete;
  ConnectionReply& operator=(const ConnectionReply&) = delete;

  void send(int status, std::string_view content_type, std::string body, const Headers& extra) override {
    ensure(stage_ == Stage::fresh);
    stage_ = Stage::done;
    connection_->answer(status, content_type, std::move(body), extra);
  }
  void begin(int status, std::string_view content_type, const Headers& extra) override {
    ensure(stage_ == Stage::fresh);
    stage_ = connection_->begin(status, content_type, extra) ? Stage::streaming : Stage::bodiless;
  }
  void write(std::string chunk, std::function<void(bool)> written) override {
    ensure(stage_ == Stage::streaming || stage_ == Stage::bodiless);
    if (stage_ == Stage::streaming) {
      connection_->write(std::move(chunk), std::move(written));
    } else if (written) {
      connection_->later([written = std::move(written)] { written(false); });
    }
  }
  void end() override {
    ensure(stage_ == Stage::streaming || stage_ == Stage::bodiless);
    if (std::exchange(stage_, Stage::done) == Stage::streaming) { connection_->end(); }
  }
  void on_close(std::function<void()> gone) override {
    if (stage_ == Stage::bodiless) {
      connection_->later(std::move(gone));
    } else if (stage_ != Stage::done) {
      connection_->on_close(std::move(gone));
    }
  }

 private:
  enum class Stage : unsigned char { fresh, streaming, bodiless, done };
  std::shared_ptr<Connection> connection_;
  Stage stage_ = Stage::fresh;
};

}  // namespace

std::shared_ptr<Reply> make_reply(std::shared_ptr<Connection> connection) {
  return std::make_shared<ConnectionReply>(std::move(connection));
}

std::string Connection::head(int status, std::string_view content_type, const Headers& extra) const {
  std::string out = "HTTP/1.1 " + std::to_string(status) + " ";
  out += reason_phrase(status);
  out += "\r\n";
  append_header(out, "Date", http_date(*shared_));
  if (!content_type.empty()) { append_header(out, "Content-Type", content_type); }
  for (const auto& [name, value] : extra) { append_header(out, name, value); }
  if (!keep_alive_) {
    append_header(out, "Connection", "close");
  } else if (http_1_0_) {
    append_header(out, "Connection", "keep-alive");
  }
  return out;
}

void Connection::answer(int status, std::string_view content_type, std::string body, const Headers& extra) {
  if (phase_ != Phase::answering) {
    return;  // the client is gone
  }
  keep_alive_ = keep_alive_ && !shared_->draining;
  std::string text = head(status, content_type, extra);
  if (!has_no_body(status)) { append_header(text, "Content-Length", std::to_string(body.size())); }
  text += "\r\n";
  if (is_head_ || has_no_body(status)) { body.clear(); }
  complete_ = true;
  gone_ = nullptr;
  queue({.head = std::move(text), .body = std::move(body), .tail = {}, .written = {}});
  flush();
}

bool Connection::begin(int status, std::string_view content_type, const Headers& extra) {
  if (phase_ != Phase::answering) {
    return true;  // the client is gone; each write will say so
  }
  chunked_ = !http_1_0_;
  keep_alive_ = keep_alive_ && chunked_ && !shared_->draining;
  std::string text = head(status, content_type, extra);
  if (chunked_) { append_header(text, "Transfer-Encoding", "chunked"); }
  text += "\r\n";
  queue({.head = std::move(text), .body = {}, .tail = {}, .written = {}});
  if (is_head_ || has_no_body(status)) {
    complete_ = true;
    flush();
    if (gone_) { later(std::exchange(gone_, nullptr)); }
    return false;
  }
  // A first chunk that is there already leaves with the head.
  asio::post(shared_->rim, [self = shared_from_this()] { self->flush(); });
  return true;
}

void Connection::write(std::string chunk, std::function<void(bool)> written) {
  if (phase_ != Phase::answering || complete_) {
    if (written) {
      later([written = std::move(written)] { written(false); });
    }
    return;
  }
  if (chunk.empty() || !chunked_) {  // an empty chunk would end a chunked body
    queue({.head = {}, .body = std::move(chunk), .tail = {}, .written = std::move(written)});
  } else {
    std::string size = hex(chunk.size()) + "\r\n";
    queue({.head = std::move(size), .body = std::move(chunk), .tail = "\r\n", .written = std::move(written)});
  }
  flush();
}

void Connection::end() {
  if (phase_ != Phase::answering || complete_) { return; }
  complete_ = true;
  gone_ = nullptr;
  queue({.head = chunked_ ? "0\r\n\r\n" : "", .body = {}, .tail = {}, .written = {}});
  flush();
}

void Connection::on_close(std::function<void()> gone) {
  if (phase_ != Phase::answering || complete_) {
    later(std::move(gone));
  } else {
    gone_ = std::move(gone);
  }
}

void Connection::break_off() {
  if (phase_ == Phase::answering && !complete_) {
    gone_ = nullptr;
    lost();
  }
}

void Connection::later(std::function<void()> what) { asio::post(shared_->rim, std::move(what)); }

void Connection::queue(Outgoing outgoing) { out_.push_back(std::move(outgoing)); }

void Connection::flush() {
  if (sending_count_ != 0 || out_.empty() || phase_ == Phase::closed) { return; }
  sending_.clear();
  sending_at_ = 0;
  sending_count_ = std::min(out_.size(), kGatherMax);
  for (std::size_t i = 0; i < sending_count_; ++i) {
    for (const std::string_view part : {std::string_view{out_[i].head}, std::string_view{out_[i].body}, out_[i].tail}) {
      if (!part.empty()) { sending_.emplace_back(part.data(), part.size()); }
    }
  }
  set_deadline(shared_->limits.idle_max);
  send_some();
}

void Connection::send_some() {
  const BufferSpan rest{sending_.data() + sending_at_, sending_.data() + sending_.size()};
  socket_.async_write_some(rest, [self = shared_from_this()](error_code ec, std::size_t n) {
    if (self->phase_ == Phase::closed) { return; }
    if (ec) {
      self->lost();
    } else {
      self->sent(n);
    }
  });
}

void Connection::sent(std::size_t bytes) {
  while (sending_at_ < sending_.size() && bytes >= sending_[sending_at_].size()) {
    bytes -= sending_[sending_at_].size();
    ++sending_at_;
  }
  if (sending_at_ < sending_.size()) {
    sending_[sending_at_] += bytes;
    set_deadline(shared_->limits.idle_max);
    send_some();
    return;
  }
  clear_deadline();
  std::vector<std::function<void(bool)>> told;
  for (; sending_count_ != 0; --sending_count_) {
    if (out_.front().written) { told.push_back(std::move(out_.front().written)); }
    out_.pop_front();
  }
  for (const auto& written : told) { written(true); }
  if (phase_ == Phase::closed || sending_count_ != 0) { return; }
  if (!out_.empty()) {
    flush();
  } else if (phase_ == Phase::reading) {
    set_deadline(shared_->limits.read_max);  // that was "100 Continue"
  } else if (phase_ == Phase::answering && complete_) {
    finish_answer();
  }
}

void Connection::finish_answer() {
  hold_bytes(0);
  gone_ = nullptr;
  if (input_ended_ && (received_.empty() || !keep_alive_)) {
    close();
    return;
  }
  if (!keep_alive_) {
    // Closing with unread input would send a reset, and the client might lose the answer.
    error_code ec;
    socket_.shutdown(Tcp::socket::shutdown_send, ec);
    phase_ = Phase::lingering;
    received_ = {};
    set_deadline(kLinger);
    wait_readable();
    return;
  }
  phase_ = Phase::reading;
  set_deadline(shared_->limits.idle_max);
  parse();
  if (phase_ == Phase::reading && input_ended_) {
    close();
    return;
  }
  wait_readable();
}

}  // namespace centrale::http
