# SPDX-License-Identifier: Apache-2.0
"""Journals of earlier versions (tests/upgrade/) open, and tell the same state."""
import json
import pathlib
import shutil
import tempfile
import unittest

from centre import ROOT, Centre

OLD = ROOT / "tests" / "upgrade"


class Upgrade(unittest.TestCase):
    def test_schema_1(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="centrale-upgrade-"))
        (folder / "state").mkdir()
        shutil.copy(OLD / "schema1.db", folder / "state" / "journal.db")
        (folder / "state" / "journal.db").chmod(0o600)
        with Centre("--cpu-chips", "4", "--quiet", state=str(folder)) as centre:
            check = json.loads(centre.cli("journal", "check", "--state", folder / "state", "--json").stdout)
            self.assertEqual(check["contradiction"], "")
            jobs = {job["name"]: job["state"] for job in centre.api("GET", "/api/v1/jobs?limit=100")["jobs"]}
            self.assertEqual({name: jobs[name] for name in ("one", "many", "bad", "never")},
                             {"one": "done", "many": "done", "bad": "failed", "never": "failed"})
            self.assertIn(jobs["waits"], ("queued", "starting", "running", "done"))
            self.assertIn("which it was to run after", centre.job("never")["message"])
            tenants = {tenant["name"]: tenant for tenant in centre.api("GET", "/api/v1/tenants")["tenants"]}
            self.assertEqual((tenants["plant"]["chips_max"], tenants["plant"]["tokens_per_day_max"]), (2, 1000))
            self.assertEqual([service["name"] for service in centre.api("GET", "/api/v1/services")["services"]], ["absent"])
            self.assertGreater(tenants["default"]["usage"]["device_s"], 0)


if __name__ == "__main__":
    unittest.main()
