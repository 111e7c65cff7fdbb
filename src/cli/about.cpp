// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include "cli/commands.hpp"
#include "spec/spec.hpp"

namespace centrale::cli {

int version(Context& context) {
  print(context, context.json ? R"({"version":")" CENTRALE_VERSION R"("})" : "centrale " CENTRALE_VERSION);
  return kExitOk;
}

int openapi(Context& context) {
  const Outcome<std::string> document = ask(context, "GET", "/api/v1/openapi.json");
  if (document) { print(context, *document); }
  return finish(context, document);
}

int schema(Context& context) {
  print(context, spec_schema());
  return kExitOk;
}

}  // namespace centrale::cli
