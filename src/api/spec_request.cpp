// SPDX-License-Identifier: Apache-2.0
#include "api/spec_request.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <filesystem>

#include "base/ensure.hpp"
#include "base/text.hpp"

namespace centrale::api {
namespace {

/// One of the two definitions that the schema of spec files has.
std::string definition(std::string_view name) {
  simdjson::dom::parser parser;
  const simdjson::padded_string text(spec_schema());
  simdjson::dom::element found;
  const auto error = parser.parse(text)["$defs"][name].get(found);
  ensure(error == simdjson::SUCCESS);
  return simdjson::minify(found);
}

template <bool kIsJob>
std::string spec_reference(Components& components) {
  const char* name = kIsJob ? "JobSpec" : "ServiceSpec";
  if (!components.has(name)) { components.schemas.emplace_back(name, definition(kIsJob ? "job" : "service")); }
  return fmt::format(R"({{"$ref":"#/components/schemas/{}"}})", name);
}

Result<void> resolve(const char* key, std::string& path, std::string_view base) {
  if (path.empty() || path.front() == '/') { return {}; }
  if (base.empty()) {
    return fail(ErrorKind::invalid, fmt::format("'{}' is a relative path", to_utf8(path.substr(0, 200))), key,
                "send an absolute one, or with YAML the header X-Base-Dir");
  }
  path = (std::filesystem::path(base) / path).lexically_normal().string();
  return {};
}

Result<void> check_base(std::string_view base) {
  constexpr std::size_t kPathMax = 4096;
  if (base.size() > kPathMax || (!base.empty() && base.front() != '/')) {
    return fail(ErrorKind::invalid, fmt::format("'{}' is not an absolute path", to_utf8(base.substr(0, 200))), "X-Base-Dir");
  }
  return {};
}

}  // namespace

Content job_spec_content() { return {"application/json", spec_reference<true>}; }
Content service_spec_content() { return {"application/json", spec_reference<false>}; }

Result<void> resolve_paths(JobSpec& spec, std::string_view base) {
  TRY(check_base(base));
  if (spec.workdir.empty()) { spec.workdir = base; }
  TRY(resolve("workdir", spec.workdir, base));
  return resolve("checkpoints", spec.checkpoints, base);
}

Result<void> resolve_paths(ServiceSpec& spec, std::string_view base) {
  TRY(check_base(base));
  if (spec.workdir.empty()) { spec.workdir = base; }
  TRY(resolve("workdir", spec.workdir, base));
  // job:NAME, pip:PACKAGE and plain names are no paths.
  const bool has_scheme = spec.model.starts_with("job:") || spec.model.starts_with("pip:");
  const bool is_path = !has_scheme && (spec.model.find('/') != std::string::npos || spec.model.ends_with(".gguf"));
  return is_path ? resolve("model", spec.model, base) : Result<void>{};
}

}  // namespace centrale::api
