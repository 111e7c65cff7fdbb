// SPDX-License-Identifier: Apache-2.0
#include "gateway/gateway.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "gateway/flight.hpp"
#include "http/answer.hpp"

namespace centrale::gateway {
namespace {

std::string_view bearer_of(const http::Request& request) {
  constexpr std::string_view kScheme = "bearer ";
  std::string_view value = request.header("authorization");
  const bool is_bearer = value.size() > kScheme.size() && std::ranges::equal(value.substr(0, kScheme.size()), kScheme, [](char a, char b) {
                           return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
                         });
  if (!is_bearer) { return {}; }
  value.remove_prefix(kScheme.size());
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

void write_model(JsonWriter& json, const Model& model) {
  json.begin_object();
  json.key("id").text(model.name);
  json.key("object").text("model");
  json.key("created").number(model.created_s);
  json.key("owned_by").text("centrale");
  json.key("ready").boolean(model.ready);
  json.end_object();
}

std::optional<Operation> operation_of(std::string_view path) {
  if (path == "/v1/chat/completions") return Operation::chat;
  if (path == "/v1/completions") return Operation::completion;
  if (path == "/v1/embeddings") return Operation::embedding;
  return std::nullopt;
}

Error no_such_model(std::string_view name, const std::vector<Model>& models) {
  std::vector<std::string> names;
  names.reserve(models.size());
  for (const Model& model : models) { names.push_back(model.name); }
  return {ErrorKind::not_found, "the model '" + shorten(name, 200) + "' does not exist", "", nearest_remedy(name, names)};
}

}  // namespace

struct Gateway::State {
  State(http::Client& upstream, Backend& backend, Settings settings) : traffic(std::make_shared<Traffic>(upstream, backend, settings)) {}

  void refuse(http::Reply& reply, const Error& error) const {
    // What we cannot do now is our failure, what may not be done is a refusal.
    ++(http::status_of(error.kind) >= 500 ? traffic->counters.failed : traffic->counters.refused);
    send(reply, refusal(error));
  }

  void list_models(const Principal& principal, http::Reply& reply) const {
    std::string body;
    JsonWriter json{body};
    json.begin_object();
    json.key("object").text("list");
    json.key("data").begin_array();
    for (const Model& model : traffic->backend.models(principal)) { write_model(json, model); }
    json.end_array();
    json.end_object();
    reply.send(200, "application/json", std::move(body));
  }

  void show_model(const Principal& principal, std::string_view name, http::Reply& reply) const {
    const std::vector<Model> models = traffic->backend.models(principal);
    const auto found = std::ranges::find(models, name, &Model::name);
    if (found == models.end()) {
      refuse(reply, no_such_model(name, models));
      return;
    }
    std::string body;
    JsonWriter json{body};
    write_model(json, *found);
    reply.send(200, "application/json", std::move(body));
  }

  /// Everything that may refuse the request, in the order in which it costs; the reservation last, for it must be settled.
  Result<Order> admit(Operation operation, Principal principal, http::Request request) const {
    Order order;
    order.operation = operation;
    TRY_ASSIGN(order.ask, read_ask(operation, request.body));
    TRY_ASSIGN(order.endpoints, traffic->backend.replicas(principal, order.ask.model));
    if (order.endpoints.empty()) { return fail(ErrorKind::unavailable, "no replica of '" + order.ask.model + "' is ready"); }
    order.reserved_tokens = order.ask.prompt_tokens + order.ask.completion_tokens_max;
    TRY(traffic->backend.reserve(principal, order.reserved_tokens));
    order.path = std::move(request.path);
    order.body = std::move(request.body);
    order.principal = std::move(principal);
    return order;
  }

  std::shared_ptr<Traffic> traffic;
};

Gateway::Gateway(http::Client& upstream, Backend& backend, Settings settings)
    : state_(std::make_shared<State>(upstream, backend, settings)) {}

Gateway::~Gateway() {
  std::vector<std::shared_ptr<Flight>> under_way;
  for (Flight* flight : state_->traffic->flights) {
    if (auto held = flight->weak_from_this().lock()) { under_way.push_back(std::move(held)); }
  }
  for (const auto& flight : under_way) { flight->break_off(); }
}

void Gateway::handle(http::Request request, std::shared_ptr<http::Reply> reply) {
  ++state_->traffic->counters.requests;
  auto principal = state_->traffic->backend.authenticate(bearer_of(request), request.remote);
  if (!principal) {
    state_->refuse(*reply, principal.error());
    return;
  }
  constexpr std::string_view kModels = "/v1/models";
  const auto operation = operation_of(request.path);
  const bool about_models = request.path == kModels || request.path.starts_with("/v1/models/");
  if (!operation && !about_models) {
    ++state_->traffic->counters.refused;
    send(*reply, {404, "there is nothing at " + request.path, "invalid_request_error", "unknown_url", "", {}});
    return;
  }
  if (request.method != (operation ? "POST" : "GET")) {
    ++state_->traffic->counters.refused;
    send(*reply, method_not_allowed(operation ? "POST" : "GET"));
    return;
  }
  if (about_models) {
    const std::string_view name = std::string_view{request.path}.substr(std::min(kModels.size() + 1, request.path.size()));
    if (name.empty()) {
      state_->list_models(*principal, *reply);
    } else {
      state_->show_model(*principal, name, *reply);
    }
    return;
  }
  auto order = state_->admit(*operation, *std::move(principal), std::move(request));
  if (!order) {
    state_->refuse(*reply, order.error());
    return;
  }
  if (order->ask.stream) { ++state_->traffic->counters.streamed; }
  std::make_shared<Flight>(state_->traffic, *std::move(order), std::move(reply))->start();
}

Counters Gateway::counters() const { return state_->traffic->counters; }

}  // namespace centrale::gateway
