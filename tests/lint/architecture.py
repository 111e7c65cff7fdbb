#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the sources against the shape they claim: includes only point down the list of parts, pure parts touch nothing of the
machine, the tree mentions no place outside it. Usage: architecture.py BUILD_FOLDER"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "src"

# What a pure part must not call: clocks, files, sockets, environment, randomness, threads. As `nm -uC` prints them.
IMPURE = re.compile(
    r"^(clock_gettime|gettimeofday|time|std::chrono::.*::now\(\)|std::random_device.*|rand|srand|random|getrandom|getenv|secure_getenv|"
    r"open|open64|openat|openat64|fopen|fopen64|creat|read|write|pread64|pwrite64|close|socket|connect|bind|listen|accept|accept4|send.*|recv.*|"
    r"unlink|rename|mkdir|stat|fstat|opendir|system|popen|fork|execv.*|kill|usleep|nanosleep|"
    r"std::(basic_|__basic_)?(i|o)?fstream.*|std::basic_filebuf.*|std::filesystem::.*|std::thread::.*|std::condition_variable::.*|pthread_create|"
    r"std::this_thread::.*)(@.*)?$")


def parts(build: pathlib.Path) -> dict:
    found = {}
    for line in (build / "parts.txt").read_text().splitlines():
        if line:
            name, pure, *uses = line.split(";")
            found[name] = (pure == "TRUE", [u for u in uses if u])
    return found


def check_includes(known: dict) -> list:
    wrong = []
    for name, (_, uses) in known.items():
        for file in sorted((SOURCE / name).glob("*.[ch]pp")):
            for number, line in enumerate(file.read_text().splitlines(), 1):
                match = re.match(r'\s*#include "([a-z_]+)/', line)
                if match and match[1] in known and match[1] != name and match[1] not in uses:
                    wrong.append(f"{file.relative_to(ROOT)}:{number}: {name} must not include {match[1]}; it may use: {', '.join(uses) or 'nothing'}")
    return wrong


def check_order(known: dict) -> list:
    order = re.search(r"foreach\(part ([a-z ]+)\)", (SOURCE / "CMakeLists.txt").read_text())[1].split()
    return [f"src/{name}: uses {use}, which stands above it in src/CMakeLists.txt"
            for name, (_, uses) in known.items() for use in uses if order.index(use) >= order.index(name)]


def check_purity(build: pathlib.Path, known: dict) -> list:
    wrong = []
    for name, (pure, _) in known.items():
        archive = build / "src" / name / f"libcentrale_{name}.a"
        if not pure or not archive.exists():
            continue
        symbols = subprocess.run(["nm", "-uC", archive], check=True, capture_output=True, text=True).stdout
        wrong += [f"{archive.name}: a pure part calls {line.split('U ', 1)[1]}" for line in symbols.splitlines()
                  if " U " in line and IMPURE.match(line.split("U ", 1)[1].strip())]
    return wrong


def check_headers() -> list:
    wrong = []
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    for name in files:
        path = ROOT / name
        if path.suffix in {".cpp", ".hpp", ".py", ".mjs", ".ts"} and path.is_file() and "SPDX-License-Identifier: Apache-2.0" not in path.read_text()[:300]:
            wrong.append(f"{name}: no licence line")
        if path.suffix in {".cpp", ".hpp"} and path.is_file() and (lines := path.read_text().count("\n")) > 500:
            wrong.append(f"{name}: {lines} lines; more than 500 want to be two files")
    return wrong


def main() -> int:
    build = pathlib.Path(sys.argv[1])
    known = parts(build)
    pure = [name for name, (is_pure, _) in known.items() if is_pure]
    assert len(known) >= 10 and {"base", "fleet", "spec", "policy", "centre"} <= set(pure), f"the list of parts looks wrong: {known}"
    wrong = check_order(known) + check_includes(known) + check_purity(build, known) + check_headers()
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(known)} parts, {len(pure)} of them pure, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
