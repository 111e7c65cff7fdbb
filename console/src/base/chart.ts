// SPDX-License-Identifier: Apache-2.0
// A line chart that takes its colours from the style sheet and follows the size of its box.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Line {
  label: string;
  colour: string; // a custom property of the style sheet, "--series-1"
}

export interface ChartSpec {
  time: boolean; // the x axis: wall clock, or plain numbers
  xText(x: number): string;
  yText(y: number): string;
  pointed?(index: number | null): void; // what the pointer is over
}

type Columns = [number[], ...(number | null)[][]];

export interface Chart {
  root: HTMLElement;
  draw(lines: readonly Line[], columns: Columns): void;
}

export function chart(spec: ChartSpec, height: number): Chart {
  const root = document.createElement("div");
  root.className = "chart";
  root.setAttribute("role", "img");
  let plot: uPlot | null = null;
  let lines: readonly Line[] = [];
  let columns: Columns = [[]];

  const colour = (name: string): string => getComputedStyle(root).getPropertyValue(name).trim() || "gray";

  function rebuild(): void {
    plot?.destroy();
    plot = null;
    if (lines.length === 0 || root.clientWidth === 0) return;
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--muted"), font: "11px system-ui, sans-serif", grid, ticks: { ...grid, size: 4 } };
    plot = new uPlot(
      {
        width: root.clientWidth,
        height,
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { size: 6 } },
        scales: { x: { time: spec.time } },
        padding: [8, 8, 0, 0],
        axes: [
          { ...axis, size: 28, gap: 4, space: 60, ...(spec.time ? { values: clock } : { values: (_, ticks) => ticks.map(spec.xText) }) },
          { ...axis, size: 56, gap: 6, space: 28, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : spec.yText(tick))) },
        ],
        hooks: { setCursor: [(self) => spec.pointed?.(self.cursor.idx ?? null)] },
        series: [{}, ...lines.map((line) => ({ label: line.label, stroke: colour(line.colour), width: 1.5, points: { show: false } }))],
      },
      columns as uPlot.AlignedData,
      root,
    );
  }

  new ResizeObserver(() => {
    if (root.clientWidth === 0) return;
    if (!plot) rebuild();
    else if (plot.width !== root.clientWidth) plot.setSize({ width: root.clientWidth, height });
  }).observe(root);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", rebuild);

  return {
    root,
    draw(nextLines, nextColumns): void {
      const same = nextLines.length === lines.length && nextLines.every((line, i) => line.label === lines[i]?.label && line.colour === lines[i]?.colour);
      lines = nextLines;
      columns = nextColumns;
      if (same && plot) plot.setData(columns as uPlot.AlignedData);
      else rebuild();
    },
  };
}

function clock(_: uPlot, ticks: number[]): string[] {
  const seconds = ticks.length > 1 && (ticks[1] as number) - (ticks[0] as number) < 60;
  return ticks.map((tick) => {
    const at = new Date(tick * 1000);
    const parts = seconds ? [at.getHours(), at.getMinutes(), at.getSeconds()] : [at.getHours(), at.getMinutes()];
    return parts.map((n) => String(n).padStart(2, "0")).join(":");
  });
}
