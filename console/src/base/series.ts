// SPDX-License-Identifier: Apache-2.0
// A curve that grows for as long as the page is open, in bounded memory.

export interface Series {
  x: number[];
  y: number[];
}

export const kPointsMax = 4096; // more than a plot has pixels

export function series(): Series {
  return { x: [], y: [] };
}

/// Adds a point. A run that goes on from a checkpoint reports earlier steps again: they replace what was there.
export function addPoint(curve: Series, x: number, y: number, pointsMax = kPointsMax): void {
  let keep = curve.x.length;
  while (keep > 0 && (curve.x[keep - 1] as number) >= x) keep -= 1;
  curve.x.length = keep;
  curve.y.length = keep;
  curve.x.push(x);
  curve.y.push(y);
  if (curve.x.length > pointsMax) thin(curve);
}

/// Adds points known from elsewhere (the log) without touching those that are here already.
export function addEarlier(curve: Series, points: readonly (readonly [number, number])[], pointsMax = kPointsMax): void {
  const all = new Map<number, number>();
  for (const [x, y] of points) all.set(x, y);
  curve.x.forEach((x, i) => all.set(x, curve.y[i] as number));
  const sorted = [...all].sort((a, b) => a[0] - b[0]);
  curve.x = sorted.map((point) => point[0]);
  curve.y = sorted.map((point) => point[1]);
  while (curve.x.length > pointsMax) thin(curve);
}

/// Halves the points; the last one, which is on display, stays.
function thin(curve: Series): void {
  const odd = (curve.x.length - 1) % 2;
  curve.x = curve.x.filter((_, i) => i % 2 === odd);
  curve.y = curve.y.filter((_, i) => i % 2 === odd);
}

/// The points of an SVG polyline in a box of `width` x `height`, at most one a pixel.
export function polyline(curve: Series, width: number, height: number): string {
  const n = curve.x.length;
  if (n < 2) return "";
  const first = curve.x[0] as number;
  const last = curve.x[n - 1] as number;
  let low = Infinity;
  let high = -Infinity;
  for (const y of curve.y) {
    if (y < low) low = y;
    if (y > high) high = y;
  }
  const tall = high - low || 1;
  const stride = Math.max(1, Math.ceil(n / width));
  const points: string[] = [];
  for (let i = (n - 1) % stride; i < n; i += stride) {
    const px = (((curve.x[i] as number) - first) / (last - first || 1)) * width;
    const py = height - (((curve.y[i] as number) - low) / tall) * height;
    points.push(`${px.toFixed(1)},${py.toFixed(1)}`);
  }
  return points.join(" ");
}
