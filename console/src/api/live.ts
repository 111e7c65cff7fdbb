// SPDX-License-Identifier: Apache-2.0
// Keeps the state equal to the centre's: one stream of events, a full read after each (re)connection, and a slow poll for
// what no event tells (counts, utilisation of a large fleet), which is also how a dead connection is noticed.
import { readEvents, type SentEvent } from "../base/sse";
import { api, CallFailed, type JobQuery } from "./client";
import {
  applyEvent, emptyState, putJob, replaceNodes, replaceServices, setCentre, setUsage, trimJobs, type Change, type State, type Topic,
} from "./store";
import { kJobStates, type Centre, type FleetNode, type Job, type JobState, type Usage } from "./types";

export type Connection = "connecting" | "live" | "lost" | "needs_key";

const kRetryFirstMs = 500;
const kRetryMaxMs = 10_000;
const kPollMs = 5_000;
const kNodesEveryMs = 30_000; // events tell who holds what; of many nodes, utilisation only comes with this
const kUsageEveryMs = 10_000; // when no event told it
const kSettleMs = 400; // after jobs or services changed, before the counts are read again
const kPageOfJobs = 200;
const kHeldEventsMax = 10_000; // while the full read is under way; more means: read again

export interface Listener {
  changed(topics: ReadonlySet<Topic>): void;
  told(changes: readonly Change[]): void;
  connection(now: Connection, retry_at_ms: number | null): void;
}

export class Live {
  readonly state: State = emptyState();
  connection: Connection = "connecting";
  reason = ""; // why the last connection ended
  keep: string | null = null; // the job on display stays in memory
  /// Where the list of jobs goes on, by filter; undefined: not read yet, null: read to its end.
  private readonly nextPage = new Map<JobState | "all", string | null>();
  private stream: AbortController | null = null;
  private wake: (() => void) | null = null;
  private lastEvent: string | null = null;
  private held: SentEvent[] | null = null;
  private heldTooMany = false;
  private settleTimer: ReturnType<typeof setTimeout> | null = null;
  private readonly told = new Map<Topic, number>(); // events so far
  private readonly fresh_ms = new Map<Topic, number>(); // when it was last told or read

  constructor(private readonly listener: Listener) {}

