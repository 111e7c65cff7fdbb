// SPDX-License-Identifier: Apache-2.0
// A centre that speaks docs/api.md and runs nothing: the tests say what it knows and what happens. It serves the built console
// under the same content policy as the real one.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const kDist = fileURLToPath(new URL("../../console/dist/", import.meta.url));
const kTypes = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
// As the real one sends it (src/api/console.cpp).
const kPolicy =
  "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

export function usageLine(id, name, more = {}) {
  return {
    name, id, device_s: 0, energy_j: 0, energy_estimated: false, tokens_trained: 0, requests: 0, prompt_tokens: 0, completion_tokens: 0,
    estimated_tokens: 0, cost: 0, ...more,
  };
}

export function job(id, name, more = {}) {
  return {
    id, name, tenant: "default", state: "queued", wait: "chips", priority: 0, workers: 1, chips: 1, chip_kinds: ["cpu"], array_index: null,
    array_size: null, attempts: 0, failures: 0, restarts: 3, task: null, placement: [], submitted: new Date().toISOString(), started: null,
    finished: null, runtime_s: null, message: null, command: ["centrale-trainer"], after: [], progress: null, usage: usageLine(id, name),
    checkpoints: null, workdir: null, ...more,
  };
}

export function service(id, name, more = {}) {
  return {
    id, name, tenant: "default", model: null, state: "starting", replicas_wanted: 1, replicas_ready: 0, generation: 1, priority: 0, chips: 1,
    replicas: [], defined: new Date().toISOString(), usage: usageLine(id, name), ...more,
  };
}

export function chip(id, kind, index, more = {}) {
  return {
    id, kind, index, health: "ok", memory_bytes: null, power_w: null, price_per_hour: null, holder: null, utilisation: null, power_now_w: null,
    ...more,
  };
}

function sent(event, id, view) {
  return `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(view)}\n\n`;
}

/// A page of a list; ids are in order.
function page(name, map, query) {
  const all = [...map.values()];
  const from = query.has("after") ? all.findIndex((each) => each.id === query.get("after")) + 1 : 0;
  const part = all.slice(from, from + Number(query.get("limit") ?? 100));
  return { [name]: part, next: from + part.length < all.length ? part.at(-1).id : null };
}

export class FakeCentre {
  constructor() {
    this.key = null; // when set, every call must carry it
    this.version = "0.1.0";
    this.name = "hall-2";
    this.policy = "fifo";
    this.journal = { ok: true, message: null, kind: "sqlite" };
    this.started = new Date(Date.now() - 3_723_000);
    this.nodes = new Map();
    this.jobs = new Map();
    this.services = new Map();
    this.tenants = new Map();
    this.logs = new Map(); // "j1/0/out" -> text
    this.calls = []; // "METHOD /path?query" of every call to the API
    this.questions = []; // bodies of /v1/chat/completions
    this.answer = ["Hello", " there", "."];
    this.pieceDelay_ms = 5;
    this.refuseStop = null; // an error to answer instead
    this.sequence = 100;
    this.streams = new Set();
    this.sockets = new Set();
  }

  async listen(port = 0) {
    this.server = createServer((request, response) => this.handle(request, response));
    this.server.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
    await new Promise((resolve, reject) => this.server.once("error", reject).listen(port, "127.0.0.1", resolve));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  /// As when the process dies: every connection is cut.
  async close() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    this.streams.clear();
    await closed;
  }

  // ---- what happens in the centre; each is told to those who listen
  tell(event, view) {
    this.sequence += 1;
    for (const stream of this.streams) stream.write(sent(event, this.sequence, view));
  }
  putJob(view) {
    this.jobs.set(view.id, view);
    this.tell("job", view);
  }
  changeJob(id, more) {
    this.putJob({ ...this.jobs.get(id), ...more });
  }
  putService(view) {
    this.services.set(view.id, view);
    this.tell("service", view);
  }
  removeService(id) {
    this.services.delete(id);
    this.tell("gone", { what: "service", id });
  }
  putNode(view) {
    this.nodes.set(view.id, view);
    this.tell("node", view);
  }
  putTenant(line) {
    this.tenants.set(line.id, line);
    this.tell("usage", this.usage());
  }

  centre() {
    const chips = [...this.nodes.values()].flatMap((node) => node.chips);
    const states = { queued: 0, starting: 0, running: 0, stopping: 0, done: 0, failed: 0, cancelled: 0 };
    for (const each of this.jobs.values()) states[each.state] += 1;
    const services = [...this.services.values()];
    return {
      name: this.name, version: this.version, now: new Date().toISOString(), started_at: this.started.toISOString(),
      uptime_s: (Date.now() - this.started) / 1000, currency: "EUR", policy: this.policy, sequence: this.sequence, journal: this.journal,
      chips: {
        total: chips.length, busy: chips.filter((each) => each.holder).length,
        free: chips.filter((each) => !each.holder && each.health === "ok").length, failed: chips.filter((each) => each.health !== "ok").length,
      },
      jobs: states, services: { total: services.length, ready: services.filter((each) => each.state === "ready").length }, address: this.url,
    };
  }

  usage() {
    return {
      currency: "EUR", tenants: [...this.tenants.values()], jobs: [...this.jobs.values()].map((each) => each.usage),
      services: [...this.services.values()].map((each) => each.usage),
    };
  }

