// SPDX-License-Identifier: Apache-2.0
// The end of a job's output, read again every second while it is looked at.
import { api } from "../../api/client";
import { isFinal, type Job } from "../../api/types";
import { attribute, h, show, text } from "../../base/dom";
import { appendLog, plain, progressPoints } from "../../base/log_text";
import { segmented } from "../../shell/segmented";
import { strings } from "../../strings";

const say = strings.log;
const kPollMs = 1000;
const kTailLines = 2000;
const kPartBytes = 256 * 1024;
const kPartsAtOnce = 16; // of one poll: a job that writes faster than this is caught up with in the next
const kRanksMax = 1024; // of the menu

export interface JobLog {
  root: HTMLElement;
  set(job: Job | null): void;
}

export function jobLog(found: (job: string, points: [number, number][]) => void): JobLog {
  let job: Job | null = null;
  let stream: "out" | "err" = "out";
  let rank = 0;
  let offset: number | null = null; // null: start with the tail
  let kept = "";
  let attempt = 0; // a new attempt writes a new log
  let reading: AbortController | null = null;
  let timer: ReturnType<typeof setTimeout> | null = null;

  const streams = segmented<"out" | "err">(say.stream, "log-stream", [["out", say.out], ["err", say.err]], stream, (next) => {
    stream = next;
    restart();
  });
  const ranks = h("select", {
    "aria-label": say.rank,
    on: { change: () => { rank = Number(ranks.value); restart(); } },
  });
  const follow = h("input", { type: "checkbox", on: { change: () => toEnd() } });
  follow.checked = true;
  const output = h("pre", {
    class: "log", tabindex: 0, role: "log", "aria-live": "off",
    on: {
      scroll: () => {
        // Scrolling up is how a reader says "wait"; back at the end, it follows again.
        follow.checked = output.scrollTop + output.clientHeight >= output.scrollHeight - 4;
      },
    },
  });
  const note = h("p", { class: "muted log-note" });
  const root = h(
    "div",
    { class: "log-box" },
    h("div", { class: "log-head" }, h("h3", {}, say.title), streams.root, ranks, h("label", { class: "check" }, follow, say.follow)),
    note, output,
  );

  function toEnd(): void {
    if (follow.checked) output.scrollTop = output.scrollHeight;
  }

  function draw(): void {
    const before = output.textContent;
    const next = plain(kept);
    if (before !== next) {
      // Appending to the text keeps a selection in what was there; a cut front cannot.
      if (before && next.startsWith(before)) output.append(next.slice(before.length));
      else output.textContent = next;
      toEnd();
    }
    show(output, next !== "");
  }

  function restart(): void {
    reading?.abort();
    if (timer !== null) clearTimeout(timer);
    timer = null;
    reading = null;
    offset = null;
    kept = "";
    follow.checked = true;
    text(note, "");
    draw();
    if (!job) return;
    attribute(output, "aria-label", say.label(stream === "out" ? say.out : say.err, rank));
    void read();
  }

  async function read(): Promise<void> {
    const of = job;
    if (!of) return;
    const mine = new AbortController();
    reading = mine;
    try {
      if (!document.hidden && of.attempts > 0) {
        for (let i = 0; i < kPartsAtOnce; i += 1) {
          const from: { tail: number } | { offset: number } = offset === null ? { tail: kTailLines } : { offset };
          const part = await api.jobLog(of.id, { rank, stream, limit: kPartBytes, ...from }, mine.signal);
          if (mine.signal.aborted) return;
          offset = part.next;
          if (part.text === "") break;
          kept = appendLog(kept, part.text);
          draw();
          if (stream === "out" && rank === 0) found(of.id, progressPoints(part.text));
        }
      }
      const ended = job !== null && isFinal(job);
      text(note, kept !== "" ? "" : of.attempts === 0 && !ended ? say.notStarted : ended ? say.emptyEnded : say.empty);
      // What was written until the end has been read once the job was known to have ended before this reading began.
      if (isFinal(of)) return;
    } catch (error) {
      if (mine.signal.aborted) return;
      text(note, say.failed(error instanceof Error ? error.message : ""));
    } finally {
      show(note, note.textContent !== "");
    }
    timer = setTimeout(() => void read(), kPollMs);
  }

  return {
    root,
    set(next): void {
      const changed = next?.id !== job?.id || (next !== null && next.attempts !== attempt);
      const goesOn = !changed && job !== null && next !== null && isFinal(job) && !isFinal(next);
      if (next?.id !== job?.id) rank = 0;
      job = next;
      if (!changed && !goesOn) return;
      attempt = next?.attempts ?? 0;
      const workers = Math.min(kRanksMax, Math.max(1, next?.workers ?? 1));
      ranks.replaceChildren(...Array.from({ length: workers }, (_, i) => h("option", { value: i }, `${say.rank} ${i}`)));
      ranks.value = String(rank);
      show(ranks, workers > 1);
      restart();
    },
  };
}
