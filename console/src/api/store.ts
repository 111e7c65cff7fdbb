// SPDX-License-Identifier: Apache-2.0
// What the page knows of the centre, and how an event changes it. No network and no page in here.
import { idNumber, number } from "../base/format";
import { addPoint, series, type Series } from "../base/series";
import { isActive, isFinal, type Centre, type FleetNode, type Job, type Service, type Usage, type UsageLine } from "./types";

export const kJobsMax = 5000; // a centre may hold millions; the page holds what a person can look through
const kUsageSamplesMax = 720;
const kUsageSampleMs = 1000;

export interface UsageSample {
  at_ms: number;
  tenants: Map<string, UsageLine>;
  services: Map<string, UsageLine>;
}

export type Topic = "centre" | "nodes" | "jobs" | "services" | "usage";

export interface State {
  centre: Centre | null;
  clock_offset_ms: number; // the centre's clock less ours
  nodes: Map<string, FleetNode>;
  jobs: Map<string, Job>;
  losses: Map<string, Series>;
  services: Map<string, Service>;
  usage: Usage | null;
  samples: UsageSample[];
}

/// What a person should hear of: a change of state of something that was known before.
export type Change =
  | { what: "job"; name: string; id: string; to: Job["state"] }
  | { what: "service"; name: string; id: string; to: Service["state"] }
  | { what: "node"; name: string; id: string; to: FleetNode["state"] };

export function emptyState(): State {
  return {
    centre: null, clock_offset_ms: 0, nodes: new Map(), jobs: new Map(), losses: new Map(), services: new Map(), usage: null, samples: [],
  };
}

export function setCentre(state: State, centre: Centre, now_ms: number): void {
  state.centre = centre;
  const theirs = Date.parse(centre.now);
  if (Number.isFinite(theirs)) state.clock_offset_ms = theirs - now_ms;
}

export function putJob(state: State, job: Job): Change | null {
  const before = state.jobs.get(job.id);
  state.jobs.set(job.id, job);
  const step = job.progress?.step;
  const loss = job.progress?.loss;
  if (typeof step === "number" && typeof loss === "number") {
    const curve = state.losses.get(job.id) ?? series();
    if (curve.x.at(-1) !== step || curve.y.at(-1) !== loss) addPoint(curve, step, loss);
    state.losses.set(job.id, curve);
  }
  return before && before.state !== job.state ? { what: "job", name: job.name, id: job.id, to: job.state } : null;
}

/// Lets go of the oldest ended jobs, then of the last in the queue; never of one that runs, nor of `keep`.
export function trimJobs(state: State, keep: string | null, max = kJobsMax): void {
  const excess = state.jobs.size - max;
  if (excess <= 0) return;
  const rest = [...state.jobs.values()].filter((job) => job.id !== keep && !isActive(job));
  const ended = rest.filter(isFinal).sort((a, b) => idNumber(a.id) - idNumber(b.id));
  const queued = rest.filter((job) => !isFinal(job)).sort((a, b) => idNumber(b.id) - idNumber(a.id));
  for (const job of [...ended, ...queued].slice(0, excess)) {
    state.jobs.delete(job.id);
    state.losses.delete(job.id);
  }
}

export function putService(state: State, service: Service): Change | null {
  const before = state.services.get(service.id);
  state.services.set(service.id, service);
  return before && before.state !== service.state ? { what: "service", name: service.name, id: service.id, to: service.state } : null;
}

export function putNode(state: State, node: FleetNode): Change | null {
  const before = state.nodes.get(node.id);
  state.nodes.set(node.id, node);
  return before && before.state !== node.state ? { what: "node", name: node.name, id: node.id, to: node.state } : null;
}

/// A whole list from the centre: what is not in it is gone.
export function replaceNodes(state: State, nodes: readonly FleetNode[]): void {
  state.nodes = new Map(nodes.map((node) => [node.id, node]));
}

export function replaceServices(state: State, services: readonly Service[]): void {
  state.services = new Map(services.map((service) => [service.id, service]));
}

