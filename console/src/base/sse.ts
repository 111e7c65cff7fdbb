// SPDX-License-Identifier: Apache-2.0
// Reads server-sent events (WHATWG HTML, 9.2.6) from a stream of text. EventSource cannot send an Authorization header,
// and a POST cannot be an EventSource, so both the centre's events and streamed completions are read here.

export interface SentEvent {
  event: string;
  data: string;
  id: string | null; // the last one seen, as the standard has it
}

export const kEventBytesMax = 16 * 1024 * 1024; // one view of the largest fleet; more is not an event

export class EventParser {
  private rest = "";
  private event = "";
  private data: string[] = [];
  private bytes = 0;
  private id: string | null = null;

  /// Returns the events that are complete with this piece. Throws if one grows beyond the limit.
  push(piece: string): SentEvent[] {
    const found: SentEvent[] = [];
    let text = this.rest + piece;
    // A carriage return at the very end may be half of a CRLF: wait for what follows.
    const held = text.endsWith("\r") ? "\r" : "";
    if (held) text = text.slice(0, -1);
    const lines = text.split(/\r\n|\n|\r/);
    this.rest = (lines.pop() ?? "") + held;
    for (const line of lines) {
      if (line === "") {
        if (this.data.length > 0) found.push({ event: this.event || "message", data: this.data.join("\n"), id: this.id });
        this.event = "";
        this.data = [];
        this.bytes = 0;
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue; // a comment, sent to keep the connection open
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
      if (field === "event") this.event = value;
      else if (field === "data") {
        this.data.push(value);
        this.bytes += value.length;
      } else if (field === "id" && !value.includes("\0")) this.id = value;
    }
    if (this.bytes + this.rest.length > kEventBytesMax) throw new Error("an event of the stream is too long");
    return found;
  }
}

/// Calls `each` for every event until the stream ends. Rejects when it breaks off or is aborted.
export async function readEvents(body: ReadableStream<Uint8Array>, each: (event: SentEvent) => void): Promise<void> {
  const parser = new EventParser();
  const decoder = new TextDecoder();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const event of parser.push(decoder.decode(value, { stream: true }))) each(event);
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}
