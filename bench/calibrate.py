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
ROUNDS = 4


def config(shape: tuple) -> dict:
    hidden, layers, heads, kv_heads, width, vocab = shape
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab, "hidden_size": hidden,
            "intermediate_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
            "head_dim": hidden // heads, "max_position_embeddings": 2048, "hidden_act": "silu", "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "initializer_range": 0.02, "tie_word_embeddings": True}


def train(build: pathlib.Path, folder: pathlib.Path, model: pathlib.Path, shape: tuple, batch: int, sequence: int, steps: int) -> float:
    """Seconds of the median step of one run; the first two steps warm up."""
    command = [build / "centrale-trainer", "train", "--model", model, "--data", DATA, "--tokenizer", folder / f"tokens-{shape[5]}",
               "--steps", steps + 2, "--batch", batch, "--micro-batch", batch, "--seq", sequence, "--lr", "1e-3", "--dtype", "fp32",
               "--threads", THREADS, "--checkpoints", folder / "run", "--eval-fraction", "0"]
    ends = []
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as trainer:
        for line in trainer.stdout:
            if "tokens_per_s" in line:
                ends.append(time.perf_counter())
            if len(ends) == steps + 2:
                trainer.kill()  # not the checkpoint, not the evaluation
    assert len(ends) == steps + 2, f"the trainer made {len(ends)} steps of {steps + 2}"
    spans = sorted(b - a for a, b in zip(ends[1:], ends[2:]))
    return spans[len(spans) // 2]


def calibrate(build: pathlib.Path, chip: pathlib.Path) -> dict:
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
        chip = folder / "chip.yaml"
        calibrated = calibrate(build, chip)
        # Other processes only ever add time, and come in bursts: rounds over all shapes, of which the fastest median counts.
        rounds = [[train(build, folder, models[i], shape, batch, sequence, steps) for i, (shape, batch, sequence, steps) in enumerate(SHAPES)]
                  for _ in range(ROUNDS)]
        predicted = predict(build, chip, [(models[i], batch, sequence) for i, (_, batch, sequence, _) in enumerate(SHAPES)])
    print(f"{'hidden':>6} {'layers':>6} {'batch':>5} {'tokens':>6} {'parameters':>10} {'measured s':>10} {'rounds vary':>11} {'predicted s':>11} {'error':>7}")
    errors = []
    for i, (shape, batch, sequence, _) in enumerate(SHAPES):
        times = sorted(r[i] for r in rounds)
        error = predicted[i]["step"] / times[0] - 1
        errors.append(abs(error) * 100)
        print(f"{shape[0]:>6} {shape[1]:>6} {batch:>5} {sequence:>6} {predicted[i]['parameters']:>10,} {times[0]:>10.4f} "
              f"{(times[len(times) // 2] / times[0] - 1) * 100:>9.1f} % {predicted[i]['step']:>11.4f} {error * 100:>+6.1f} %")
    errors.sort()
    figures = {"step_error_median_pct": (errors[(len(errors) - 1) // 2] + errors[len(errors) // 2]) / 2, "step_error_max_pct": errors[-1],
               "shapes": len(SHAPES), "spread_pct": calibrated["spread_pct"]}
    for part in calibrated["errors"]:
        figures["fit_" + part["part"].replace(" ", "_") + "_median_pct"] = part["median_pct"]
    for note in calibrated["notes"]:
        print("note: " + note)
    return figures


AIMS = {"step_error_max_pct": (15.0, False)}
