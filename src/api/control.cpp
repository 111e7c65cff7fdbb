// SPDX-License-Identifier: Apache-2.0
#include "api/control.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "api/call.hpp"
#include "base/text.hpp"
#include "http/answer.hpp"

namespace centrale::api {
namespace {

/// The key of "Authorization: Bearer …", or nothing.
std::string_view bearer_of(const http::Request& request) {
  std::string_view value = request.header("authorization");
  constexpr std::string_view kScheme = "bearer ";
  if (value.size() <= kScheme.size() ||
      !std::equal(kScheme.begin(), kScheme.end(), value.begin(), [](char a, char b) { return a == (b | 0x20); })) {
    return {};
  }
  value.remove_prefix(kScheme.size());
  const std::size_t first = value.find_first_not_of(' ');
  return first == std::string_view::npos ? std::string_view{} : value.substr(first);
}

std::string_view host_name_of(std::string_view host) {
  if (host.starts_with('[')) { return host.substr(0, std::min(host.find(']') + 1, host.size())); }
  return host.substr(0, host.find(':'));
}

// A page of another site, open in a browser on this machine, may not act for whoever sits there: where no key is needed, the
// browser's loopback connection would be enough. Such a page shows by its Origin, or, after it has had its own name
// resolve to this machine (DNS rebinding), by the Host that it asks for.

Result<void> check_origin(const http::Request& request) {
  const std::string_view origin = request.header("origin");
  const std::size_t scheme = origin.find("://");
  if (!origin.empty() && (scheme == std::string_view::npos || origin.substr(scheme + 3) != request.header("host"))) {
    return fail(ErrorKind::forbidden, "pages of another site may not call this API", "Origin",
                "call it from its own page, or from a program; a proxy must pass the Host header on");
  }
  return {};
}

Result<void> check_host(const http::Request& request) {
  const std::string_view name = host_name_of(request.header("host"));
  if (name != "localhost" && name != "[::1]" && !name.starts_with("127.") && !name.empty()) {
    return fail(ErrorKind::unauthorized, "without a key, this API is called by its loopback address only", "Host",
                "use http://127.0.0.1, or send a key");
  }
  return {};
}

/// What a reverse proxy passes on comes from loopback and is not of this machine.
std::string_view remote_of(const http::Request& request) {
  const bool passed_on = !request.header("x-forwarded-for").empty() || !request.header("forwarded").empty();
  return passed_on ? std::string_view("proxy") : std::string_view(request.remote);
}

Result<Caller> admit(const ControlWiring& wiring, const Operation& operation, const http::Request& request) {
  if (operation.access == Access::anyone) { return Caller{}; }
  const std::string_view bearer = bearer_of(request);
  TRY(check_origin(request));
  const std::string_view remote = remote_of(request);
  auto caller = wiring.check(bearer, remote);
  if (operation.access == Access::scraper && !caller && bearer.empty() && is_loopback(remote) &&
      caller.error().kind == ErrorKind::unauthorized) {
    caller =
        Caller{.tenant = kDefaultTenant, .tenant_name = {}, .key = {}, .role = Role::admin, .proven = false};  // a scraper on this machine
  }
  TRY(caller);
  if (!caller->proven) { TRY(check_host(request)); }
  const Role needed = operation.access == Access::admin ? Role::admin : operation.access == Access::user ? Role::user : Role::viewer;
  if (caller->role < needed) {
    return fail(ErrorKind::forbidden, fmt::format("this needs the role {}; the key has {}", enum_name(needed), enum_name(caller->role)), {},
                "use another key: centrale keys add --role " + std::string(enum_name(needed)));
  }
  return caller;
}

Result<void> check_value(const Parameter& parameter, std::string_view value) {
  const std::string where = parameter.name;
  if (!parameter.words.empty() && std::find(parameter.words.begin(), parameter.words.end(), value) == parameter.words.end()) {
    return fail(ErrorKind::invalid, fmt::format("'{}' is none of: {}", to_utf8(value.substr(0, 100)), fmt::join(parameter.words, ", ")),
                where, nearest_remedy(value.substr(0, 100), parameter.words));
  }
  if (!parameter.least) { return {}; }
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size() || number < *parameter.least || number > *parameter.most) {
    return fail(ErrorKind::invalid,
                fmt::format("'{}' is not a whole number from {} to {}", to_utf8(value.substr(0, 100)), *parameter.least, *parameter.most),
                where);
  }
  return {};
}

Result<void> check_query(const Operation& operation, const http::Request& request) {
  for (const auto& each : request.query) {
    const std::string& name = each.first;
    const auto known = std::find_if(operation.parameters.begin(), operation.parameters.end(),
                                    [&](const Parameter& p) { return p.in == Parameter::In::query && p.name == name; });
    if (known == operation.parameters.end()) {
      std::vector<std::string_view> names;
      for (const Parameter& parameter : operation.parameters) {
        if (parameter.in == Parameter::In::query) { names.emplace_back(parameter.name); }
      }
      return fail(ErrorKind::invalid, fmt::format("no parameter '{}' here", to_utf8(name.substr(0, 100))), operation.pattern,
                  nearest_remedy(name, names));
    }
    TRY(check_value(*known, each.second));
  }
  return {};
}

Answer unknown_path(const http::Request& request, const Match& found) {
  if (found.allowed.empty()) {
    return error_answer({ErrorKind::not_found,
                         fmt::format("no {} {}", request.method, to_utf8(request.path.substr(0, 256))),
                         {},
                         nearest_path(request.path)});
  }
  const std::string allowed = fmt::format("{}", fmt::join(found.allowed, ", "));
  Answer refusal = error_answer({ErrorKind::invalid,
                                 fmt::format("{} is not for {}", request.method, to_utf8(request.path.substr(0, 256))),
                                 {},
                                 "allowed: " + allowed});
  refusal.status = 405;
  refusal.headers.emplace_back("Allow", allowed);
  return refusal;
}

}  // namespace

