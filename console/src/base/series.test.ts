// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { addEarlier, addPoint, polyline, series } from "./series";

test("a resumed run replaces the steps that it repeats", () => {
  const curve = series();
  for (const step of [10, 20, 30, 40]) addPoint(curve, step, step / 10);
  addPoint(curve, 20, 9);
  assert.deepEqual(curve, { x: [10, 20], y: [1, 9] });
});

test("memory is bounded, order and the last point are kept", () => {
  const curve = series();
  for (let step = 1; step <= 10_000; step += 1) {
    addPoint(curve, step, -step, 64);
    assert.ok(curve.x.length <= 64);
    assert.equal(curve.x.at(-1), step);
    assert.equal(curve.y.at(-1), -step);
  }
  assert.ok(curve.x.length >= 32);
  assert.deepEqual(curve.x, [...curve.x].sort((a, b) => a - b));
});

test("points from the log fill in, live points win", () => {
  const curve = series();
  addPoint(curve, 30, 3);
  addPoint(curve, 40, 2);
  addEarlier(curve, [[20, 4], [10, 5], [30, 99]]);
  assert.deepEqual(curve, { x: [10, 20, 30, 40], y: [5, 4, 3, 2] });
  addEarlier(curve, Array.from({ length: 500 }, (_, i) => [i / 100, 6] as const), 100);
  assert.ok(curve.x.length <= 100);
  assert.equal(curve.x.at(-1), 40);
});

test("a sparkline spans its box, and a flat one does not divide by zero", () => {
  const curve = series();
  assert.equal(polyline(curve, 60, 16), "");
  addPoint(curve, 0, 5);
  addPoint(curve, 50, 1);
  addPoint(curve, 100, 3);
  assert.equal(polyline(curve, 60, 16), "0.0,0.0 30.0,16.0 60.0,8.0");
  const flat = series();
  addPoint(flat, 1, 2);
  addPoint(flat, 2, 2);
  assert.equal(polyline(flat, 10, 10), "0.0,10.0 10.0,10.0");
});
