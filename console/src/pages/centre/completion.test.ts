// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { readPiece } from "./completion";

test("a stream's events are text, usage, an error or the end", () => {
  assert.deepEqual(readPiece('{"choices":[{"delta":{"role":"assistant"}}]}'), []);
  assert.deepEqual(readPiece('{"choices":[{"delta":{"content":"Hi"}}]}'), [{ text: "Hi" }]);
  assert.deepEqual(readPiece('{"choices":[],"usage":{"completion_tokens":12}}'), [{ tokens: 12 }]);
  assert.deepEqual(readPiece('{"choices":[{"delta":{"content":"a"}}],"usage":null}'), [{ text: "a" }]);
  assert.deepEqual(readPiece('{"error":{"message":"replica lost"}}'), [{ error: "replica lost" }]);
  assert.deepEqual(readPiece("[DONE]"), [{ end: true }]);
  for (const damaged of ["", "{", "3", "null"]) assert.match(JSON.stringify(readPiece(damaged)), /error/);
});
