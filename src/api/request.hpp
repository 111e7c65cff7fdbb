// SPDX-License-Identifier: Apache-2.0
// What callers send, other than specs: small JSON objects, read strictly.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/result.hpp"
#include "centre/event.hpp"

namespace centrale::api {

// Every field is optional here, so that a missing one can be told from one that is zero; kRequired names those that must be there.
struct ScaleRequest {
  static constexpr const char* kName = "ScaleRequest";
  static constexpr std::array<std::string_view, 1> kRequired{"replicas"};
  std::optional<std::int64_t> replicas;
};
struct TenantRequest {
  static constexpr const char* kName = "TenantRequest";
  static constexpr std::array<std::string_view, 1> kRequired{"name"};
  std::optional<std::string> name;
  std::optional<std::int64_t> chips_max, tokens_per_day_max;
};
struct KeyRequest {
  static constexpr const char* kName = "KeyRequest";
  static constexpr std::array<std::string_view, 0> kRequired{};
  std::optional<std::string> tenant, label;
  std::optional<Role> role;
};

template <class V>
void describe(V& v, ScaleRequest& r) {
  v("replicas", r.replicas, "how many are to run; 0 stops them all");
}
template <class V>
void describe(V& v, TenantRequest& r) {
  v("name", r.name);
  v("chips_max", r.chips_max, "at the same time; 0: no limit. Left out: as before, or no limit");
  v("tokens_per_day_max", r.tokens_per_day_max, "per UTC day; 0: no limit. Left out: as before, or no limit");
}
template <class V>
void describe(V& v, KeyRequest& r) {
  v("tenant", r.tenant, "its name; left out: the caller's");
  v("label", r.label, "what the key is for");
  v("role", r.role, "left out: user");
}

namespace detail {
template <class Owner>
struct MissingFields {
  std::string missing;
  template <class T>
  void operator()(const char* name, T& field, const char* = "") {
    if (!field && missing.empty() && std::find(Owner::kRequired.begin(), Owner::kRequired.end(), name) != Owner::kRequired.end()) {
      missing = name;
    }
  }
};
}  // namespace detail

template <class T>
[[nodiscard]] Result<T> read_request(std::string_view body) {
  T request;
  TRY(read_json(body, request, JsonStrictness::strict));
  detail::MissingFields<T> check;
  describe(check, request);
  if (!check.missing.empty()) { return fail(ErrorKind::invalid, check.missing + " is missing", "body"); }
  return request;
}

}  // namespace centrale::api
