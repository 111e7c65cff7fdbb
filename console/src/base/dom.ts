// SPDX-License-Identifier: Apache-2.0
// The few helpers that the page is drawn with. Text goes in as text nodes only: nothing that came from outside can become markup.

type Child = Node | string | number | null | undefined | false;
type AttributeValue = string | number | boolean | null | undefined;

export interface Props {
  class?: string;
  on?: { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };
  [attribute: string]: AttributeValue | object;
}

function fill(element: Element, props: Props, children: Child[]): void {
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value as Record<string, EventListener>)) element.addEventListener(event, listener);
    } else {
      attribute(element, name, value as AttributeValue);
    }
  }
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) element.append(typeof child === "number" ? String(child) : child);
  }
}

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  fill(element, props, children);
  return element;
}

export function svg<K extends keyof SVGElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, props, children);
  return element;
}

/// Writes an attribute only when it changes: an unchanged page costs no layout, and screen readers are not told twice.
export function attribute(element: Element, name: string, value: AttributeValue): void {
  if (name.startsWith("on") || name === "style" || name === "srcdoc") throw new Error(`attribute '${name}' is not for h()`);
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/// Writes text only when it changes, so that a selection made by the reader survives an update.
export function text(element: Element, value: string | number): void {
  const next = String(value);
  if (element.textContent !== next) element.textContent = next;
}

export function show(element: HTMLElement, visible: boolean): void {
  if (element.hidden === visible) element.hidden = !visible;
}

export interface Row<T> {
  root: Element;
  update(item: T): void;
}

/// Keeps the children of `parent` equal to a list, reusing the element of each key: focus, scroll and selection stay.
export function keyedList<T>(parent: Element, key: (item: T) => string, make: (item: T) => Row<T>): (items: readonly T[]) => void {
  let rows = new Map<string, Row<T>>();
  return (items) => {
    const next = new Map<string, Row<T>>();
    for (const item of items) {
      const id = key(item);
      next.set(id, rows.get(id) ?? make(item));
    }
    for (const [id, row] of rows) if (!next.has(id)) row.root.remove();
    const focused = document.activeElement;
    let cursor = parent.firstElementChild;
    for (const row of next.values()) {
      if (row.root === cursor) cursor = cursor.nextElementSibling;
      else parent.insertBefore(row.root, cursor);
    }
    if (focused instanceof HTMLElement && focused !== document.activeElement && parent.contains(focused)) {
      focused.focus({ preventScroll: true }); // moving an element takes its focus away
    }
    for (const item of items) next.get(key(item))?.update(item);
    rows = next;
  };
}

const pending = new Set<() => void>();

/// Draws once for many changes, before the next frame.
export function schedule(draw: () => void): void {
  if (pending.size === 0) {
    requestAnimationFrame(() => {
      const now = [...pending];
      pending.clear();
      for (const each of now) each();
    });
  }
  pending.add(draw);
}
