// SPDX-License-Identifier: Apache-2.0
// One of a few: radio buttons that look like one control. The browser brings the keyboard.
import { h, text } from "../base/dom";

export interface Segmented<T extends string> {
  root: HTMLElement;
  setCount(option: T, count: string): void;
}

export function segmented<T extends string>(
  legend: string, name: string, options: readonly (readonly [T, string])[], selected: T, changed: (option: T) => void,
): Segmented<T> {
  const counts = new Map<T, HTMLElement>();
  const root = h("fieldset", { class: "segmented" }, h("legend", {}, legend));
  for (const [option, title] of options) {
    const count = h("span", { class: "count" });
    counts.set(option, count);
    const input = h("input", { type: "radio", name, value: option, on: { change: () => changed(option) } });
    input.checked = option === selected;
    root.append(h("label", {}, input, h("span", {}, title, count)));
  }
  return {
    root,
    setCount(option, value): void {
      const count = counts.get(option);
      if (count) text(count, value);
    },
  };
}
