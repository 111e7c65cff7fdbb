// SPDX-License-Identifier: Apache-2.0
// What the page says aloud (to screen readers), and what it says in writing when something went wrong.
import { h } from "../base/dom";
import { strings } from "../strings";

const kGatherMs = 600; // many jobs may start at once; nobody wants to hear each
const kSpokenMax = 4;
const kNoticesMax = 4;

const spoken = h("div", { class: "visually-hidden", "aria-live": "polite", role: "status" });
const notices = h("div", { class: "notices", role: "alert" });
let waiting: string[] = [];

export function mountAnnouncer(): void {
  document.body.append(spoken, notices);
}

export function say(message: string): void {
  waiting.push(message);
  if (waiting.length > 1) return;
  setTimeout(() => {
    const said = waiting.length <= kSpokenMax ? waiting : [strings.said.many(waiting.length)];
    waiting = [];
    spoken.replaceChildren(...said.map((line) => h("p", {}, line)));
  }, kGatherMs);
}

/// Stays until it is dismissed: an error that vanishes by itself was not told.
export function notify(title: string, message = "", action: HTMLElement | null = null): void {
  const notice = h(
    "div",
    { class: "notice" },
    h("p", {}, h("strong", {}, title), message && ` ${message}`),
    action,
    h("button", { type: "button", class: "quiet", on: { click: () => notice.remove() } }, strings.dismiss),
  );
  notices.append(notice);
  while (notices.childElementCount > kNoticesMax) notices.firstElementChild?.remove();
}
