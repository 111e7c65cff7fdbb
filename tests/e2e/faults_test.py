# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on a real machine: each a clear message and no damage."""
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

from centre import CENTRALE, Centre, Refused, wait_for


def up(state, *more, listen="127.0.0.1:0") -> subprocess.CompletedProcess:
    """`centrale up` where it must refuse."""
    return subprocess.run([CENTRALE, "up", "--listen", listen, "--state", state, *more], capture_output=True, text=True, timeout=60, check=False)


class Start(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="centrale-faults-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def assert_refused(self, done, *words):
        self.assertNotEqual(done.returncode, 0)
        self.assertGreater(done.returncode, 0, "a signal is no message")
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_port_in_use(self):
        with Centre() as centre:
            port = centre.url.rsplit(":", 1)[1]
            other = self.folder / "other"
            done = up(other, listen=f"127.0.0.1:{port}")
            self.assert_refused(done, port)
            self.assertEqual(centre.api("GET", "/api/v1/centre")["name"], "centrale")

    def test_two_centres_on_one_state(self):
        with Centre() as centre:
            self.assert_refused(up(centre.state / "state"), "journal", str(centre.process.pid))
            centre.submit(name="still", command=["true"])
            centre.wait_job("still", "done")

    def test_a_file_that_is_no_journal(self):
        self.folder.joinpath("journal.db").write_bytes(b"Dear diary" * 1000)
        self.assert_refused(up(self.folder), "journal.db")
        self.assertEqual(self.folder.joinpath("journal.db").read_bytes(), b"Dear diary" * 1000, "it was touched")

    def test_a_journal_of_a_newer_version(self):
        with Centre("--quiet") as centre:
            state = centre.state / "state"
            centre.submit(name="a", command=["true"])
            centre.wait_job("a", "done")
            centre.stop()
            with sqlite3.connect(state / "journal.db") as database:
                tables = [row[0] for row in database.execute("select name from sqlite_master where type='table'")]
                version = database.execute("pragma user_version").fetchone()[0]
                self.assertTrue(tables)
                database.execute(f"pragma user_version = {version + 6}")
            database.close()
            self.assert_refused(up(state), "newer")
            with sqlite3.connect(state / "journal.db") as database:
                database.execute(f"pragma user_version = {version}")
            database.close()
            centre.start()
            self.assertEqual(centre.job("a")["state"], "done", "nothing was lost by the refusal")

    def test_an_unreadable_journal(self):
        self.folder.joinpath("journal.db").write_bytes(b"")
        self.folder.joinpath("journal.db").chmod(0)
        if os.getuid() == 0:  # root reads everything: be nobody
            os.chown(self.folder, 65534, 65534)
        done = subprocess.run([CENTRALE, "up", "--listen", "127.0.0.1:0", "--state", self.folder], capture_output=True, text=True, timeout=60,
                              check=False, user=65534 if os.getuid() == 0 else None)
        self.assert_refused(done, "journal.db")

    def test_a_damaged_journal_is_named_and_not_touched(self):
        with Centre("--quiet") as centre:
            journal = centre.state / "state" / "journal.db"
            for number in range(300):
                centre.submit(name=f"job-{number}", command=["true"], env={"PADDING": "x" * 500})
            wait_for("idle centre", lambda: centre.api("GET", "/api/v1/centre")["jobs"]["done"] == 300)
            centre.stop()
            whole = journal.read_bytes()
            at = whole.index(b"job-77")
            journal.write_bytes(whole[:at] + b"bad-77" + whole[at + 6:])
            damaged = journal.read_bytes()
            done = centre.cli("journal", "check", "--state", centre.state / "state", check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("event", done.stderr)
            self.assertEqual(journal.read_bytes(), damaged, "it was touched")
            journal.write_bytes(whole)
            centre.start()
            self.assertEqual(centre.job("job-77")["state"], "done")

    def test_a_journal_that_is_a_folder(self):
        self.folder.joinpath("journal.db").mkdir()
        self.assert_refused(up(self.folder), "journal.db")

    def test_elsewhere_than_loopback_without_keys(self):
        self.assert_refused(up(self.folder, listen="0.0.0.0:0"), "key")

    def test_an_address_that_is_none(self):
        self.assert_refused(up(self.folder, listen="seven"), "--listen")

    def test_a_policy_that_is_none(self):
        self.assert_refused(up(self.folder, "--policy", "lottery"), "lottery", "fifo")


class FullDisk(unittest.TestCase):
    @unittest.skipUnless(os.getuid() == 0 and shutil.which("mount"), "needs root, for a small file system of its own")
    def test_a_full_disk_refuses_in_words_and_heals(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="centrale-full-"))
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=False).returncode != 0:
            self.skipTest("cannot mount a tmpfs here")
        try:
            with Centre("--quiet", state=str(folder)) as centre:
                centre.submit(name="before", command=["true"])
                centre.wait_job("before", "done")
                centre.submit(name="during", command=["sleep", "3"])
                centre.wait_job("during", "running")
                with open(folder / "ballast", "wb") as ballast:
                    try:
                        while True:
                            ballast.write(b"x" * 65536)
                            ballast.flush()
                    except OSError:
                        pass
                accepted = []

                def refused():
                    try:
                        accepted.append(centre.submit(name=f"full-{len(accepted)}", command=["true"], env={"FILL": "x" * 20_000})["id"])
                    except Refused as error:
                        return error
                    return None
                error = wait_for("refusal", refused, 60, 0.01)
                self.assertEqual(error.status, 503)
                self.assertIn("journal", error.error["message"])
                self.assertFalse(centre.api("GET", "/api/v1/centre")["journal"]["ok"])
                os.remove(folder / "ballast")
                centre.wait_job("during", "done", seconds=60)

                def works_again():
                    try:
                        return centre.submit(name="after", command=["true"])
                    except Refused:
                        return None
                wait_for("recovery", works_again, 60, 0.2)
                self.assertEqual(centre.wait_job("after", "done")["attempts"], 1)
                for name in accepted:
                    self.assertIsNotNone(centre.job(name)["state"], "accepted and lost")
        finally:
            subprocess.run(["umount", "-l", folder], check=False)
            shutil.rmtree(folder, ignore_errors=True)


