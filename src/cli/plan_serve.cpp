// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/text.hpp"
#include "cli/plan.hpp"
#include "cli/plan_inputs.hpp"
#include "cli/plan_render.hpp"
#include "cli/plan_serve_render.hpp"
#include "plan/serve.hpp"

namespace centrale::cli {
namespace {

Failure wrong(std::string what, std::string remedy) {
  return {Error{ErrorKind::invalid, std::move(what), {}, std::move(remedy)}, kExitUsage};
}

/// "bf16,fp8" as the formats are called; the planner knows which are which.
Outcome<std::vector<std::string>> formats_of(std::string_view text) {
  std::vector<std::string> all;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view name = text.substr(0, comma);
    if (weight_format_like(name) == nullptr) {
      std::string known;
      for (const WeightFormat& f : weight_formats()) { known += (known.empty() ? "" : ", ") + std::string(f.name); }
      return std::unexpected(wrong(fmt::format("--weights '{}' is not understood", shorten(name, 40)), "such as: " + known));
    }
    all.emplace_back(name);
    text.remove_prefix(std::min(text.size(), comma + 1));
  }
  return all;
}

Outcome<ServeRequest> request_of(const PlanServeOptions& o, const std::vector<Engine>& engines) {
  ServeRequest r;
  TRY_ASSIGN(r.input, quantity_of("--input", o.input));
  TRY_ASSIGN(r.output, quantity_of("--output", o.output));
  if (!o.ttft.empty()) { TRY_ASSIGN(r.ttft.value, seconds_of("--ttft", o.ttft)); }
  if (!o.itl.empty()) { TRY_ASSIGN(r.itl.value, seconds_of("--itl", o.itl)); }
  if (!o.rate.empty()) { TRY_ASSIGN(r.rate, rate_of("--rate", o.rate)); }
  TRY_ASSIGN(r.formats, formats_of(o.weights));
  r.engine = o.engine;
  r.spread = o.spread;
  r.reuse = o.reuse;
  r.memory_margin = o.margin;
  r.speculation = {.draft = o.draft, .acceptance = o.acceptance};
  r.replica_chips_max = o.replica_chips_max;
  r.disaggregated = !o.together;
  r.plans = o.top;
  if (!o.engine.empty()) {
    if (auto engine = engine_named(o.engine, engines); !engine) { return std::unexpected(Failure(std::move(engine).error(), kExitInput)); }
  }
  TRY_ASSIGN(const Catalogue catalogue, catalogue_of(o.known));
  TRY_ASSIGN(r.model, model_of(o.model));
  TRY_ASSIGN(r.fleet, fleet_from(o.fleet, catalogue));
  return r;
}

}  // namespace

int plan_serve_command(Context& context, const PlanServeOptions& options) {
  const auto engines = engines_of(options.known);
  if (!engines) { return report(context, engines.error()); }
  const auto request = request_of(options, *engines);
  if (!request) { return report(context, request.error()); }
  const auto start = std::chrono::steady_clock::now();
  auto plans = plan_serve(*request, *engines);
  if (!plans) { return report(context, Failure(std::move(plans).error(), kExitInput)); }
  const ServePage page{*request,      *plans,
                       *engines,      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
                       context.width, context.style};
  if (context.json) {
    print(context, serve_json(page, options.explain));
    return kExitOk;
  }
  print(context, serve_text(page));
  if (options.explain && !plans->plans.empty()) {
    std::vector<ExplainedTerm> terms;
    for (ServeTerm& term : explain(plans->plans.front(), *request, *engines)) {
      terms.push_back({std::move(term.name), std::move(term.value), std::move(term.source)});
    }
    print(context,
          "\n" + paint("Where it comes from", Tone::bold, context.style) + "\n" + explanation(terms, context.width, context.style));
  }
  return kExitOk;
}

}  // namespace centrale::cli
