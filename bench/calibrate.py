# SPDX-License-Identifier: Apache-2.0
"""Predicted against measured step times of centrale-trainer on this machine: calibrate, predict, train, compare."""
import json
import os
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
THREADS = min(os.cpu_count() or 1, int(os.environ.get("CENTRALE_BENCH_THREADS", "2")))
DATA = ROOT / "examples/data/opticks.txt"

# hidden, layers, heads, key-value heads, feed-forward, vocabulary; sequences a step, tokens a sequence; steps a round
SHAPES = [
    ((128, 4, 4, 4, 344, 1024), 8, 128, 30),
    ((192, 4, 6, 2, 512, 2048), 8, 256, 14),
    ((256, 6, 8, 4, 688, 2048), 8, 256, 8),
    ((256, 2, 4, 4, 688, 1024), 4, 1024, 8),
    ((128, 12, 4, 4, 344, 1024), 32, 128, 7),
    ((384, 4, 6, 6, 1024, 2048), 4, 512, 7),
    ((512, 6, 8, 8, 1376, 2048), 16, 128, 6),
    ((768, 2, 12, 4, 2048, 2048), 4, 256, 8),
]
ROUNDS = 3
WINDOW_S = 0.3  # the kernel counts in hundredths of a second: in less time a part of the cores says nothing
WAIT_S = 20  # before each run, for others to be done
QUIET = 0.05  # of the cores that other programs may take in a window that counts


def config(shape: tuple) -> dict:
    hidden, layers, heads, kv_heads, width, vocab = shape
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab, "hidden_size": hidden,
            "intermediate_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
            "head_dim": hidden // heads, "max_position_embeddings": 2048, "hidden_act": "silu", "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "initializer_range": 0.02, "tie_word_embeddings": True}


def core_seconds() -> tuple:
    """Since the machine started: all of them, and those that were not idle (proc(5))."""
    ticks = [int(word) / os.sysconf("SC_CLK_TCK") for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks), sum(ticks) - ticks[3] - ticks[4]


def own_seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(limit_s: float) -> None:
    """Until others leave the cores alone for a second; no longer than `limit_s`."""
    end = time.perf_counter() + limit_s
    while time.perf_counter() < end:
        before = core_seconds()
        time.sleep(1)
        after = core_seconds()
        if after[1] - before[1] <= QUIET * (after[0] - before[0]):
            return


def train(build: pathlib.Path, folder: pathlib.Path, model: pathlib.Path, shape: tuple, batch: int, sequence: int, steps: int) -> list:
    """One run, in windows of a few steps: seconds a step, and the part of the cores that others took. The first two steps warm up."""
    command = [build / "centrale-trainer", "train", "--model", model, "--data", DATA, "--tokenizer", folder / f"tokens-{shape[5]}",
               "--steps", steps + 2, "--batch", batch, "--micro-batch", batch, "--seq", sequence, "--lr", "1e-3", "--dtype", "fp32",
               "--threads", THREADS, "--checkpoints", folder / "run", "--eval-fraction", "0"]
    wait_for_quiet(WAIT_S)
    ends = []  # of each step: when, and core-seconds of all, of the busy, of the trainer
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as trainer:
        for line in trainer.stdout:
            if "tokens_per_s" in line:
                ends.append((time.perf_counter(), *core_seconds(), own_seconds(trainer.pid)))
            if len(ends) == steps + 2:
                trainer.kill()  # not the checkpoint, not the evaluation
    assert len(ends) == steps + 2, f"the trainer made {len(ends)} steps of {steps + 2}"
    windows, first = [], 1
    for last in range(2, len(ends)):
        span = [b - a for a, b in zip(ends[first], ends[last])]
        if span[0] >= WINDOW_S:
            windows.append((span[0] / (last - first), max(0.0, span[2] - span[3]) / span[1]))
            first = last
    return windows


