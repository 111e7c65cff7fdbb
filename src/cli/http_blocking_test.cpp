// SPDX-License-Identifier: Apache-2.0
#include "cli/http_blocking.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "cli/sse.hpp"

namespace centrale::cli {
namespace {

using namespace std::chrono_literals;

/// A server for one connection that says what it is told to, in pieces.
class Canned {
 public:
  explicit Canned(std::vector<std::string> pieces, bool closes = true) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, pieces = std::move(pieces), closes] { serve(pieces, closes); });
  }
  ~Canned() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  [[nodiscard]] Url url() const { return {"127.0.0.1", port_, ""}; }
  std::string request;  // read it after the answer has come

 private:
  void serve(const std::vector<std::string>& pieces, bool closes) {
    const int fd = ::accept(listener_, nullptr, nullptr);
    if (fd < 0) { return; }
    std::string got;
    char buffer[4096];
    while (got.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = ::recv(fd, buffer, sizeof(buffer), 0);
      if (n <= 0) { break; }
      got.append(buffer, static_cast<std::size_t>(n));
    }
    request = got;
    for (const std::string& piece : pieces) {
      if (::send(fd, piece.data(), piece.size(), MSG_NOSIGNAL) < 0) { break; }
      std::this_thread::sleep_for(2ms);  // so that pieces arrive apart
    }
    if (!closes) {
      while (::recv(fd, buffer, sizeof(buffer), 0) > 0) {  // until the client has gone
      }
    }
    ::shutdown(fd, SHUT_RDWR);
    ::close(fd);
  }
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

HttpLimits quick() {
  HttpLimits limits;
  limits.answer_max = 300ms;
  return limits;
}

TEST(Url, TakesWhatPeopleWrite) {
  EXPECT_EQ(parse_url("http://127.0.0.1:7070")->text(), "http://127.0.0.1:7070");
  EXPECT_EQ(parse_url("centre")->port, 7070);
  EXPECT_EQ(parse_url("centre:80")->port, 80);
  EXPECT_EQ(parse_url("http://centre")->port, 80);
  EXPECT_EQ(parse_url("http://centre/ai/")->base, "/ai");
  EXPECT_EQ(parse_url("http://[::1]:7070")->text(), "http://[::1]:7070");
  EXPECT_TRUE(parse_url("localhost")->is_loopback());
  EXPECT_FALSE(parse_url("10.0.0.1")->is_loopback());
}

TEST(Url, RefusesWhatIsNone) {
  for (const char* text : {"", "http://", "ftp://x", "http://x:0", "http://x:99999", "http://x:7a", "http://a b", "http://x\r\nHost: y",
                           "http://[::1", "http://u@x"}) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_FALSE(url.error().remedy.empty());
  }
  EXPECT_NE(parse_url("https://centre").error().remedy.find("ssh -L"), std::string::npos);
}