Answer error_answer(const Error& error) {
  Answer answer = json_answer(view(error), http::status_of(error.kind));
  if (error.kind == ErrorKind::unauthorized) { answer.headers.emplace_back("WWW-Authenticate", "Bearer"); }
  return answer;
}

ControlState::ControlState(ControlWiring w) : wiring(std::move(w)), openapi(openapi_document(wiring.identity)) {}

void ControlState::handle(http::Request request, std::shared_ptr<http::Reply> reply) {
  auto call = std::make_shared<Call>();
  call->state = shared_from_this();
  call->request = std::move(request);
  call->reply = std::move(reply);
  Match found = match(call->request.method, call->request.path);
  if (found.operation == nullptr) {
    send(call, unknown_path(call->request, found));
    return;
  }
  call->operation = found.operation;
  call->arguments = std::move(found.arguments);
  auto caller = admit(wiring, *call->operation, call->request);
  if (!caller) {
    send(call, error_answer(caller.error()));
    return;
  }
  call->caller = std::move(*caller);
  if (const auto sound = check_query(*call->operation, call->request); !sound) {
    send(call, error_answer(sound.error()));
    return;
  }
  call->operation->handler(call);
}

const Census& ControlState::count(const Core& core, Time now) {
  constexpr std::int64_t kQuickToCount = 20'000;  // objects: well under a millisecond
  const bool stale = census.sequence != core.sequence() || census.taken == Time{};
  if (stale && (census.objects < kQuickToCount || now - census.taken >= seconds(1) || now < census.taken)) {
    census = take_census(core, now);
  }
  return census;
}

const JobRange& ControlState::job_range(const Core& core) {
  // on_changes keeps the upper end; jobs that were made since then follow without a gap. Forgotten ones never come back.
  while (core.job(JobId{jobs.newest.value + 1}) != nullptr) { ++jobs.newest.value; }
  while (jobs.oldest < jobs.newest && core.job(jobs.oldest) == nullptr) { ++jobs.oldest.value; }
  return jobs;
}

std::optional<std::string_view> Call::text(const char* name) const {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::nullopt : std::optional<std::string_view>(found->second);
}

std::optional<std::int64_t> Call::number(const char* name) const {
  const auto value = text(name);
  if (!value) { return std::nullopt; }
  std::int64_t number = 0;
  std::from_chars(value->data(), value->data() + value->size(), number);
  return number;
}

std::string Call::token() const { return std::string(bearer_of(request)); }

