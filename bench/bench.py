#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev bench NAME: runs one benchmark, prints a table, writes build/bench/NAME.json (a flat object of names and numbers)."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import calibrate
import plan_accuracy

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"


def bench_core() -> dict:
    """Events per second through the core and the journal, and what 100,000 queued jobs cost a submit."""
    # Beside the build, not in /tmp: that may be memory, where an fsync costs nothing.
    folder = tempfile.mkdtemp(prefix="bench-core-", dir=BUILD)
    try:
        done = subprocess.run([BUILD / "core_bench", folder], check=True, capture_output=True, text=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return json.loads(done.stdout)


def bench_plan_speed() -> dict:
    """A trillion-parameter model planned on 100,000 chips, and layouts estimated a second, on one core; Calculon beside."""
    done = subprocess.run([BUILD / "plan_speed"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def bench_place() -> dict:
    """Share of Alibaba's 6,212 GPUs given out by each rule of placement, the paper's figures beside; needs ../shared/traces."""
    done = subprocess.run([BUILD / "place_fgd", "--traces", ROOT.parent / "shared" / "traces"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def bench_serve_twin() -> dict:
    """Routers and autoscaling on recorded requests in the twin; CENTRALE_REQUESTS: a folder of traces, else the samples in tests/."""
    folder = os.environ.get("CENTRALE_REQUESTS", ROOT / "tests" / "data" / "requests")
    done = subprocess.run([BUILD / "serve_twin", folder], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def bench_twin() -> dict:
    """1,000,000 jobs on 100,000 chips, 100,000 elastic ones on 10,000 under every policy that may stop work, and the longest decision."""
    done = subprocess.run([BUILD / "twin_speed"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def bench_published() -> dict:
    """Gavel's trace over its loads and Sia's workloads, our policies; needs ../shared/traces. Published figures: docs/benchmarks.md."""
    done = subprocess.run([BUILD / "twin_published", "all", ROOT.parent / "shared" / "traces"], check=True, stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    print("\n".join(lines[:-1]), file=sys.stderr)
    return json.loads(lines[-1])


def bench_chaos() -> dict:
    """The core under faults from seeds, every policy, two million events; what fails is told with the command that repeats it."""
    done = subprocess.run([BUILD / "chaos"], check=False, stdout=subprocess.PIPE, text=True)  # the figure failed_runs says whether it did
    return json.loads(done.stdout)


# What each figure should reach: (bound, is the bound a least).
AIMS = {
    "apply_per_s": (1_000_000, True),
    "durable_per_s": (20_000, True),
    "submit_slowdown_100k": (2.0, False),
    "search_1t_100k_s": (1.0, False),
    "layouts_per_s": (1_000_000, True),
    "failed_runs": (0, False),
    "seed42_fgd_pct": (94.84, True),  # published: 95.14
    "seed42_fgd_placements_s": (5, True),  # the authors' simulator
    "fifo_1m_jobs_s": (60, False),
    "backfill_1m_jobs_s": (60, False),
    "elastic_100k_jobs_s": (60, False),
    "decision_10k_jobs_s": (0.010, False),
    "peak_gib": (4, False),
    "gavel_4.0_adaptive_h": (16.82, False),  # the best published: Gavel's LAS
    "gavel_5.6_adaptive_h": (19.64, False),  # Gavel's LAS with space sharing
    "sia_adaptive_mean_h": (0.6, False),  # Sia
    "sia_adaptive_p99_h": (9.5, False),
    "sia_t4_adaptive_mean_h": (1.9, False),
    **calibrate.AIMS,
    **plan_accuracy.AIMS,
}
BENCHES = {"core": bench_core, "calibrate": calibrate.bench_calibrate, "plan-speed": bench_plan_speed, "serve-twin": bench_serve_twin,
           "plan-accuracy": plan_accuracy.bench_plan_accuracy, "place": bench_place, "twin": bench_twin,
           "published": bench_published}


def table(figures: dict) -> str:
    rows = [("figure", "measured", "aim", "")]
    for name, value in figures.items():
        aim = AIMS.get(name)
        text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
        if aim is None:
            rows.append((name, text, "", ""))
        else:
            met = value >= aim[0] if aim[1] else value <= aim[0]
            rows.append((name, text, f"{'>=' if aim[1] else '<='} {aim[0]:,}", "met" if met else "missed"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(f"{r[0]:<{widths[0]}}  {r[1]:>{widths[1]}}  {r[2]:>{widths[2]}}  {r[3]}".rstrip() for r in rows)


def main() -> int:
    names = sys.argv[1:]
    if not names or any(name not in BENCHES for name in names):
        for name, bench in BENCHES.items():
            print(f"  ./dev bench {name:<10} {bench.__doc__}")
        return 0 if not names else 2
    for name in names:
        figures = BENCHES[name]()
        out = BUILD / "bench" / f"{name}.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(figures, indent=2) + "\n")
        print(table(figures))
        print(f"written to {out.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
