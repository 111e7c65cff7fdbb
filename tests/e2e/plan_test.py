# SPDX-License-Identifier: Apache-2.0
"""The planner as people run it: `plan predict` on published rows, byte for byte but for what it adds, and every command of docs/planner.md."""
import csv
import io
import json
import os
import pathlib
import shlex
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CENTRALE = pathlib.Path(os.environ.get("CENTRALE_BUILD", ROOT / "build")) / "centrale"
ROWS = ROOT / "tests/data/validation"


def run(*words, code=0, stdin=None, cwd=None):
    # Whatever centre is set, no plan command may ask it.
    environment = {**os.environ, "CENTRALE_URL": "http://127.0.0.1:9"}
    done = subprocess.run([CENTRALE, *words], capture_output=True, text=True, input=stdin, cwd=cwd, env=environment, timeout=120)
    assert done.returncode == code, (words, done.returncode, done.stderr)
    return done


class Predict(unittest.TestCase):
    def predicted(self, name):
        file = ROWS / name
        out = run("plan", "predict", file).stdout
        given, got = file.read_text().splitlines(), out.splitlines()
        self.assertEqual(len(given), len(got))
        self.assertEqual(got[0], given[0] + ",predicted_kind,predicted_value,error_pct,note")
        for before, after in zip(given, got):
            self.assertTrue(after.startswith(before + ","), before)  # the row as it was, quotes and all
        rows = list(csv.reader(io.StringIO(out)))
        return [dict(zip(rows[0][:-4], row)) | dict(zip(("kind", "value", "error", "why"), row[-4:])) for row in rows[1:]]

    def check(self, name, kinds):
        rows = self.predicted(name)
        known = [r for r in rows if r["value"]]
        self.assertGreater(len(known), 0.9 * len(rows))
        self.assertTrue(kinds <= {r["kind"] for r in known}, {r["kind"] for r in known})
        for row in rows:
            self.assertEqual(row["kind"], row["measured_kind"])
            if row["value"]:
                self.assertGreater(float(row["value"]), 0)
                error = 100 * (float(row["value"]) / float(row["measured_value"]) - 1)
                self.assertAlmostEqual(float(row["error"]), error, delta=0.02)
            else:
                self.assertEqual(row["error"], "")
                self.assertNotEqual(row["why"], "")
        return known

    def test_training_rows(self):
        known = self.check("train.csv", {"iter_s", "tokens_per_s_per_gpu", "tflops_per_gpu", "minutes_to_train"})
        errors = sorted(abs(float(r["error"])) for r in known)
        self.assertLess(errors[len(errors) // 2], 8)  # the median of rows that the constants were made with

    def test_serving_rows(self):
        self.check("infer.csv", {"ttft_ms", "itl_ms", "output_tok_s_total", "req_s"})

    def test_standard_input_gives_the_same(self):
        text = (ROWS / "train.csv").read_text()
        self.assertEqual(run("plan", "predict", "-", stdin=text).stdout, run("plan", "predict", ROWS / "train.csv").stdout)

    def test_a_row_that_cannot_be_predicted_stops_nothing(self):
        with open(ROWS / "train.csv", newline="") as file:
            rows = list(csv.reader(file))
        chip, measured = rows[0].index("chip"), rows[0].index("measured_value")
        rows[1][chip] = "Abacus 3000"
        rows[2][measured] = ""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows[:4])
        out = list(csv.reader(io.StringIO(run("plan", "predict", "-", stdin=text.getvalue()).stdout)))
        self.assertEqual(len(out), 4)
        self.assertEqual(out[1][-3:-1], ["", ""])
        self.assertIn("Abacus 3000", out[1][-1])
        self.assertNotEqual(out[2][-3], "")
        self.assertEqual(out[2][-2], "")  # predicted, but nothing to compare with
        self.assertNotEqual(out[3][-2], "")

    def test_other_tables_are_refused(self):
        error = run("plan", "predict", "-", stdin="a,b\n1,2\n", code=65).stderr
        self.assertIn("neither a table of training runs", error)


class Docs(unittest.TestCase):
    def test_every_command_of_the_page_works(self):
        page = (ROOT / "docs/planner.md").read_text().splitlines()
        commands = [line.strip().removeprefix("$ ") for line in page if line.startswith("    $ centrale plan")]
        self.assertGreater(len(commands), 8)
        with tempfile.TemporaryDirectory() as folder:
            files = pathlib.Path(folder)
            for name in ("two-halls.yaml", "my-chips.yaml", "my-stacks.yaml"):  # as the page shows them
                start = page.index(f"`{name}`:")
                block = []
                for line in page[start + 2:]:
                    if line.startswith("    $") or (line and not line.startswith("    ")):
                        break
                    block.append(line[4:])
                (files / name).write_text("\n".join(block).strip() + "\n")
            (files / "runs.csv").write_text((ROWS / "train.csv").read_text())
            for command in commands:
                words = shlex.split(command.split(" > ")[0])
                with self.subTest(command=command):
                    run(*words[1:], cwd=folder)
            trace = json.loads((files / "step.json").read_text())
            self.assertGreater(len(trace["traceEvents"]), 100)


if __name__ == "__main__":
    unittest.main()