def measured(runs: list) -> tuple:
    """As centrale-calibrate has it: of a run the median of the windows in which others left the cores alone, of the runs the fastest, since
    whatever else the machine (or the host of a virtual one) does only adds time. Without such a window, the one that was left alone most."""
    medians = []
    for windows in runs:
        quiet = sorted(window for window in windows if window[1] <= QUIET)
        if quiet:
            medians.append(quiet[len(quiet) // 2])
    return min(medians) if medians else min((window for windows in runs for window in windows), key=lambda window: window[1])


def calibrate(build: pathlib.Path, chip: pathlib.Path) -> dict:
    wait_for_quiet(WAIT_S)
    done = subprocess.run([build / "centrale-calibrate", "--threads", str(THREADS), "--output", chip, "--json"],
                          check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def predict(build: pathlib.Path, chip: pathlib.Path, runs: list) -> list:
    text = "".join(f"{model} {sequence} {batch}\n" for model, batch, sequence in runs)
    done = subprocess.run([build / "calibrate_predict", chip], check=True, input=text, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def bench_calibrate(build: pathlib.Path = ROOT / "build") -> dict:
    """Step times of the trainer on this machine, predicted from `centrale calibrate`, against measured ones."""
    with tempfile.TemporaryDirectory(prefix="bench-calibrate-") as name:
        folder = pathlib.Path(name)
        models = []
        for i, (shape, _, _, _) in enumerate(SHAPES):
            models.append(folder / f"model-{i}.json")
            models[-1].write_text(json.dumps(config(shape)))
            if not (folder / f"tokens-{shape[5]}").exists():
                subprocess.run([build / "centrale-trainer", "tokenizer", "train", "--data", DATA, "--vocab", str(shape[5]),
                                "--out", folder / f"tokens-{shape[5]}"], check=True, stdout=subprocess.DEVNULL)
        # Rounds of both, since what others do on the machine comes in bursts; the calibration that was left alone most counts.
        calibrations, rounds = [], []
        for r in range(ROUNDS):
            calibrations.append((calibrate(build, folder / f"chip-{r}.yaml"), folder / f"chip-{r}.yaml"))
            rounds.append([train(build, folder, models[i], shape, batch, sequence, steps)
                           for i, (shape, batch, sequence, steps) in enumerate(SHAPES)])
        calibrated, chip = min(calibrations, key=lambda pair: pair[0]["others_pct"])
        predicted = predict(build, chip, [(models[i], batch, sequence) for i, (_, batch, sequence, _) in enumerate(SHAPES)])
    print(f"{'hidden':>6} {'layers':>6} {'batch':>5} {'tokens':>6} {'parameters':>10} {'measured s':>10} {'others took':>11} {'predicted s':>11} {'error':>7}")
    errors, noisiest = [], 0.0
    for i, (shape, batch, sequence, _) in enumerate(SHAPES):
        seconds, others = measured([r[i] for r in rounds])
        noisiest = max(noisiest, others)
        error = predicted[i]["step"] / seconds - 1
        errors.append(abs(error) * 100)
        print(f"{shape[0]:>6} {shape[1]:>6} {batch:>5} {sequence:>6} {predicted[i]['parameters']:>10,} {seconds:>10.4f} "
              f"{others * 100:>9.1f} % {predicted[i]['step']:>11.4f} {error * 100:>+6.1f} %")
    errors.sort()
    figures = {"step_error_median_pct": (errors[(len(errors) - 1) // 2] + errors[len(errors) // 2]) / 2, "step_error_max_pct": errors[-1],
               "shapes": len(SHAPES), "others_took_max_pct": max(noisiest * 100, calibrated["others_pct"]), "spread_pct": calibrated["spread_pct"]}
    for part in calibrated["errors"]:
        figures["fit_" + part["part"].replace(" ", "_") + "_median_pct"] = part["median_pct"]
    for note in calibrated["notes"]:
        print("note: " + note)
    return figures


AIMS = {"step_error_max_pct": (15.0, False)}
