// SPDX-License-Identifier: Apache-2.0
// What the operator of a centre asks and sets: nodes, usage, tenants, keys.
#include <fmt/core.h>

#include <algorithm>

#include "cli/commands.hpp"
#include "cli/render.hpp"
#include "http/answer.hpp"

namespace centrale::cli {
namespace {

constexpr std::size_t kChipsListed = 64;  // of more, only with --chips

Outcome<std::string> currency_of(Context& context) {
  TRY_ASSIGN(const std::string body, ask(context, "GET", "/api/v1/centre"));
  return read_centre(body).currency;
}

Outcome<int> list_nodes(Context& context, bool every_chip) {
  TRY_ASSIGN(const std::string body, ask(context, "GET", "/api/v1/nodes"));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const std::vector<NodeView> nodes = read_nodes(body);
  if (nodes.empty()) {
    note(context, "the centre has no node yet; it finds its own machine a moment after it starts");
    return kExitOk;
  }
  const auto currency = currency_of(context);
  const Paper paper{context.width, context.style, context.now(), currency.value_or("")};
  print(context, on_paper(nodes_table(nodes, paper), paper));
  std::size_t chips = 0;
  for (const NodeView& node : nodes) { chips += node.chips.size(); }
  if (chips > 0 && (every_chip || chips <= kChipsListed)) {
    print(context, "\n" + on_paper(chips_table(nodes, paper), paper));
  } else if (chips > 0) {
    context.out.flush();
    note(context, "each chip: centrale nodes --chips");
  }
  return kExitOk;
}

Outcome<int> change_node(Context& context, const std::string& node, std::string_view verb) {
  TRY_ASSIGN(const std::string body, ask(context, "POST", path_of("nodes", node, "/" + std::string(verb))));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const NodeView changed = read_node(body);
  const auto held = std::ranges::count_if(changed.chips, [](const ChipView& chip) { return chip.holder.has_value(); });
  print(context,
        fmt::format("{} ({}) is {}{}", changed.id, printable(changed.name), changed.state,
                    changed.state == "drained" && held > 0 ? fmt::format("; what runs on {} of its chips goes on to its end", held) : ""));
  return kExitOk;
}

Outcome<int> show_usage(Context& context, const std::string& by) {
  TRY_ASSIGN(const std::string body, ask(context, "GET", "/api/v1/usage"));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const UsagePage page = read_usage(body);
  const Paper paper{context.width, context.style, context.now(), page.currency};
  const std::vector<UsageView>& lines = by == "job" ? page.jobs : by == "service" ? page.services : page.tenants;
  if (lines.empty()) {
    note(context, fmt::format("nothing used yet by any {}", by));
    return kExitOk;
  }
  print(context, on_paper(usage_table(lines, by == "job" ? "JOB" : by == "service" ? "SERVICE" : "TENANT", paper), paper));
  const bool estimated = std::ranges::any_of(lines, [](const UsageView& line) { return line.energy_estimated; });
  if (estimated && context.out_is_terminal) {
    context.out.flush();
    note(context, "~ estimated from the chips' rated power: this machine does not measure it");
  }
  return kExitOk;
}

Outcome<int> list_tenants(Context& context) {
  TRY_ASSIGN(const std::string body, ask(context, "GET", "/api/v1/tenants"));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const auto currency = currency_of(context);
  const Paper paper{context.width, context.style, context.now(), currency.value_or("")};
  print(context, on_paper(tenants_table(read_tenants(body), paper), paper));
  return kExitOk;
}

Outcome<int> put_tenant(Context& context, const TenantOptions& options) {
  std::int64_t chips = options.chips_max.value_or(0);
  std::int64_t tokens = options.tokens_per_day_max.value_or(0);
  if (!options.chips_max || !options.tokens_per_day_max) {
    // PUT says the whole: what is not given here stays as it is.
    TRY_ASSIGN(const std::string body, ask(context, "GET", "/api/v1/tenants"));
    for (const TenantView& tenant : read_tenants(body)) {
      if (tenant.name == options.name || tenant.id == options.name) {
        chips = options.chips_max.value_or(static_cast<std::int64_t>(tenant.chips_max.value_or(0)));
        tokens = options.tokens_per_day_max.value_or(static_cast<std::int64_t>(tenant.tokens_per_day_max.value_or(0)));
      }
    }
  }
  TRY_ASSIGN(const std::string body,
             ask(context, "PUT", "/api/v1/tenants",
                 fmt::format(R"({{"name":{},"chips_max":{},"tokens_per_day_max":{}}})", http::json_string(options.name), chips, tokens)));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const Paper paper{context.width, context.style, context.now(), {}};
  print(context, on_paper(tenants_table({read_tenant(body)}, paper), paper));
  return kExitOk;
}

Outcome<int> list_keys(Context& context, bool revoked_too) {
  TRY_ASSIGN(const std::string body, ask(context, "GET", "/api/v1/keys"));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  std::vector<KeyView> keys = read_keys(body);
  if (!revoked_too) {
    std::erase_if(keys, [](const KeyView& key) { return key.revoked; });
  }
  if (keys.empty()) {
    note(context, "no key: who calls from this machine is the administrator; add one: centrale keys add --role admin");
    return kExitOk;
  }
  const Paper paper{context.width, context.style, context.now(), {}};
  print(context, on_paper(keys_table(keys, paper), paper));
  return kExitOk;
}

Outcome<int> make_key(Context& context, const std::string& tenant, const std::string& label, const std::string& role) {
  TRY_ASSIGN(const std::string body, ask(context, "POST", "/api/v1/keys",
                                         fmt::format(R"({{"tenant":{},"label":{},"role":{}}})", http::json_string(tenant),
                                                     http::json_string(label), http::json_string(role))));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const KeyView key = read_key(body);
  print(context, key.key);
  context.out.flush();
  note(context,
       fmt::format("{} of {} as {}; the key is shown this once. Use it: export CENTRALE_KEY=…", key.id, printable(key.tenant), key.role));
  return kExitOk;
}

Outcome<int> end_key(Context& context, const std::string& id) {
  TRY_ASSIGN(const std::string body, ask(context, "DELETE", path_of("keys", id)));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  print(context, fmt::format("{} is revoked", read_key(body).id));
  return kExitOk;
}

}  // namespace

int nodes(Context& context, bool every_chip) { return finish(context, list_nodes(context, every_chip)); }
int drain_node(Context& context, const std::string& node) { return finish(context, change_node(context, node, "drain")); }
int resume_node(Context& context, const std::string& node) { return finish(context, change_node(context, node, "resume")); }
int usage(Context& context, const std::string& by) { return finish(context, show_usage(context, by)); }
int tenants(Context& context) { return finish(context, list_tenants(context)); }
int set_tenant(Context& context, const TenantOptions& options) { return finish(context, put_tenant(context, options)); }
int keys(Context& context, bool revoked_too) { return finish(context, list_keys(context, revoked_too)); }
int add_key(Context& context, const std::string& tenant, const std::string& label, const std::string& role) {
  return finish(context, make_key(context, tenant, label, role));
}
int revoke_key(Context& context, const std::string& id) { return finish(context, end_key(context, id)); }

}  // namespace centrale::cli
