# SPDX-License-Identifier: Apache-2.0
"""Published runs against `centrale plan predict`: the error by source, chip, scale and model size, and a plot.

docs/planner.md says which rows count as well-tuned, and why.
"""
import csv
import io
import math
import pathlib
import shutil
import statistics
import subprocess

import accuracy_plot

ROOT = pathlib.Path(__file__).resolve().parent.parent
WHOLE = ROOT.parent / "shared/validation"
SMALL = ROOT / "tests/data/validation"

AIMS = {
    "train_tuned_median_pct": (5.0, False),
    "train_tuned_p90_pct": (12.0, False),
    "infer_tuned_median_pct": (5.0, False),
    "infer_tuned_p90_pct": (12.0, False),
    "predicted_share": (1.0, True),
}

# (words in a row's id, source or note; why it is not a well-tuned run)
UNTUNED = {
    "train": [
        ("bigsci", "first iterations of trials, most before a fault in the nodes was found"),
        ("vtrain", "a sweep over layouts, bad ones too"),
        ("stock DistributedOptimizer", "the baseline beside a tuned run"),
        ("DeepSpeed-HF", "the baseline beside a tuned run"),
        ("meg21jan", "code before the tuning that the same table shows three months later"),
    ],
    "infer": [
        ("reference", "a reference implementation, not a tuned one"),
        ("lcpp", "one user's desktops, nothing tuned"),
    ],
}


class Row:
    def __init__(self, kind: str, cells: dict, note: str, predicted: str):
        self.kind = kind
        self.id = cells["id"]
        self.source = self.id.rsplit("-", 1)[0]
        self.chip = cells["chip"]
        self.chips = number(cells.get("num_chips", "")) or 1.0
        self.billions = number(cells.get("params_B", ""))
        self.unit = cells["measured_kind"]
        self.measured = number(cells["measured_value"])
        self.predicted = number(predicted)
        self.note = note
        text = f"{self.id} {cells['source']} {cells.get('note', '')}"
        self.scored = not any(word in cells.get("note", "") for word in ("CONFLICT", "QUIRK")) and self.measured is not None
        self.tuned = not any(word in text for word, _ in UNTUNED[kind])

    @property
    def error(self) -> float:
        return 100 * (self.predicted / self.measured - 1)


def number(text: str):
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def predict(kind: str, file: pathlib.Path, centrale: pathlib.Path) -> list:
    """The rows with their predictions. The last four columns are ours; a column of the same name before them is the table's."""
    done = subprocess.run([centrale, "plan", "predict", file], check=True, capture_output=True, text=True)
    lines = list(csv.reader(io.StringIO(done.stdout)))
    header = lines[0]
    if header[-4:] != ["predicted_kind", "predicted_value", "error_pct", "note"]:
        raise SystemExit(f"{file}: unexpected columns {header[-4:]}")
    return [Row(kind, dict(zip(header[:-4], line)), line[-1], line[-3]) for line in lines[1:]]


def quantile(values: list, part: float) -> float:
    """Between neighbours in proportion, as NumPy has it."""
    ordered = sorted(values)
    at = part * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def figures_of(rows: list) -> tuple:
    sizes = [abs(r.error) for r in rows]
    return len(rows), statistics.median(sizes), quantile(sizes, 0.9), statistics.median(r.error for r in rows)


def table(title: str, groups: dict) -> str:
    """Groups of rows as aligned lines: n, median and 90th percentile of the error's size, median of the error itself."""
    lines = [(title, "n", "median %", "p90 %", "bias %")]
    for name, rows in groups.items():
        if rows:
            n, median, p90, bias = figures_of(rows)
            lines.append((name, str(n), f"{median:.1f}", f"{p90:.1f}", f"{bias:+.1f}"))
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    return "\n".join("  ".join([line[0].ljust(widths[0])] + [line[i].rjust(widths[i]) for i in range(1, 5)]) for line in lines)


def by(rows: list, key) -> dict:
    groups = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def by_steps(rows: list, value, steps: list, unit: str) -> dict:
    groups = {}
    for low, high in zip([0] + steps, steps + [math.inf]):
        name = f"over {low:g}{unit}" if high == math.inf else f"{low:g} to {high:g}{unit}" if low else f"to {high:g}{unit}"
        groups[name] = [r for r in rows if value(r) is not None and low < value(r) <= high]
    return groups


def report(kind: str, rows: list) -> str:
    name = {"train": "Training", "infer": "Serving"}[kind]
    tuned = [r for r in rows if r.tuned]
    parts = [
        table(name, {"all rows": rows, "well-tuned runs": tuned, "the others": [r for r in rows if not r.tuned]}),
        table("by source", by(rows, lambda r: r.source)),
        table("by chip", by(rows, lambda r: r.chip)),
        table("by figure", by(rows, lambda r: r.unit)),
        table("by chips, well-tuned", by_steps(tuned, lambda r: r.chips, [1, 8, 64, 512, 4096], "")),
        table("by parameters, well-tuned", by_steps(tuned, lambda r: r.billions, [3, 15, 80, 300], "B")),
    ]
    return "\n\n".join(parts)


def bench_plan_accuracy() -> dict:
    """Published runs against what `centrale plan predict` says of them: by source, chip, scale and model size."""
    centrale = ROOT / "build/centrale"
    folder = WHOLE if (WHOLE / "train.csv").exists() else SMALL
    print(f"rows of {folder}\n")
    figures, plotted, asked, answered = {}, {}, 0, 0
    for kind in ("train", "infer"):
        rows = [r for r in predict(kind, folder / f"{kind}.csv", centrale) if r.scored]
        known = [r for r in rows if r.predicted is not None]
        asked += len(rows)
        answered += len(known)
        plotted[kind] = known
        print(report(kind, known), "\n")
        refused = by([r for r in rows if r.predicted is None], lambda r: r.note)
        for note, which in refused.items():
            print(f"not predicted, {len(which)} rows: {note}")
        if refused:
            print()
        _, figures[f"{kind}_median_pct"], figures[f"{kind}_p90_pct"], figures[f"{kind}_bias_pct"] = figures_of(known)
        _, figures[f"{kind}_tuned_median_pct"], figures[f"{kind}_tuned_p90_pct"], figures[f"{kind}_tuned_bias_pct"] = figures_of(
            [r for r in known if r.tuned])
    figures["predicted_share"] = answered / asked
    plot = ROOT / "build/bench/plan-accuracy.svg"
    plot.parent.mkdir(parents=True, exist_ok=True)
    plot.write_text(accuracy_plot.svg(plotted))
    print(f"plot: {plot.relative_to(ROOT)}")
    if folder == WHOLE:  # the picture of the docs shows all rows
        shutil.copyfile(plot, ROOT / "docs/img/plan-accuracy.svg")
    return figures
