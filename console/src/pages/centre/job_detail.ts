// SPDX-License-Identifier: Apache-2.0
// One job: what it is, where it runs, how it learns, what it wrote; and the button that stops it.
import { api, CallFailed } from "../../api/client";
import type { Live } from "../../api/live";
import type { State } from "../../api/store";
import { isActive, isFinal, type Job } from "../../api/types";
import { chart } from "../../base/chart";
import { attribute, h, show, text } from "../../base/dom";
import * as format from "../../base/format";
import { addEarlier, series } from "../../base/series";
import { notify } from "../../shell/announce";
import { badge } from "../../shell/badge";
import { confirmed } from "../../shell/dialogs";
import { address, go } from "../../shell/route";
import { jobTitle, strings } from "../../strings";
import { chipsOf } from "./jobs";
import { jobLog } from "./job_log";

const say = strings.job;
const kChipsNamedMax = 8; // the heat map shows which; a list of hundreds says nothing
type Fact = keyof typeof say.facts;

export interface JobDetail {
  root: HTMLElement;
  open(id: string): void;
  close(): void;
  draw(state: State): void;
}

export function jobDetail(live: Live, redraw: () => void): JobDetail {
  let id: string | null = null;
  let asked: string | null = null; // read by itself once, when the list does not have it
  let stopSent: string | null = null;

  const title = h("h2", { id: "job-title", tabindex: -1 });
  const idText = h("span", { class: "numeric muted" });
  const state = badge();
  const stop = h("button", { type: "button", class: "danger", on: { click: () => void askToStop() } }, say.stop);
  const close = h("button", { type: "button", class: "quiet", "aria-label": strings.close, on: { click: () => go("jobs") } }, "✕");
  const message = h("p", { class: "message" });
  const facts = h("dl", { class: "detail-facts" });
  const lossNote = h("span", { class: "muted numeric" });
  let pointed: number | null = null; // the point under the pointer; else the last one is told
  const loss = chart(
    { time: false, xText: format.short, yText: (y) => format.digits(y, 4), pointed: (i) => { pointed = i; drawLossNote(); } }, 150,
  );
  const lossBox = h("div", { class: "loss-box" }, h("div", { class: "chart-head" }, h("h3", {}, say.loss), lossNote), loss.root);

  function drawLossNote(): void {
    const curve = id === null ? undefined : live.state.losses.get(id);
    const at = pointed ?? -1;
    text(lossNote, curve && curve.x.length > 0 ? say.lossAt(format.digits(curve.y.at(at), 4), format.count(curve.x.at(at))) : say.lossEmpty);
  }

  const log = jobLog((job, points) => {
    if (points.length === 0) return;
    const curve = live.state.losses.get(job) ?? series();
    addEarlier(curve, points);
    live.state.losses.set(job, curve);
    redraw();
  });
  const content = h("div", { class: "detail-body" }, message, lossBox, facts, log.root);
  const root = h(
    "section",
    {
      class: "panel detail", id: "job", hidden: true, "aria-labelledby": "job-title",
      on: { keydown: (event) => { if (event.key === "Escape") go("jobs"); } },
    },
    h("div", { class: "panel-head" }, h("div", { class: "detail-title" }, title, idText, state.root), stop, close),
    content,
  );

  async function askToStop(): Promise<void> {
    const job = id === null ? undefined : live.state.jobs.get(id);
    if (!job) return;
    const name = `${jobTitle(job)} (${job.id})`;
    const queued = job.state === "queued";
    if (!(await confirmed(say.stopTitle(name), queued ? say.stopWhyQueued : say.stopWhyRunning, say.stopConfirm, queued ? say.stopKeepQueued : say.stopKeep))) return;
    stopSent = job.id;
    redraw();
    try {
      live.putJobs([await api.stopJob(job.id)]);
    } catch (error) {
      notify(say.stopFailed(name), error instanceof Error ? error.message : "");
    } finally {
      stopSent = null;
      redraw();
    }
  }

  function read(wanted: string): void {
    asked = wanted;
    api.job(wanted).then(
      (job) => {
        if (job.id !== wanted && id === wanted) go("jobs", job.id); // it was asked for by name
        live.putJobs([job]);
      },
      (error: unknown) => {
        if (id !== wanted) return;
        text(title, say.notFound);
        text(message, error instanceof CallFailed ? error.message : "");
        show(message, true);
      },
    );
  }

  function drawFacts(job: Job): void {
    const now = new Date();
    const usage = job.usage;
    const progress = job.progress;
    const values: [Fact, string | HTMLElement | null][] = [
      ["placement", isActive(job) ? placement(live.state, job) : null],
      ["placed", isActive(job) ? null : placement(live.state, job)],
      ["asks", say.asks(job.workers, job.chips, (job.chip_kinds ?? []).join(", "))],
      ["tenant", job.tenant],
      ["priority", String(job.priority)],
      ["array", job.array_index === null || job.array_index < 0 ? null : say.arrayOf(job.array_index, job.array_size)],
      ["after", job.after && job.after.length > 0 ? h("span", {}, ...job.after.map((each) => h("a", { href: address("jobs", each) }, each))) : null],
      ["submitted", format.moment(job.submitted, now)],
      ["started", job.started && format.moment(job.started, now)],
      ["finished", job.finished && format.moment(job.finished, now)],
      ["runtime", job.runtime_s === null ? null : format.span(runtime(live.state, job))],
      ["attempts", say.attempts(job.attempts, job.failures, job.restarts)],
      ["left", isActive(job) && progress?.eta_s != null ? format.span(progress.eta_s) : null],
      ["rate", isActive(job) && progress?.tokens_per_s != null ? format.short(progress.tokens_per_s) : null],
      ["tokens", progress?.tokens == null ? null : format.short(progress.tokens)],
      ["device", usage && format.deviceTime(usage.device_s)],
      ["energy", usage && `${usage.energy_estimated ? `${strings.usage.estimatedMark} ` : ""}${format.energy(usage.energy_j)}`],
      ["cost", usage && format.money(usage.cost, live.state.centre?.currency ?? null)],
      ["checkpoint", progress?.checkpoint ?? null],
      ["checkpoints", job.checkpoints],
      ["workdir", job.workdir],
      ["command", job.command && job.command.length > 0 ? h("code", {}, format.commandLine(job.command)) : null],
    ];
    const wide = new Set<Fact>(["placement", "placed", "checkpoints", "workdir", "command"]);
    for (const [name, value] of values) {
      let row = factRows.get(name);
      if (!row) {
        row = h("div", { "data-wide": wide.has(name), "data-fact": name }, h("dt", {}, say.facts[name]), h("dd", {}));
        factRows.set(name, row);
        facts.append(row);
      }
      show(row, value !== null && value !== "");
      const dd = row.lastElementChild as HTMLElement;
      if (typeof value === "string") text(dd, value);
      else if (value && dd.textContent !== value.textContent) dd.replaceChildren(value);
    }
  }
  const factRows = new Map<Fact, HTMLElement>();

  return {
    root,
    open(next): void {
      if (id === next) return;
      id = next;
      asked = null;
      live.keep = next;
      text(title, say.loading);
      text(idText, next);
      text(message, "");
      show(root, true);
      if (root.parentElement) root.parentElement.scrollTop = 0;
      title.focus({ preventScroll: true });
    },
    close(): void {
      if (id === null) return;
      id = null;
      live.keep = null;
      log.set(null);
      show(root, false);
    },
    draw(known): void {
      if (id === null) return;
      const job = known.jobs.get(id);
      show(content, job !== undefined || message.textContent !== "");
      show(state.root, job !== undefined);
      show(facts, job !== undefined);
      show(lossBox, job !== undefined);
      show(log.root, job !== undefined);
      show(stop, job !== undefined && !isFinal(job));
      if (!job) {
        if (asked !== id && live.connection === "live") read(id);
        return;
      }
      text(title, jobTitle(job));
      text(idText, job.id);
      state.set(job.state, strings.jobs.states[job.state]);
      const waits = job.state === "queued" && job.wait !== null && job.wait !== "none" ? (strings.jobs.waits[job.wait] ?? job.wait) : "";
      const why = [waits, job.message ?? ""].filter((each) => each !== "").join(". ");
      text(message, why);
      attribute(message, "data-bad", job.state === "failed");
      show(message, why !== "");
      const stopping = job.state === "stopping" || stopSent === job.id;
      stop.disabled = stopping;
      text(stop, stopping ? say.stopping : say.stop);
      drawFacts(job);
      const curve = known.losses.get(job.id);
      const points = curve?.x.length ?? 0;
      drawLossNote();
      show(loss.root, points >= 2);
      if (curve && points >= 2) {
        loss.draw([{ label: say.loss, colour: "--series-1" }], [curve.x, curve.y]);
        attribute(loss.root, "aria-label", strings.jobs.lossLabel(points, format.digits(curve.y[0], 4), format.digits(curve.y.at(-1), 4)));
      }
      log.set(job);
    },
  };
}

/// node-1: c1 c2 c3, node-2: c9 – by node, in rank order.
function placement(state: State, job: Job): string | null {
  if (!job.placement || job.placement.length === 0) return null;
  const byNode = new Map<string, string[]>();
  for (const each of job.placement) {
    const name = state.nodes.get(each.node)?.name ?? each.node;
    const chips = byNode.get(name);
    if (chips) chips.push(each.chip);
    else byNode.set(name, [each.chip]);
  }
  const named = job.placement.length <= kChipsNamedMax;
  return `${chipsOf(job)}: ${[...byNode].map(([node, chips]) => say.chipsOn(node, chips, named)).join(", ")}`;
}

/// The clock of a running job goes on between two events.
function runtime(state: State, job: Job): number | null {
  if (!isActive(job) || !job.started) return job.runtime_s;
  const started = Date.parse(job.started);
  return Number.isFinite(started) ? (Date.now() + state.clock_offset_ms - started) / 1000 : job.runtime_s;
}
