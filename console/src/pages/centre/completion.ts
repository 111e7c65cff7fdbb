// SPDX-License-Identifier: Apache-2.0
// One streamed completion, as POST /v1/chat/completions sends it.
import { open } from "../../api/client";
import { readEvents } from "../../base/sse";
import { strings } from "../../strings";

export interface Question {
  model: string;
  prompt: string;
  max_tokens: number;
  temperature: number;
}

export interface Answer {
  tokens: number;
  first_s: number;
  tokens_per_s: number | null; // after the first token
}

/// What one event of the stream says.
export type Piece = { text: string } | { tokens: number } | { error: string } | { end: true };

export function readPiece(data: string): Piece[] {
  if (data === "[DONE]") return [{ end: true }];
  let said: unknown;
  try {
    said = JSON.parse(data);
  } catch {
    return [{ error: strings.tryIt.unreadable }];
  }
  if (typeof said !== "object" || said === null) return [{ error: strings.tryIt.unreadable }];
  const chunk = said as {
    choices?: { delta?: { content?: unknown } }[];
    usage?: { completion_tokens?: unknown } | null;
    error?: { message?: unknown };
  };
  if (chunk.error) return [{ error: typeof chunk.error.message === "string" ? chunk.error.message : strings.tryIt.unreadable }];
  const pieces: Piece[] = [];
  const content = chunk.choices?.[0]?.delta?.content;
  if (typeof content === "string" && content !== "") pieces.push({ text: content });
  if (typeof chunk.usage?.completion_tokens === "number") pieces.push({ tokens: chunk.usage.completion_tokens });
  return pieces;
}

/// Resolves when the answer is complete; rejects when it is refused, breaks off or is aborted.
export async function ask(question: Question, signal: AbortSignal, write: (text: string) => void): Promise<Answer> {
  const begun = performance.now();
  const response = await open("/v1/chat/completions", {
    method: "POST",
    signal,
    body: {
      model: question.model,
      messages: [{ role: "user", content: question.prompt }],
      max_tokens: question.max_tokens,
      temperature: question.temperature,
      stream: true,
      stream_options: { include_usage: true },
    },
  });
  if (!response.body) throw new Error(strings.tryIt.unreadable);
  let first: number | null = null;
  let last = begun;
  let pieces = 0;
  let told: number | null = null;
  let ended = false;
  await readEvents(response.body, (event) => {
    for (const piece of readPiece(event.data)) {
      if ("error" in piece) throw new Error(piece.error);
      if ("end" in piece) ended = true;
      if ("tokens" in piece) told = piece.tokens;
      if ("text" in piece) {
        last = performance.now();
        first ??= last;
        pieces += 1;
        write(piece.text);
      }
    }
  });
  if (!ended) throw new Error(strings.errors.unreachable);
  const tokens = told ?? pieces;
  const writing_s = first === null ? 0 : (last - first) / 1000;
  return { tokens, first_s: ((first ?? last) - begun) / 1000, tokens_per_s: writing_s > 0 && tokens > 1 ? (tokens - 1) / writing_s : null };
}
