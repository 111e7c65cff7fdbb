// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_serve_render.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "base/json.hpp"
#include "base/text.hpp"
#include "cli/plan_render.hpp"

namespace centrale::cli {
namespace {

std::string place_of(const ServeRequest& request, std::size_t island) {
  return request.fleet.islands.size() > 1 ? printable(request.fleet.islands[island].name) + ": " : std::string{};
}

std::string times(std::int64_t replicas, const ServeLayout& layout) {
  return fmt::format("{} x {}", format_count(replicas), to_text(layout));
}

std::string layout_of(const ServeRequest& request, const ServePlan& plan) {
  const std::string place = place_of(request, plan.island);
  if (!plan.disaggregated) { return place + times(plan.decode.replicas, plan.decode.layout); }
  return place + times(plan.prefill.replicas, plan.prefill.layout) + " prefill, " + times(plan.decode.replicas, plan.decode.layout) +
         " decode";
}

Table plans_table(const ServePage& page, const std::vector<ServePlan>& plans) {
  Table table{{{"#", Align::right},
               {"REPLICAS AND LAYOUT", Align::left, 24},
               {"CHIPS", Align::right},
               {"TTFT P95", Align::right},
               {"ITL P95", Align::right},
               {"REQ/S", Align::right},
               {"TOK/S/CHIP", Align::right},
               {"TOK/S/USER", Align::right},
               {"KW", Align::right},
               {page.request.fleet.currency + "/H", Align::right},
               {page.request.fleet.currency + "/M TOK", Align::right}},
              {}};
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const ServePlan& p = plans[i];
    const Tone tone = i == 0 ? Tone::bold : Tone::plain;
    const auto price = [&](double amount) { return Cell{amount > 0 ? three_digits(amount) : unknown(page.style), tone}; };
    table.rows.push_back({{std::to_string(i + 1), tone},
                          {layout_of(page.request, p), tone},
                          {format_count(p.chips), tone},
                          {time_text(p.ttft.p95.value), tone},
                          {time_text(p.itl.p95.value), tone},
                          {three_digits(p.rate), tone},
                          {short_count(p.tokens_per_chip), tone},
                          {short_count(p.tokens_per_user), tone},
                          {three_digits(p.kilowatts), tone},
                          price(p.cost_per_hour),
                          price(p.cost_per_million)});
  }
  return table;
}

using Parts = std::array<std::pair<const char*, Seconds IterationTime::*>, 8>;
constexpr Parts kIteration{{{"WEIGHTS", &IterationTime::weights},
                            {"EXPERTS", &IterationTime::experts},
                            {"ATTENTION", &IterationTime::attention},
                            {"CACHE", &IterationTime::cache},
                            {"ELEMENT-WISE", &IterationTime::elementwise},
                            {"LAUNCHES", &IterationTime::kernels},
                            {"COLLECTIVES", &IterationTime::collectives},
                            {"ENGINE", &IterationTime::engine}}};

Table time_table(const ServePage& page) {
  Table table{{{"#", Align::right}, {"AT ONCE", Align::right}}, {}};
  for (const auto& [name, part] : kIteration) { table.columns.push_back({name, Align::right}); }
  table.columns.push_back({"ITERATION", Align::right});
  for (std::size_t i = 0; i < page.plans.plans.size(); ++i) {
    const ServePlan& p = page.plans.plans[i];
    std::vector<Cell> row{{std::to_string(i + 1)}, {three_digits(p.concurrency)}};
    for (const auto& [name, part] : kIteration) {
      const double seconds = (p.iteration.*part).value;
      row.push_back({seconds > 0 ? time_text(seconds) : unknown(page.style)});
    }
    row.push_back({time_text(p.iteration.total().value)});
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table memory_table(const ServePage& page) {
  Table table{{{"#", Align::right},
               {"POOL"},
               {"WEIGHTS", Align::right},
               {"WORK", Align::right},
               {"RESERVED", Align::right},
               {"CACHE", Align::right},
               {"OF", Align::right},
               {"CACHE OF A TOKEN", Align::right}},
              {}};
  for (std::size_t i = 0; i < page.plans.plans.size(); ++i) {
    const ServePlan& p = page.plans.plans[i];
    const auto pool = [&](const ServePool& one, const std::string& name) {
      const ServeMemory& m = one.memory;
      table.rows.push_back(
          {{std::to_string(i + 1)},
           {name},
           {memory_text(m.weights.value)},
           {memory_text(m.activations.value)},
           {memory_text(m.reserved.value)},
           {memory_text(m.free.value)},
           {memory_text(m.capacity.value), Tone::dim},
           {m.cache_per_token.value > 0 ? fmt::format("{:.1f} KiB", m.cache_per_token.value / 1024) : unknown(page.style)}});
    };
    if (p.disaggregated) { pool(p.prefill, "prefill"); }
    pool(p.decode, p.disaggregated ? "decode" : unknown(page.style));
  }
  return table;
}

/// At most so many points of the front, evenly along it.
Table front_table(const ServePage& page) {
  constexpr std::size_t kPointsMax = 10;
  Table table{{{"TOK/S/USER", Align::right}, {"TOK/S/CHIP", Align::right}, {"AT ONCE", Align::right}, {"LAYOUT", Align::left, 16}}, {}};
  const std::vector<ServePoint>& front = page.plans.front;
  const std::size_t shown = std::min(kPointsMax, front.size());
  for (std::size_t i = 0; i < shown; ++i) {
    const ServePoint& p = front[shown == 1 ? 0 : i * (front.size() - 1) / (shown - 1)];
    table.rows.push_back({{short_count(p.tokens_per_user)},
                          {short_count(p.tokens_per_chip)},
                          {three_digits(p.concurrency)},
                          {place_of(page.request, p.island) + to_text(p.layout)}});
  }
  return table;
}

std::string heading(const ServePage& page) {
  const ServeRequest& r = page.request;
  std::string asked = fmt::format("{} tokens in, {} out", format_count(std::llround(r.input)), format_count(std::llround(r.output)));
  if (r.rate > 0) { asked += fmt::format(", {} requests a second", short_count(r.rate)); }
  if (r.ttft.value > 0) { asked += ", first token within " + time_text(r.ttft.value); }
  if (r.itl.value > 0) { asked += ", each next within " + time_text(r.itl.value); }
  return fmt::format("{} ({} parameters): {}\n{}\n\n", printable(r.model.name), parameters_text(static_cast<double>(parameters(r.model))),
                     asked, printable(chips_text(r.fleet)));
}

void write_layout(JsonWriter& out, const ServeLayout& l) {
  out.begin_object();
  out.key("tp").number(l.tp);
  out.key("dp").number(l.dp);
  out.key("ep").number(l.ep);
  out.key("pp").number(l.pp);
  out.key("weights").text(l.weights != nullptr ? l.weights->name : "bf16");
  out.key("cache_bytes").number(l.cache_bytes);
  out.end_object();
}

void write_pool(JsonWriter& out, const ServePool& pool) {
  out.begin_object();
  out.key("layout").text(to_text(pool.layout));
  out.key("degrees");
  write_layout(out, pool.layout);
  out.key("replicas").number(pool.replicas);
  out.key("chips").number(pool.chips());
  out.key("chunk_tokens").number(pool.chunk);
  out.key("requests_per_s_of_a_replica").number(pool.most);
  out.key("memory_bytes").begin_object();
  const ServeMemory& m = pool.memory;
  out.key("weights").number(m.weights.value);
  out.key("work").number(m.activations.value);
  out.key("reserved").number(m.reserved.value);
  out.key("cache").number(m.free.value);
  out.key("of").number(m.capacity.value);
  out.key("cache_of_a_token").number(m.cache_per_token.value);
  out.end_object();
  out.end_object();
}

void write_plan(JsonWriter& out, const ServePlan& p, const ServeRequest& request) {
  out.begin_object();
  out.key("island").text(request.fleet.islands[p.island].name);
  out.key("engine").text(p.engine);
  out.key("disaggregated").boolean(p.disaggregated);
  if (p.disaggregated) {
    out.key("prefill");
    write_pool(out, p.prefill);
  }
  out.key("decode");
  write_pool(out, p.decode);
  out.key("chips").number(p.chips);
  const auto quantiles = [&](const char* name, const Quantiles& q) {
    out.key(name).begin_object();
    out.key("mean").number(q.mean.value);
    out.key("p50").number(q.p50.value);
    out.key("p95").number(q.p95.value);
    out.key("p99").number(q.p99.value);
    out.end_object();
  };
  quantiles("ttft_s", p.ttft);
  quantiles("itl_s", p.itl);
  out.key("requests_per_s").number(p.rate);
  out.key("concurrency").number(p.concurrency);
  out.key("tokens_per_s_per_chip").number(p.tokens_per_chip);
  out.key("tokens_per_s_per_user").number(p.tokens_per_user);
  out.key("kilowatts").number(p.kilowatts);
  out.key("cost_per_hour").number(p.cost_per_hour);
  out.key("cost_per_million_tokens").number(p.cost_per_million);
  out.key("iteration_s").begin_object();
  for (const auto& [name, part] : kIteration) {
    std::string low(name);
    for (char& c : low) { c = c == '-' ? '_' : static_cast<char>(c - 'A' + 'a'); }
    out.key(low).number((p.iteration.*part).value);
  }
  out.key("total").number(p.iteration.total().value);
  out.end_object();
  out.key("bound_by").text(p.bound);
  out.end_object();
}

}  // namespace

std::string serve_text(const ServePage& page) {
  const ServePlans& all = page.plans;
  const auto title = [&](std::string_view text) { return "\n" + paint(text, Tone::bold, page.style) + "\n"; };
  const auto line = [&](std::string_view name, std::string_view said) { return remark(name, said, page.width, page.style); };
  std::string text = heading(page);
  if (!all.plans.empty()) {
    text += render(plans_table(page, all.plans), page.width, page.style) + title("Time of an iteration of decoding") +
            render(time_table(page), page.width, page.style) + title("Memory of the fullest chip") +
            render(memory_table(page), page.width, page.style);
  }
  if (!all.together.empty()) {
    text += title("No island carries the rate alone; together these do") + render(plans_table(page, all.together), page.width, page.style);
  }
  if (!all.front.empty()) {
    text +=
        title("Speed of one user against tokens of a chip, the best of all layouts") + render(front_table(page), page.width, page.style);
  }
  text += "\n";
  if (!all.plans.empty()) {
    text += line("bound by", all.plans.front().bound);
    text += line("engine", all.plans.front().engine);
  }
  text += line("searched", fmt::format("{} layouts, {} with room, {} that keep the level, in {}", format_count(all.considered),
                                       format_count(all.fit), format_count(all.hold), time_text(page.seconds)));
  return text;
}

std::string serve_json(const ServePage& page, bool explained) {
  const ServeRequest& r = page.request;
  std::string text;
  JsonWriter out(text);
  out.begin_object();
  out.key("model").text(r.model.name);
  out.key("parameters").number(parameters(r.model));
  out.key("fleet").text(r.fleet.name);
  out.key("input_tokens").number(r.input);
  out.key("output_tokens").number(r.output);
  out.key("requests_per_s").number(r.rate);
  out.key("ttft_limit_s").number(r.ttft.value);
  out.key("itl_limit_s").number(r.itl.value);
  out.key("currency").text(r.fleet.currency);
  out.key("search").begin_object();
  out.key("seconds").number(page.seconds);
  out.key("considered").number(page.plans.considered);
  out.key("fit").number(page.plans.fit);
  out.key("hold").number(page.plans.hold);
  out.end_object();
  for (const auto& [name, list] : {std::pair("plans", &page.plans.plans), std::pair("together", &page.plans.together)}) {
    out.key(name).begin_array();
    for (const ServePlan& plan : *list) { write_plan(out, plan, r); }
    out.end_array();
  }
  out.key("front").begin_array();
  for (const ServePoint& p : page.plans.front) {
    out.begin_object();
    out.key("island").text(r.fleet.islands[p.island].name);
    out.key("layout").text(to_text(p.layout));
    out.key("concurrency").number(p.concurrency);
    out.key("tokens_per_s_per_user").number(p.tokens_per_user);
    out.key("tokens_per_s_per_chip").number(p.tokens_per_chip);
    out.end_object();
  }
  out.end_array();
  if (explained && !page.plans.plans.empty()) {
    out.key("explanation").begin_array();
    for (const ServeTerm& term : explain(page.plans.plans.front(), r, page.engines)) {
      out.begin_object();
      out.key("name").text(term.name);
      out.key("value").text(term.value);
      out.key("source").text(term.source);
      out.end_object();
    }
    out.end_array();
  }
  out.end_object();
  return text;
}

}  // namespace centrale::cli
