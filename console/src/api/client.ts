// SPDX-License-Identifier: Apache-2.0
// Calls to the centre that served this page. The key lives in sessionStorage: it is gone with the tab, and no other site reads it.
import { strings } from "../strings";
import type { Centre, FleetNode, Job, JobState, LogPart, Service, Usage } from "./types";

const kKeyName = "centrale.key";
const kTimeoutMs = 15_000;
const kPageOfObjects = 1000;
const kPagesMax = 20;

/// An answer that is an error, or no answer at all (status 0).
export class CallFailed extends Error {
  constructor(
    readonly status: number,
    readonly kind: string,
    message: string,
  ) {
    super(message);
  }
}

export function storedKey(): string | null {
  return sessionStorage.getItem(kKeyName);
}

export function storeKey(key: string | null): void {
  if (key === null) sessionStorage.removeItem(kKeyName);
  else sessionStorage.setItem(kKeyName, key);
}

export interface CallOptions {
  method?: string;
  body?: unknown;
  signal?: AbortSignal;
  lastEvent?: string | null;
}

/// The raw answer, for streams: no time limit but the caller's own signal.
export async function open(path: string, options: CallOptions = {}): Promise<Response> {
  const headers = new Headers();
  const key = storedKey();
  if (key !== null) headers.set("Authorization", `Bearer ${key}`);
  if (options.body !== undefined) headers.set("Content-Type", "application/json");
  if (options.lastEvent) headers.set("Last-Event-ID", options.lastEvent);
  let response: Response;
  try {
    response = await fetch(path, {
      method: options.method ?? "GET",
      headers,
      cache: "no-store",
      redirect: "error",
      credentials: "omit",
      ...(options.body !== undefined ? { body: JSON.stringify(options.body) } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new CallFailed(0, "unreachable", strings.errors.unreachable);
  }
  if (!response.ok) throw await failure(response);
  return response;
}

/// Both shapes of error: the control API's, and OpenAI's on /v1.
async function failure(response: Response): Promise<CallFailed> {
  let kind = "http";
  let message = strings.errors.status(response.status);
  try {
    const said = ((await response.json()) as { error?: { kind?: unknown; type?: unknown; message?: unknown; what?: unknown } }).error;
    const name = said?.kind ?? said?.type;
    if (typeof name === "string") kind = name;
    const why = said?.message ?? said?.what;
    if (typeof why === "string" && why !== "") message = why;
  } catch {
    // Not JSON (a proxy's page): the status says enough.
  }
  return new CallFailed(response.status, kind, message);
}

async function call<T>(path: string, options: CallOptions = {}): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), kTimeoutMs);
  const onAbort = (): void => limit.abort();
  options.signal?.addEventListener("abort", onAbort);
  try {
    const response = await open(`/api/v1${path}`, { ...options, signal: limit.signal });
    return (await response.json()) as T;
  } catch (error) {
    if (error instanceof CallFailed || options.signal?.aborted) throw error;
    throw new CallFailed(0, "unreachable", limit.signal.aborted ? strings.errors.timeout : strings.errors.unreachable);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", onAbort);
  }
}

export interface JobQuery {
  state?: JobState;
  limit?: number;
  before?: string;
}

export interface LogQuery {
  rank: number;
  stream: "out" | "err";
  offset?: number;
  tail?: number; // lines
  limit?: number; // bytes
}

function query(values: object): string {
  const set = Object.entries(values).filter(([, value]) => value !== undefined);
  return set.length === 0 ? "" : `?${new URLSearchParams(set.map(([name, value]) => [name, String(value)])).toString()}`;
}

const part = encodeURIComponent;

/// A list that comes in pages, whole; up to a limit that keeps a mistake of the centre from filling the page's memory.
async function pages<K extends string, T>(path: string, name: K): Promise<T[]> {
  const all: T[] = [];
  let after: string | undefined;
  for (let i = 0; i < kPagesMax; i += 1) {
    const page = await call<Record<K, T[]> & { next?: string | null }>(`${path}${query({ limit: kPageOfObjects, after })}`);
    all.push(...page[name]);
    if (!page.next) break;
    after = page.next;
  }
  return all;
}

export const api = {
  centre: () => call<Centre>("/centre"),
  nodes: () => pages<"nodes", FleetNode>("/nodes", "nodes"),
  jobs: (wanted: JobQuery) => call<{ jobs: Job[]; next: string | null }>(`/jobs${query(wanted)}`),
  job: (id: string) => call<Job>(`/jobs/${part(id)}`),
  stopJob: (id: string) => call<Job>(`/jobs/${part(id)}/stop`, { method: "POST", body: {} }),
  jobLog: (id: string, wanted: LogQuery, signal: AbortSignal) => call<LogPart>(`/jobs/${part(id)}/logs${query(wanted)}`, { signal }),
  services: () => pages<"services", Service>("/services", "services"),
  usage: () => call<Usage>("/usage"),
  events: (signal: AbortSignal, lastEvent: string | null) => open("/api/v1/events", { signal, lastEvent }),
};
