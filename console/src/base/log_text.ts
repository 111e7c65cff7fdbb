// SPDX-License-Identifier: Apache-2.0
// The tail of a task's output, in bounded memory, and the progress that is written in it (docs/task-contract.md).

export const kLogCharactersMax = 256 * 1024;

/// Appends and cuts whole lines off the front once the limit is passed.
export function appendLog(kept: string, more: string, max = kLogCharactersMax): string {
  const all = kept + more;
  if (all.length <= max) return all;
  const cut = all.length - max;
  const line = all.indexOf("\n", cut);
  return line < 0 || line === all.length - 1 ? all.slice(cut) : all.slice(line + 1);
}

/// Takes terminal colours out, and of a line that was drawn over with carriage returns only the last state.
export function plain(text: string): string {
  return text
    .replace(/\x1b\[[0-9;?]*[ -/]*[@-~]/g, "")
    .replace(/\r\n/g, "\n")
    .replace(/[^\n]*\r(?=[^\n])/g, "");
}

/// Step and loss of each complete progress line.
export function progressPoints(text: string): [number, number][] {
  const points: [number, number][] = [];
  for (const line of text.split("\n")) {
    if (!line.startsWith("@centrale ")) continue;
    try {
      const said: unknown = JSON.parse(line.slice("@centrale ".length));
      if (typeof said !== "object" || said === null) continue;
      const { step, loss } = said as { step?: unknown; loss?: unknown };
      if (typeof step === "number" && typeof loss === "number") points.push([step, loss]);
    } catch {
      // Half a line at the edge of what was fetched, or a program that prints something else: not a point.
    }
  }
  return points;
}