TEST(HttpHead, ReadsFramingAndRefusesTricks) {
  const auto head = parse_head("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
  EXPECT_EQ(head->length, 12U);
  EXPECT_EQ(parse_head("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 3\r\n\r\n")->framing,
            BodyReader::Framing::chunked);
  EXPECT_EQ(parse_head("HTTP/1.0 200 OK\r\n\r\n")->framing, BodyReader::Framing::until_close);
  EXPECT_FALSE(parse_head("HTTP/1.1 204 No Content\r\n\r\n")->has_body);
  for (const char* text : {"", "HTTP/2 200\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"}) {
    EXPECT_FALSE(parse_head(text)) << text;
  }
}

TEST(HttpBody, ChunksMayBreakAnywhere) {
  const std::string wire = "5;name=value\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nTrailer: x\r\n\r\n";
  for (std::size_t step = 1; step <= wire.size(); ++step) {
    BodyReader reader(BodyReader::Framing::chunked, 0);
    std::string out;
    for (std::size_t at = 0; at < wire.size(); at += step) { ASSERT_TRUE(reader.feed(std::string_view(wire).substr(at, step), out)); }
    EXPECT_EQ(out, "hello world");
    EXPECT_TRUE(reader.complete());
  }
}

TEST(HttpBody, LyingChunksAreRefused) {
  for (const char* wire : {"zz\r\n", "-5\r\nhello", "5\r\nhelloX\r\n", "fffffffffffffffff\r\n", "\r\n"}) {
    BodyReader reader(BodyReader::Framing::chunked, 0);
    std::string out;
    EXPECT_FALSE(reader.feed(wire, out)) << wire;
  }
  BodyReader reader(BodyReader::Framing::chunked, 0);
  std::string out;
  EXPECT_FALSE(reader.feed(std::string(100'000, '1'), out));  // a size without end
}

TEST(HttpBlocking, AsksAndReads) {
  Canned server({"HTTP/1.1 200 OK\r\nContent-", "Length: 11\r\n\r\nhello", " world"});
  HttpApi api(server.url(), "secret");
  const auto answer = api.call("POST", "/api/v1/jobs?x=1", "{}");
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "hello world");
  EXPECT_TRUE(server.request.starts_with("POST /api/v1/jobs?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
  EXPECT_NE(server.request.find("Authorization: Bearer secret\r\n"), std::string::npos);
  EXPECT_NE(server.request.find("Content-Length: 2\r\n"), std::string::npos);
}

TEST(HttpBlocking, ReadsUntilCloseAndAfter100Continue) {
  Canned server({"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 404 Not Found\r\n\r\n{}"});
  HttpApi api(server.url(), "");
  const auto answer = api.call("GET", "/", "");
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->status, 404);
  EXPECT_EQ(answer->body, "{}");
  EXPECT_EQ(server.request.find("Authorization"), std::string::npos);
}

TEST(HttpBlocking, ABrokenAnswerIsAnErrorThatSaysSo) {
  struct Case {
    std::vector<std::string> pieces;
    const char* says;
  };
  for (const Case& each : {Case{{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"}, "closed the connection in the middle"},
                           Case{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"}, "closed the connection in the middle"},
                           Case{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"}, "does not speak HTTP"},
                           Case{{"SSH-2.0-OpenSSH_9\r\n"}, "does not speak HTTP"}, Case{{}, "closed the connection"}}) {
    Canned server(each.pieces);
    HttpApi api(server.url(), "");
    const auto answer = api.call("GET", "/", "");
    ASSERT_FALSE(answer);
    EXPECT_NE(answer.error().what.find(each.says), std::string::npos) << answer.error().what;
  }
}

TEST(HttpBlocking, SilenceHasALimit) {
  Canned silent({}, false);
  const auto none = HttpApi(silent.url(), "", quick()).call("GET", "/", "");
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().what.find("said nothing"), std::string::npos);
  Canned half({"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"}, false);
  const auto stopped = HttpApi(half.url(), "", quick()).call("GET", "/", "");
  ASSERT_FALSE(stopped);
  EXPECT_NE(stopped.error().what.find("stopped in the middle"), std::string::npos);
}

TEST(HttpBlocking, LargeAnswersHaveALimit) {
  HttpLimits limits = quick();
  limits.body_bytes_max = 10;
  limits.head_bytes_max = 100;
  Canned large({"HTTP/1.1 200 OK\r\n\r\n", std::string(100, 'x')});
  EXPECT_FALSE(HttpApi(large.url(), "", limits).call("GET", "/", ""));
  Canned head({"HTTP/1.1 200 OK\r\nX: " + std::string(200, 'x')}, false);
  EXPECT_FALSE(HttpApi(head.url(), "", limits).call("GET", "/", ""));
}

TEST(HttpBlocking, NobodyThereIsSaidWithTheRemedy) {
  Url url{"127.0.0.1", 1, ""};
  const auto answer = HttpApi(url, "").call("GET", "/", "");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message(), "no centre answers at http://127.0.0.1:1 (Connection refused); start one with: centrale up");
}

TEST(HttpBlocking, StreamsAndWakes) {
  Canned server({"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n", "6\r\n world\r\n"}, false);
  HttpApi api(server.url(), "");
  auto stream = api.stream("GET", "/api/v1/events", "");
  ASSERT_TRUE(stream);
  std::string got;
  while (got.size() < 11) {
    const Part part = (*stream)->next(5s, -1);
    ASSERT_EQ(part.kind, Part::Kind::bytes);
    got += part.bytes;
  }
  EXPECT_EQ(got, "hello world");
  EXPECT_EQ((*stream)->next(1ms, -1).kind, Part::Kind::quiet);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  EXPECT_EQ((*stream)->next(60s, ends[0]).kind, Part::Kind::quiet);  // woken, not waited out
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(Sse, EventsMayBreakAnywhere) {
  const std::string wire = ": hello\nevent: job\nid: 7\ndata: {\"a\":\ndata: 1}\n\nevent: node\r\ndata: x\r\n\r\nid: 9\n\ndata: last\n\n";
  for (std::size_t step = 1; step <= wire.size(); ++step) {
    SseReader reader;
    std::vector<SseEvent> events;
    for (std::size_t at = 0; at < wire.size(); at += step) {
      reader.feed(std::string_view(wire).substr(at, step));
      while (auto event = reader.next()) { events.push_back(*event); }
    }
    ASSERT_EQ(events.size(), 3U) << step;
    EXPECT_EQ(events[0].type, "job");
    EXPECT_EQ(events[0].id, "7");
    EXPECT_EQ(events[0].data, "{\"a\":\n1}");
    EXPECT_EQ(events[1].type, "node");
    EXPECT_EQ(events[1].data, "x");
    EXPECT_EQ(events[2].type, "message");
    EXPECT_EQ(events[2].data, "last");
  }
}

TEST(Sse, AnEventWithoutEndIsDroppedAndTheNextOneRead) {
  SseReader reader;
  reader.feed("data: ");
  const std::string part(4 * 1024 * 1024, 'x');
  for (std::size_t fed = 0; fed <= SseReader::kEventBytesMax; fed += part.size()) {
    reader.feed(part);
    EXPECT_FALSE(reader.next());
  }
  reader.feed("\n\ndata: next\n\n");
  const auto event = reader.next();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->data, "next");
}

}  // namespace
}  // namespace centrale::cli
