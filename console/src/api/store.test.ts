// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import * as store from "./store";
import type { Job, Service, UsageLine } from "./types";

function line(id: string, more: Partial<UsageLine> = {}): UsageLine {
  return {
    id, name: id, device_s: 0, energy_j: 0, energy_estimated: false, tokens_trained: 0, requests: 0, prompt_tokens: 0,
    completion_tokens: 0, estimated_tokens: 0, cost: "0", ...more,
  };
}

function job(id: string, more: Partial<Job> = {}): Job {
  return {
    id, name: `name-${id}`, tenant: "default", state: "queued", wait: "chips", priority: 0, workers: 1, chips: 1, chip_kinds: null,
    array_index: null, array_size: null, attempts: 0, failures: 0, restarts: 3, task: null, placement: [], submitted: null,
    started: null, finished: null, runtime_s: null, message: null, command: [], after: [], progress: null, usage: null,
    checkpoints: null, workdir: null, ...more,
  };
}

function service(id: string, more: Partial<Service> = {}): Service {
  return {
    id, name: id, tenant: "default", model: null, state: "ready", replicas_wanted: 1, replicas_ready: 1, generation: 1, priority: 0,
    chips: 1, replicas: [], defined: null, usage: null, ...more,
  };
}

const progress = (step: number, loss: number | null) => ({
  step, steps: 100, loss, tokens: null, tokens_per_s: null, eta_s: null, checkpoint: null,
});

test("a change of state is told once, and not for what is seen the first time", () => {
  const state = store.emptyState();
  const changes: store.Change[] = [];
  for (const to of ["queued", "queued", "starting", "running", "running", "done"] as const) {
    assert.equal(store.applyEvent(state, "job", job("j1", { state: to }), 0, changes), true);
  }
  assert.deepEqual(changes.map((change) => change.to), ["starting", "running", "done"]);
});

test("the loss curve grows with progress, repeats nothing and goes back with a resumed run", () => {
  const state = store.emptyState();
  for (const [step, loss] of [[1, 9], [2, 8], [2, 8], [3, 7], [2, 8.1]] as const) {
    store.putJob(state, job("j1", { progress: progress(step, loss) }));
  }
  assert.deepEqual(state.losses.get("j1"), { x: [1, 2], y: [9, 8.1] });
  store.putJob(state, job("j2", { progress: progress(1, null) }));
  assert.equal(state.losses.has("j2"), false);
});

test("unknown events and damaged views change nothing", () => {
  const state = store.emptyState();
  const changes: store.Change[] = [];
  for (const [name, view] of [["planner", {}], ["job", null], ["job", 3], ["job", { id: "j1" }], ["usage", []], ["node", { id: "n1" }]] as const) {
    assert.equal(store.applyEvent(state, name, view, 0, changes), false, name);
  }
  assert.equal(store.applyEvent(state, "hello", {}, 0, changes), true);
  assert.deepEqual(state, store.emptyState());
});

test("a service that is gone is gone, and only that", () => {
  const state = store.emptyState();
  store.putService(state, service("s1"));
  store.putService(state, service("s2"));
  assert.equal(store.applyEvent(state, "gone", { what: "service", id: "s1" }, 0, []), true);
  assert.equal(store.applyEvent(state, "gone", { what: "service", id: "s9" }, 0, []), false);
  assert.equal(store.applyEvent(state, "gone", { what: "planet", id: "s2" }, 0, []), false);
  assert.deepEqual([...state.services.keys()], ["s2"]);
});

test("jobs are kept up to a limit: the old ended ones go first, what runs stays", () => {
  const state = store.emptyState();
  for (let i = 1; i <= 10; i += 1) store.putJob(state, job(`j${i}`, { state: "done", progress: progress(1, 1) }));
  store.putJob(state, job("j11", { state: "running" }));
  for (let i = 12; i <= 20; i += 1) store.putJob(state, job(`j${i}`));
  store.trimJobs(state, "j1", 12);
  assert.deepEqual([...state.jobs.keys()], ["j1", "j10", "j11", "j12", "j13", "j14", "j15", "j16", "j17", "j18", "j19", "j20"]);
  store.trimJobs(state, "j1", 4);
  assert.deepEqual([...state.jobs.keys()], ["j1", "j11", "j12", "j13"]);
  assert.deepEqual([...state.losses.keys()], ["j1"]);
});

test("running jobs come first, the queue by priority and age, the ended newest first", () => {
  const jobs = [
    job("j1", { state: "done" }), job("j9", { state: "failed" }), job("j10"), job("j4"), job("j12", { priority: 5 }),
    job("j3", { state: "running" }), job("j30", { state: "stopping" }),
  ];
  assert.deepEqual(jobs.sort(store.jobOrder).map((each) => each.id), ["j30", "j3", "j12", "j4", "j10", "j9", "j1"]);
});

test("usage samples are at least a second apart, bounded, and keep the first", () => {
  const state = store.emptyState();
  const usage = (cost: number) => ({ currency: "EUR", tenants: [line("u1", { cost })], jobs: [], services: [] });
  for (let i = 0; i < 20_000; i += 1) store.setUsage(state, usage(i), i * 250);
  assert.ok(state.samples.length <= 720);
  assert.equal(state.samples[0]?.at_ms, 0);
  assert.equal(store.measure(state.samples.at(-1)?.tenants.get("u1"), "cost"), 19_999);
  for (let i = 1; i < state.samples.length - 1; i += 1) {
    assert.ok((state.samples[i]?.at_ms ?? 0) - (state.samples[i - 1]?.at_ms ?? 0) >= 1000);
  }
});

test("a service's token rate is taken over the window", () => {
  const state = store.emptyState();
  const usage = (tokens: number) => ({ currency: "EUR", tenants: [], jobs: [], services: [line("s1", { completion_tokens: tokens })] });
  assert.equal(store.tokenRate(state.samples, "s1", 10_000), null);
  store.setUsage(state, usage(0), 0);
  assert.equal(store.tokenRate(state.samples, "s1", 10_000), null);
  store.setUsage(state, usage(1000), 10_000);
  store.setUsage(state, usage(3000), 20_000);
  assert.equal(store.tokenRate(state.samples, "s1", 10_000), 200);
  assert.equal(store.tokenRate(state.samples, "s2", 10_000), null);
});

test("the larger of a service's two usages is the newer", () => {
  const state = store.emptyState();
  const each = service("s1", { usage: line("s1", { prompt_tokens: 5 }) });
  assert.equal(store.serviceUsage(state, each)?.prompt_tokens, 5);
  store.setUsage(state, { currency: "EUR", tenants: [], jobs: [], services: [line("s1", { prompt_tokens: 9 })] }, 0);
  assert.equal(store.serviceUsage(state, each)?.prompt_tokens, 9);
  assert.equal(store.serviceUsage(state, { ...each, usage: line("s1", { prompt_tokens: 11 }) })?.prompt_tokens, 11);
});
