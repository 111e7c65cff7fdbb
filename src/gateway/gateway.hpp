// SPDX-License-Identifier: Apache-2.0
// The data plane: POST /v1/chat/completions, /v1/completions, /v1/embeddings and GET /v1/models over whatever replicas the
// centre runs. It knows no core: it asks a Backend who may do what and where, and tells it what was used.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/server.hpp"

namespace centrale::gateway {

/// Who asks.
struct Principal {
  TenantId tenant;
  KeyId key;  // none: no keys are set up and the caller is on loopback
  std::string tenant_name;
};

/// One model that callers may name.
struct Model {
  std::string name;
  std::int64_t created_s = 0;  // Unix seconds
  bool ready = false;          // at least one replica answers
};

/// One replica that can take a request now.
struct Endpoint {
  TaskId replica;
  std::string host;
  std::uint16_t port = 0;
  std::string model;  // the name the engine knows
};

/// What one request used; said exactly once for each request that reached an engine, also of broken-off streams.
struct Usage {
  Principal principal;
  std::string model;
  TaskId replica;
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  bool estimated = false;           // the engine gave no usage; chunks were counted
  bool completed = false;           // false: broken off by client, engine or time
  std::int64_t first_token_ns = 0;  // TTFT; 0 if none came
  std::int64_t total_ns = 0;
};

/// What the gateway asks of the centre. Called on the rim thread; must not block.
class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual Result<Principal> authenticate(std::string_view bearer, std::string_view remote) = 0;
  [[nodiscard]] virtual std::vector<Model> models(const Principal&) = 0;
  /// All replicas of `model` that are ready. Errors: not_found (nearest name), unavailable (none ready), forbidden.
  [[nodiscard]] virtual Result<std::vector<Endpoint>> replicas(const Principal&, std::string_view model) = 0;
  /// Sets `tokens` aside from the tenant's quota before a request starts; exhausted when the quota does not allow it.
  /// Each reserve that succeeds is followed by exactly one settle.
  [[nodiscard]] virtual Result<void> reserve(const Principal&, std::int64_t tokens) = 0;
  virtual void settle(const Usage&, std::int64_t reserved_tokens) = 0;
};

/// Counters since start, for /metrics.
struct Counters {
  std::uint64_t requests = 0, streamed = 0, failed = 0, refused = 0, retried = 0, cancelled = 0;
  std::int64_t in_flight = 0;
};

/// How long engines may take, and how often another replica is tried.
struct Settings {
  std::chrono::milliseconds first_byte_max{300'000};  // of a stream: a long prompt on a slow chip
  std::chrono::milliseconds silence_max{60'000};      // between two parts of a stream
  std::chrono::milliseconds answer_max{600'000};      // for an answer in one piece
  int retries_max = 2;
  std::uint64_t seed = 1;  // of the choice among replicas
};

class Gateway {
 public:
  Gateway(http::Client& upstream, Backend& backend, Settings settings = {});
  /// Ends what is under way: each such request is settled as broken off.
  ~Gateway();
  /// Answers one request under /v1/.
  void handle(http::Request request, std::shared_ptr<http::Reply> reply);
  [[nodiscard]] Counters counters() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace centrale::gateway
