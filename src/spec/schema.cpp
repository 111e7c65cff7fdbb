// SPDX-License-Identifier: Apache-2.0
// JSON Schema 2020-12 from the same descriptions that read and write specs.
#include "base/json.hpp"
#include "spec/limits.hpp"
#include "spec/spec.hpp"

namespace centrale {
namespace {

// A file's plain scalars are text where text is wanted: `command: [sleep, 1]`.
constexpr std::string_view kScalar = R"(["string","number","boolean"])";

/// Writes one property for each field: its type and limits, what it is for, its default.
struct PropertyWriter {
  JsonWriter& json;

  template <class T>
  void operator()(const char* key, const T& field, const char* doc = "") {
    json.key(key).begin_object();
    type_of(key, field);
    json.key("description").text(doc).key("default");
    write_value<JsonUnits::text>(json, field);
    json.end_object();
  }

  void type_of(std::string_view key, const std::string&) {
    json.key("type").text("string");
    if (key == "name") { json.key("pattern").text("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$").key("maxLength").number(kNameMax); }
  }
  void type_of(std::string_view key, const std::int64_t&) {
    json.key("type").text("integer");
    if (const CountLimit* limit = limit_of(kCountLimits, key)) {
      json.key("minimum").number(limit->least).key("maximum").number(limit->most);
    }
  }
  void type_of(std::string_view, const bool&) { json.key("type").text("boolean"); }
  void type_of(std::string_view, const double&) { json.key("type").text("number").key("minimum").number(0).key("maximum").number(kBidMax); }
  void type_of(std::string_view, const Nanos&) {
    json.key("type").raw(R"(["number","string"])").key("minimum").number(0);
    json.key("pattern").text("^ *([0-9]+(\\.[0-9]*)?|\\.[0-9]+) *$|^ *(([0-9]+(\\.[0-9]*)?|\\.[0-9]+) *(d|h|m|s|ms|us|ns) *)+$");
    json.key("examples").raw(R"(["30s","1h30m",90])");
  }
  void type_of(std::string_view, const Bytes&) {
    json.key("type").raw(R"(["integer","string"])").key("minimum").number(0);
    json.key("pattern").text("^ *([0-9]+(\\.[0-9]*)?|\\.[0-9]+) *([kKmMgGtTpP][iI]?)?[bB]? *$");
    json.key("examples").raw(R"(["2GiB","512MiB"])");
  }
  void type_of(std::string_view key, const std::vector<std::string>&) {
    json.key("type").text("array").key("items").begin_object().key("type").raw(kScalar).end_object();
    if (const ListLimit* limit = limit_of(kListLimits, key)) { json.key("maxItems").number(limit->most); }
  }
  void type_of(std::string_view, const TextMap&) {
    json.key("type").text("object").key("additionalProperties").begin_object().key("type").raw(kScalar).end_object();
    json.key("maxProperties").number(kEnvMax);
  }
};

template <class Spec>
void write_definition(JsonWriter& json, std::string_view name, std::string_view title, std::string_view kinds, std::string_view required) {
  Spec defaults;
  json.key(name).begin_object().key("title").text(title).key("type").text("object").key("properties").begin_object();
  json.key("kind").begin_object().key("enum").raw(kinds).key("description").text("what this document describes").end_object();
  PropertyWriter properties{json};
  describe(properties, defaults);
  json.end_object().key("additionalProperties").boolean(false).raw(required).end_object();
}

}  // namespace

std::string spec_schema() {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.key("$schema").text("https://json-schema.org/draft/2020-12/schema");
  json.key("title").text("A job or a service of a Centrale centre");
  json.key("anyOf").raw(R"([{"$ref":"#/$defs/job"},{"$ref":"#/$defs/service"}])");
  json.key("$defs").begin_object();
  write_definition<JobSpec>(json, "job", "runs to an end", R"(["job","train"])", R"("required":["name","command"])");
  write_definition<ServiceSpec>(json, "service", "runs on", R"(["service"])",
                                R"("required":["name"],"anyOf":[{"required":["model"]},{"required":["command"]}])");
  json.end_object().end_object();
  return out;
}

}  // namespace centrale
