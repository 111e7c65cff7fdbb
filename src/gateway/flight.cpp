// SPDX-License-Identifier: Apache-2.0
#include "gateway/flight.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace centrale::gateway {
namespace {

constexpr std::size_t kAnswerBytesMax = 128UL * 1024 * 1024;      // 2048 embeddings of 4096 numbers fit
constexpr std::size_t kCollectedBytesMax = 1024UL * 1024 * 1024;  // of all answers at once

std::string_view header(const http::Headers& headers, std::string_view lower_case_name) {
  const auto found = std::ranges::find(headers, lower_case_name, [](const auto& field) { return std::string_view{field.first}; });
  return found == headers.end() ? std::string_view{} : std::string_view{found->second};
}

}  // namespace

Endpoint choose(std::vector<Endpoint>& endpoints, Traffic& traffic) {
  ensure(!endpoints.empty());
  const auto load = [&](const Endpoint& endpoint) {
    const auto found = traffic.outstanding.find(endpoint.replica);
    return found == traffic.outstanding.end() ? std::int64_t{0} : found->second;
  };
  std::size_t best = 0;
  if (endpoints.size() > 1) {
    const std::size_t first = traffic.random() % endpoints.size();
    // One of the others, each equally likely.
    const std::size_t second = (first + 1 + traffic.random() % (endpoints.size() - 1)) % endpoints.size();
    best = load(endpoints[second]) < load(endpoints[first]) ? second : first;
  }
  Endpoint chosen = std::move(endpoints[best]);
  endpoints.erase(endpoints.begin() + static_cast<std::ptrdiff_t>(best));
  return chosen;
}

Flight::Flight(std::shared_ptr<Traffic> traffic, Order order, std::shared_ptr<http::Reply> reply)
    : traffic_(std::move(traffic)), order_(std::move(order)), reply_(std::move(reply)), meter_(order_.ask.usage_wanted) {
  traffic_->flights.insert(this);
  ++traffic_->counters.in_flight;
}

Flight::~Flight() {
  // The upstream client may go first, and tells nobody.
  settle(false);
  leave_replica();
  drop_collected();
  traffic_->flights.erase(this);
  --traffic_->counters.in_flight;
}

void Flight::start() {
  reply_->on_close([weak = weak_from_this()] {
    if (const auto self = weak.lock()) { self->break_off(); }
  });
  try_next();
}

void Flight::break_off() {
  if (settled_) { return; }
  const auto held = shared_from_this();
  ++traffic_->counters.cancelled;
  call_.reset();  // closes the connection: the engine learns that nobody waits
  settle(false);
  reply_.reset();
}

void Flight::try_next() {
  leave_replica();
  endpoint_ = choose(order_.endpoints, *traffic_);
  ++traffic_->outstanding[endpoint_.replica];
  at_replica_ = true;
  const bool stream = order_.ask.stream;
  http::CallEvents events;
  events.on_head = [self = shared_from_this()](int status, const http::Headers& headers) { self->got_head(status, headers); };
  events.on_body = [self = shared_from_this()](std::string_view part) { self->got_part(part); };
  events.on_end = [self = shared_from_this()] { self->got_end(); };
  events.on_error = [self = shared_from_this()](const Error& error, bool) { self->got_error(error); };
  call_ = traffic_->upstream.stream(
      endpoint_.host, endpoint_.port, "POST", order_.path,
      {{"Content-Type", "application/json"}, {"Accept", stream ? "text/event-stream, application/json" : "application/json"}},
      body_for_engine(order_.ask, order_.body, endpoint_.model), stream ? traffic_->settings.first_byte_max : traffic_->settings.answer_max,
      std::move(events));
  reached_ = true;  // unless it turns out that there was no connection
}

bool Flight::retry() {
  if (begun_ || order_.endpoints.empty() || retries_ >= traffic_->settings.retries_max) { return false; }
  ++retries_;
  ++traffic_->counters.retried;
  status_ = 0;
  streaming_ = false;
  try_next();
  return true;
}

// What the engine says.

void Flight::got_head(int status, const http::Headers& headers) {
  if (status == 503 && retry()) { return; }
  order_.body = {};  // nothing is sent again from here on
  status_ = status;
  content_type_ = header(headers, "content-type");
  streaming_ = order_.ask.stream && status == 200 && content_type_.starts_with("text/event-stream");
  call_->read_more();
}

void Flight::got_part(std::string_view part) {
  if (streaming_) {
    got_event_bytes(part);
  } else {
    collect(part);
  }
}

