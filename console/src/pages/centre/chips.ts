// SPDX-License-Identifier: Apache-2.0
// The chips as a heat map by node. One stop of the Tab key; arrow keys move inside, as in a grid.
import type { State } from "../../api/store";
import type { FleetNode } from "../../api/types";
import { attribute, h, keyedList, show, text, type Row } from "../../base/dom";
import { emptyState } from "../../shell/empty";
import { go } from "../../shell/route";
import { segmented } from "../../shell/segmented";
import { strings } from "../../strings";
import { chipCell, colours, kCellsMax, nodeCell, type Cell, type Legend, type Mode } from "./cells";

const say = strings.chips;

export interface ChipsPanel {
  root: HTMLElement;
  draw(state: State, selectedJob: string | null): void;
}

interface Group {
  key: string;
  title: string;
  busy: string;
  state: FleetNode["state"];
  kinds: { kind: string; cells: Cell[] }[];
}

export function chipsPanel(redraw: () => void): ChipsPanel {
  let mode: Mode = "state";
  let colourOf: (cell: Cell) => string = (cell) => cell.state;
  let selected: string | null = null;
  const cellOf = new WeakMap<Element, Cell>();

  const tooltip = h("div", { class: "tooltip", role: "tooltip", id: "chip-tooltip", hidden: true });
  document.body.append(tooltip);
  const modes = segmented(say.colourBy, "colour-by", Object.entries(say.modes) as [Mode, string][], mode, (next) => {
    mode = next;
    redraw();
  });
  const legend = h("ul", { class: "legend" });
  const map = h("div", { class: "heat", role: "group", "aria-label": say.group });
  const hint = h("p", { class: "hint", hidden: true });
  const empty = emptyState(say.emptyTitle, say.empty, say.emptyCommand);
  const root = h(
    "section",
    { class: "panel", id: "chips", "aria-labelledby": "chips-title" },
    h("div", { class: "panel-head" }, h("h2", { id: "chips-title", tabindex: -1 }, say.title), modes.root),
    empty, map, hint, legend,
  );

  function makeCell(): Row<Cell> {
    const button = h("button", { type: "button", class: "cell", tabindex: -1 });
    return {
      root: button,
      update(cell): void {
        cellOf.set(button, cell);
        attribute(button, "data-colour", colourOf(cell));
        attribute(button, "data-selected", selected !== null && cell.holder?.section === "jobs" && cell.holder.id === selected);
        attribute(button, "aria-label", `${cell.title}: ${cell.lines.join(", ")}`);
        if (button === shownFor) fillTooltip(cell);
      },
    };
  }

  function makeGroup(): Row<Group> {
    const title = h("span", { class: "node-name" });
    const busy = h("span", { class: "numeric muted" });
    const kinds = h("div", { class: "kinds" });
    const drawKinds = keyedList<Group["kinds"][number]>(kinds, (each) => each.kind, () => {
      const name = h("span", { class: "kind" });
      const cells = h("div", { class: "cells" });
      const drawCells = keyedList<Cell>(cells, (cell) => cell.key, makeCell);
      return {
        root: h("div", {}, name, cells),
        update(each): void {
          text(name, each.kind);
          drawCells(each.cells);
        },
      };
    });
    const card = h("div", { class: "node" }, h("div", { class: "node-head" }, title, busy), kinds);
    return {
      root: card,
      update(group): void {
        attribute(card, "data-state", group.state);
        text(title, group.title);
        text(busy, group.state === "up" ? group.busy : say.nodeStates[group.state]);
        drawKinds(group.kinds);
      },
    };
  }

  const drawGroups = keyedList<Group>(map, (group) => group.key, makeGroup);
  const drawLegend = keyedList<Legend>(legend, (each) => each.colour + each.label, () => {
    const swatch = h("span", { class: "swatch" });
    const label = h("span", {});
    const count = h("span", { class: "numeric muted" });
    return {
      root: h("li", {}, swatch, label, count),
      update(each): void {
        attribute(swatch, "data-colour", each.colour);
        text(label, each.label);
        text(count, each.count ?? "");
      },
    };
  });

  // ---- tooltip
  let shownFor: Element | null = null;
  function fillTooltip(cell: Cell): void {
    tooltip.replaceChildren(h("strong", {}, cell.title), ...cell.lines.map((line) => h("span", {}, line)));
  }
  function showTooltip(target: Element): void {
    const cell = cellOf.get(target);
    if (!cell) return;
    shownFor = target;
    fillTooltip(cell);
    tooltip.hidden = false;
    const at = target.getBoundingClientRect();
    const size = tooltip.getBoundingClientRect();
    const left = Math.max(4, Math.min(at.left + at.width / 2 - size.width / 2, document.documentElement.clientWidth - size.width - 4));
    const above = at.top - size.height - 6;
    tooltip.style.left = `${left}px`;
    tooltip.style.top = `${above < 4 ? at.bottom + 6 : above}px`;
  }
  function hideTooltip(): void {
    shownFor = null;
    tooltip.hidden = true;
  }
  const cellAt = (event: Event): Element | null => (event.target instanceof Element ? event.target.closest(".cell") : null);
  map.addEventListener("pointerover", (event) => {
    const cell = cellAt(event);
    if (cell) showTooltip(cell);
  });
  map.addEventListener("pointerleave", hideTooltip);
  map.addEventListener("focusout", hideTooltip);
  map.addEventListener("focusin", (event) => {
    const cell = cellAt(event);
    if (!cell) return;
    for (const other of map.querySelectorAll('.cell[tabindex="0"]')) if (other !== cell) attribute(other, "tabindex", -1);
    attribute(cell, "tabindex", 0);
    showTooltip(cell);
  });
  addEventListener("scroll", hideTooltip, { passive: true, capture: true });

  // ---- keyboard and click
  map.addEventListener("click", (event) => {
    const holder = cellOf.get(cellAt(event) ?? map)?.holder;
    if (holder) go(holder.section, holder.id);
  });
  map.addEventListener("keydown", (event) => {
    const cell = cellAt(event);
    if (!cell) return;
    if (event.key === "Escape") return hideTooltip();
    const all = [...map.querySelectorAll<HTMLElement>(".cell")];
    const i = all.indexOf(cell as HTMLElement);
    let to: HTMLElement | undefined;
    if (event.key === "ArrowRight") to = all[i + 1];
    else if (event.key === "ArrowLeft") to = all[i - 1];
    else if (event.key === "Home") to = all[0];
    else if (event.key === "End") to = all.at(-1);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      // The nearest cell of the next line that is drawn, wherever the cards have wrapped to.
      const from = cell.getBoundingClientRect();
      const down = event.key === "ArrowDown";
      let best = Infinity;
      for (const other of all) {
        const box = other.getBoundingClientRect();
        const dy = down ? box.top - from.top : from.top - box.top;
        if (dy < 2) continue;
        const distance = dy * 4 + Math.abs(box.left - from.left);
        if (distance < best) {
          best = distance;
          to = other;
        }
      }
    } else return;
    event.preventDefault();
    to?.focus();
  });

  return {
    root,
    draw(state, selectedJob): void {
      selected = selectedJob;
      const nodes = [...state.nodes.values()];
      const chips = nodes.reduce((sum, node) => sum + node.chips.length, 0);
      const coarse = chips > kCellsMax;
      const groups: Group[] = coarse
        ? [{ key: "all", title: strings.sections.chips, busy: "", state: "up", kinds: byKind(nodes.map(nodeCell)) }]
        : nodes.map((node) => {
            const busy = node.chips.filter((chip) => chip.holder !== null).length;
            return {
              key: node.id, title: node.name, busy: say.busyOf(busy, node.chips.length), state: node.state,
              kinds: byKind(node.chips.map((chip) => chipCell(node, chip))),
            };
          });
      const cells = groups.flatMap((group) => group.kinds.flatMap((each) => each.cells));
      const scheme = colours(cells, mode);
      colourOf = scheme.of;
      show(empty, chips === 0);
      show(map, chips > 0);
      show(legend, chips > 0);
      show(modes.root, chips > 0);
      show(hint, coarse);
      text(hint, say.nodeCells(chips));
      attribute(map, "data-coarse", coarse);
      drawGroups(groups);
      drawLegend(scheme.legend);
      if (!map.querySelector('.cell[tabindex="0"]')) {
        const first = map.querySelector(".cell");
        if (first) attribute(first, "tabindex", 0);
      }
      if (shownFor && !shownFor.isConnected) hideTooltip();
    },
  };
}

function byKind(cells: Cell[]): { kind: string; cells: Cell[] }[] {
  const kinds = new Map<string, Cell[]>();
  for (const cell of cells) {
    const same = kinds.get(cell.kind);
    if (same) same.push(cell);
    else kinds.set(cell.kind, [cell]);
  }
  return [...kinds].map(([kind, each]) => ({ kind, cells: each }));
}
