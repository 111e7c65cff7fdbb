// SPDX-License-Identifier: Apache-2.0
#include "http/server.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>

#include <atomic>

#include "http/testing.hpp"

namespace centrale::http {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using testing::RawClient;
using testing::Rim;

class ServerTest : public ::testing::Test {
 protected:
  void start(Limits limits = {}) {
    rim.on([&] {
      server = std::make_unique<Server>(rim.context, limits);
      server->route("/echo", [](Request request, std::shared_ptr<Reply> reply) {
        std::string text = request.method + " " + request.path + "\n";
        for (const auto& [name, value] : request.query) { text += name + "=" + value + "\n"; }
        reply->send(200, "text/plain", text + request.body);
      });
      server->route("/hold/", [this](Request, std::shared_ptr<Reply> reply) {
        reply->on_close([this] { ++gone; });
        held = std::move(reply);
        ++holding;
      });
      server->route("/drop", [](const Request&, const std::shared_ptr<Reply>&) {});
      server->route("/throw", [](const Request&, const std::shared_ptr<Reply>&) { throw std::runtime_error("on purpose"); });
      server->route("/stream", [](const Request&, const std::shared_ptr<Reply>& reply) {
        reply->begin(200, "text/plain");
        reply->write("one,", nullptr);
        reply->write("", nullptr);  // must not end the answer
        reply->write("two", [reply](bool written) {
          if (written) { reply->end(); }
        });
      });
      port = server->listen("127.0.0.1", 0).value();
    });
  }
  void TearDown() override {
    if (server) {
      rim.on([&] {
        held.reset();
        server.reset();
      });
    }
  }

