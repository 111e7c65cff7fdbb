#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev lint: formatting, clang-tidy on every source of src/, and the architecture check. Says each fault once; exit code 0 when there is none."""
import concurrent.futures
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build"
# clang-tidy 14 sees std::expected only so.
EXTRA = ["--extra-arg=-std=c++2b", "--extra-arg=-D__cpp_concepts=202002L", "--extra-arg=-Wno-builtin-macro-redefined", "--extra-arg=-Wno-unknown-warning-option"]


def tracked(*patterns: str) -> list:
    return subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


def tidy(file: str) -> str:
    done = subprocess.run(["clang-tidy", "-p", BUILD, "--quiet", *EXTRA, file], cwd=ROOT, capture_output=True, text=True, check=False)
    # What clang 14 cannot parse of libstdc++'s std::expected is no fault of ours; the compiler has judged it already.
    return "".join(line + "\n" for line in done.stdout.splitlines() if "error:" in line and "clang-diagnostic" not in line)


def main() -> int:
    faults = 0
    formatted = subprocess.run(["clang-format", "--dry-run", "--Werror", *tracked("*.cpp", "*.hpp")], cwd=ROOT, capture_output=True, text=True, check=False)
    if formatted.returncode != 0:
        print("\n".join(line for line in formatted.stderr.splitlines() if "error:" in line)[:4000])
        print("formatting: run ./dev format")
        faults += 1
    files = [file for file in tracked("src/*.cpp") if not file.endswith(("_test.cpp", "_fuzz.cpp", "_bench.cpp"))]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, (file, text) in enumerate(zip(files, pool.map(tidy, files)), 1):
            if sys.stdout.isatty():
                print(f"\rclang-tidy {number}/{len(files)} {file}\033[K", end="", flush=True)
            if text:
                print(("\n" if sys.stdout.isatty() else "") + text)
                faults += 1
    print(f"\r\033[Kclang-tidy: {len(files)} files" if sys.stdout.isatty() else f"clang-tidy: {len(files)} files")
    faults += subprocess.run([sys.executable, ROOT / "tests/lint/architecture.py", BUILD], check=False).returncode
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