  start(): void {
    void this.run();
    setInterval(() => void this.poll(), kPollMs);
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.retryNow();
    });
  }

  /// Ends a wait between two attempts.
  retryNow(): void {
    this.wake?.();
  }

  /// After another key was entered: everything is read anew.
  restart(): void {
    this.stream?.abort();
    this.retryNow();
  }

  private async run(): Promise<never> {
    let failures = 0;
    for (;;) {
      try {
        await this.follow(() => (failures = 0));
      } catch (error) {
        if (error instanceof CallFailed && error.status === 401) {
          this.set("needs_key", null);
          await this.sleep(null);
          this.set("connecting", null);
          continue;
        }
        this.reason = error instanceof CallFailed ? error.message : "";
      }
      const wait_ms = Math.min(kRetryMaxMs, kRetryFirstMs * 2 ** failures) * (0.75 + Math.random() / 2);
      failures += 1;
      this.set("lost", Date.now() + wait_ms);
      await this.sleep(wait_ms);
    }
  }

  /// One connection, from its opening to its end.
  private async follow(opened: () => void): Promise<void> {
    const stream = new AbortController();
    this.stream = stream;
    this.held = [];
    this.heldTooMany = false;
    try {
      const response = await api.events(stream.signal, this.lastEvent);
      if (!response.body) throw new CallFailed(0, "unreachable", "no stream");
      const reading = readEvents(response.body, (event) => this.receive(event));
      reading.catch(() => undefined); // awaited below; must not be unhandled while the full read runs
      await Promise.race([this.readAll(), reading.then(() => Promise.reject(new CallFailed(0, "unreachable", "the stream ended")))]);
      opened();
      this.set("live", null);
      await reading;
    } finally {
      stream.abort();
      this.held = null;
    }
  }

  private receive(event: SentEvent): void {
    if (event.id !== null) this.lastEvent = event.id;
    if (!this.held) return this.apply([event]);
    if (this.held.length < kHeldEventsMax) this.held.push(event);
    else this.heldTooMany = true;
  }

  /// Reads everything, then applies what was told meanwhile. Each event carries a whole view, so that order is all that matters.
  private async readAll(): Promise<void> {
    do {
      this.heldTooMany = false;
      this.held = [];
      const running: JobQuery[] = (["starting", "running", "stopping"] as const).map((state) => ({ state, limit: kPageOfJobs }));
      const [centre, nodes, services, usage, newest, ...active] = await Promise.all([
        api.centre(), api.nodes(), api.services(), api.usage(), api.jobs({ limit: kPageOfJobs }), ...running.map((query) => api.jobs(query)),
      ]);
      setCentre(this.state, centre, Date.now());
      replaceNodes(this.state, nodes);
      replaceServices(this.state, services);
      setUsage(this.state, usage, Date.now());
      // Jobs older than this page may have ended unseen: they are read again when they are asked for.
      this.state.jobs.clear();
      this.nextPage.clear();
      this.nextPage.set("all", newest.next);
      for (const page of [newest, ...active]) for (const job of page.jobs) putJob(this.state, job);
    } while (this.heldTooMany);
    const held = this.held ?? [];
    this.held = null;
    this.apply(held);
    this.listener.changed(new Set<Topic>(["centre", "nodes", "jobs", "services", "usage"]));
  }

  private apply(events: readonly SentEvent[]): void {
    const changes: Change[] = [];
    const topics = new Set<Topic>();
    for (const event of events) {
      let view: unknown;
      try {
        view = JSON.parse(event.data);
      } catch {
        continue; // a view we cannot read is the same as one we do not know
      }
      if (!applyEvent(this.state, event.event, view, Date.now(), changes)) continue;
      const topic = kTopicOf[event.event] as Topic;
      topics.add(topic);
      this.told.set(topic, (this.told.get(topic) ?? 0) + 1);
      this.fresh_ms.set(topic, Date.now());
    }
    if (topics.has("jobs")) trimJobs(this.state, this.keep);
    if (topics.size > 0) this.listener.changed(topics);
    if (changes.length > 0) this.listener.told(changes);
    if (topics.has("jobs") || topics.has("services")) this.settle();
  }

  /// The centre's counts follow from the states of jobs and services, and are told by no event.
  private settle(): void {
    this.settleTimer ??= setTimeout(() => {
      this.settleTimer = null;
      this.refresh("centre").catch(() => undefined); // the next poll tries again
    }, kSettleMs);
  }

  private async refresh(topic: "centre" | "nodes" | "usage"): Promise<void> {
    if (this.connection !== "live") return;
    const before = this.told.get(topic);
    const answer = await (topic === "centre" ? api.centre() : topic === "nodes" ? api.nodes() : api.usage());
    // An event that came meanwhile is the newer: an answer that it overtook would turn the clock back.
    if (this.told.get(topic) !== before || this.connection !== "live") return;
    if (topic === "centre") setCentre(this.state, answer as Centre, Date.now());
    else if (topic === "nodes") replaceNodes(this.state, answer as FleetNode[]);
    else setUsage(this.state, answer as Usage, Date.now());
    this.fresh_ms.set(topic, Date.now());
    this.listener.changed(new Set<Topic>([topic]));
  }

  private isOlder(topic: Topic, age_ms: number): boolean {
    return Date.now() - (this.fresh_ms.get(topic) ?? 0) >= age_ms;
  }

  private async poll(): Promise<void> {
    if (this.connection !== "live" || document.hidden) return;
    try {
      const due = [this.refresh("centre")];
      if (this.isOlder("nodes", kNodesEveryMs)) due.push(this.refresh("nodes"));
      if (this.isOlder("usage", kUsageEveryMs)) due.push(this.refresh("usage"));
      await Promise.all(due);
    } catch (error) {
      // A stream over a dead network hangs for minutes; a call that gets no answer shows it at once.
      if (error instanceof CallFailed && (error.status === 0 || error.status === 401)) this.stream?.abort();
    }
  }

  /// Is there more of this list than was read?
  moreJobs(filter: JobState | "all"): boolean {
    return this.nextPage.get(filter) !== null;
  }

  /// Reads the first page of a state's jobs, or the next one.
  async readJobs(filter: JobState | "all"): Promise<void> {
    const next = this.nextPage.get(filter);
    if (next === null) return;
    const query: JobQuery = { limit: kPageOfJobs };
    if (filter !== "all") query.state = filter;
    if (next !== undefined) query.before = next;
    const page = await api.jobs(query);
    this.nextPage.set(filter, page.next);
    this.putJobs(page.jobs);
  }

  hasRead(filter: JobState | "all"): boolean {
    return this.nextPage.has(filter);
  }

  putJobs(jobs: readonly Job[]): void {
    for (const job of jobs) if (kJobStates.includes(job.state)) putJob(this.state, job);
    this.listener.changed(new Set<Topic>(["jobs"]));
  }

  private set(now: Connection, retry_at_ms: number | null): void {
    this.connection = now;
    this.listener.connection(now, retry_at_ms);
  }

  private sleep(ms: number | null): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === null ? null : setTimeout(resolve, ms);
      this.wake = () => {
        if (timer !== null) clearTimeout(timer);
        resolve();
      };
    });
  }
}

const kTopicOf: Record<string, Topic> = { hello: "centre", job: "jobs", service: "services", gone: "services", node: "nodes", usage: "usage" };
