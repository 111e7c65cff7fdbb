#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes constants into catalogue/chips.yaml and catalogue/stacks.yaml: `plan_fit … | bench/plan_constants.py`. Reads NAME=VALUE lines as
plan_fit prints them (chip.KEY.FIELD, stack.KEY.FIELD, KEY may be several with | between and end in *), leaves other lines alone, and keeps the files' text otherwise."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIMES = {"launch", "host"}  # seconds, written as microseconds


def entries(text: str):
    """(start, end, key) of each `- key: KEY` entry."""
    starts = [(m.start(), m.group(1)) for m in re.finditer(r"^  - key: (\S+)", text, re.M)]
    for i, (start, key) in enumerate(starts):
        yield start, starts[i + 1][0] if i + 1 < len(starts) else len(text), key


def matches(key: str, pattern: str) -> bool:
    return any(key.startswith(one[:-1]) if one.endswith("*") else key == one for one in pattern.split("|"))


def put(text: str, pattern: str, field: str, value: float, inside: str) -> str:
    written = f"{value * 1e6:.3g}us" if field in TIMES else f"{value:.4g}"
    count = 0
    for start, end, key in reversed(list(entries(text))):
        if not matches(key, pattern):
            continue
        entry = text[start:end]
        if inside and inside not in entry:
            continue
        at = entry.index(inside) if inside else 0
        head, tail = entry[:at], entry[at:]
        new, done = re.subn(rf"(\b{field}: )([0-9.e+-]+(?:us|ms|s)?)", rf"\g<1>{written}", tail, count=1)
        if not done and inside:  # the first of a flow map
            new, done = re.sub(rf"{inside} ?\{{", f"{inside} {{{field}: {written}, ", tail, count=1), 1
        if not done:
            new, done = tail.rstrip("\n") + f"\n    {field}: {written}\n\n", 1
        count += done
        text = text[:start] + head + new + text[end:]
    if not count:
        sys.exit(f"{pattern}: no such entry")
    return text


def main() -> None:
    files = {"chip": ROOT / "catalogue/chips.yaml", "stack": ROOT / "catalogue/stacks.yaml"}
    texts = {kind: path.read_text() for kind, path in files.items()}
    for line in sys.stdin:
        found = re.fullmatch(r"(chip|stack)\.(.+)\.(\w+)=([0-9.e+-]+)", line.strip())
        if not found:
            continue
        kind, key, field, value = found.group(1), found.group(2), found.group(3), float(found.group(4))
        inside = "efficiency:" if kind == "chip" else ("transport:" if field in ("links", "network", "latency") else "")
        texts[kind] = put(texts[kind], key, field, value, inside)
    for kind, path in files.items():
        path.write_text(texts[kind])


if __name__ == "__main__":
    main()
