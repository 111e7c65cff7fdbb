// SPDX-License-Identifier: Apache-2.0
// What each cell of the heat map stands for, and how it is coloured: no page in here.
import * as format from "../../base/format";
import type { Chip, FleetNode } from "../../api/types";
import { strings } from "../../strings";

export const kCellsMax = 2000; // more chips than this cannot be told apart on a screen: then a cell is a node
export const kLevels = 6;
export const kSeries = 8;

export type Mode = keyof typeof strings.chips.modes;
export type CellState = keyof typeof strings.chips.states;

export interface Cell {
  key: string;
  kind: string;
  state: CellState;
  share: number | null; // utilisation, or for a node the busy share when that is not known
  holder: { section: "jobs" | "services"; id: string; name: string } | null;
  title: string;
  lines: string[];
}

export function chipCell(node: FleetNode, chip: Chip): Cell {
  const say = strings.chips;
  const held = chip.holder;
  const failed = chip.health !== "ok";
  let state: CellState = "free";
  if (failed) state = "failed";
  else if (node.state === "lost" || (node.state === "drained" && !held)) state = "off";
  else if (held) state = held.service !== null ? "service" : "job";

  let holder: Cell["holder"] = null;
  if (held?.service) holder = { section: "services", id: held.service, name: held.name ?? held.service };
  else if (held?.job) holder = { section: "jobs", id: held.job, name: held.name ?? held.job };

  const lines = [`${node.name} · ${chip.id}${node.state === "up" ? "" : ` · ${say.nodeStates[node.state]}`}`];
  if (failed) lines.push(chip.health === "gone" ? say.gone : say.failed);
  if (holder) lines.push(holder.section === "jobs" ? say.heldByJob(holder.name, holder.id) : say.heldByService(holder.name, holder.id));
  else if (held) lines.push(say.heldByOther);
  else if (!failed) lines.push(say.free);
  if (held) lines.push(`${say.task} ${held.task}`);
  const figures: string[] = [];
  if (chip.utilisation !== null) figures.push(`${say.utilisation} ${format.percent(chip.utilisation)}`);
  if (chip.power_now_w !== null) {
    figures.push(`${say.power} ${format.power(chip.power_now_w)}${chip.power_w === null ? "" : ` / ${format.power(chip.power_w)}`}`);
  }
  if (figures.length > 0) lines.push(figures.join(" · "));
  if (chip.memory_bytes) lines.push(`${say.memory} ${format.bytes(chip.memory_bytes)}`);
  return { key: chip.id, kind: chip.kind, state, share: chip.utilisation, holder, title: say.chip(chip.kind, chip.index), lines };
}

export function nodeCell(node: FleetNode): Cell {
  const say = strings.chips;
  const ok = node.chips.filter((chip) => chip.health === "ok");
  const busy = ok.filter((chip) => chip.holder !== null);
  const measured = ok.filter((chip) => chip.utilisation !== null);
  const share = measured.length > 0 ? measured.reduce((sum, chip) => sum + (chip.utilisation ?? 0), 0) / measured.length : null;
  let state: CellState = busy.some((chip) => chip.holder?.service) ? "service" : busy.length > 0 ? "job" : "free";
  if (ok.length === 0) state = "failed";
  else if (node.state !== "up") state = "off";
  const kinds = [...new Set(node.chips.map((chip) => chip.kind))];
  const lines = [kinds.join(", "), say.busyOfLong(busy.length, node.chips.length)];
  if (share !== null) lines.push(`${say.utilisation} ${format.percent(share)}`);
  if (node.state !== "up") lines.push(say.nodeStates[node.state]);
  const first = busy[0]?.holder;
  const sameHolder = first && busy.every((chip) => chip.holder?.job === first.job && chip.holder.service === first.service);
  let holder: Cell["holder"] = null;
  if (sameHolder && first.job) holder = { section: "jobs", id: first.job, name: first.name ?? first.job };
  if (sameHolder && first.service) holder = { section: "services", id: first.service, name: first.name ?? first.service };
  return { key: node.id, kind: kinds[0] ?? "", state, share, holder, title: node.name, lines };
}

export interface Legend {
  colour: string; // the cell's data-colour
  label: string;
  count: number | null;
}

/// The colour of each cell under a mode, and what the colours mean.
export function colours(cells: readonly Cell[], mode: Mode): { of: (cell: Cell) => string; legend: Legend[] } {
  const say = strings.chips;
  const tally = (name: (cell: Cell) => string): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const cell of cells) counts.set(name(cell), (counts.get(name(cell)) ?? 0) + 1);
    return counts;
  };
  if (mode === "state") {
    const counts = tally((cell) => cell.state);
    const legend = (Object.keys(say.states) as CellState[])
      .filter((state) => counts.has(state) || state === "free" || state === "job")
      .map((state) => ({ colour: state, label: say.states[state], count: counts.get(state) ?? 0 }));
    return { of: (cell) => cell.state, legend };
  }
  if (mode === "utilisation") {
    const level = (cell: Cell): string => {
      if (cell.state === "failed" || cell.state === "off") return cell.state;
      return cell.share === null ? "unknown" : `level-${Math.min(kLevels - 1, Math.max(0, Math.floor(cell.share * kLevels)))}`;
    };
    const counts = tally(level);
    const legend: Legend[] = Array.from({ length: kLevels }, (_, i) => ({
      colour: `level-${i}`,
      label: `${Math.round((i * 100) / kLevels)}–${Math.round(((i + 1) * 100) / kLevels)} %`,
      count: counts.get(`level-${i}`) ?? 0,
    }));
    if (counts.has("unknown")) legend.push({ colour: "unknown", label: say.unknownUtilisation, count: counts.get("unknown") ?? 0 });
    return { of: level, legend };
  }
  // By kind or holder: the most frequent names get a colour of their own, in an order that does not move with the counts.
  const name = mode === "kind" ? (cell: Cell) => cell.kind : (cell: Cell) => cell.holder?.name ?? "";
  const counts = tally(name);
  const chosen = [...counts.keys()]
    .filter((each) => each !== "")
    .sort((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0) || a.localeCompare(b))
    .slice(0, kSeries)
    .sort((a, b) => a.localeCompare(b));
  const colourOf = new Map(chosen.map((each, i) => [each, `series-${i + 1}`]));
  const of = (cell: Cell): string => {
    if (cell.state === "failed" || cell.state === "off") return cell.state;
    if (name(cell) !== "") return colourOf.get(name(cell)) ?? "other";
    return cell.state === "free" ? "free" : "other"; // held by somebody whom we may not see
  };
  const legend: Legend[] = chosen.map((each) => ({ colour: colourOf.get(each) as string, label: each, count: counts.get(each) ?? 0 }));
  if (counts.has("")) legend.push({ colour: "free", label: say.idleHolder, count: counts.get("") ?? 0 });
  return { of, legend };
}
