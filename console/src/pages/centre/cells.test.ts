// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Chip, FleetNode } from "../../api/types";
import { chipCell, colours, kSeries, nodeCell } from "./cells";

function chip(id: string, more: Partial<Chip> = {}): Chip {
  return {
    id, kind: "h100", index: 0, health: "ok", memory_bytes: null, power_w: null, price_per_hour: null, holder: null, utilisation: null,
    power_now_w: null, ...more,
  };
}

function node(state: FleetNode["state"], ...chips: Chip[]): FleetNode {
  return { id: "n1", name: "node-1", state, memory_bytes: null, since: null, chips };
}

const job = (id: string) => ({ task: "t1", job: id, service: null, name: `train-${id}` });
const service = { task: "t2", job: null, service: "s1", name: "chat" };

test("a chip is what matters most about it: failed, then off, then held", () => {
  const of = (state: FleetNode["state"], more: Partial<Chip>): string => chipCell(node(state), chip("c1", more)).state;
  assert.equal(of("up", {}), "free");
  assert.equal(of("up", { holder: job("j1") }), "job");
  assert.equal(of("up", { holder: service }), "service");
  assert.equal(of("up", { holder: job("j1"), health: "failed" }), "failed");
  assert.equal(of("drained", { holder: job("j1") }), "job");
  assert.equal(of("drained", {}), "off");
  assert.equal(of("lost", { holder: job("j1") }), "off");
});

test("the tooltip says who holds the chip, and only figures that are known", () => {
  const held = chipCell(node("up"), chip("c1", { holder: job("j7"), utilisation: 0.934, power_now_w: 611.6, power_w: 700 }));
  assert.deepEqual(held.lines, ["node-1 · c1", "Held by job train-j7 (j7)", "Task t1", "Utilisation 93 % · Power 612 W / 700 W"]);
  assert.deepEqual(held.holder, { section: "jobs", id: "j7", name: "train-j7" });
  const hidden = chipCell(node("up"), chip("c3", { holder: { task: "t9", job: null, service: null, name: null } }));
  assert.deepEqual([hidden.state, hidden.lines[1], hidden.holder], ["job", "Held by another tenant", null]);
  assert.equal(colours([hidden], "holder").of(hidden), "other");
  assert.deepEqual(chipCell(node("drained"), chip("c2")).lines, ["node-1 · c2 · drained", "Free"]);
});

test("a node's cell sums up its chips", () => {
  const cell = nodeCell(node("up", chip("c1", { holder: job("j1"), utilisation: 1 }), chip("c2", { utilisation: 0 }), chip("c3", { health: "failed" })));
  assert.equal(cell.state, "job");
  assert.equal(cell.share, 0.5);
  assert.equal(cell.holder?.id, "j1");
  assert.equal(nodeCell(node("up", chip("c1", { health: "gone" }))).state, "failed");
  assert.equal(nodeCell(node("up", chip("c1", { holder: job("j1") }), chip("c2", { holder: service }))).holder, null);
});

test("levels cover 0 to 1 with both ends", () => {
  const of = (utilisation: number | null): string => {
    const cell = chipCell(node("up"), chip("c1", { utilisation }));
    return colours([cell], "utilisation").of(cell);
  };
  assert.deepEqual([0, 0.1666, 0.17, 0.99, 1, 1.2, -0.1, null].map(of), [
    "level-0", "level-0", "level-1", "level-5", "level-5", "level-5", "level-0", "unknown",
  ]);
});

test("the most frequent holders get colours; the rest share one", () => {
  const cells = Array.from({ length: kSeries + 2 }, (_, i) => chipCell(node("up"), chip(`c${i}`, { holder: job(`j${i}`) })));
  cells.push(chipCell(node("up"), chip("c90", { holder: job("j9") })), chipCell(node("up"), chip("c91")));
  const { of, legend } = colours(cells, "holder");
  assert.match(of(cells[9] as never), /^series-/);
  assert.equal(cells.filter((cell) => of(cell) === "other").length, 2);
  assert.equal(of(cells.at(-1) as never), "free");
  assert.equal(legend.length, kSeries + 1);
});
