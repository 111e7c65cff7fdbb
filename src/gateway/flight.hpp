// SPDX-License-Identifier: Apache-2.0
// One request on its way through the gateway, from the reservation to the settlement. Private to this part.
#pragma once
#include <chrono>
#include <memory>
#include <random>
#include <unordered_map>
#include <unordered_set>

#include "gateway/api_error.hpp"
#include "gateway/event_meter.hpp"
#include "gateway/gateway.hpp"
#include "gateway/request_text.hpp"

namespace centrale::gateway {

class Flight;

/// What all requests share.
struct Traffic {
  http::Client& upstream;
  Backend& backend;
  Settings settings;
  Counters counters;
  std::unordered_map<TaskId, std::int64_t> outstanding;  // requests now at each replica; no entry: none
  std::minstd_rand random;
  std::unordered_set<Flight*> flights;
  std::size_t collected_bytes = 0;  // of answers being put together

  Traffic(http::Client& client, Backend& centre, Settings given)
      : upstream(client), backend(centre), settings(given), random(static_cast<std::minstd_rand::result_type>(given.seed)) {}
};

struct Order {
  Operation operation = Operation::chat;
  std::string path;  // as asked, and as the engine is asked
  std::string body;
  Principal principal;
  Ask ask;
  std::vector<Endpoint> endpoints;  // not empty
  std::int64_t reserved_tokens = 0;
};

/// Picks a replica of those not tried yet: the less busy of two drawn at random. Erases it from `endpoints` (not empty).
[[nodiscard]] Endpoint choose(std::vector<Endpoint>& endpoints, Traffic& traffic);

/// Held by the call's events while it is under way. However it ends, it settles once.
class Flight : public std::enable_shared_from_this<Flight> {
 public:
  Flight(std::shared_ptr<Traffic> traffic, Order order, std::shared_ptr<http::Reply> reply);
  ~Flight();
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;

  void start();
  /// The client has gone, or the gateway goes.
  void break_off();

 private:
  using Clock = std::chrono::steady_clock;

  void try_next();
  void got_head(int status, const http::Headers& headers);
  void got_part(std::string_view part);
  void got_event_bytes(std::string_view part);
  void collect(std::string_view part);
  void got_end();
  void end_stream();
  void answer_whole();
  void got_error(const Error& error);
  void fail_with(const ApiError& error);
  void forward(std::string bytes);
  void begin_stream();
  [[nodiscard]] bool retry();
  void leave_replica();
  void settle(bool completed);
  void drop_collected();

  std::shared_ptr<Traffic> traffic_;
  Order order_;
  std::shared_ptr<http::Reply> reply_;
  std::unique_ptr<http::Call> call_;
  Endpoint endpoint_;  // the one being asked
  bool at_replica_ = false;
  bool reached_ = false;  // an engine accepted the request and may have worked on it
  int retries_ = 0;
  int status_ = 0;
  std::string content_type_;
  bool streaming_ = false;  // the engine answers with events
  bool begun_ = false;      // the client has got something
  bool settled_ = false;
  EventMeter meter_;
  std::string collected_;
  std::size_t counted_ = 0;  // of it in Traffic::collected_bytes
  Clock::time_point started_ = Clock::now();
  std::int64_t first_token_ns_ = 0;
};

}  // namespace centrale::gateway
