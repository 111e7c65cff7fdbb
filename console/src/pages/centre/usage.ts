// SPDX-License-Identifier: Apache-2.0
// What each tenant used: the ledger's sums, and how they grew since the page was opened.
import { kUsageMeasures, measure, tokensServed, type State, type UsageMeasure } from "../../api/store";
import type { UsageLine } from "../../api/types";
import { chart, type Line } from "../../base/chart";
import { attribute, h, keyedList, show, text } from "../../base/dom";
import * as format from "../../base/format";
import { emptyState } from "../../shell/empty";
import { segmented } from "../../shell/segmented";
import { strings } from "../../strings";

const say = strings.usage;
const kPlainColumns = ["tenant", "device", "energy", "trained", "served"] as const;
const kLinesMax = 6; // more curves than this are a tangle; the rest is one
const kScale: Record<UsageMeasure, number> = { cost: 1, device: 1 / 3600, energy: 1 / 3.6e6, tokens: 1 };

export interface UsagePanel {
  root: HTMLElement;
  draw(state: State): void;
}

export function usagePanel(redraw: () => void): UsagePanel {
  let which: UsageMeasure = "cost";
  const measures = segmented<UsageMeasure>(say.show, "usage-measure", kUsageMeasures.map((each) => [each, say.measures[each]] as const), which, (next) => {
    which = next;
    redraw();
  });
  const plot = chart(
    {
      time: true,
      xText: (x) => format.moment(new Date(x * 1000).toISOString(), new Date()),
      yText: (y) => (y === 0 ? "0" : format.short(Math.abs(y) < 100 ? Number(y.toPrecision(3)) : y)),
    },
    140,
  );
  const since = h("p", { class: "muted chart-title" });
  const columns = say.columns;
  const longNames: Partial<Record<keyof typeof columns, string>> = { trained: say.trainedLong, served: say.servedLong };
  const body = h("tbody", {});
  const total = makeLine();
  const costHead = h("th", { scope: "col", class: "numeric" });
  const table = h(
    "table",
    { class: "usage" },
    h("caption", { class: "visually-hidden" }, say.caption),
    h("thead", {}, h("tr", {}, ...kPlainColumns.map((name) =>
      h("th", { scope: "col", class: name === "tenant" ? "" : "numeric", title: longNames[name] ?? null }, columns[name])), costHead)),
    body,
    h("tfoot", {}, total.root),
  );
  const empty = emptyState(say.emptyTitle, say.empty, null);
  const content = h("div", {}, h("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": say.caption }, table), since, plot.root);
  const root = h(
    "section",
    { class: "panel", id: "usage", "aria-labelledby": "usage-title" },
    h("div", { class: "panel-head" }, h("h2", { id: "usage-title", tabindex: -1 }, say.title), measures.root),
    empty, content,
  );

  let colourOf = new Map<string, string>();

  function makeLine(): { root: HTMLElement; update(line: UsageLine): void } {
    const swatch = h("span", { class: "swatch" });
    const name = h("span", {});
    const cell = (): HTMLElement => h("td", { class: "numeric" });
    const [device, energy, trained, served, cost] = [cell(), cell(), cell(), cell(), cell()];
    return {
      root: h("tr", {}, h("th", { scope: "row" }, swatch, name), device, energy, trained, served, cost),
      update(line): void {
        text(name, line.name);
        const colour = colourOf.get(line.id);
        show(swatch, colour !== undefined);
        attribute(swatch, "data-colour", colour);
        text(device, format.deviceTime(line.device_s));
        attribute(device, "title", say.deviceSeconds(format.count(line.device_s)));
        text(energy, `${line.energy_estimated ? `${say.estimatedMark} ` : ""}${format.energy(line.energy_j)}`);
        attribute(energy, "title", line.energy_estimated ? say.estimated : null);
        text(trained, format.short(line.tokens_trained));
        text(served, format.short(tokensServed(line)));
        attribute(trained, "title", format.count(line.tokens_trained));
        attribute(served, "title", format.count(tokensServed(line)));
        text(cost, format.money(line.cost, null));
      },
    };
  }

  const drawLines = keyedList<UsageLine>(body, (line) => line.id, makeLine);

  return {
    root,
    draw(state): void {
      const usage = state.usage;
      const used = usage !== null && usage.tenants.some((line) => line.device_s > 0 || tokensServed(line) > 0 || line.requests > 0);
      show(empty, !used);
      show(content, used);
      show(measures.root, used);
      if (!usage || !used) return;
      text(costHead, columns.cost(usage.currency));
      const tenants = [...usage.tenants].sort((a, b) => measure(b, "cost") - measure(a, "cost") || a.name.localeCompare(b.name));
      // A tenant's colour follows from its id, not from its rank: it must not change while somebody looks.
      const charted = tenants.slice(0, kLinesMax);
      colourOf = new Map([...charted].sort((a, b) => format.idNumber(a.id) - format.idNumber(b.id)).map((line, i) => [line.id, `series-${i + 1}`]));
      drawLines(tenants);
      show(total.root, tenants.length > 1);
      total.update(sum(tenants));

      const first = state.samples[0];
      if (!first) return;
      const opened = format.moment(new Date(first.at_ms).toISOString(), new Date());
      text(since, state.samples.length < 2 ? say.waiting : `${say.measures[which]} (${which === "cost" ? usage.currency : say.units[which]}). ${say.session(opened)}`);
      show(plot.root, state.samples.length >= 2);
      if (state.samples.length < 2) return;
      const growth = (lines: Map<string, UsageLine>, ids: readonly string[]): number =>
        ids.reduce((all, id) => all + measure(lines.get(id), which) - measure(first.tenants.get(id), which), 0) * kScale[which];
      const curves: { line: Line; ids: string[] }[] = charted.map((line) => ({
        line: { label: line.name, colour: `--${colourOf.get(line.id) ?? "series-8"}` }, ids: [line.id],
      }));
      const others = tenants.slice(kLinesMax).map((line) => line.id);
      if (others.length > 0) curves.push({ line: { label: say.others, colour: "--series-8" }, ids: others });
      plot.draw(
        curves.map((curve) => curve.line),
        [state.samples.map((sample) => sample.at_ms / 1000), ...curves.map((curve) => state.samples.map((sample) => growth(sample.tenants, curve.ids)))],
      );
      attribute(plot.root, "aria-label", say.chartLabel(say.measures[which]));
    },
  };
}

function sum(lines: readonly UsageLine[]): UsageLine {
  const all: UsageLine = {
    id: "", name: say.total, device_s: 0, energy_j: 0, energy_estimated: false, tokens_trained: 0, requests: 0, prompt_tokens: 0,
    completion_tokens: 0, estimated_tokens: 0, cost: 0,
  };
  let cost = 0;
  for (const line of lines) {
    all.device_s += line.device_s;
    all.energy_j = (all.energy_j ?? 0) + (line.energy_j ?? 0);
    all.energy_estimated ||= line.energy_estimated;
    all.tokens_trained += line.tokens_trained;
    all.prompt_tokens += line.prompt_tokens;
    all.completion_tokens += line.completion_tokens;
    cost += format.number(line.cost) ?? 0;
  }
  all.cost = cost;
  return all;
}
