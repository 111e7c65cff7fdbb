// SPDX-License-Identifier: Apache-2.0
// A state as a mark and a word: the mark differs in shape, not in colour alone.
import { attribute, h, svg, text } from "../base/dom";

const kMarks: Record<string, string> = {
  queued: "M6 2a4 4 0 1 0 0 8a4 4 0 1 0 0-8zM6 3.5a2.5 2.5 0 1 1 0 5a2.5 2.5 0 1 1 0-5z",
  starting: "M6 2a4 4 0 1 0 0 8a4 4 0 1 0 0-8zM6 3.5v5a2.5 2.5 0 1 1 0-5z",
  running: "M6 2a4 4 0 1 0 0 8a4 4 0 1 0 0-8z",
  stopping: "M2.5 2.5h7v7h-7z",
  done: "M4.7 9.8L1.6 6.7l1.1-1.1l2 2l4.6-4.6l1.1 1.1z",
  failed: "M3 1.9L6 4.9l3-3l1.1 1.1l-3 3l3 3l-1.1 1.1l-3-3l-3 3l-1.1-1.1l3-3l-3-3z",
  cancelled: "M2 5h8v2h-8z",
  degraded: "M6 1.5l5 9h-10zM5.4 4.5v3h1.2v-3zM5.4 8.3v1.2h1.2v-1.2z",
};
const kSameMark: Record<string, string> = { ready: "running", removing: "stopping", up: "running", drained: "cancelled", lost: "failed" };

export interface Badge {
  root: HTMLElement;
  set(state: string, word: string): void;
}

export function badge(): Badge {
  const path = svg("path", { "fill-rule": "evenodd" });
  const word = h("span", {});
  const root = h("span", { class: "badge" }, svg("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, path), word);
  return {
    root,
    set(state, said): void {
      attribute(root, "data-state", state);
      attribute(path, "d", kMarks[kSameMark[state] ?? state] ?? kMarks["queued"]);
      text(word, said);
    },
  };
}
