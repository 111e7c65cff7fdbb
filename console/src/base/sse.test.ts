// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser, kEventBytesMax, readEvents, type SentEvent } from "./sse";

const stream = 'event: hello\nid: 7\ndata: {"a":1}\n\n: ping\n\ndata: one\ndata:two\n\nevent: job\r\ndata: é\r\n\r\n';
const expected: SentEvent[] = [
  { event: "hello", data: '{"a":1}', id: "7" },
  { event: "message", data: "one\ntwo", id: "7" },
  { event: "job", data: "é", id: "7" },
];

test("events are the same however the stream is cut", () => {
  for (let size = 1; size <= stream.length; size += 1) {
    const parser = new EventParser();
    const found: SentEvent[] = [];
    for (let i = 0; i < stream.length; i += size) found.push(...parser.push(stream.slice(i, i + size)));
    assert.deepEqual(found, expected, `cut every ${size}`);
  }
});

test("an unfinished event is not delivered", () => {
  assert.deepEqual(new EventParser().push("event: job\ndata: {}\n"), []);
});

test("an event without end is refused", () => {
  const parser = new EventParser();
  assert.throws(() => {
    for (let i = 0; i <= 17; i += 1) parser.push("data: " + "x".repeat(kEventBytesMax / 16) + "\n");
  }, /too long/);
});

test("multi-byte characters may be cut by the network", async () => {
  const bytes = new TextEncoder().encode(stream);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const found: SentEvent[] = [];
  await readEvents(body, (event) => found.push(event));
  assert.deepEqual(found, expected);
});
