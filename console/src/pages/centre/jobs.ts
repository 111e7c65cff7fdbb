// SPDX-License-Identifier: Apache-2.0
// The table of jobs, live. Its rows link to the panel of one job.
import type { Live } from "../../api/live";
import { jobOrder, type State } from "../../api/store";
import { isActive, isFinal, kJobStates, type Job, type JobState } from "../../api/types";
import { attribute, h, keyedList, show, svg, text, type Row } from "../../base/dom";
import * as format from "../../base/format";
import { polyline } from "../../base/series";
import { notify } from "../../shell/announce";
import { badge } from "../../shell/badge";
import { emptyState } from "../../shell/empty";
import { address, go } from "../../shell/route";
import { segmented } from "../../shell/segmented";
import { jobTitle, strings } from "../../strings";

const say = strings.jobs;
const kRowsStep = 100;
const kSparkWidth = 48;
const kSparkHeight = 14;

export interface JobsPanel {
  root: HTMLElement;
  draw(state: State, selected: string | null): void;
}

export function jobsPanel(live: Live, redraw: () => void): JobsPanel {
  let filter: JobState | "all" = "all";
  let wanted = "";
  let rowsMax = kRowsStep;
  let selected: string | null = null;

  const filters = segmented<JobState | "all">(
    say.filter, "job-state", [["all", say.all], ...kJobStates.map((each) => [each, say.states[each]] as const)], filter,
    (next) => {
      filter = next;
      rowsMax = kRowsStep;
      redraw();
      if (!live.hasRead(next)) readMore();
    },
  );
  const search = h("input", {
    type: "search", class: "search", placeholder: say.search, "aria-label": say.search, spellcheck: "false",
    on: { input: () => { wanted = search.value.trim().toLowerCase(); redraw(); } },
  });
  const body = h("tbody", {});
  const columns = say.columns;
  const heading = (name: keyof typeof columns): HTMLElement => h("th", { scope: "col", "data-column": name }, columns[name]);
  const table = h(
    "table",
    { class: "jobs" },
    h("caption", { class: "visually-hidden" }, say.caption),
    h("thead", {}, h("tr", {}, ...(Object.keys(columns) as (keyof typeof columns)[]).map(heading))),
    body,
  );
  const empty = emptyState(say.emptyTitle, say.empty, say.emptyCommand);
  const none = h("p", { class: "empty", hidden: true }, say.emptyFilter);
  const more = h("button", { type: "button", on: { click: () => { rowsMax += kRowsStep; redraw(); if (live.moreJobs(filter)) readMore(); } } }, say.more);
  const shown = h("span", { class: "muted numeric" });
  const foot = h("div", { class: "panel-foot" }, more, shown);
  const scroller = h("div", { class: "scroller" }, table);
  const root = h(
    "section",
    { class: "panel", id: "jobs", "aria-labelledby": "jobs-title" },
    h("div", { class: "panel-head" }, h("h2", { id: "jobs-title", tabindex: -1 }, say.title), filters.root, search),
    empty, scroller, none, foot,
  );

  function readMore(): void {
    live.readJobs(filter).catch((error: unknown) => notify(say.moreFailed, error instanceof Error ? error.message : ""));
  }

  let known: State | null = null;
  const drawRows = keyedList<Job>(body, (job) => job.id, () => row());

  function row(): Row<Job> {
    let job: Job | null = null;
    const link = h("a", {});
    const id = h("td", { "data-column": "id", class: "numeric muted" });
    const tenant = h("td", { "data-column": "tenant" });
    const state = badge();
    const chips = h("td", { "data-column": "chips", class: "numeric" });
    const bar = h("progress", { max: 1 });
    const steps = h("span", { class: "numeric steps" }); // one of the two is shown, by the room there is
    const share = h("span", { class: "numeric share" });
    const note = h("span", { class: "note" });
    const spark = svg("polyline", { fill: "none" });
    const sparkBox = svg("svg", { class: "spark", viewBox: `0 -1 ${kSparkWidth} ${kSparkHeight + 2}`, role: "img" }, spark);
    const loss = h("span", { class: "numeric" });
    const rate = h("td", { "data-column": "rate", class: "numeric" });
    const time = h("td", { "data-column": "time", class: "numeric" });
    const element = h(
      "tr",
      {
        on: {
          click: (event) => {
            // The whole row opens the job, but for links, and for text that was just selected.
            if (!job || (event.target instanceof Element && event.target.closest("a")) || String(getSelection()) !== "") return;
            go("jobs", job.id);
          },
        },
      },
      id,
      h("th", { scope: "row", "data-column": "name" }, link),
      tenant,
      h("td", { "data-column": "state" }, state.root),
      chips,
      h("td", { "data-column": "progress" }, h("div", { class: "progress" }, bar, steps, share, note)),
      h("td", { "data-column": "loss" }, h("div", { class: "loss" }, sparkBox, loss)),
      rate,
      time,
    );
    return {
      root: element,
      update(next): void {
        job = next;
        const progress = next.progress;
        const title = jobTitle(next);
        attribute(element, "data-selected", next.id === selected);
        attribute(element, "data-ended", isFinal(next));
        attribute(link, "href", address("jobs", next.id));
        attribute(link, "aria-current", next.id === selected ? "true" : null);
        text(link, title);
        attribute(link, "title", title);
        text(id, next.id);
        text(tenant, next.tenant);
        attribute(tenant, "title", next.tenant);
        state.set(next.state, say.states[next.state]);
        text(chips, chipsOf(next));
        attribute(chips, "title", chipsOf(next));

        const step = progress?.step ?? null;
        const all = progress?.steps ?? null;
        const measured = step !== null && all !== null && all > 0;
        show(bar, measured && (isActive(next) || next.state === "queued" || next.state === "done"));
        attribute(bar, "value", measured ? Math.min(1, step / all) : null);
        attribute(bar, "aria-label", say.progressLabel(title));
        text(steps, step === null ? "" : all === null ? say.step(format.count(step)) : say.stepOf(format.count(step), format.count(all)));
        text(share, measured ? format.percent(step / all) : (steps.textContent ?? ""));
        const why = noteOf(next);
        text(note, why);
        attribute(note, "title", why);
        attribute(note, "data-bad", next.state === "failed");

        const curve = known?.losses.get(next.id);
        const points = curve ? polyline(curve, kSparkWidth, kSparkHeight) : "";
        attribute(spark, "points", points);
        attribute(sparkBox, "data-empty", points === "");
        attribute(sparkBox, "aria-label", curve && points !== ""
          ? say.lossLabel(curve.x.length, format.digits(curve.y[0], 4), format.digits(curve.y.at(-1), 4)) : null);
        attribute(sparkBox, "aria-hidden", points === "" ? "true" : null);
        text(loss, progress?.loss == null ? "" : format.digits(progress.loss, 4));
        text(rate, isActive(next) && progress?.tokens_per_s != null ? format.short(progress.tokens_per_s) : "");
        text(time, timeOf(next));
      },
    };
  }

  return {
    root,
    draw(state, selectedJob): void {
      known = state;
      selected = selectedJob;
      const counts = state.centre?.jobs;
      if (counts) {
        filters.setCount("all", format.count(kJobStates.reduce((sum, each) => sum + (counts[each] ?? 0), 0)));
        for (const each of kJobStates) filters.setCount(each, format.count(counts[each]));
      }
      const fitting = [...state.jobs.values()].filter(
        (job) =>
          (filter === "all" || job.state === filter) &&
          (wanted === "" || job.id === wanted || jobTitle(job).toLowerCase().includes(wanted) || job.tenant.toLowerCase().includes(wanted)),
      );
      fitting.sort(jobOrder);
      const rows = fitting.slice(0, rowsMax);
      const noJobs = state.jobs.size === 0 && filter === "all";
      show(empty, noJobs);
      show(filters.root, !noJobs);
      show(search, !noJobs);
      show(scroller, rows.length > 0);
      show(none, rows.length === 0 && !noJobs);
      const rest = fitting.length > rows.length || (!noJobs && live.moreJobs(filter));
      show(foot, rest);
      text(shown, say.shown(rows.length, fitting.length));
      drawRows(rows);
    },
  };
}

export function chipsOf(job: Job): string {
  const total = job.workers * job.chips;
  const kinds = job.placement && job.placement.length > 0 ? job.placement.map((each) => each.kind) : (job.chip_kinds ?? []);
  const names = [...new Set(kinds)];
  return names.length === 0 ? format.count(total) : `${format.count(total)} × ${names.join(" / ")}`;
}

/// Why it waits, or why it ended.
function noteOf(job: Job): string {
  if (job.state === "queued") return job.wait === null || job.wait === "none" ? "" : (say.waits[job.wait] ?? job.wait);
  if (job.state === "failed" || job.state === "cancelled") return job.message ?? "";
  return "";
}

function timeOf(job: Job): string {
  if (isActive(job)) return job.progress?.eta_s == null ? "" : format.span(job.progress.eta_s);
  return isFinal(job) && job.runtime_s !== null ? format.span(job.runtime_s) : "";
}
