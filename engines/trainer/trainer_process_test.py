#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The trainer as a process: killed, stopped, resumed, shared out, given nonsense. Usage: trainer_process_test.py BINARY [TEST...]"""
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BINARY = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else "build/centrale-trainer"
TINY = {
    "model_type": "llama", "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
STEPS = 40
BASE_ENV = {k: v for k, v in os.environ.items()
            if not k.startswith(("CENTRALE_", "TORCHELASTIC")) and k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")}


def text_of(words):
    chance = random.Random(3)
    nouns = "light ray prism colour glass lens sun eye image refraction".split()
    verbs = "bends falls on passes through reflects in meets".split()
    return " ".join(chance.choice(nouns) + " " + chance.choice(verbs) + "." for _ in range(words))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Trainer(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="trainer-test-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.write("config.json", json.dumps(TINY))
        self.write("text.txt", text_of(1500))

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)

    def command(self, checkpoints, **changes):
        options = {"model": self.path("config.json"), "data": self.path("text.txt"), "checkpoints": self.path(checkpoints),
                   "steps": STEPS, "batch": 8, "micro-batch": 4, "seq": 32, "lr": 0.003, "warmup": 4, "checkpoint-every": 5,
                   "threads": 1, "dtype": "fp32"}
        options.update({k.replace("_", "-"): v for k, v in changes.items()})
        return [BINARY, "train"] + [w for k, v in options.items() if v is not None for w in ("--" + k, str(v))]

    def start(self, command, log=None, **env):
        out = open(self.path(log), "a") if log else subprocess.PIPE
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True, env={**BASE_ENV, "OMP_NUM_THREADS": "1", **env})
        if log:
            out.close()

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stderr.close()
        self.addCleanup(end)
        return process

    def run_to_end(self, command, code=0, log=None, **env):
        process = self.start(command, log, **env)
        out, err = process.communicate(timeout=240)
        self.assertEqual(process.returncode, code, err)
        return out, err

    @staticmethod
    def lines(text):
        # A line that a kill cut short is no line.
        return [json.loads(l[len("@centrale "):]) for l in text.splitlines() if l.startswith("@centrale ") and l.endswith("}")]

    def losses(self, text):
        """Loss of each step, bit for bit; a step that was done twice must have come out the same twice."""
        found = {}
        for line in self.lines(text):
            if "loss_hex" in line:
                if line["step"] in found:
                    self.assertEqual(found[line["step"]], line["loss_hex"], f"step {line['step']} came out otherwise when repeated")
                found[line["step"]] = line["loss_hex"]
        return found

    def log(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def wait_for(self, what, process, log, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if what in self.log(log):
                return
            if process.poll() is not None:
                self.fail(f"ended with {process.returncode} before {what!r}: {process.stderr.read()}")
            time.sleep(0.005)
        self.fail(f"no {what!r} within {seconds} s")

    # --- killed and resumed ---------------------------------------------------------------------------------------------

    def test_killed_at_any_instant_it_goes_on_bit_for_bit(self):
        whole, _ = self.run_to_end(self.command("whole"))
        expected = self.losses(whole)
        self.assertEqual(len(expected), STEPS)
        chance = random.Random(os.environ.get("TRAINER_TEST_SEED", "11"))
        kills = int(os.environ.get("TRAINER_TEST_KILLS", "6"))
        for _ in range(kills):
            process = self.start(self.command("killed"), "killed.log")
            try:
                process.wait(timeout=chance.uniform(0.05, 1.2))
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate()
            if process.returncode == 0:
                break
        # One kill for certain in the middle of the steps.
        shutil.rmtree(self.path("killed"), ignore_errors=True)
        process = self.start(self.command("killed"), "killed.log")
        self.wait_for('"step":12,', process, "killed.log")
        process.kill()
        process.communicate()
        self.run_to_end(self.command("killed"), log="killed.log")
        self.assertEqual(self.losses(self.log("killed.log")), expected)
        for name in ("model.safetensors", "optimizer.safetensors"):
            with open(self.path(f"whole/step-0000{STEPS}/{name}"), "rb") as a, open(self.path(f"killed/step-0000{STEPS}/{name}"), "rb") as b:
                self.assertEqual(a.read(), b.read(), name)
        with open(self.path(f"whole/step-0000{STEPS}/state.json")) as a, open(self.path(f"killed/step-0000{STEPS}/state.json")) as b:
            self.assertEqual(json.load(a), json.load(b))

    def test_sigterm_saves_and_says_75(self):
        whole, _ = self.run_to_end(self.command("whole", checkpoint_every=0))
        process = self.start(self.command("stopped", checkpoint_every=0), "stopped.log")
        self.wait_for('"step":7,', process, "stopped.log")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75)
        self.assertIn('"checkpoint":"step-', self.log("stopped.log"))
        self.run_to_end(self.command("stopped", checkpoint_every=0), log="stopped.log")
        self.assertEqual(self.losses(self.log("stopped.log")), self.losses(whole))
        tokens = [l["tokens"] for l in self.lines(self.log("stopped.log")) if "tokens" in l]
        self.assertEqual(tokens, [8 * 32 * (i + 1) for i in range(STEPS)], "tokens are billed once, in order")

    def test_damaged_checkpoint_is_passed_over(self):
        whole, _ = self.run_to_end(self.command("c"))
        with open(self.path(f"c/step-0000{STEPS}/optimizer.safetensors"), "r+b") as f:
            f.seek(5000)
            f.write(b"damage")
        again, err = self.run_to_end(self.command("c"))
        self.assertIn("is passed over", err)
        losses = self.losses(again)
        self.assertEqual(min(losses), STEPS - 4)
        self.assertTrue(set(losses.items()) <= set(self.losses(whole).items()))

    def test_it_learns_exports_and_goes_on_from_the_export(self):
        out, _ = self.run_to_end(self.command("c", export=self.path("model"), eval_fraction=0.1))
        lines = self.lines(out)
        losses = [l["loss"] for l in lines if "loss" in l]
        self.assertLess(losses[-1], losses[0] - 1)
        held_out = next(l["eval_loss"] for l in lines if "eval_loss" in l)
        self.assertLess(held_out, losses[0])
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "model.gguf"):
            self.assertTrue(os.path.getsize(self.path("model/" + name)) > 0, name)
        first = {}
        for source in ("model", "model/model.gguf"):
            out, _ = self.run_to_end(self.command("on-" + source.replace("/", "-"), model=None, init=self.path(source), steps=3))
            first[source] = self.lines(out)[0]["loss"]
            self.assertLess(first[source], losses[0] - 1, "weights were taken over")
        self.assertAlmostEqual(first["model"], first["model/model.gguf"], delta=0.01)  # F16 against F32
        evaluated = json.loads(self.run_to_end([BINARY, "eval", "--model", self.path("model"), "--data", self.path("text.txt"), "--seq", "32"])[0])
        self.assertLess(evaluated["loss"], losses[0] - 1)
        made = self.run_to_end([BINARY, "generate", "--model", self.path("model/model.gguf"), "--prompt", "light", "--tokens", "8", "--json"])[0]
        self.assertGreater(len(made.splitlines()), 0)
        # A job that is done and started again has nothing to do but to export.
        again, _ = self.run_to_end(self.command("c", export=self.path("model"), eval_fraction=0.1))
        self.assertNotIn("loss_hex", again)
        self.assertIn('"export"', again)

    # --- several workers ------------------------------------------------------------------------------------------------

    def gang(self, count, checkpoints, log, **changes):
        port = str(free_port())
        return [self.start(self.command(checkpoints, **changes), f"{log}.{rank}", RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count),
                           MASTER_ADDR="127.0.0.1", MASTER_PORT=port) for rank in range(count)]

    def test_two_workers_train_as_one_and_one_goes_on_alone(self):
        one, _ = self.run_to_end(self.command("one"))
        expected = {l["step"]: l["loss"] for l in self.lines(one) if "loss" in l}
        gang = self.gang(2, "two", "two", steps=20)
        for process in gang:
            process.communicate(timeout=240)
            self.assertEqual(process.returncode, 0)
        self.assertEqual(self.log("two.1"), "", "only rank 0 reports")
        two = {l["step"]: l["loss"] for l in self.lines(self.log("two.0")) if "loss" in l}
        alike = {l["step"]: l["loss"] for l in self.lines(self.run_to_end(self.command("alike", steps=20))[0]) if "loss" in l}
        self.assertEqual(two.keys(), alike.keys())
        for step, loss in alike.items():
            self.assertAlmostEqual(two[step], loss, delta=1e-4)
        # Elastic: the gang is killed, and one worker goes on alone.
        gang = self.gang(2, "elastic", "elastic", checkpoint_every=10)
        self.wait_for('"checkpoint":"step-000010"', gang[0], "elastic.0")
        for process in gang:
            process.kill()
            process.communicate()
        out, err = self.run_to_end(self.command("elastic", checkpoint_every=10))
        self.assertIn("2 workers", err)
        alone = {l["step"]: l["loss"] for l in self.lines(out) if "loss" in l}
        self.assertGreater(len(alone), 5)
        for step, loss in alone.items():
            self.assertAlmostEqual(loss, expected[step], delta=1e-4)

    def test_sigterm_to_any_rank_stops_all_at_one_step(self):
        gang = self.gang(2, "gang", "gang", steps=5000, checkpoint_every=0)
        self.wait_for('"step":3,', gang[0], "gang.0")
        gang[1].send_signal(signal.SIGTERM)
        for process in gang:
            process.communicate(timeout=120)
            self.assertEqual(process.returncode, 75)
        last = self.lines(self.log("gang.0"))
        self.assertEqual(last[-1]["step"], last[-2]["step"])
        self.assertEqual(os.listdir(self.path("gang")), [last[-1]["checkpoint"]])

    def test_a_lost_worker_ends_the_others_with_a_failure(self):
        gang = self.gang(2, "lost", "lost", steps=5000)
        self.wait_for('"step":3,', gang[0], "lost.0")
        gang[1].kill()
        _, err = gang[0].communicate(timeout=120)
        self.assertEqual(gang[0].returncode, 1)
        self.assertIn("another worker has gone", err)

    # --- what a user or a machine may do wrong --------------------------------------------------------------------------

    def assert_refused(self, command, code, *parts, **env):
        _, err = self.run_to_end(command, code, **env)
        for part in parts:
            self.assertIn(part, err)
        self.assertLess(len(err.splitlines()), 8, err)

    def test_nonsense_is_refused_with_a_message(self):
        self.assert_refused([BINARY, "train"], 64, "--data")
        self.assert_refused(self.command("c", steps=0), 64, "--steps")
        self.assert_refused(self.command("c", dtype="int3"), 64, "--dtype")
        self.assert_refused(self.command("c", batch=7), 64, "--batch", "7 sequences", "multiple of 2",
                            RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
        self.assert_refused(self.command("c", model=self.path("none.json")), 78, "none.json", "cannot open")
        self.assert_refused(self.command("c", data=self.path("none.txt")), 65, "none.txt", "cannot open")
        self.assert_refused(self.command("c", model=self.path("text.txt")), 78, "text.txt", "JSON")
        self.assert_refused(self.command("c", vocab=400), 78, "vocab_size is 320 but the tokenizer has")
        self.assert_refused(self.command("c", seq=100000), 65, "text.txt", "smaller --seq")
        self.assert_refused(self.command("c", model=None, init=self.path("text.txt")), 65, "not a model")
        self.assert_refused(self.command("c"), 78, "RANK is 3 but WORLD_SIZE is 2", RANK="3", WORLD_SIZE="2")
        self.assert_refused(self.command("c"), 78, "WORLD_SIZE", "'two'", WORLD_SIZE="two")
        broken = dict(TINY)
        del broken["hidden_size"]
        self.write("broken.json", json.dumps(broken))
        self.assert_refused(self.command("c", model=self.path("broken.json")), 78, "broken.json: field 'hidden_size' is missing")
        self.write("empty.txt", "")
        self.assert_refused(self.command("c", data=self.path("empty.txt")), 65, "empty")

    def test_another_command_does_not_go_on_from_this_checkpoint(self):
        self.run_to_end(self.command("c", steps=5))
        self.assert_refused(self.command("c", seed=2, steps=6), 78, "--seed 1, this command says 2")
        self.assert_refused(self.command("c", seq=16, steps=6), 78, "--seq 32")
        self.write("text.txt", text_of(1501))
        self.assert_refused(self.command("c", steps=6), 78, "a text marked")

    def test_full_disk_keeps_the_last_good_checkpoint(self):
        self.run_to_end(self.command("c", steps=5))
        before = os.listdir(self.path("c"))
        size = os.path.getsize(self.path("c/step-000005/model.safetensors"))

        def limit():  # what the disk says when it is full, a file-size limit says too
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
        done = subprocess.run(self.command("c", steps=20), capture_output=True, text=True, preexec_fn=limit, timeout=120,
                              env={**BASE_ENV, "OMP_NUM_THREADS": "1"})
        self.assertEqual(done.returncode, 74, done.stderr)
        self.assertIn("cannot write", done.stderr)
        self.assertEqual(os.listdir(self.path("c")), before)
        out, _ = self.run_to_end(self.command("c", steps=20))
        self.assertEqual(min(self.losses(out)), 6)

    def test_tokenizer_commands_bring_any_bytes_back(self):
        self.run_to_end([BINARY, "tokenizer", "train", "--data", self.path("text.txt"), "--vocab", "300", "--out", self.path("tok")])
        data = bytes(range(256)) + "naïve 日本語 🙂 light ray".encode()
        ids = subprocess.run([BINARY, "tokenizer", "encode", "--tokenizer", self.path("tok")], input=data, capture_output=True, check=True).stdout
        back = subprocess.run([BINARY, "tokenizer", "decode", "--tokenizer", self.path("tok")], input=ids, capture_output=True, check=True).stdout
        self.assertEqual(back, data)


if __name__ == "__main__":
    unittest.main()
