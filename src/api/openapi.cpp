// SPDX-License-Identifier: Apache-2.0
// The OpenAPI 3.1 document: the table of operations and the views' own descriptions, written out.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "api/control.hpp"
#include "api/operations.hpp"
#include "base/json.hpp"

namespace centrale::api {
namespace {

std::string_view description_of(int status) { return status == 201 ? "It was made." : "It was done."; }

std::string_view path_parameter_help(std::string_view name) {
  if (name == "key") { return "an id"; }
  return name == "job" ? "an id, or a name: the newest job of that name" : "an id or a name";
}

void write_parameter(JsonWriter& json, const Parameter& parameter) {
  json.begin_object().key("name").text(parameter.name);
  json.key("in").text(parameter.in == Parameter::In::query ? "query" : "header");
  json.key("description").text(parameter.description).key("schema").begin_object();
  if (parameter.least) {
    json.key("type").text("integer").key("minimum").number(*parameter.least).key("maximum").number(*parameter.most);
  } else {
    json.key("type").text("string");
  }
  if (!parameter.words.empty()) {
    json.key("enum").begin_array();
    for (const std::string_view word : parameter.words) { json.text(word); }
    json.end_array();
  }
  json.end_object().end_object();
}

void write_content(JsonWriter& json, const Content& content, Components& components) {
  json.key("content").begin_object().key(content.type).begin_object();
  json.key("schema").raw(content.schema(components)).end_object().end_object();
}

void write_operation(JsonWriter& json, const Operation& operation, Components& components) {
  json.begin_object().key("operationId").text(operation.id).key("summary").text(operation.summary);
  const auto arguments = path_parameters(operation.pattern);
  if (!arguments.empty() || !operation.parameters.empty()) {
    json.key("parameters").begin_array();
    for (const std::string_view name : arguments) {
      json.begin_object().key("name").text(name).key("in").text("path").key("required").boolean(true);
      json.key("description").text(path_parameter_help(name)).key("schema").raw(R"({"type":"string"})").end_object();
    }
    for (const Parameter& parameter : operation.parameters) { write_parameter(json, parameter); }
    json.end_array();
  }
  if (operation.request.type != nullptr) {
    json.key("requestBody").begin_object().key("required").boolean(true);
    write_content(json, operation.request, components);
    json.end_object();
  }
  json.key("responses").begin_object();
  for (const int status : operation.statuses) {
    json.key(std::to_string(status)).begin_object().key("description").text(description_of(status));
    write_content(json, operation.answer, components);
    json.end_object();
  }
  json.key("default").raw(R"({"$ref":"#/components/responses/Error"})").end_object();
  static constexpr std::array<std::string_view, 5> kAccess{"anyone", "viewer; without a key on loopback", "viewer", "user", "admin"};
  json.key("x-role").text(kAccess.at(static_cast<std::size_t>(operation.access)));
  if (operation.access == Access::anyone) { json.key("security").begin_array().end_array(); }
  json.end_object();
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return static_cast<char>(c | 0x20); });
  return out;
}

void write_paths(JsonWriter& json, Components& components) {
  std::vector<std::string_view> patterns;  // in the order of the table
  for (const Operation& operation : operations()) {
    if (std::find(patterns.begin(), patterns.end(), operation.pattern) == patterns.end()) { patterns.emplace_back(operation.pattern); }
  }
  json.key("paths").begin_object();
  for (const std::string_view pattern : patterns) {
    json.key(pattern).begin_object();
    for (const Operation& operation : operations()) {
      if (operation.pattern == pattern) {
        json.key(lower(operation.method));
        write_operation(json, operation, components);
      }
    }
    json.end_object();
  }
  json.end_object();
}

/// Views that only the event stream sends.
void add_event_views(Components& components) {
  std::string ignored;
  append_schema<HelloView>(ignored, components);
  append_schema<GoneView>(ignored, components);
  append_schema<ReconnectView>(ignored, components);
}

}  // namespace

std::string openapi_document(const Identity& identity) {
  Components components;
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("openapi").text("3.1.0");
  json.key("info").begin_object().key("title").text("Centrale").key("version").text(identity.version.empty() ? "0" : identity.version);
  json.key("description")
      .text("The control API of a computing centre. Times are RFC 3339 in UTC, spans seconds, sizes bytes, energy joules.");
  json.key("license").raw(R"({"name":"Apache-2.0","identifier":"Apache-2.0"})").end_object();
  json.key("security").raw(R"([{"key":[]},{}])");
  write_paths(json, components);
  std::string error;
  append_schema<ErrorView>(error, components);
  add_event_views(components);
  json.key("components").begin_object();
  json.key("securitySchemes").raw(R"({"key":{"type":"http","scheme":"bearer"}})");
  json.key("responses")
      .begin_object()
      .key("Error")
      .begin_object()
      .key("description")
      .text("What is wrong, where, and what to do about it.");
  json.key("content").begin_object().key("application/json").begin_object().key("schema").raw(error).end_object().end_object();
  json.end_object().end_object();
  json.key("schemas").begin_object();
  for (const auto& [name, schema] : components.schemas) { json.key(name).raw(schema); }
  json.end_object().end_object().end_object();
  return out;
}

}  // namespace centrale::api
