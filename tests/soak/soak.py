#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev soak kill [--count N] [--seed S]: long fault tests. Exit code 0 when nothing was found."""
import argparse
import json
import random
import sys

import kill

SOAKS = {"kill": (kill.soak, "kill -9 the centre at random instants under load (200 takes about 5 minutes)")}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev soak", description="\n".join(f"{name}: {text}" for name, (_, text) in SOAKS.items()))
    parser.add_argument("name", choices=SOAKS)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    show = (lambda text: print(f"\r{text}\033[K", end="", flush=True)) if sys.stdout.isatty() else lambda text: None
    result = SOAKS[given.name][0](given.count, given.seed, show)
    print(("\n" if sys.stdout.isatty() else "") + json.dumps(result, indent=2))
    if result["faults"]:
        print(f"to repeat: ./dev soak {given.name} --count {given.count} --seed {given.seed}", file=sys.stderr)
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
