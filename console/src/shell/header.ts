// SPDX-License-Identifier: Apache-2.0
// The centre in one line: is it connected, healthy, busy; and the way to each section.
import type { Connection } from "../api/live";
import type { State } from "../api/store";
import { attribute, h, show, text } from "../base/dom";
import * as format from "../base/format";
import { strings } from "../strings";
import { address } from "./route";

export interface Header {
  root: HTMLElement;
  banner: HTMLElement;
  draw(state: State): void;
  connection(now: Connection, retry_at_ms: number | null, reason: string): void;
  tick(state: State): void;
}

function fact(name: string): { root: HTMLElement; value: HTMLElement } {
  const value = h("dd", {}, format.kUnknown);
  return { root: h("div", { class: "fact" }, h("dt", {}, name), value), value };
}

export function header(sections: readonly (readonly [string, string])[], retry: () => void, forgetKey: () => void): Header {
  const state = h("span", { class: "connection", "data-connection": "connecting" }, strings.connection.states.connecting);
  const name = h("span", { class: "centre-name" });
  const facts = {
    policy: fact(strings.head.policy),
    journal: fact(strings.head.journal),
    chips: fact(strings.head.chips),
    power: fact(strings.head.power),
    running: fact(strings.head.running),
    queue: fact(strings.head.queue),
    uptime: fact(strings.head.uptime),
    version: fact(strings.head.version),
  };
  const forget = h("button", { type: "button", class: "quiet", hidden: true, on: { click: forgetKey } }, strings.head.forgetKey);
  const bannerText = h("span", {});
  const bannerRetry = h("span", { class: "numeric" });
  const banner = h(
    "div",
    { class: "banner", hidden: true },
    bannerText,
    bannerRetry,
    h("button", { type: "button", on: { click: retry } }, strings.connection.retry),
  );
  let retryAt: number | null = null;
  let everLive = false;

  const root = h(
    "header",
    { class: "head" },
    h("div", { class: "brand" }, h("h1", {}, strings.product), name, state),
    h(
      "nav",
      { "aria-label": strings.sections.label },
      ...sections.map(([section, title]) => h("a", { href: address(section) }, title)),
    ),
    h("dl", { class: "facts", "aria-label": strings.head.label }, ...Object.values(facts).map((each) => each.root)),
    forget,
  );

  return {
    root,
    banner,
    draw(known: State): void {
      const centre = known.centre;
      if (!centre) return;
      text(name, centre.name);
      document.title = `${centre.name} · ${strings.product}`;
      text(facts.policy.value, centre.policy);
      text(facts.journal.value, centre.journal.ok ? strings.head.journalOk(centre.journal.kind) : strings.head.journalBad(centre.journal.kind));
      attribute(facts.journal.root, "data-bad", !centre.journal.ok);
      attribute(facts.journal.root, "title", centre.journal.message);
      text(facts.chips.value, `${format.count(centre.chips.busy)} / ${format.count(centre.chips.total)}`);
      let watts = 0;
      let measured = false;
      for (const node of known.nodes.values()) {
        for (const chip of node.chips) {
          if (chip.power_now_w === null) continue;
          measured = true;
          watts += chip.power_now_w;
        }
      }
      show(facts.power.root, measured);
      text(facts.power.value, format.power(watts));
      text(facts.running.value, format.count(centre.jobs.running + centre.jobs.starting + centre.jobs.stopping));
      text(facts.queue.value, format.count(centre.jobs.queued));
      text(facts.version.value, centre.version);
      this.tick(known);
    },
    connection(now, retry_at_ms, reason): void {
      everLive ||= now === "live";
      attribute(state, "data-connection", now);
      text(state, strings.connection.states[now]);
      show(banner, now === "lost");
      text(bannerText, everLive ? strings.connection.lost : strings.connection.lostAtFirst);
      attribute(bannerText, "title", reason);
      retryAt = retry_at_ms;
      attribute(document.body, "data-stale", now === "lost");
      show(forget, sessionStorage.length > 0 && now !== "needs_key");
    },
    tick(known: State): void {
      const started = known.centre?.started_at ? Date.parse(known.centre.started_at) : Number.NaN;
      const uptime = Number.isFinite(started) ? (Date.now() + known.clock_offset_ms - started) / 1000 : known.centre?.uptime_s;
      text(facts.uptime.value, format.span(uptime));
      if (retryAt === null) return;
      const seconds = Math.ceil((retryAt - Date.now()) / 1000);
      text(bannerRetry, seconds > 0 ? strings.connection.retryIn(seconds) : strings.connection.retrying);
    },
  };
}