class Serving(unittest.TestCase):
    def test_a_model_file_that_is_not_one(self):
        with tempfile.TemporaryDirectory() as folder, Centre("--quiet") as centre:
            file = pathlib.Path(folder) / "model.gguf"
            file.write_bytes(b"GIF89a" + bytes(1000))
            centre.api("PUT", "/api/v1/services", {"name": "broken", "model": str(file)})
            message = wait_for("message", lambda: centre.api("GET", "/api/v1/services/broken")["replicas"][0]["message"], 60)
            self.assertIn("65", message)
            self.assertIn("not a GGUF file", centre.cli("logs", "broken", "--err").stdout)
            with self.assertRaises(Refused) as refused:
                centre.api("POST", "/v1/chat/completions", {"model": "broken", "messages": [{"role": "user", "content": "hi"}]})
            self.assertEqual(refused.exception.status, 503)

    def test_a_model_that_is_not_there(self):
        with Centre("--quiet") as centre:
            centre.api("PUT", "/api/v1/services", {"name": "absent", "model": "/no/such/model.gguf"})
            message = wait_for("message", lambda: centre.api("GET", "/api/v1/services/absent")["replicas"][0]["message"], 60)
            self.assertIn("/no/such/model.gguf", message)
            with self.assertRaises(Refused) as refused:
                centre.api("POST", "/v1/chat/completions", {"model": "absnt", "messages": []})
            self.assertEqual(refused.exception.status, 404)
            self.assertIn("absent", refused.exception.error["message"])


if __name__ == "__main__":
    unittest.main()
