// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>

#include "base/json.hpp"
#include "base/text.hpp"
#include "base/yaml.hpp"
#include "spec/limits.hpp"
#include "spec/spec.hpp"

namespace centrale {
namespace {

constexpr std::array<std::string_view, 3> kKinds{"job", "train", "service"};
// Any of them says that a file without `kind:` is a service.
constexpr std::array<std::string_view, 5> kServiceKeys{"model", "replicas", "context", "health", "start_timeout"};

std::unexpected<Error> unknown_kind(std::string_view kind, std::string where) {
  std::string remedy = nearest_remedy(kind, kKinds);
  return fail(ErrorKind::invalid, fmt::format("unknown kind '{}'", shorten(kind, 40)), std::move(where),
              remedy.empty() ? "kind: job, train or service" : std::move(remedy));
}

template <class T>
Result<Spec> read_document(const YamlFile& yaml, std::size_t document) {
  T spec;
  TRY(yaml.read(document, spec, "kind"));
  if (auto problem = first_problem(spec)) {
    const std::string_view top = std::string_view(problem->key).substr(0, problem->key.find('.'));
    return fail(ErrorKind::invalid, fmt::format("{}: {}", problem->key, problem->what), yaml.where(document, top),
                std::move(problem->remedy));
  }
  return Spec(std::move(spec));
}

Result<Spec> read_document_of_any_kind(const YamlFile& yaml, std::size_t document) {
  if (yaml.has(document, "kind")) {
    const std::string_view kind = yaml.scalar(document, "kind");
    if (kind == "service") { return read_document<ServiceSpec>(yaml, document); }
    if (kind == "job" || kind == "train") { return read_document<JobSpec>(yaml, document); }
    return unknown_kind(kind, yaml.where(document, "kind"));
  }
  for (const std::string_view key : kServiceKeys) {
    if (yaml.has(document, key)) { return read_document<ServiceSpec>(yaml, document); }
  }
  return read_document<JobSpec>(yaml, document);
}

template <class T>
Result<T> from_json(std::string_view json, bool service) {
  JsonReader reader;
  TRY_ASSIGN(const JsonValue root, reader.parse(json, JsonStrictness::strict));
  JsonSource source(JsonStrictness::strict);
  const std::string_view kind = source.allow(root, "kind");
  T spec;
  read_value(source, root, spec);
  if (source.failed()) { return std::unexpected(std::move(source).error()); }
  if (kind.data() != nullptr && (kind == "service") != service) {
    if (kind != "job" && kind != "train" && kind != "service") { return unknown_kind(kind, {}); }
    return fail(ErrorKind::invalid, fmt::format("kind: wants a {}, found a {}", service ? "service" : "job", kind));
  }
  TRY(validate(spec));
  return spec;
}

template <class T>
std::string json_of(const T& spec) {
  std::string out;
  write_spec_json(out, spec);
  return out;
}

}  // namespace

Result<std::vector<Spec>> read_specs(std::string_view yaml, std::string_view file) {
  TRY_ASSIGN(const YamlFile parsed, YamlFile::parse(yaml, file));
  std::vector<Spec> specs;
  for (std::size_t document = 0; document < parsed.documents(); ++document) {
    TRY_ASSIGN(Spec spec, read_document_of_any_kind(parsed, document));
    specs.push_back(std::move(spec));
  }
  if (specs.empty()) {
    return fail(ErrorKind::invalid, "holds no job and no service", std::string(file), "`centrale schema` says what one looks like");
  }
  return specs;
}

Result<JobSpec> job_from_json(std::string_view json) { return from_json<JobSpec>(json, false); }
Result<ServiceSpec> service_from_json(std::string_view json) { return from_json<ServiceSpec>(json, true); }
std::string to_json(const JobSpec& spec) { return json_of(spec); }
std::string to_json(const ServiceSpec& spec) { return json_of(spec); }

}  // namespace centrale