void Flight::got_event_bytes(std::string_view part) {
  call_->set_idle(traffic_->settings.silence_max);
  std::string bytes = meter_.feed(part);
  if (first_token_ns_ == 0 && meter_.chunks() > 0) {
    first_token_ns_ = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - started_).count();
  }
  if (bytes.empty()) {
    call_->read_more();
  } else {
    forward(std::move(bytes));
  }
}

void Flight::begin_stream() {
  if (!begun_) {
    begun_ = true;
    // A proxy in between must not hold events back.
    reply_->begin(200, content_type_, {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}});
  }
}

/// The next part is asked for when this one has left: a slow reader holds one part.
void Flight::forward(std::string bytes) {
  begin_stream();
  reply_->write(std::move(bytes), [weak = weak_from_this()](bool written) {
    const auto self = weak.lock();
    if (!self || self->settled_) { return; }
    if (written) {
      self->call_->read_more();
    } else {
      self->break_off();
    }
  });
}

void Flight::collect(std::string_view part) {
  if (collected_.size() + part.size() > kAnswerBytesMax || traffic_->collected_bytes + part.size() > kCollectedBytesMax) {
    call_.reset();
    got_error({ErrorKind::io, "its answer is longer than " + std::to_string(kAnswerBytesMax) + " bytes", "", ""});
    return;
  }
  traffic_->collected_bytes += part.size();
  counted_ += part.size();
  collected_ += part;
  call_->read_more();
}

void Flight::got_end() {
  if (streaming_) {
    end_stream();
  } else {
    answer_whole();
  }
}

void Flight::end_stream() {
  const std::string rest = meter_.finish();
  if (!meter_.done() && !meter_.failed()) {
    got_error({ErrorKind::io, "its stream ended too early", "", ""});
    return;
  }
  const auto held = shared_from_this();
  begin_stream();
  if (!rest.empty()) { reply_->write(rest, nullptr); }
  if (meter_.failed()) { ++traffic_->counters.failed; }
  settle(!meter_.failed());
  reply_->end();
  reply_.reset();
}

void Flight::answer_whole() {
  const bool is_error_object = content_type_.starts_with("application/json") && collected_.find("\"error\"") != std::string::npos;
  if (status_ >= 500 && !is_error_object) {
    got_error({status_ == 503 ? ErrorKind::unavailable : ErrorKind::io, "it answered with status " + std::to_string(status_), "", ""});
    return;
  }
  const auto held = shared_from_this();
  if (status_ >= 500) { ++traffic_->counters.failed; }
  settle(status_ < 500);
  http::Headers extra;
  if (status_ == 503) { extra.emplace_back("Retry-After", "2"); }
  reply_->send(status_, content_type_, std::move(collected_), extra);
  reply_.reset();
}

void Flight::got_error(const Error& error) {
  if (error.kind == ErrorKind::unavailable && status_ == 0) {
    reached_ = false;  // no connection: this engine saw nothing
    if (retry()) { return; }
  }
  fail_with(engine_failure(error));
}

void Flight::fail_with(const ApiError& error) {
  const auto held = shared_from_this();
  ++traffic_->counters.failed;
  settle(false);
  if (begun_) {
    // The status has left already: an event is the only way to say it. What came of an unfinished event is dropped.
    reply_->write("data: " + error.body() + "\n\n", nullptr);
    reply_->end();
  } else {
    send(*reply_, error);
  }
  reply_.reset();
  call_.reset();
}

// The account.

void Flight::leave_replica() {
  if (!at_replica_) { return; }
  at_replica_ = false;
  const auto found = traffic_->outstanding.find(endpoint_.replica);
  if (--found->second == 0) { traffic_->outstanding.erase(found); }
}

void Flight::drop_collected() {
  traffic_->collected_bytes -= counted_;
  counted_ = 0;
}

void Flight::settle(bool completed) {
  if (settled_) { return; }
  settled_ = true;
  Usage usage;
  usage.principal = order_.principal;
  usage.model = order_.ask.model;
  usage.replica = endpoint_.replica;
  usage.completed = completed;
  usage.first_token_ns = first_token_ns_;
  usage.total_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - started_).count();
  const bool answered_with_error = status_ >= 400;
  const auto stated = streaming_ ? meter_.usage() : usage_of_answer(collected_);
  if (stated) {
    usage.prompt_tokens = stated->prompt_tokens;
    usage.completion_tokens = stated->completion_tokens;
  } else if (reached_ && !answered_with_error) {
    usage.prompt_tokens = order_.ask.prompt_tokens;
    usage.completion_tokens = meter_.chunks();
    usage.estimated = true;
  }
  leave_replica();
  traffic_->backend.settle(usage, order_.reserved_tokens);
}

}  // namespace centrale::gateway