export function setUsage(state: State, usage: Usage, now_ms: number): void {
  state.usage = usage;
  const last = state.samples.at(-1);
  const sample: UsageSample = {
    at_ms: now_ms,
    tenants: new Map(usage.tenants.map((line) => [line.id, line])),
    services: new Map(usage.services.map((line) => [line.id, line])),
  };
  // The newest sample moves along until it is a second from the one before it; the first one is where the session began.
  const before = state.samples.at(-2);
  if (last && before && last.at_ms - before.at_ms < kUsageSampleMs) state.samples.pop();
  state.samples.push(sample);
  if (state.samples.length > kUsageSamplesMax) {
    const end = state.samples.length - 1;
    state.samples = state.samples.filter((_, i) => i % 2 === 0 || i === end);
  }
}

/// Applies one event of /api/v1/events. Returns false for an event that this version does not know.
export function applyEvent(state: State, event: string, view: unknown, now_ms: number, changes: Change[]): boolean {
  if (typeof view !== "object" || view === null) return false;
  const note = (change: Change | null): true => {
    if (change) changes.push(change);
    return true;
  };
  switch (event) {
    case "hello":
      if (hasFields(view, "name", "policy", "jobs", "chips")) setCentre(state, view as Centre, now_ms);
      return true;
    case "job":
      return hasFields(view, "id", "state", "name") && note(putJob(state, view as Job));
    case "service":
      return hasFields(view, "id", "state", "replicas") && note(putService(state, view as Service));
    case "gone": // so far only services are ever taken out of the books
      return "what" in view && "id" in view && view.what === "service" && state.services.delete(String(view.id));
    case "node":
      return hasFields(view, "id", "state", "chips") && note(putNode(state, view as FleetNode));
    case "usage":
      if (!hasFields(view, "tenants", "jobs", "services")) return false;
      setUsage(state, view as Usage, now_ms);
      return true;
    default:
      return false;
  }
}

function hasFields(view: object, ...names: string[]): boolean {
  return names.every((name) => name in view);
}

/// Running first, then the queue in the order of its submission, then what has ended, newest first.
export function jobOrder(a: Job, b: Job): number {
  const group = (job: Job): number => (isActive(job) ? 0 : job.state === "queued" ? 1 : 2);
  const ga = group(a);
  const gb = group(b);
  if (ga !== gb) return ga - gb;
  return ga === 1 ? b.priority - a.priority || idNumber(a.id) - idNumber(b.id) : idNumber(b.id) - idNumber(a.id);
}

/// The usage of a service arrives with the service and with the ledger; sums only grow, so the larger one is the newer.
export function serviceUsage(state: State, service: Service): UsageLine | null {
  const ledger = state.usage?.services.find((line) => line.id === service.id) ?? null;
  if (!ledger || !service.usage) return ledger ?? service.usage;
  return tokensServed(ledger) >= tokensServed(service.usage) ? ledger : service.usage;
}

export function tokensServed(line: UsageLine): number {
  return line.prompt_tokens + line.completion_tokens;
}

/// Tokens served per second over about the last `window_ms`; null until two samples are that far apart.
export function tokenRate(samples: readonly UsageSample[], serviceId: string, window_ms: number): number | null {
  const last = samples.at(-1);
  if (!last) return null;
  let first: UsageSample | null = null;
  for (let i = samples.length - 2; i >= 0; i -= 1) {
    first = samples[i] as UsageSample;
    if (last.at_ms - first.at_ms >= window_ms) break;
  }
  if (!first || last.at_ms - first.at_ms < 1000) return null;
  const now = last.services.get(serviceId);
  const then = first.services.get(serviceId);
  return now && then ? Math.max(0, ((tokensServed(now) - tokensServed(then)) * 1000) / (last.at_ms - first.at_ms)) : null;
}

export const kUsageMeasures = ["cost", "device", "energy", "tokens"] as const;
export type UsageMeasure = (typeof kUsageMeasures)[number];

export function measure(line: UsageLine | undefined, which: UsageMeasure): number {
  if (!line) return 0;
  switch (which) {
    case "cost":
      return number(line.cost) ?? 0;
    case "device":
      return line.device_s;
    case "energy":
      return line.energy_j ?? 0;
    case "tokens":
      return line.tokens_trained + tokensServed(line);
  }
}
