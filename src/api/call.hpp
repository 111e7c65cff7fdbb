// SPDX-License-Identifier: Apache-2.0
// Private to api/: one request on its way through the rim and the core thread and back.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/control.hpp"
#include "api/events.hpp"
#include "api/forecaster.hpp"
#include "api/operations.hpp"
#include "api/pages.hpp"
#include "api/view_json.hpp"
#include "http/server.hpp"
#include "operate/host.hpp"

namespace centrale::api {

struct Answer {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  http::Headers headers;
};

template <class T>
[[nodiscard]] Answer json_answer(const T& value, int status = 200) {
  return {.status = status, .body = to_view_json(value), .content_type = "application/json", .headers = {}};
}
[[nodiscard]] Answer error_answer(const Error& error);

struct ControlState : std::enable_shared_from_this<ControlState> {
  explicit ControlState(ControlWiring w);

  const ControlWiring wiring;
  const std::string openapi;
  std::shared_ptr<EventStreams> streams;
  std::shared_ptr<Forecaster> forecaster;
  std::map<std::pair<std::string_view, int>, std::uint64_t> answered;  // operation and status; on the rim thread

  // On the core thread.
  Census census;
  JobRange jobs;

  void handle(http::Request request, std::shared_ptr<http::Reply> reply);
  /// Counts anew when something happened, but a large centre is not counted more than once a second.
  [[nodiscard]] const Census& count(const Core& core, Time now);
  [[nodiscard]] const JobRange& job_range(const Core& core);
};

struct Call {
  std::shared_ptr<ControlState> state;
  const Operation* operation = nullptr;
  http::Request request;
  std::shared_ptr<http::Reply> reply;
  Caller caller;
  std::vector<std::string> arguments;

  [[nodiscard]] const ControlWiring& wiring() const { return state->wiring; }
  [[nodiscard]] Scope scope() const { return caller.role == Role::admin ? Scope{} : Scope{.tenant = caller.tenant}; }
  /// A query parameter that the table declares; already checked against it.
  [[nodiscard]] std::optional<std::string_view> text(const char* name) const;
  [[nodiscard]] std::optional<std::int64_t> number(const char* name) const;
  /// The key that was sent, or nothing.
  [[nodiscard]] std::string token() const;
  /// The id that `after` names, plus one: where a list of dense ids goes on.
  template <class Tag>
  [[nodiscard]] Result<std::uint64_t> after() const {
    const auto value = text("after");
    if (!value) { return 1; }
    if (const auto id = parse_id<Tag>(*value)) { return id->value + 1; }
    return bad_id("after", *value, Tag::kPrefix);
  }
  [[nodiscard]] static std::unexpected<Error> bad_id(std::string_view where, std::string_view value, char prefix);
};

inline constexpr std::int64_t kListUsual = 1'000;  // of nodes, services, tenants, keys, where no limit= is given

/// A page of ids without gaps.
struct Page {
  std::uint64_t first = 1, last = 0;
  bool more = false;
};
[[nodiscard]] Page dense_page(std::uint64_t first, std::uint64_t count, std::int64_t limit);

/// Sends; from the rim thread.
void send(const CallPtr& call, Answer answer);
/// Sends; from any thread.
void answer(const CallPtr& call, Answer answer);

/// Runs `view` on the core thread and answers with what it returns.
using View = std::function<Result<Answer>(const Core& core, Time now)>;
void look(const CallPtr& call, View view);

/// Makes an event on the core thread, posts it as a wish, and answers with `view` once it is durable. `view` gets the
/// created id.
using Wish = std::function<Result<Event>(const Core& core, Time now)>;
using WishView = std::function<Result<Answer>(const Core& core, Time now, std::uint64_t created)>;
void ask(const CallPtr& call, Wish wish, WishView view);

// What a caller may see under a name or an id; not_found with the nearest name otherwise.
[[nodiscard]] Result<const Job*> find_job(const Core& core, std::string_view name_or_id, Scope scope, const JobRange& range);
[[nodiscard]] Result<const Service*> find_service(const Core& core, std::string_view name_or_id, Scope scope);
[[nodiscard]] Result<NodeId> find_node(const Core& core, std::string_view name_or_id);
[[nodiscard]] Result<TenantId> find_tenant(const Core& core, std::string_view name_or_id);

// Shared by several operations.
[[nodiscard]] CentreView centre_view(ControlState& state, const Core& core, Time now);

// The handlers, by file.
void get_centre(const CallPtr& call);  // handlers_centre.cpp
void get_openapi(const CallPtr& call);
void get_metrics(const CallPtr& call);
void get_events(const CallPtr& call);
void get_usage(const CallPtr& call);
void list_nodes(const CallPtr& call);
void get_node(const CallPtr& call);
void drain_node(const CallPtr& call);
void resume_node(const CallPtr& call);
void get_scheduling(const CallPtr& call);  // handlers_scheduling.cpp
void put_scheduling(const CallPtr& call);
void list_reservations(const CallPtr& call);
void make_reservation(const CallPtr& call);
void cancel_reservation(const CallPtr& call);
void repair_chip(const CallPtr& call);
void list_tenants(const CallPtr& call);  // handlers_tenants.cpp
void put_tenant(const CallPtr& call);
void list_keys(const CallPtr& call);
void add_key(const CallPtr& call);
void revoke_key(const CallPtr& call);
void list_jobs(const CallPtr& call);  // handlers_jobs.cpp
void submit_job(const CallPtr& call);
void get_job(const CallPtr& call);
void stop_job(const CallPtr& call);
void get_job_log(const CallPtr& call);
void get_job_why(const CallPtr& call);  // handlers_why.cpp
void submit_specs(const CallPtr& call);   // handlers_specs.cpp
void list_services(const CallPtr& call);  // handlers_services.cpp
void put_service(const CallPtr& call);
void get_service(const CallPtr& call);
void scale_service(const CallPtr& call);
void remove_service(const CallPtr& call);
void get_service_log(const CallPtr& call);

/// Which part of which log a call asks for.
struct LogWanted {
  std::optional<TaskId> task;  // none: nothing was written
  bool ended = false;          // the task writes no more
  std::optional<std::int64_t> attempt = {};
};
/// Reads the log and answers; from the rim thread.
void answer_log(const CallPtr& call, std::int64_t rank, const Result<LogWanted>& wanted);

}  // namespace centrale::api
