// SPDX-License-Identifier: Apache-2.0
// The first page: one centre, now.
import type { Live } from "../../api/live";
import type { Topic } from "../../api/store";
import { attribute, h, schedule } from "../../base/dom";
import type { Place } from "../../shell/route";
import { strings } from "../../strings";
import { chipsPanel } from "./chips";
import { jobDetail } from "./job_detail";
import { jobsPanel } from "./jobs";
import { servicesPanel } from "./services";
import { usagePanel } from "./usage";

export interface Page {
  root: HTMLElement;
  sections: readonly (readonly [string, string])[];
  draw(topics: ReadonlySet<Topic>): void;
  arrive(place: Place): void;
  tick(): void;
}

export function centrePage(live: Live): Page {
  let selectedJob: string | null = null;
  let selectedService: string | null = null;
  const drawChips = (): void => chips.draw(live.state, selectedJob);
  const drawJobs = (): void => jobs.draw(live.state, selectedJob);
  const drawDetail = (): void => detail.draw(live.state);
  const drawServices = (): void => services.draw(live.state, selectedService);
  const drawUsage = (): void => usage.draw(live.state);

  const chips = chipsPanel(() => schedule(drawChips));
  const jobs = jobsPanel(live, () => schedule(drawJobs));
  const detail = jobDetail(live, () => { schedule(drawDetail); schedule(drawJobs); });
  const services = servicesPanel();
  const usage = usagePanel(() => schedule(drawUsage));

  const root = h(
    "main",
    { id: "content", class: "page", tabindex: -1, "aria-busy": "true" },
    h("div", { class: "column" }, chips.root, jobs.root),
    h("div", { class: "column side" }, detail.root, services.root, usage.root),
  );

  return {
    root,
    sections: (["chips", "jobs", "services", "usage"] as const).map((section) => [section, strings.sections[section]] as const),
    draw(topics): void {
      // Until the first answer nothing is known, not even that there is nothing.
      attribute(root, "aria-busy", live.state.centre === null ? "true" : null);
      if (topics.has("nodes")) schedule(drawChips);
      if (topics.has("jobs") || topics.has("centre")) schedule(drawJobs);
      if (topics.has("jobs")) schedule(drawDetail);
      if (topics.has("services") || topics.has("usage")) schedule(drawServices);
      if (topics.has("usage")) schedule(drawUsage);
    },
    arrive(place): void {
      const before = selectedJob;
      selectedJob = place.section === "jobs" ? place.id : null;
      selectedService = place.section === "services" ? place.id : null;
      if (selectedJob === null) detail.close();
      else detail.open(selectedJob);
      drawChips();
      drawJobs();
      drawDetail();
      drawServices();
      if (selectedJob === null && before !== null) {
        // Back to where the reader came from.
        root.querySelector<HTMLElement>(`#jobs a[href="#/jobs/${CSS.escape(before)}"]`)?.focus({ preventScroll: true });
      } else if (selectedService !== null) {
        services.reveal(selectedService);
      } else if (selectedJob === null && place.section !== "") {
        const title = root.querySelector<HTMLElement>(`#${CSS.escape(place.section)}-title`);
        title?.focus({ preventScroll: true });
        title?.closest("section")?.scrollIntoView({ block: "start" });
      }
    },
    tick: drawDetail,
  };
}