std::unexpected<Error> Call::bad_id(std::string_view where, std::string_view value, char prefix) {
  return fail(ErrorKind::invalid, fmt::format("'{}' is not an id like {}12", to_utf8(value.substr(0, 100)), prefix), std::string(where));
}

Page dense_page(std::uint64_t first, std::uint64_t count, std::int64_t limit) {
  Page page{.first = first, .last = count, .more = false};
  if (first <= count && count - first >= static_cast<std::uint64_t>(limit)) {
    page.last = first + static_cast<std::uint64_t>(limit) - 1;
    page.more = true;
  }
  return page;
}

void send(const CallPtr& call, Answer answer) {
  if (call->operation != nullptr) { ++call->state->answered[{call->operation->id, answer.status}]; }
  answer.headers.emplace_back("Cache-Control", "no-store");
  answer.headers.emplace_back("X-Content-Type-Options", "nosniff");
  // Let go here: the core thread may be the last to let go of the call, and a reply belongs to the rim thread.
  std::exchange(call->reply, nullptr)->send(answer.status, answer.content_type, std::move(answer.body), answer.headers);
}

void answer(const CallPtr& call, Answer ready) {
  call->wiring().rim.post([call, ready = std::move(ready)]() mutable { send(call, std::move(ready)); });
}

void look(const CallPtr& call, View view) {
  call->wiring().host.read([call, view = std::move(view)](const Core& core, Time now) {
    auto seen = view(core, now);
    answer(call, seen ? std::move(*seen) : error_answer(seen.error()));
  });
}

void ask(const CallPtr& call, Wish wish, WishView view) {
  call->wiring().host.read([call, wish = std::move(wish), view = std::move(view)](const Core& core, Time now) {
    auto event = wish(core, now);
    if (!event) {
      answer(call, error_answer(event.error()));
      return;
    }
    call->wiring().host.wish(std::move(*event), [call, view](Result<std::uint64_t> created) {
      if (!created) {
        answer(call, error_answer(created.error()));
        return;
      }
      // Read behind the batch: by then the directory knows a new key, too.
      look(call, [view, id = *created](const Core& after, Time then) { return view(after, then, id); });
    });
  });
}

ControlApi::ControlApi(ControlWiring wiring) : state_(std::make_shared<ControlState>(std::move(wiring))) {
  const ControlWiring& w = state_->wiring;
  state_->forecaster = std::make_shared<Forecaster>(w.host, w.limits.forecast_max);
  state_->streams = std::make_shared<EventStreams>(w.host, w.rim, w.telemetry, w.limits);
  // The streams belong to the state: no cycle. A read under way may outlive it by an instant.
  const auto weak_state = std::weak_ptr(state_);
  state_->streams->set_views(
      [weak_state](const Core& core, Time now) {
        const auto state = weak_state.lock();
        return state ? centre_view(*state, core, now) : CentreView{};
      },
      [weak_state](const Core& core, Time now, Scope scope) {
        const auto state = weak_state.lock();
        return state ? usage_view(core, now, {.scope = scope, .jobs_max = kUsageJobsShown, .range = state->job_range(core)},
                                  state->wiring.identity.currency)
                     : UsageView{};
      },
      [weak_state](const Core& core) {
        const auto state = weak_state.lock();
        return state ? state->job_range(core) : JobRange{};
      });
  w.host.read([weak = std::weak_ptr(state_)](const Core& core, Time) {
    if (const auto state = weak.lock()) {
      core.each_job([&](const Job& job) { state->jobs.newest = std::max(state->jobs.newest, job.id); });
    }
  });
  w.host.on_changes([weak = std::weak_ptr(state_)](const Core&, Time, const std::vector<Change>& changes) {
    if (const auto state = weak.lock()) {
      for (const Change& change : changes) {
        if (change.what == Change::What::job) { state->jobs.newest = std::max(state->jobs.newest, JobId{change.id}); }
      }
      state->streams->note(changes);
    }
  });
}

ControlApi::~ControlApi() {
  close_streams();
  state_->forecaster->stop();
}

void ControlApi::handle(http::Request request, std::shared_ptr<http::Reply> reply) { state_->handle(std::move(request), std::move(reply)); }

void ControlApi::close_streams() { state_->streams->close_all(); }

}  // namespace centrale::api
