// SPDX-License-Identifier: Apache-2.0
// The control API's answers, field for field as docs/api.md has them. Times are RFC 3339, spans seconds, sizes bytes,
// energy joules, money a decimal (text or number).

export type JobState = "queued" | "starting" | "running" | "stopping" | "done" | "failed" | "cancelled";
export const kJobStates: readonly JobState[] = ["queued", "starting", "running", "stopping", "done", "failed", "cancelled"];

export interface Centre {
  name: string;
  version: string;
  now: string;
  started_at: string | null;
  uptime_s: number | null;
  currency: string;
  policy: string;
  sequence: number;
  journal: { ok: boolean; message: string | null; kind: string };
  chips: { total: number; busy: number; free: number; failed: number };
  jobs: Record<JobState, number>;
  services: { total: number; ready: number };
  address: string | null;
}

export interface Chip {
  id: string;
  kind: string;
  index: number;
  health: "ok" | "failed" | "gone";
  memory_bytes: number | null;
  power_w: number | null;
  price_per_hour: number | string | null;
  holder: { task: string; job: string | null; service: string | null; name: string | null } | null; // of another tenant: the task alone
  utilisation: number | null; // 0 … 1
  power_now_w: number | null;
}

export interface FleetNode {
  id: string;
  name: string;
  state: "up" | "drained" | "lost";
  memory_bytes: number | null;
  since: string | null;
  chips: Chip[];
}

export interface UsageLine {
  name: string;
  id: string;
  device_s: number;
  energy_j: number | null;
  energy_estimated: boolean;
  tokens_trained: number;
  requests: number;
  prompt_tokens: number;
  completion_tokens: number;
  estimated_tokens: number;
  cost: number | string;
}

export interface Usage {
  currency: string;
  tenants: UsageLine[];
  jobs: UsageLine[];
  services: UsageLine[];
}

export interface Progress {
  step: number | null;
  steps: number | null;
  loss: number | null;
  tokens: number | null;
  tokens_per_s: number | null;
  eta_s: number | null;
  checkpoint: string | null;
}

export interface Job {
  id: string;
  name: string;
  tenant: string;
  state: JobState;
  wait: "none" | "chips" | "dependency" | "backoff" | null;
  priority: number;
  workers: number;
  chips: number; // of each worker
  chip_kinds: string[] | null;
  array_index: number | null;
  array_size: number | null;
  attempts: number;
  failures: number;
  restarts: number | null;
  task: string | null;
  placement: { node: string; chip: string; kind: string }[] | null;
  submitted: string | null;
  started: string | null;
  finished: string | null;
  runtime_s: number | null;
  message: string | null;
  command: string[] | null;
  after: string[] | null;
  progress: Progress | null;
  usage: UsageLine | null;
  checkpoints: string | null;
  workdir: string | null;
}

export interface Replica {
  ordinal: number;
  task: string | null;
  state: string | null;
  ready: boolean;
  port: number | null;
  node: string | null;
  message: string | null;
  failures: number;
}

export interface Service {
  id: string;
  name: string;
  tenant: string;
  model: string | null;
  state: "starting" | "ready" | "degraded" | "removing";
  replicas_wanted: number;
  replicas_ready: number;
  generation: number;
  priority: number;
  chips: number | null;
  replicas: Replica[];
  defined: string | null;
  usage: UsageLine | null;
}

export interface LogPart {
  text: string;
  offset: number;
  next: number;
  complete: boolean;
}

export function isActive(job: Job): boolean {
  return job.state === "starting" || job.state === "running" || job.state === "stopping";
}

export function isFinal(job: Job): boolean {
  return job.state === "done" || job.state === "failed" || job.state === "cancelled";
}
