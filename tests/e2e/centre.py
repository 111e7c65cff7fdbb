# SPDX-License-Identifier: Apache-2.0
"""A centre of the test's own: started on a free loopback port with a state folder of its own, asked over its API and CLI."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("CENTRALE_BUILD", ROOT / "build"))
CENTRALE = BUILD / "centrale"


class Refused(Exception):
    def __init__(self, status: int, error: dict):
        super().__init__(f"{status}: {error}")
        self.status = status
        self.error = error


def wait_for(what: str, condition, seconds: float = 60, every: float = 0.05):
    """The condition's first true value; fails, naming what was waited for, when none comes in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {seconds} s")
        time.sleep(every)


class Centre:
    def __init__(self, *options: str, state: str | None = None):
        self.state = pathlib.Path(state or tempfile.mkdtemp(prefix="centrale-test-"))
        self.options = options
        self.process: subprocess.Popen | None = None
        self.url = ""
        self.output = ""

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def start(self, *more: str):
        """Starts it and waits until it answers."""
        with open(self.state / "centre.log", "a+", encoding="utf-8") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                [CENTRALE, "up", "--listen", "127.0.0.1:0", "--state", self.state / "state", *self.options, *more],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

        def url():
            text = (self.state / "centre.log").read_text()[begin:]
            if self.process.poll() is not None:
                raise AssertionError(f"the centre ended with {self.process.returncode}: {text}")
            for word in text.split():
                if word.startswith("http://") and "is up at" in text:
                    return word
            return None

        self.url = wait_for("centre", url, 60, 0.01)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        """Ends everything it started, also tasks that outlive it, and removes its folder."""
        if self.process and self.process.poll() is None:
            try:
                for job in self.api("GET", "/api/v1/jobs?limit=1000")["jobs"]:
                    if job["state"] not in ("done", "failed", "cancelled"):
                        self.api("POST", f"/api/v1/jobs/{job['id']}/stop")
                for service in self.api("GET", "/api/v1/services")["services"]:
                    self.api("DELETE", f"/api/v1/services/{service['id']}")
                wait_for("quiet centre", lambda: self.api("GET", "/api/v1/centre")["chips"]["busy"] == 0, 60)
            except (Refused, OSError, AssertionError):
                pass
            self.stop()
        shutil.rmtree(self.state, ignore_errors=True)

    def api(self, method: str, path: str, body=None, key: str | None = None, content_type="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", content_type)
        if key:
            request.add_header("Authorization", "Bearer " + key)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            raise Refused(error.code, json.loads(text)["error"]) from None
        return json.loads(text) if text.startswith(("{", "[")) else text

    def cli(self, *words, check=True, timeout=300, **more) -> subprocess.CompletedProcess:
        done = subprocess.run([CENTRALE, *map(str, words)], capture_output=True, text=True, timeout=timeout, check=False,
                              env={**os.environ, "CENTRALE_URL": self.url, "CENTRALE_STATE": str(self.state / "state"), "NO_COLOR": "1", **more}, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise AssertionError(f"centrale {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def job(self, name: str) -> dict:
        return self.api("GET", f"/api/v1/jobs/{name}")

    def submit(self, **spec) -> dict:
        return self.api("POST", "/api/v1/jobs", spec)

    def wait_job(self, name: str, *states: str, seconds: float = 120) -> dict:
        states = states or ("done", "failed", "cancelled")

        def there():
            job = self.job(name)
            if job["state"] in ("done", "failed", "cancelled") and job["state"] not in states:
                raise AssertionError(f"{name} is {job['state']}: {job['message']}")
            return job if job["state"] in states else None
        return wait_for(f"job {name} in {states}", there, seconds)

    def wait_service(self, name: str, replicas: int, seconds: float = 120) -> dict:
        def there():
            service = self.api("GET", f"/api/v1/services/{name}")
            return service if service["replicas_ready"] == replicas else None
        return wait_for(f"{replicas} ready replicas of {name}", there, seconds)
