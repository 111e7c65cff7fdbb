// SPDX-License-Identifier: Apache-2.0
// The services: how many replicas answer, what they served, and a box to try each.
import { serviceUsage, tokenRate, tokensServed, type State } from "../../api/store";
import type { Replica, Service } from "../../api/types";
import { attribute, h, keyedList, show, text, type Row } from "../../base/dom";
import * as format from "../../base/format";
import { badge } from "../../shell/badge";
import { emptyState } from "../../shell/empty";
import { strings } from "../../strings";
import { tryIt, type TryIt } from "./try_it";

const say = strings.services;
const kRateWindowMs = 10_000;

export interface ServicesPanel {
  root: HTMLElement;
  draw(state: State, selected: string | null): void;
  reveal(id: string): void;
}

export function servicesPanel(): ServicesPanel {
  const list = h("ul", { class: "services" });
  const empty = emptyState(say.emptyTitle, say.empty, say.emptyCommand);
  const count = h("span", { class: "numeric muted" });
  const root = h(
    "section",
    { class: "panel", id: "services", "aria-labelledby": "services-title" },
    h("div", { class: "panel-head" }, h("h2", { id: "services-title", tabindex: -1 }, say.title), count),
    empty, list,
  );
  let known: State | null = null;
  let selected: string | null = null;

  function figure(name: string): { root: HTMLElement; value: HTMLElement } {
    const value = h("dd", { class: "numeric" });
    return { root: h("div", {}, h("dt", {}, name), value), value };
  }

  function makeService(service: Service): Row<Service> {
    const name = h("h3", {});
    const model = h("span", { class: "muted model" });
    const state = badge();
    const figures = {
      ready: figure(say.replicas), tokens: figure(say.tokens), rate: figure(say.rate), requests: figure(say.requests), tenant: figure(say.tenant),
    };
    const replicas = h("ul", { class: "replicas" });
    const drawReplicas = keyedList<Replica>(replicas, (each) => String(each.ordinal), () => {
      const mark = h("span", { class: "pip" });
      const note = h("span", {});
      return {
        root: h("li", {}, mark, note),
        update(each): void {
          attribute(mark, "data-ready", each.ready);
          const place = each.node === null ? "" : (known?.nodes.get(each.node)?.name ?? each.node);
          const parts = [say.replica(each.ordinal), each.ready ? say.replicaReady : (each.state ?? say.replicaNotReady), place];
          if (each.failures > 0) parts.push(say.failuresOf(each.failures));
          if (each.message) parts.push(each.message);
          text(note, parts.filter((part) => part !== "").join(" · "));
        },
      };
    });
    let box: TryIt | null = null;
    const holder = h("div", { class: "try-holder", hidden: true, id: `try-${service.id}` });
    const open = h(
      "button",
      {
        type: "button", "aria-expanded": "false", "aria-controls": `try-${service.id}`,
        on: {
          click: () => {
            const opens = holder.hidden;
            if (opens && !box) {
              box = tryIt(service.name, service.id);
              holder.append(box.root);
            }
            if (!opens) box?.stop();
            show(holder, opens);
            attribute(open, "aria-expanded", String(opens));
            if (opens) holder.querySelector("textarea")?.focus();
          },
        },
      },
      say.tryIt,
    );
    const element = h(
      "li",
      { id: `service-${service.id}` },
      h("div", { class: "service-head" }, name, state.root, model, h("span", { class: "spring" }), open),
      h("dl", { class: "figures" }, ...Object.values(figures).map((each) => each.root)),
      replicas,
      holder,
    );
    return {
      root: element,
      update(next): void {
        const usage = known ? serviceUsage(known, next) : next.usage;
        text(name, next.name);
        attribute(name, "title", next.name);
        text(model, next.model ?? "");
        attribute(model, "title", next.model);
        state.set(next.state, say.states[next.state]);
        attribute(element, "data-selected", next.id === selected);
        text(figures.ready.value, say.ready(next.replicas_ready, next.replicas_wanted));
        text(figures.tokens.value, usage ? format.short(tokensServed(usage)) : format.kUnknown);
        attribute(figures.tokens.value, "title", usage ? format.count(tokensServed(usage)) : null);
        const rate = known ? tokenRate(known.samples, next.id, kRateWindowMs) : null;
        text(figures.rate.value, rate === null ? format.kUnknown : say.rateOf(rate === 0 ? "0" : format.short(Math.round(rate))));
        text(figures.requests.value, usage ? format.short(usage.requests) : format.kUnknown);
        text(figures.tenant.value, next.tenant);
        drawReplicas(next.replicas);
        attribute(open, "aria-label", say.tryItOf(next.name));
        open.disabled = next.replicas_ready === 0 && holder.hidden;
      },
    };
  }

  const drawList = keyedList<Service>(list, (service) => service.id, makeService);
  return {
    root,
    draw(state, selectedService): void {
      known = state;
      selected = selectedService;
      const services = [...state.services.values()].sort((a, b) => a.name.localeCompare(b.name));
      show(empty, services.length === 0);
      show(list, services.length > 0);
      const ready = services.filter((service) => service.state === "ready").length;
      text(count, services.length === 0 ? "" : say.ready(ready, services.length));
      drawList(services);
    },
    reveal(id): void {
      document.getElementById(`service-${id}`)?.scrollIntoView({ block: "nearest" });
    },
  };
}
