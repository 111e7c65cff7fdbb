# SPDX-License-Identifier: Apache-2.0
"""Measured against predicted as an SVG: above, both figures over all their decades; below, what their ratio does with scale."""
import math
from xml.sax.saxutils import escape

COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777", "#ee7733", "#009988", "#cc3311", "#332288",
           "#999933", "#882255", "#44aa99", "#ddaa33"]
WIDTH, TOP, BELOW, LEFT, RIGHT, GAP = 460, 400, 180, 64, 16, 56
NAMES = {"train": "Training", "infer": "Serving"}


class Axis:
    """Values to pixels, logarithmic."""

    def __init__(self, low: float, high: float, start: float, end: float):
        self.low, self.high, self.start, self.end = math.log10(low), math.log10(high), start, end

    def at(self, value: float) -> float:
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, part)) * (self.end - self.start)


def decades(low: float, high: float) -> list:
    return [10.0**e for e in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]


def short(value: float) -> str:
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def text(x: float, y: float, words: str, anchor: str = "middle", size: int = 12, turn: int = 0, fill: str = "#333333") -> str:
    turned = f' transform="rotate({turn} {x:.0f} {y:.0f})"' if turn else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}"{turned}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, stroke: str, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}"{dashes}/>'


def dots(points: list, colour: str, size: float) -> str:
    """One path for all: round ends of lines without length."""
    path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
    return f'<path d="{path}" stroke="{colour}" stroke-width="{size}" stroke-linecap="round" stroke-opacity="0.6" fill="none"/>'


def panel(kind: str, rows: list, x0: float, y0: float) -> list:
    out = []
    x1, y1 = x0 + WIDTH, y0 + TOP
    values = [r.measured for r in rows] + [r.predicted for r in rows]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
    across, up = Axis(low, high, x0, x1), Axis(low, high, y1, y0)
    out.append(text((x0 + x1) / 2, y0 - 14, f"{NAMES[kind]}: {len(rows):,} published figures", size=15))
    for decade in decades(low, high):
        out.append(line(across.at(decade), y0, across.at(decade), y1, "#e6e6e6"))
        out.append(line(x0, up.at(decade), x1, up.at(decade), "#e6e6e6"))
        out.append(text(across.at(decade), y1 + 16, short(decade), size=11))
        out.append(text(x0 - 6, up.at(decade) + 4, short(decade), "end", 11))
    out.append(line(x0, y1, x1, y0, "#333333"))
    out.append(text((x0 + x1) / 2, y1 + 34, "measured, in the row's own unit"))
    out.append(text(x0 - 46, (y0 + y1) / 2, "predicted", turn=-90))

    # The ratio over the chips.
    r0, r1 = y1 + GAP, y1 + GAP + BELOW
    chips = max(r.chips for r in rows)
    over = Axis(0.8, max(10.0, chips * 1.3), x0, x1)
    ratio = Axis(0.5, 2, r1, r0)
    out.append(f'<rect x="{x0}" y="{ratio.at(1.12):.1f}" width="{WIDTH}" height="{ratio.at(0.88) - ratio.at(1.12):.1f}" fill="#eef3ee"/>')
    for tick in (0.5, 0.7, 0.88, 1, 1.12, 1.4, 2):
        out.append(line(x0, ratio.at(tick), x1, ratio.at(tick), "#333333" if tick == 1 else "#e6e6e6"))
        out.append(text(x0 - 6, ratio.at(tick) + 4, f"{tick:g}", "end", 11))
    for decade in decades(1, chips * 1.3):
        out.append(line(over.at(decade), r0, over.at(decade), r1, "#e6e6e6"))
        out.append(text(over.at(decade), r1 + 16, short(decade), size=11))
    out.append(text((x0 + x1) / 2, r1 + 34, "chips"))
    out.append(text(x0 - 46, (r0 + r1) / 2, "predicted / measured", turn=-90))

    sources = sorted({r.source for r in rows}, key=lambda s: (-sum(r.source == s for r in rows), s))
    size = 5 if len(rows) < 1000 else 3
    for i, source in enumerate(sources):
        mine = [r for r in rows if r.source == source]
        colour = COLOURS[i % len(COLOURS)]
        out.append(dots([(across.at(r.measured), up.at(r.predicted)) for r in mine], colour, size))
        # Beside each other within a sixth of an octave, so that rows of one scale do not hide each other.
        out.append(dots([(over.at(r.chips * 2 ** (((k * 7) % 13 - 6) / 36)), ratio.at(r.predicted / r.measured)) for k, r in enumerate(mine)],
                        colour, size))
        column, row = i % 3, i // 3
        x, y = x0 + column * WIDTH / 3, r1 + 58 + row * 18
        out.append(dots([(x + 4, y - 4)], colour, 9))
        out.append(text(x + 14, y, f"{source} ({len(mine):,})", "start", 12))
    return out


def svg(rows: dict) -> str:
    width = LEFT + len(rows) * (WIDTH + LEFT + RIGHT)
    legend = max(math.ceil(len({r.source for r in kind}) / 3) for kind in rows.values())
    height = 44 + TOP + GAP + BELOW + 58 + legend * 18
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>']
    for i, (kind, of_kind) in enumerate(rows.items()):
        out += panel(kind, of_kind, LEFT + i * (WIDTH + LEFT + RIGHT), 44)
    return "\n".join(out) + "\n</svg>\n"
