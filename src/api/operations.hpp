// SPDX-License-Identifier: Apache-2.0
// Private to api/: the one table of what can be asked. Routing, roles, checks of parameters, the OpenAPI document and the answers 404 and
// 405 all come from it.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/control.hpp"
#include "api/view_json.hpp"
#include "base/result.hpp"

namespace centrale::api {

struct Call;
using CallPtr = std::shared_ptr<Call>;

enum class Access : unsigned char {
  anyone,
  scraper,  // whoever is on loopback, and viewers
  viewer,
  user,
  admin,
};

struct Parameter {
  enum class In : unsigned char { query, header };
  const char* name;
  const char* description;
  In in = In::query;
  // A number has a range, a word one of a few values; anything else is text.
  std::optional<std::int64_t> least = {}, most = {};
  std::vector<std::string_view> words = {};
};

/// How a body or an answer looks: a JSON schema, or another content type.
struct Content {
  const char* type = nullptr;  // none: there is no body
  std::string (*schema)(Components& components) = nullptr;
};

template <class T>
[[nodiscard]] Content json_of() {
  return {"application/json", [](Components& components) {
            std::string out;
            append_schema<T>(out, components);
            return out;
          }};
}

struct Operation {
  const char* method;
  const char* pattern;  // "/api/v1/jobs/{job}"
  Access access;
  void (*handler)(const CallPtr& call);
  const char* id;
  const char* summary;
  std::vector<Parameter> parameters;
  Content request;
  std::vector<int> statuses;  // of success
  Content answer;
};

[[nodiscard]] const std::vector<Operation>& operations();

struct Match {
  const Operation* operation = nullptr;   // none: no such path, or not with this method
  std::vector<std::string> arguments;     // for the pattern's {…}, in order
  std::vector<std::string_view> allowed;  // methods that this path has, when the operation is none
};
[[nodiscard]] Match match(std::string_view method, std::string_view path);
/// "nearest: /api/v1/jobs", or empty.
[[nodiscard]] std::string nearest_path(std::string_view path);

/// The {…} of a pattern, in order.
[[nodiscard]] std::vector<std::string_view> path_parameters(std::string_view pattern);

}  // namespace centrale::api
