// SPDX-License-Identifier: Apache-2.0
// Where there is nothing to show, the page says what to do next.
import { h } from "../base/dom";

export function emptyState(title: string, why: string, command: string | null): HTMLElement {
  return h("div", { class: "empty" }, h("p", {}, h("strong", {}, title)), h("p", {}, why), command !== null && h("pre", {}, h("code", {}, command)));
}
