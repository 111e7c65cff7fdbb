// SPDX-License-Identifier: Apache-2.0
// A whole centre for the tests of api/: the real server, host, core and directory; a journal in memory; tasks that
// start at once.
#pragma once
#include <simdjson.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "api/console.hpp"
#include "api/control.hpp"
#include "api/directory.hpp"
#include "api/keys.hpp"
#include "api/rim.hpp"
#include "http/server.hpp"
#include "operate/host.hpp"
#include "operate/memory_journal.hpp"

namespace centrale::api {

/// A clock that stands still until it is moved.
class HandClock final : public Clock {
 public:
  [[nodiscard]] Time now() override { return Time{now_ns.load()}; }
  std::atomic<std::int64_t> now_ns = 1'763'980'445'250'000'000;  // 2025-11-24T10:34:05.25Z
};

/// Starts and stops at once, unless told to leave it to the test.
class QuickLauncher final : public Launcher {
 public:
  void start(const Core& core, TaskId id) override {
    if (!quick) { return; }
    const Task* task = core.task(id);
    host->fact(TaskStarted{id});
    if (task->service) { host->fact(ReplicaReady{.task = id, .port = 9000 + task->ordinal}); }
  }
  void stop(const Core&, TaskId id, Nanos) override {
    if (quick) { host->fact(TaskExited{.task = id, .code = 0, .signal = 15, .lost = false, .message = {}, .energy = {}}); }
  }
  void adopt(const Core&, const std::vector<TaskId>&) override {}
  Host* host = nullptr;
  std::atomic<bool> quick = true;
};

class LogsInMemory final : public LogSource {
 public:
  Result<LogPart> read(const LogRequest& request) override {
    const std::lock_guard lock(mutex);
    last = request;
    const std::string& all = text[request.task];
    const auto size = static_cast<std::int64_t>(all.size());
    const std::int64_t from = std::min(request.offset, size);
    LogPart part{.bytes = all.substr(static_cast<std::size_t>(from), request.bytes_max), .offset = from, .next = 0, .at_end = false};
    part.next = from + static_cast<std::int64_t>(part.bytes.size());
    part.at_end = part.next == size;
    return part;
  }
  std::optional<TaskId> attempt(JobId job, std::int64_t number) override {
    const std::lock_guard lock(mutex);
    const auto found = attempts.find({job, number});
    return found == attempts.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<TaskId> replica(ServiceId, std::int64_t) override { return std::nullopt; }
  std::mutex mutex;
  std::map<TaskId, std::string> text;
  std::map<std::pair<JobId, std::int64_t>, TaskId> attempts;
  LogRequest last;
};

/// Says something of chip 1 only.
class OneSample final : public Telemetry {
 public:
  [[nodiscard]] ChipSample sample(ChipId chip) const override {
    return chip == ChipId{1} ? ChipSample{.utilisation = 0.5, .power = Milliwatts{12'500}} : ChipSample{};
  }
};

struct Reply {
  int status = 0;
  std::string body;
  std::map<std::string, std::string> headers;
};

/// An open event stream.
struct Stream {
  std::mutex mutex;
  std::string text;
  int status = 0;
  bool ended = false;
  std::unique_ptr<http::Call> call;
};

class TestCentre {
 public:
  explicit TestCentre(ControlLimits limits = {}) : guard_(boost::asio::make_work_guard(io_)) {
    auto journal = MemoryJournal::open(disk);
    host = std::move(Host::open(std::move(*journal), clock, {}).value());
    launcher.host = host.get();
    directory = std::make_unique<Directory>(*host, clock, key_hash(admin_key));
    control = std::make_unique<ControlApi>(ControlWiring{
        .host = *host,
        .logs = logs,
        .telemetry = telemetry,
        .check = [this](std::string_view bearer, std::string_view remote) { return directory->identify(bearer, remote); },
        .rim = make_rim(io_),
        .identity =
            {.name = "test", .version = "1.2.3", .address = "http://127.0.0.1", .journal_kind = "memory", .started_at = clock.now()},
        .gateway_counters = [] { return gateway::Counters{.requests = 7, .in_flight = 1}; },
        .connections = [this] { return server.connections(); },
        .limits = limits});
    const auto api = [this](http::Request request, std::shared_ptr<http::Reply> reply) {
      control->handle(std::move(request), std::move(reply));
    };
    server.route("/api/v1/", api);
    server.route("/metrics", api);
    server.route("/", [this](http::Request request, std::shared_ptr<http::Reply> reply) { serve_console(request, *reply, assets); });
    port = server.listen("127.0.0.1", 0).value();
    host->run(launcher);
    make(TenantDefined{.name = "default", .quota = {}});
    make(NodeJoined{.name = "alpha",
                    .memory = mebibytes(4096),
                    .chips = {{.kind = "cpu-core",
                               .count = 4,
                               .memory = mebibytes(1024),
                               .power = Milliwatts{10'000},
                               .price_per_hour = MicroCurrency{36'000}}}});
    settle();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~TestCentre() {
    on_rim([this] {
      control->close_streams();
      for (const auto& stream : streams_) {
        stream->call.reset();  // calls belong to the rim thread
      }
    });
    io_.stop();
    thread_.join();
    control.reset();  // its forecaster asks the host
    host.reset();
  }
  TestCentre(const TestCentre&) = delete;
  TestCentre& operator=(const TestCentre&) = delete;

  std::uint64_t make(Event event) { return host->wish_and_wait(std::move(event)).value(); }
  /// Waits until all that was posted, and what it led to at once, has been dealt with.
  void settle() {
    for (int i = 0; i < 3; ++i) {
      std::promise<void> done;
      host->read([&](const Core&, Time) { done.set_value(); });
      done.get_future().wait();
    }
  }
  void on_rim(std::function<void()> work) {
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

  Reply call(std::string method, std::string target, std::string body = {}, const std::string& key = {}, http::Headers headers = {}) {
    if (!key.empty()) { headers.emplace_back("Authorization", "Bearer " + key); }
    std::promise<Result<http::Response>> promise;
    boost::asio::post(io_, [&] {
      client.fetch("127.0.0.1", port, std::move(method), std::move(target), std::move(headers), std::move(body), std::chrono::seconds(20),
                   64 * 1024 * 1024, [&](Result<http::Response> answer) { promise.set_value(std::move(answer)); });
    });
    auto answer = promise.get_future().get();
    if (!answer) {
      ADD_FAILURE() << answer.error().message();
      return {};
    }
    Reply reply{.status = answer->status, .body = std::move(answer->body), .headers = {}};
    for (auto& [name, value] : answer->headers) { reply.headers[name] = value; }
    return reply;
  }
  Reply get(std::string target, const std::string& key = {}) { return call("GET", std::move(target), {}, key); }
  Reply post(std::string target, std::string body, const std::string& key = {}) {
    return call("POST", std::move(target), std::move(body), key);
  }

  /// Opens the event stream; reads on by itself when `reads`.
  std::shared_ptr<Stream> events(const std::string& key = {}, bool reads = true) {
    auto stream = std::make_shared<Stream>();
    http::Headers headers;
    if (!key.empty()) { headers.emplace_back("Authorization", "Bearer " + key); }
    on_rim([&] {
      Stream* raw = stream.get();  // streams_ keeps it until the rim thread has ended
      stream->call = client.stream("127.0.0.1", port, "GET", "/api/v1/events", headers, "", std::chrono::seconds(30),
                                   {.on_head =
                                        [raw, reads](int status, const http::Headers&) {
                                          const std::lock_guard lock(raw->mutex);
                                          raw->status = status;
                                          if (reads) { raw->call->read_more(); }
                                        },
                                    .on_body =
                                        [raw](std::string_view part) {
                                          const std::lock_guard lock(raw->mutex);
                                          raw->text += part;
                                          raw->call->read_more();
                                        },
                                    .on_end =
                                        [raw] {
                                          const std::lock_guard lock(raw->mutex);
                                          raw->ended = true;
                                        },
                                    .on_error =
                                        [raw](const Error&, bool) {
                                          const std::lock_guard lock(raw->mutex);
                                          raw->ended = true;
                                        }});
      streams_.push_back(stream);
    });
    return stream;
  }
  /// Waits until the stream's text has this in it; false after 10 s.
  bool wait_for(Stream& stream, std::string_view wanted) {
    return wait_until([&] {
      const std::lock_guard lock(stream.mutex);
      return stream.text.find(wanted) != std::string::npos;
    });
  }
  template <class Condition>
  bool wait_until(Condition condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) { return true; }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  std::string add_key(const std::string& tenant, const std::string& role) {
    const Reply reply = post("/api/v1/keys", R"({"tenant":")" + tenant + R"(","label":"test","role":")" + role + R"("})", admin_key);
    EXPECT_EQ(reply.status, 201) << reply.body;
    simdjson::dom::parser parser;
    return std::string(std::string_view(parser.parse(reply.body)["key"]));
  }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::thread thread_;
  std::vector<std::shared_ptr<Stream>> streams_;

 public:
  const std::string admin_key = make_key().value();
  std::shared_ptr<MemoryDisk> disk = std::make_shared<MemoryDisk>();
  HandClock clock;
  QuickLauncher launcher;
  LogsInMemory logs;
  OneSample telemetry;
  std::vector<Asset> assets;
  http::Server server{io_};
  http::Client client{io_};
  std::uint16_t port = 0;
  std::unique_ptr<Host> host;
  std::unique_ptr<Directory> directory;
  std::unique_ptr<ControlApi> control;
};

inline constexpr const char* kSleepJob = R"({"name":"train","command":["sleep","1"],"workdir":"/tmp","restarts":2})";
inline constexpr const char* kChatService = R"({"name":"chat","model":"job:train","replicas":2,"workdir":"/tmp"})";

}  // namespace centrale::api
