// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>

#include "cli/commands.hpp"
#include "cli/find.hpp"
#include "cli/render.hpp"

namespace centrale::cli {
namespace {

Outcome<int> list(Context& context) {
  TRY_ASSIGN(const std::string body, ask(context, "GET", "/api/v1/services"));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const std::vector<ServiceView> services = read_services(body);
  if (services.empty()) {
    note(context, "no service runs; start one: centrale serve FILE");
    return kExitOk;
  }
  const Paper paper{context.width, context.style, context.now(), {}};
  print(context, on_paper(services_table(services, paper), paper));
  const bool has_replicas = std::ranges::any_of(services, [](const ServiceView& s) { return !s.replicas.empty(); });
  if (has_replicas) { print(context, "\n" + on_paper(replicas_table(services, paper), paper)); }
  return kExitOk;
}

Outcome<int> scale_to(Context& context, const std::string& name, std::int64_t replicas) {
  TRY_ASSIGN(const ServiceView found, find_service(context, name));
  TRY_ASSIGN(const std::string body,
             ask(context, "POST", path_of("services", found.id, "/scale"), fmt::format(R"({{"replicas":{}}})", replicas)));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const ServiceView service = read_service(body);
  print(context,
        fmt::format("{} ({}): {} of {} replicas ready", service.id, printable(service.name),
                    shown(service.replicas_ready, count_text, context.style), shown(service.replicas_wanted, count_text, context.style)));
  return kExitOk;
}

}  // namespace

int services(Context& context) { return finish(context, list(context)); }
int scale(Context& context, const std::string& name, std::int64_t replicas) { return finish(context, scale_to(context, name, replicas)); }

}  // namespace centrale::cli
