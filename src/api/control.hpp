// SPDX-License-Identifier: Apache-2.0
// The control API: docs/api.md over HTTP. Requests come and answers leave on the rim thread; what needs the core
// runs on the core thread in between.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/directory.hpp"
#include "api/rim.hpp"
#include "api/views.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "gateway/gateway.hpp"
#include "http/server.hpp"

namespace centrale {
class Host;
}

namespace centrale::api {

enum class LogStream : unsigned char { out, err };

struct LogRequest {
  TaskId task;
  std::int64_t rank = 0;
  LogStream stream = LogStream::out;
  std::int64_t offset = 0;
  std::optional<std::int64_t> tail_lines;  // instead of the offset
  std::size_t bytes_max = 0;
};

struct LogPart {
  std::string bytes;
  std::int64_t offset = 0;  // of the first byte; beyond what was asked for where the log has lost its middle
  std::int64_t next = 0;    // where to go on
  bool at_end = false;      // nothing follows yet
};

/// Where the output of tasks is kept. Called on the rim thread: at most one short read of a local file.
class LogSource {
 public:
  virtual ~LogSource() = default;
  /// A task that wrote nothing yet has an empty log. Errors: not_found (no such rank, or the log is gone), io.
  [[nodiscard]] virtual Result<LogPart> read(const LogRequest& request) = 0;
  /// The task that was the job's attempt of that number, counted from 1; nothing when it is not remembered.
  [[nodiscard]] virtual std::optional<TaskId> attempt(JobId job, std::int64_t number) = 0;
  /// The newest task that a replica had: what a replica that fails has left to read.
  [[nodiscard]] virtual std::optional<TaskId> replica(ServiceId service, std::int64_t ordinal) = 0;
};

/// Directory::identify, usually.
using KeyCheck = std::function<Result<Caller>(std::string_view bearer, std::string_view remote)>;

struct ControlLimits {
  std::chrono::milliseconds events_every{200};  // how often an object is sent again at most
  std::chrono::milliseconds heartbeat_every{15'000};
  std::size_t event_clients_max = 128;
  std::size_t event_buffer_max = 4UL * 1024 * 1024;  // what a slow client may owe before it is dropped
  std::size_t event_objects_max = 2'000;             // views sent at once; the rest follows
  std::size_t specs_max = 100;                       // in one file
  std::chrono::milliseconds forecast_max{5'000};     // then the draws that are done are answered
};

/// What the control API works with; all of it outlives the API.
struct ControlWiring {
  Host& host;
  LogSource& logs;
  const Telemetry& telemetry;
  KeyCheck check;
  Rim rim;
  Identity identity;
  std::function<gateway::Counters()> gateway_counters;  // on the rim thread
  std::function<std::size_t()> connections;             // likewise
  ControlLimits limits;
};

struct ControlState;

class ControlApi {
 public:
  explicit ControlApi(ControlWiring wiring);
  ~ControlApi();
  ControlApi(const ControlApi&) = delete;
  ControlApi& operator=(const ControlApi&) = delete;
  /// Answers one request under /api/v1/, or for /metrics.
  void handle(http::Request request, std::shared_ptr<http::Reply> reply);
  /// Ends all event streams, so that the server can drain.
  void close_streams();

 private:
  std::shared_ptr<ControlState> state_;
};

/// The OpenAPI 3.1 document of everything that handle() answers.
[[nodiscard]] std::string openapi_document(const Identity& identity);

}  // namespace centrale::api
