# SPDX-License-Identifier: Apache-2.0
"""Why a job waits: a small centre with a running and a waiting job, asked over its CLI and API."""
import json
import unittest

from centre import Centre, Refused, wait_for


class Why(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.centre = Centre("--cpu-chips", "2").start()

    @classmethod
    def tearDownClass(cls):
        cls.centre.close()

    def test_a_waiting_job_says_why_until_when_and_what_would_start_it(self):
        centre = self.centre
        centre.submit(name="holder", command=["sleep", "3600"], estimate="10m")
        centre.wait_job("holder", "running")
        centre.submit(name="waiter", command=["true"], workers=2, estimate="1m")
        centre.submit(name="behind", command=["true"], workers=2, estimate="1m")

        said = centre.cli("why", "waiter").stdout
        first, *lines = said.splitlines()
        self.assertRegex(first, r"^waiter \(j\d+\) waits for 2 chips of cpu-core; 1 of 2 is free\.$")
        self.assertRegex(said, r"It will start in about .*20 draws\.")
        self.assertRegex(said, r"(?m)^  holder \(j\d+\)  1 chip of cpu-core  ends in about ")
        self.assertIn("  1 worker instead of 2 on cpu-core", lines)
        self.assertIn("1 job is before it.", centre.cli("why", "behind").stdout)

        answer = json.loads(centre.cli("why", "behind", "--json").stdout)
        self.assertEqual(answer["cause"], "chips")
        self.assertEqual(answer["forecast"]["draws"], 20)
        self.assertEqual(answer["forecast"]["before"], 1)
        start = answer["forecast"]["start"]
        self.assertLessEqual(start["p10_s"], start["p50_s"])
        self.assertGreater(start["p50_s"], 10, "a job that says 10 minutes is not over at once")

        running = centre.cli("why", "holder").stdout
        self.assertRegex(running, r"^holder \(j\d+\) is running; its first attempt began .* ago\.\nIt will end in about ")

        # What it says is true: with one worker, such a job starts at once.
        centre.submit(name="smaller", command=["true"], workers=1, priority=1)
        centre.wait_job("smaller", "done")
        centre.cli("stop", "holder")
        centre.wait_job("behind", "done")
        self.assertRegex(centre.cli("why", "waiter").stdout, r"^waiter \(j\d+\) is done\.\n$")

    def test_a_pause_and_what_is_not_there(self):
        centre = self.centre
        centre.submit(name="flaky", restarts=3, backoff=600, command=["sh", "-c", "exit 7"])

        def paused():
            answer = centre.api("GET", "/api/v1/jobs/flaky/why?draws=2")
            return answer if answer["cause"] == "pause" else None
        answer = wait_for("a pause", paused)
        self.assertIsNotNone(answer["until"])
        self.assertRegex(centre.cli("why", "flaky").stdout, r"It is tried again in \d+m")
        centre.cli("stop", "flaky")
        with self.assertRaises(Refused) as refused:
            centre.api("GET", "/api/v1/jobs/nosuch/why")
        self.assertEqual(refused.exception.status, 404)
        self.assertEqual(centre.cli("why", "nosuch", check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()