  Rim rim;
  std::unique_ptr<Server> server;
  std::uint16_t port = 0;
  std::shared_ptr<Reply> held;
  std::atomic<int> holding = 0;
  std::atomic<int> gone = 0;
};

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
  start();
  RawClient client{port};
  for (int i = 0; i < 3; ++i) {
    const auto answer = client.ask("POST /echo/a%20b?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "POST /echo/a b\nx=1\nbody");
    EXPECT_TRUE(answer.has("Content-Type: text/plain\r\n"));
    EXPECT_TRUE(answer.has("Date: "));
    EXPECT_FALSE(answer.has("Connection: close"));
  }
  EXPECT_EQ(rim.on([&] { return server->connections(); }), 1U);
}

TEST_F(ServerTest, LongestPrefixWins) {
  start();
  rim.on([&] {
    const auto say = [](std::string text) {
      return [text](const Request&, const std::shared_ptr<Reply>& reply) { reply->send(200, "text/plain", text); };
    };
    server->route("/", say("root"));
    server->route("/a/", say("a"));
    server->route("/a/b", say("ab"));
  });
  RawClient client{port};
  const auto body = [&](const std::string& path) { return client.ask("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n").body; };
  EXPECT_EQ(body("/"), "root");
  EXPECT_EQ(body("/x"), "root");
  EXPECT_EQ(body("/a"), "root");
  EXPECT_EQ(body("/a/x"), "a");
  EXPECT_EQ(body("/a/b"), "ab");
  EXPECT_EQ(body("/a/b/c"), "ab");
  EXPECT_EQ(body("/a/bc"), "a");
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  RawClient client{port};
  std::string requests;
  for (int i = 0; i < 50; ++i) { requests += "GET /echo/" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\n\r\n"; }
  client.send(requests);
  for (int i = 0; i < 50; ++i) { EXPECT_EQ(client.answer().body, "GET /echo/" + std::to_string(i) + "\n"); }
}

TEST_F(ServerTest, ByteByByteAndChunked) {
  start();
  RawClient client{port};
  for (const char c :
       std::string{"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: t\r\n\r\n"}) {
    client.send({&c, 1});
  }
  EXPECT_EQ(client.answer().body, "POST /echo\nabcde");
  EXPECT_EQ(client.ask("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n").body, "GET /echo\n");
}

TEST_F(ServerTest, ErrorsAreJson) {
  start();
  RawClient client{port};
  auto answer = client.ask("GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.body,
            R"({"error":{"message":"there is nothing at /nowhere","type":"not_found_error","param":null,"code":"not_found"}})");
  answer = client.ask("GET /drop HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(client.ask("GET /throw HTTP/1.1\r\nHost: h\r\n\r\n").status, 500);
  EXPECT_EQ(client.ask("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);  // the connection lives on
}

TEST_F(ServerTest, RefusesMalformedRequests) {
  start();
  for (const std::string request : {"nonsense\r\n\r\n", "GET /../x HTTP/1.1\r\nHost: h\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n",
                                    "GET /a%00 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /echo HTTP/1.1\r\n\r\n",
                                    "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
                                    "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                                    "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\n",
                                    "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    RawClient client{port};
    const auto answer = client.ask(request);
    EXPECT_EQ(answer.status, 400) << request;
    EXPECT_TRUE(answer.has("Connection: close")) << request;
    EXPECT_TRUE(answer.body.starts_with(R"({"error":{"message":")")) << request;
    client.shutdown_send();
    EXPECT_TRUE(client.ended()) << request;
  }
}

TEST_F(ServerTest, Limits) {
  start({.header_bytes_max = 1024, .body_bytes_max = 1000});
  RawClient big_header{port};
  EXPECT_EQ(big_header.ask("GET /echo HTTP/1.1\r\nHost: h\r\nX: " + std::string(2000, 'x') + "\r\n\r\n").status, 431);
  RawClient many_headers{port};
  std::string request = "GET /echo HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 400; ++i) { request += "x:\r\n"; }
  EXPECT_EQ(many_headers.ask(request + "\r\n").status, 431);
  RawClient endless_header{port};
  EXPECT_EQ(endless_header.ask("GET /" + std::string(2000, 'a')).status, 431);
  RawClient big_body{port};
  EXPECT_EQ(big_body.ask("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n").status, 413);
  RawClient big_chunked{port};
  big_chunked.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 11; ++i) { big_chunked.send("64\r\n" + std::string(100, 'x') + "\r\n"); }
  EXPECT_EQ(big_chunked.answer().status, 413);
  RawClient fits{port};
  EXPECT_EQ(fits.ask("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" + std::string(1000, 'x')).status, 200);
}

TEST_F(ServerTest, ARefusalReachesAClientThatIsStillSending) {
  start({.body_bytes_max = 1000});
  RawClient client{port};
  client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n");
  client.send(std::string(4'000'000, 'x'));
  EXPECT_EQ(client.answer().status, 413);
}

TEST_F(ServerTest, TooManyConnectionsAreTurnedAway) {
  start({.connections_max = 2});
  RawClient a{port};
  RawClient b{port};
  EXPECT_EQ(a.ask("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
  EXPECT_EQ(b.ask("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
  RawClient c{port};
  const auto answer = c.ask("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(answer.status, 503);
  EXPECT_TRUE(answer.has("Retry-After: 1"));
  a.close();
  EXPECT_TRUE(eventually([&] {
    RawClient d{port};
    return d.ask("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n").status == 200;
  }));
}

TEST_F(ServerTest, AllBodiesTogetherHaveALimit) {
  start({.held_bytes_max = 150'000});
  RawClient first{port};
  first.send("POST /hold/ HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'x'));
  ASSERT_TRUE(eventually([&] { return holding == 1; }));
  RawClient second{port};
  EXPECT_EQ(second.ask("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'x')).status, 503);
  rim.on([&] { held->send(200, "text/plain", ""); });
  EXPECT_EQ(first.answer().status, 200);
  RawClient third{port};
  EXPECT_EQ(third.ask("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'x')).status, 200);
}

TEST_F(ServerTest, ASlowRequestIsCutAndAnIdleConnectionClosed) {
  start({.idle_max = 2s, .read_max = 1s});
  RawClient slow{port};
  slow.send("GET /echo HTTP/1.1\r\nHo");
  RawClient idle{port};
  EXPECT_EQ(idle.ask("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
  RawClient thinking{port};
  thinking.send("GET /hold/ HTTP/1.1\r\nHost: h\r\n\r\n");
  // A byte now and then does not help a slow sender.
  std::this_thread::sleep_for(700ms);
  slow.send("s");
  EXPECT_EQ(slow.answer().status, 408);
  EXPECT_TRUE(idle.ended());
  EXPECT_TRUE(idle.received.empty());
  // Time that a handler takes is not the client's fault.
  rim.on([&] { held->send(200, "text/plain", "late"); });
  EXPECT_EQ(thinking.answer().body, "late");
}

TEST_F(ServerTest, HeadIsGetWithoutTheBody) {
  start();
  RawClient client{port};
  client.send("HEAD /echo HTTP/1.1\r\nHost: h\r\n\r\n");
  auto answer = client.answer(true);
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.has("Content-Length: 10\r\n"));
  client.send("HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.answer(true).status, 200);
  EXPECT_EQ(client.ask("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n").body, "one,two");
}

TEST_F(ServerTest, AStreamThatAnswersHeadCannotTouchTheNextAnswer) {
  start();
  RawClient client{port};
  client.send("HEAD /hold/ HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return holding == 1; }));
  const auto first = rim.on([&] {
    held->begin(200, "text/plain");
    return held;
  });
  EXPECT_EQ(client.answer(true).status, 200);
  client.send("GET /hold/ HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return holding == 2; }));
  EXPECT_EQ(gone, 1);
  std::atomic<int> written = -1;
  rim.on([&] {
    first->write("stray", [&](bool ok) { written = ok ? 1 : 0; });
    first->end();
    held->send(200, "text/plain", "mine");
  });
  EXPECT_EQ(client.answer().body, "mine");
  EXPECT_TRUE(eventually([&] { return written == 0; }));
}

TEST_F(ServerTest, ExpectContinue) {
  start();
  RawClient client{port};
  client.send("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(client.answer(true).status, 100);
  EXPECT_EQ(client.ask("body").body, "POST /echo\nbody");
}

TEST_F(ServerTest, Http10) {
  start();
  RawClient plain{port};
  plain.send("GET /stream HTTP/1.0\r\n\r\n");
  const std::string all = plain.receive_all();
  EXPECT_TRUE(all.ends_with("\r\n\r\none,two")) << all;
  EXPECT_NE(all.find("Connection: close"), std::string::npos);
  RawClient kept{port};
  EXPECT_TRUE(kept.ask("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").has("Connection: keep-alive"));
  EXPECT_EQ(kept.ask("GET /echo HTTP/1.0\r\n\r\n").status, 200);
  EXPECT_TRUE(kept.ended());
}

TEST_F(ServerTest, AClientThatLeavesIsNoticedWhileAHandlerThinks) {
  start();
  RawClient client{port};
  client.send("GET /hold/ HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return holding == 1; }));
  client.close();
  EXPECT_TRUE(eventually([&] { return gone == 1; }));
  std::atomic<int> written = -1;
  rim.on([&] {
    held->begin(200, "text/plain");
    held->write("x", [&](bool ok) { written = ok ? 1 : 0; });
  });
  EXPECT_TRUE(eventually([&] { return written == 0; }));
  rim.on([&] { held->end(); });
  EXPECT_EQ(gone, 1);
  EXPECT_TRUE(eventually([&] {
    return rim.on([&] {
      held.reset();
      return server->connections();
    }) == 0;
  }));
}

TEST_F(ServerTest, ASlowReaderHoldsOneChunkAndItsLeavingIsNoticed) {
  start();
  std::atomic<int> written = 0;
  std::atomic<int> failed = 0;
  std::function<void()> produce;
  RawClient client{port, 4096};
  client.send("GET /hold/ HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return holding == 1; }));
  produce = [&] {
    held->write(std::string(1'000'000, 'x'), [&](bool ok) {
      if (ok) {
        ++written;
        produce();
      } else {
        ++failed;
      }
    });
  };
  rim.on([&] {
    held->begin(200, "text/plain");
    produce();
  });
  // The kernel's buffers fill up, then the producer waits.
  int before = -1;
  EXPECT_TRUE(eventually([&] {
    std::this_thread::sleep_for(100ms);
    return std::exchange(before, written.load()) == written;
  }));
  EXPECT_LT(written, 20);
  client.close();
  EXPECT_TRUE(eventually([&] { return failed == 1 && gone == 1; }));
}

TEST_F(ServerTest, ADroppedStreamIsBrokenOffNotEnded) {
  start();
  RawClient client{port};
  client.send("GET /hold/ HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return holding == 1; }));
  std::atomic<bool> written = false;
  rim.on([&] {
    held->begin(200, "text/plain");
    held->write("part", [&](bool) { written = true; });
  });
  ASSERT_TRUE(eventually([&] { return written.load(); }));
  rim.on([&] { held.reset(); });
  const std::string all = client.receive_all();
  EXPECT_TRUE(all.ends_with("4\r\npart\r\n")) << all;
}

TEST_F(ServerTest, HeadersCannotBeSmuggledThroughValues) {
  start();
  RawClient client{port};
  client.send("GET /hold/ HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return holding == 1; }));
  rim.on([&] { held->send(200, "text/plain", "", {{"X-Name", "a\r\nX-Evil: b"}}); });
  EXPECT_TRUE(client.answer().has("X-Name: a  X-Evil: b\r\n"));
}

TEST_F(ServerTest, DrainLetsOpenAnswersGoOn) {
  start();
  RawClient busy{port};
  busy.send("GET /hold/ HTTP/1.1\r\nHost: h\r\n\r\n");
  RawClient idle{port};
  EXPECT_EQ(idle.ask("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
  ASSERT_TRUE(eventually([&] { return holding == 1; }));
  rim.on([&] { server->drain(); });
  EXPECT_TRUE(idle.ended());
  EXPECT_FALSE(RawClient{port}.connected());
  rim.on([&] { held->send(200, "text/plain", "last"); });
  const auto answer = busy.answer();
  EXPECT_EQ(answer.body, "last");
  EXPECT_TRUE(answer.has("Connection: close"));
  busy.shutdown_send();
  EXPECT_TRUE(busy.ended());
}

TEST_F(ServerTest, APortInUseIsAClearError) {
  start();
  rim.on([&] {
    Server second{rim.context};
    const auto result = second.listen("127.0.0.1", port);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, ErrorKind::conflict);
    EXPECT_EQ(result.error().where, "127.0.0.1:" + std::to_string(port));
    EXPECT_NE(result.error().what.find(std::to_string(port)), std::string::npos);
    EXPECT_NE(result.error().remedy.find("--listen"), std::string::npos);
    EXPECT_EQ(second.listen("192.0.2.1", 0).error().kind, ErrorKind::invalid);
    EXPECT_EQ(second.listen("not-an-address", 0).error().kind, ErrorKind::invalid);
  });
}

TEST_F(ServerTest, NoChildInheritsASocket) {
  start();
  RawClient client{port};
  EXPECT_EQ(client.ask("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
  // Every socket of this process carries the close-on-exec flag (octal 02000000 in fdinfo).
  int sockets = 0;
  for (int fd = 3; fd < 256; ++fd) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0 && address.ss_family == AF_INET) {
      ++sockets;
      EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << fd;
    }
  }
  EXPECT_EQ(sockets, 3);  // listening, accepted, the client's
}

TEST_F(ServerTest, ARestartGetsItsPortBack) {
  start();
  RawClient client{port};
  EXPECT_EQ(client.ask("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
  rim.on([&] {
    server.reset();
    server = std::make_unique<Server>(rim.context);
    EXPECT_EQ(server->listen("127.0.0.1", port), port);
  });
}

}  // namespace
}  // namespace centrale::http