  /// A stream begins with whole views of all there is.
  everything() {
    return [
      ["hello", { ...this.centre(), resync: true, jobs_max: 500 }], ...[...this.nodes.values()].map((view) => ["node", view]),
      ...[...this.services.values()].map((view) => ["service", view]), ...[...this.jobs.values()].slice(-500).map((view) => ["job", view]),
      ["usage", this.usage()],
    ];
  }

  handle(request, response) {
    const url = new URL(request.url, this.url);
    const api = url.pathname.startsWith("/api/v1/") || url.pathname.startsWith("/v1/");
    if (!api) return this.file(url.pathname, response);
    this.calls.push(`${request.method} ${url.pathname}${url.search}`);
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => this.call(request, url, body, response));
  }

  file(path, response) {
    const name = join(kDist, normalize(path === "/" ? "/index.html" : path));
    if (!name.startsWith(kDist) || !existsSync(name) || !statSync(name).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      "Content-Type": kTypes[extname(name)] ?? "application/octet-stream", "Content-Security-Policy": kPolicy, "X-Content-Type-Options": "nosniff",
    });
    createReadStream(name).pipe(response);
  }

  call(request, url, body, response) {
    const send = (status, view) => response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(view));
    const fail = (status, kind, what, remedy = null) =>
      send(status, { error: { kind, what, where: null, remedy, message: remedy ? `${what}; ${remedy}` : what } });
    if (this.key !== null && request.headers.authorization !== `Bearer ${this.key}`) {
      return fail(401, "unauthenticated", "a key is needed", "send it as Authorization: Bearer");
    }
    const parts = url.pathname.split("/").slice(1).map(decodeURIComponent);
    if (parts[0] === "v1") return parts[1] === "chat" ? this.complete(JSON.parse(body), response) : fail(404, "not_found", "no such call");
    const [, , what, id, verb] = parts;
    const found = (map) => map.get(id) ?? [...map.values()].find((each) => each.name === id);
    switch (`${request.method} ${what}${id === undefined ? "" : "/id"}${verb === undefined ? "" : `/${verb}`}`) {
      case "GET centre":
        return send(200, this.centre());
      case "GET nodes":
        return send(200, page("nodes", this.nodes, url.searchParams));
      case "GET services":
        return send(200, page("services", this.services, url.searchParams));
      case "GET usage":
        return send(200, this.usage());
      case "GET jobs":
        return send(200, this.listJobs(url.searchParams));
      case "GET jobs/id":
        return found(this.jobs) ? send(200, found(this.jobs)) : fail(404, "not_found", `no job '${id}'`);
      case "POST jobs/id/stop": {
        if (this.refuseStop) return fail(403, "forbidden", this.refuseStop);
        const each = found(this.jobs);
        if (!each) return fail(404, "not_found", `no job '${id}'`);
        this.changeJob(each.id, each.state === "queued" ? { state: "cancelled", wait: "none" } : { state: "stopping" });
        return send(200, this.jobs.get(each.id));
      }
      case "GET jobs/id/logs":
        return this.readLog(found(this.jobs), url.searchParams, send);
      case "GET events":
        response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
        response.write(": a comment\n\n" + this.everything().map(([event, view]) => sent(event, this.sequence, view)).join(""));
        this.streams.add(response);
        response.on("close", () => this.streams.delete(response));
        return undefined;
      default:
        return fail(404, "not_found", "no such call");
    }
  }

  listJobs(query) {
    const number = (id) => Number(id.slice(1));
    const limit = Number(query.get("limit") ?? 100);
    const before = query.get("before");
    const fitting = [...this.jobs.values()]
      .filter((each) => (!query.get("state") || each.state === query.get("state")) && (!before || number(each.id) < number(before)))
      .sort((a, b) => number(b.id) - number(a.id));
    const jobs = fitting.slice(0, limit);
    return { jobs, next: fitting.length > limit ? jobs.at(-1).id : null };
  }

  readLog(of, query, send) {
    const text = this.logs.get(`${of.id}/${query.get("rank") ?? 0}/${query.get("stream") ?? "out"}`) ?? "";
    const bytes = Buffer.from(text);
    let offset = Number(query.get("offset") ?? 0);
    if (query.has("tail")) offset = Buffer.byteLength(text.split(/(?<=\n)/).slice(0, -Number(query.get("tail"))).join(""));
    const part = bytes.subarray(offset, offset + Number(query.get("limit") ?? 64 * 1024));
    const ended = ["done", "failed", "cancelled"].includes(of.state);
    return send(200, { text: part.toString(), offset, next: offset + part.length, complete: ended && offset + part.length === bytes.length });
  }

  async complete(question, response) {
    this.questions.push(question);
    const known = [...this.services.values()].find((each) => each.name === question.model);
    if (!known) {
      response.writeHead(404, { "Content-Type": "application/json" });
      return response.end(JSON.stringify({ error: { message: `no model '${question.model}'`, type: "not_found" } }));
    }
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const chunk = (view) => response.write(`data: ${JSON.stringify({ object: "chat.completion.chunk", model: question.model, ...view })}\n\n`);
    chunk({ choices: [{ index: 0, delta: { role: "assistant" }, finish_reason: null }] });
    for (const piece of this.answer) {
      await new Promise((resolve) => setTimeout(resolve, this.pieceDelay_ms));
      if (response.destroyed) return undefined;
      chunk({ choices: [{ index: 0, delta: { content: piece }, finish_reason: null }] });
    }
    chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
    chunk({ choices: [], usage: { prompt_tokens: 9, completion_tokens: this.answer.length, total_tokens: 9 + this.answer.length } });
    return response.end("data: [DONE]\n\n");
  }
}
