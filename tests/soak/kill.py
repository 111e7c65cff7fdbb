# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the centre at random instants under load. After it: no accepted job is lost, none ran twice at the same time, each ran as
often as the centre says, the ledger adds up, the journal folds to a state without contradiction."""
import json
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time
import urllib.error

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from centre import Centre, Refused, wait_for  # noqa: E402

# Takes a lock for as long as it runs: a second run of the same job at the same time cannot take it, and says so. Then it
# lives for a while and ends well or badly, as its arguments say.
JOB = """
cd "$0"
exec 9>"locks/$CENTRALE_JOB"
flock -n 9 || echo "$CENTRALE_JOB" >> twice
echo "$CENTRALE_ATTEMPT" >> "runs/$CENTRALE_JOB"
sleep "$1"
exit "$2"
"""


class Load:
    """Submits and stops from a thread of its own, and remembers what was accepted."""

    def __init__(self, centre: Centre, folder: pathlib.Path, seed: int):
        self.centre, self.folder = centre, folder
        self.random = random.Random(seed)
        self.accepted: list[str] = []
        self.stops_accepted: list[str] = []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.done.is_set():
            try:
                if self.accepted and self.random.random() < 0.2:
                    name = self.random.choice(self.accepted[-20:])
                    self.centre.api("POST", f"/api/v1/jobs/{name}/stop")
                    self.stops_accepted.append(name)
                else:
                    code = self.random.choice([0, 0, 0, 1])
                    job = self.centre.submit(name="soak", command=["sh", "-c", JOB, str(self.folder), f"{self.random.uniform(0, 0.3):.3f}", str(code)],
                                             restarts=1, backoff=0.05, grace=1)
                    self.accepted.append(job["id"])
            except (Refused, OSError, urllib.error.URLError, ValueError):
                time.sleep(0.002)  # the centre is away, or the job is over already
            time.sleep(self.random.uniform(0, 0.02))


def soak(count: int, seed: int, progress=lambda text: None) -> dict:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="centrale-soak-"))
    (folder / "locks").mkdir()
    (folder / "runs").mkdir()
    dice = random.Random(seed)
    began = time.monotonic()
    with Centre("--cpu-chips", "8", "--quiet") as centre:
        load = Load(centre, folder, seed)
        load.thread.start()
        try:
            for kill in range(count):
                time.sleep(dice.uniform(0, 0.5))
                centre.kill()
                centre.start()
                progress(f"kill {kill + 1} of {count}: {len(load.accepted)} jobs accepted, {time.monotonic() - began:.0f} s")
        finally:
            load.done.set()
            load.thread.join()

        def idle():
            jobs = centre.api("GET", "/api/v1/centre")["jobs"]
            return jobs["queued"] + jobs["starting"] + jobs["running"] + jobs["stopping"] == 0
        wait_for("end of all jobs", idle, 300)
        found = {}
        before = ""
        while True:
            page = centre.api("GET", f"/api/v1/jobs?limit=500{before}")
            found.update({job["id"]: job for job in page["jobs"]})
            if not page["next"]:
                break
            before = f"&before={page['next']}"
        usage = centre.api("GET", "/api/v1/usage")
        check = json.loads(centre.cli("journal", "check", "--state", centre.state / "state", "--json").stdout)

    faults = []
    lost = [job for job in load.accepted if job not in found]
    faults += [f"accepted and lost: {lost}"] if lost else []
    twice = (folder / "twice").read_text().split() if (folder / "twice").exists() else []
    faults += [f"ran twice at the same time: {twice}"] if twice else []
    for name, job in found.items():
        runs = folder / "runs" / name
        attempts = runs.read_text().split() if runs.exists() else []
        if len(attempts) != len(set(attempts)):
            faults.append(f"{name}: one attempt ran more than once: {attempts}")
        if len(attempts) > job["attempts"]:
            faults.append(f"{name}: ran {len(attempts)} times, the centre counts {job['attempts']}")
        if job["state"] == "done" and not attempts:
            faults.append(f"{name}: done without having run")
        if job["state"] == "failed" and (job["failures"] < 2 or "lost" in job["message"]):
            faults.append(f"{name}: failed before its restart was spent: {job['message']}")
    for name in load.stops_accepted:
        if found[name]["state"] == "failed" and "cancel" in found[name]["message"]:
            faults.append(f"{name}: stopped and failed")
    by_job = sum(job["usage"]["device_s"] for job in found.values())
    by_tenant = sum(line["device_s"] for line in usage["tenants"])
    if abs(by_job - by_tenant) > 1e-6 * max(1, by_tenant):
        faults.append(f"the ledger: {by_job} device-seconds by job, {by_tenant} by tenant")
    if check["contradiction"]:
        faults.append(f"the journal folds to a contradiction: {check['contradiction']}")
    shutil.rmtree(folder, ignore_errors=True)
    return {"kills": count, "seed": seed, "jobs": len(found), "stops": len(load.stops_accepted), "events": check["events"],
            "seconds": round(time.monotonic() - began, 1), "faults": faults}
