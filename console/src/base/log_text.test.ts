// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { appendLog, plain, progressPoints } from "./log_text";

test("a log keeps its end, in whole lines", () => {
  assert.equal(appendLog("a\n", "b\n", 10), "a\nb\n");
  assert.equal(appendLog("first\nsecond\n", "third\n", 14), "second\nthird\n");
  assert.equal(appendLog("", "x".repeat(20), 5), "xxxxx");
  assert.equal(appendLog("", "x".repeat(20) + "\n", 5), "xxxx\n");
});

test("colours and overdrawn progress bars are taken out", () => {
  assert.equal(plain("\x1b[31mred\x1b[0m\n"), "red\n");
  assert.equal(plain("10%\r50%\r100%\nnext\r\n"), "100%\nnext\n");
});

test("progress lines are read, everything else is passed over", () => {
  const log = [
    'e","loss":1}', '@centrale {"step":1,"loss":10.5,"tokens":9}', "step 2 loss 9", "@centrale {broken",
    "@centrale null", '@centrale {"checkpoint":"step-2","step":2}', ' @centrale {"step":3,"loss":1}', '@centrale {"step":4,"loss":8}', "",
  ].join("\n");
  assert.deepEqual(progressPoints(log), [[1, 10.5], [4, 8]]);
});
