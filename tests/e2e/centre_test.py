# SPDX-License-Identifier: Apache-2.0
"""The centre's everyday work with small commands in place of training: life cycle, restarts, arrays, dependencies, tenants, keys."""
import json
import os
import pathlib
import tempfile
import time
import unittest

from centre import CENTRALE, ROOT, Centre, Refused, wait_for


class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.centre = Centre("--cpu-chips", "4").start()

    @classmethod
    def tearDownClass(cls):
        cls.centre.close()

    def test_nodes_are_what_the_machine_has(self):
        nodes = json.loads(self.centre.cli("nodes", "--json").stdout)["nodes"]
        self.assertEqual(len(nodes), 1)
        self.assertEqual(len(nodes[0]["chips"]), 4)
        self.assertTrue(all(chip["kind"] == "cpu-core" for chip in nodes[0]["chips"]))
        self.assertIn("cpu-core", self.centre.cli("nodes").stdout)

    def test_a_job_runs_and_its_output_stays(self):
        self.centre.submit(name="hello", command=["sh", "-c", "echo out; echo err >&2"])
        job = self.centre.wait_job("hello", "done")
        self.assertEqual(job["attempts"], 1)
        self.assertEqual(self.centre.cli("logs", "hello").stdout, "out\n")
        self.assertEqual(self.centre.cli("logs", "hello", "--err").stdout, "err\n")

    def test_the_contract_reaches_the_task(self):
        self.centre.submit(name="contract", workers=2, command=["sh", "-c", "echo $RANK $WORLD_SIZE $CENTRALE_JOB $CENTRALE_ATTEMPT; test -d $CENTRALE_CHECKPOINT_DIR"])
        job = self.centre.wait_job("contract", "done")
        for rank in (0, 1):
            self.assertEqual(self.centre.cli("logs", "contract", "--rank", rank).stdout, f"{rank} 2 {job['id']} 1\n")

    def test_a_failure_is_retried_within_its_budget(self):
        self.centre.submit(name="flaky", restarts=2, backoff=0.1, command=["sh", "-c", "test $CENTRALE_ATTEMPT = 3"])
        self.assertEqual(self.centre.wait_job("flaky", "done")["attempts"], 3)
        self.centre.submit(name="hopeless", restarts=1, backoff=0.1, command=["sh", "-c", "exit 7"])
        job = self.centre.wait_job("hopeless", "failed")
        self.assertEqual(job["attempts"], 2)
        self.assertIn("7", job["message"])

    def test_a_command_that_is_not_there_fails_at_once_and_says_so(self):
        self.centre.submit(name="nosuch", command=["no-such-program"])
        job = self.centre.wait_job("nosuch", "failed")
        self.assertIn("no-such-program", job["message"])
        self.assertEqual(job["attempts"], 1)

    def test_stop_gives_time_to_save(self):
        self.centre.submit(name="saver", command=["sh", "-c", "trap 'echo saved; exit 75' TERM; echo ready; while :; do sleep 0.05; done"])
        wait_for("trap", lambda: "ready" in self.centre.api("GET", "/api/v1/jobs/saver/logs")["text"])
        self.centre.cli("stop", "saver")
        self.centre.wait_job("saver", "cancelled")
        self.assertIn("saved", self.centre.cli("logs", "saver").stdout)

    def test_arrays_and_dependencies(self):
        text = """
name: part
array: 3
command: [sh, -c, "echo part $CENTRALE_ARRAY_INDEX"]
---
name: whole
after: [part]
command: [sh, -c, "echo whole"]
"""
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "jobs.yaml"
            file.write_text(text)
            self.centre.cli("submit", file, "--detach")
        self.centre.wait_job("whole", "done")
        parts = [job for job in self.centre.api("GET", "/api/v1/jobs?name=part")["jobs"]]
        self.assertEqual(sorted(job["array_index"] for job in parts), [0, 1, 2])
        self.assertTrue(all(job["state"] == "done" for job in parts))
        whole = self.centre.job("whole")
        self.assertTrue(all(job["finished"] <= whole["started"] for job in parts))

    def test_cores_are_bound(self):
        self.centre.submit(name="bound", chips=1, command=["sh", "-c", "grep Cpus_allowed_list /proc/self/status"])
        self.centre.wait_job("bound", "done")
        text = self.centre.cli("logs", "bound").stdout.split()[-1]
        self.assertRegex(text, r"^\d+(,\d+)*$", "one core's hardware threads, not a range over the machine")

    def test_more_than_there_is_is_refused_in_words(self):
        with self.assertRaises(Refused) as refused:
            self.centre.submit(name="big", chips=64, command=["true"])
        self.assertEqual(refused.exception.status, 400)
        self.assertIn("asks for 64 chips; the whole centre has 4 cpu-core", refused.exception.error["message"])

    def test_progress_is_shown(self):
        self.centre.submit(name="progress", command=["sh", "-c", 'echo \'@centrale {"step":5,"steps":10,"loss":1.5,"tokens":1000}\'; sleep 1'])
        wait_for("progress", lambda: (self.centre.job("progress")["progress"] or {}).get("step") == 5)
        self.centre.wait_job("progress", "done")
        self.assertEqual(self.centre.job("progress")["usage"]["tokens_trained"], 1000)

    def test_usage_adds_up(self):
        self.centre.submit(name="second", chips=2, command=["sleep", "1"])
        job = self.centre.wait_job("second", "done")
        self.assertGreaterEqual(job["usage"]["device_s"], 2.0)
        self.assertLess(job["usage"]["device_s"], 4.0)
        self.assertGreater(job["usage"]["energy_j"], 0)
        self.assertGreater(job["usage"]["cost"], 0)
        wait_for("idle centre", lambda: self.centre.api("GET", "/api/v1/centre")["chips"]["busy"] == 0)
        usage = self.centre.api("GET", "/api/v1/usage")
        jobs = sum(line["device_s"] for line in usage["jobs"])
        self.assertAlmostEqual(sum(line["device_s"] for line in usage["tenants"]), jobs, places=3)

    def test_a_yaml_mistake_names_line_and_right_key(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "bad.yaml"
            file.write_text("name: a\ncomand: [true]\n")
            done = self.centre.cli("submit", file, check=False)
            self.assertEqual(done.returncode, 65)
            self.assertIn("bad.yaml:2", done.stderr)
            self.assertIn("command", done.stderr)
            file.write_text("name: a\ncommand: [sleep, 1]\nworkers: many\n")
            done = self.centre.cli("submit", file, check=False)
            self.assertIn("bad.yaml:3", done.stderr)

    def test_no_centre_is_said(self):
        done = self.centre.cli("ps", CENTRALE_URL="http://127.0.0.1:1", check=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn("centrale up", done.stderr)

    def test_metrics(self):
        text = self.centre.api("GET", "/metrics")
        self.assertIn("centrale_chips", text)

    def test_the_page_is_served(self):
        page = self.centre.api("GET", "/")
        self.assertIn("<html", page.lower())

    def test_openapi_is_served(self):
        document = self.centre.api("GET", "/api/v1/openapi.json")
        self.assertEqual(document["openapi"][:3], "3.1")


class Restarts(unittest.TestCase):
    def test_a_running_job_survives_the_centre(self):
        for end in ("stop", "kill"):
            with self.subTest(end), Centre("--cpu-chips", "2") as centre:
                with tempfile.TemporaryDirectory() as folder:
                    marks = pathlib.Path(folder) / "marks"
                    centre.submit(name="long", command=["sh", "-c", f"echo begin >> {marks}; for i in $(seq 40); do sleep 0.1; done; echo end >> {marks}"])
                    centre.submit(name="short", command=["sh", "-c", f"sleep 1; echo short >> {marks}"])
                    centre.submit(name="waits", command=["sh", "-c", f"echo waits >> {marks}"])
                    wait_for("start", lambda: marks.exists() and "begin" in marks.read_text())
                    getattr(centre, end)()
                    time.sleep(1.5)  # short ends while nobody watches
                    centre.start()
                    centre.wait_job("long", "done")
                    self.assertEqual(centre.wait_job("short", "done")["attempts"], 1)
                    centre.wait_job("waits", "done")
                    self.assertEqual(sorted(marks.read_text().split()), ["begin", "end", "short", "waits"], "each ran exactly once")

    def test_a_second_start_is_quick_to_answer(self):
        with Centre() as centre:
            centre.restart()
            self.assertEqual(centre.api("GET", "/api/v1/centre")["jobs"]["running"], 0)


class Tenants(unittest.TestCase):
    def test_keys_roles_and_quotas(self):
        with Centre("--cpu-chips", "4") as centre:
            admin = (centre.state / "state" / "admin.key").read_text().strip()
            self.assertEqual(os.stat(centre.state / "state" / "admin.key").st_mode & 0o077, 0)
            centre.api("PUT", "/api/v1/tenants", {"name": "plant", "chips_max": 1, "tokens_per_day_max": 0}, key=admin)
            made = centre.api("POST", "/api/v1/keys", {"tenant": "plant", "label": "line 3", "role": "user"}, key=admin)
            viewer = centre.api("POST", "/api/v1/keys", {"tenant": "plant", "label": "wall", "role": "viewer"}, key=admin)["key"]
            key = made["key"]
            with self.assertRaises(Refused) as refused:  # from now on loopback alone opens no door
                centre.api("GET", "/api/v1/jobs")
            self.assertEqual(refused.exception.status, 401)
            centre.api("POST", "/api/v1/jobs", {"name": "a", "command": ["sleep", "30"]}, key=key)
            with self.assertRaises(Refused) as refused:
                centre.api("POST", "/api/v1/jobs", {"name": "b", "chips": 2, "command": ["true"]}, key=key)
            self.assertEqual(refused.exception.status, 429)
            for role_key, status in ((viewer, 403), ("ck-" + "x" * 40, 401)):
                with self.assertRaises(Refused) as refused:
                    centre.api("POST", "/api/v1/jobs", {"name": "c", "command": ["true"]}, key=role_key)
                self.assertEqual(refused.exception.status, status)
            with self.assertRaises(Refused) as refused:
                centre.api("GET", "/api/v1/tenants", key=key)
            self.assertEqual(refused.exception.status, 403)
            journal = (centre.state / "state" / "journal.db").read_bytes() + (centre.state / "state" / "journal.db-wal").read_bytes()
            self.assertNotIn(key.encode(), journal, "the key itself is never stored")
            centre.api("DELETE", f"/api/v1/keys/{made['id']}", key=admin)
            with self.assertRaises(Refused):
                centre.api("GET", "/api/v1/jobs", key=key)
            made = centre.cli("keys", "add", "--tenant", "plant", "--label", "line 4", CENTRALE_KEY=admin).stdout
            self.assertRegex(made, r"ck-[0-9A-Za-z]{40}")
            centre.cli("tenants", "set", "plant", "--chips", "2", CENTRALE_KEY=admin)
            self.assertEqual([t["chips_max"] for t in centre.api("GET", "/api/v1/tenants", key=admin)["tenants"] if t["name"] == "plant"], [2])
            centre.api("POST", "/api/v1/jobs/a/stop", key=admin)
            wait_for("end", lambda: centre.api("GET", "/api/v1/centre", key=admin)["chips"]["busy"] == 0)


class CommandLine(unittest.TestCase):
    def test_every_command_has_help_with_an_example(self):
        import subprocess
        top = subprocess.run([CENTRALE, "--help"], capture_output=True, text=True, check=True).stdout
        for name in ("up", "nodes", "submit", "ps", "logs", "stop", "usage", "top", "serve"):
            self.assertIn(name, top)
            text = subprocess.run([CENTRALE, name, "--help"], capture_output=True, text=True, check=True).stdout
            self.assertIn(f"centrale {name}", text)

    def test_examples_are_read(self):
        import subprocess
        schema = json.loads(subprocess.run([CENTRALE, "schema"], capture_output=True, text=True, check=True).stdout)
        self.assertIn("$schema", schema)
        self.assertGreaterEqual(len(list((ROOT / "examples").glob("*.yaml"))), 4)


if __name__ == "__main__":
    unittest.main()
