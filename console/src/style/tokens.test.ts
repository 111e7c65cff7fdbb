// SPDX-License-Identifier: Apache-2.0
// What is written must be readable (WCAG 2.2, 1.4.3: 4.5:1) and what is drawn visible (1.4.11: 3:1), on light and on dark.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

type Colours = Map<string, string>;

function tokens(css: string): Colours {
  return new Map([...css.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})/g)].map((found) => [found[1] as string, found[2] as string]));
}

function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((i) => {
    const c = parseInt(hex.slice(i, i + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(colours: Colours, a: string, b: string): number {
  const [high, low] = [a, b].map((name) => luminance(colours.get(name) ?? assert.fail(`no --${name}`))).sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const [light, dark] = readFileSync("src/style/tokens.css", "utf8").split("@media (prefers-color-scheme: dark)") as [string, string];

for (const [scheme, colours] of [["light", tokens(light)], ["dark", tokens(dark)]] as const) {
  test(`contrasts of the ${scheme} scheme`, () => {
    for (const ink of ["ink", "muted", "accent", "good", "warn", "bad"]) {
      for (const ground of ["panel", "raised"]) {
        assert.ok(contrast(colours, ink, ground) >= 4.5, `${ink} on ${ground}: ${contrast(colours, ink, ground).toFixed(2)}`);
      }
    }
    assert.ok(contrast(colours, "ink", "ground") >= 4.5);
    assert.ok(contrast(colours, "ink", "accent-soft") >= 4.5);
    assert.ok(contrast(colours, "bad", "bad-soft") >= 4.5);
    assert.ok(contrast(colours, "accent-ink", "accent") >= 4.5);
    for (let i = 1; i <= 8; i += 1) assert.ok(contrast(colours, `series-${i}`, "panel") >= 3, `series-${i}: ${contrast(colours, `series-${i}`, "panel").toFixed(2)}`);
    for (const drawn of ["job", "service"]) assert.ok(contrast(colours, drawn, "panel") >= 3, `${drawn}: ${contrast(colours, drawn, "panel").toFixed(2)}`);
    assert.ok(contrast(colours, "job", "free") >= 3 && contrast(colours, "service", "free") >= 2.5, "held chips stand out from free ones");
    // Levels run one way, so that more always looks like more.
    const levels = [0, 1, 2, 3, 4, 5].map((i) => luminance(colours.get(`level-${i}`) as string));
    const sorted = [...levels].sort((a, b) => (scheme === "light" ? b - a : a - b));
    assert.deepEqual(levels, sorted);
  });
}
