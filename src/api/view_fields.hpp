// SPDX-License-Identifier: Apache-2.0
// The fields of the views, in the order of output. Included by views.hpp only.
#pragma once
#include "api/views.hpp"

namespace centrale {

template <>
inline constexpr std::array<std::string_view, 4> kEnumNames<api::ServiceState>{"starting", "ready", "degraded", "removing"};
template <>
inline constexpr std::array<std::string_view, 5> kEnumNames<api::ReplicaState>{"backoff", "queued", "starting", "running", "stopping"};
template <>
inline constexpr std::array<std::string_view, 8> kEnumNames<ErrorKind>{"invalid",   "not_found", "conflict",    "unauthorized",
                                                                       "forbidden", "exhausted", "unavailable", "io"};

}  // namespace centrale

namespace centrale::api {

// clang-format off
template <class V> void describe(V& v, JournalView& j) {
  v("ok", j.ok, "false: the disk refuses; what is posted waits");
  v("message", j.message, "what the disk said, or empty");
  v("kind", j.kind, "sqlite or memory");
}
template <class V> void describe(V& v, ChipCounts& c) {
  v("total", c.total, "chips of the fleet, failed ones included"); v("busy", c.busy, "held by a task");
  v("free", c.free, "could be given out now"); v("failed", c.failed, "failed, or on a node that is lost");
}
template <class V> void describe(V& v, JobCounts& c) {
  v("queued", c.queued); v("starting", c.starting); v("running", c.running); v("stopping", c.stopping);
  v("done", c.done, "of those still remembered"); v("failed", c.failed, "of those still remembered");
  v("cancelled", c.cancelled, "of those still remembered");
}
template <class V> void describe(V& v, ServiceCounts& c) {
  v("total", c.total); v("ready", c.ready, "all replicas answer");
}
template <class V> void describe(V& v, CentreView& c) {
  v("name", c.name); v("version", c.version); v("now", c.now); v("started_at", c.started_at, "when this process started");
  v("uptime_s", c.uptime); v("currency", c.currency, "ISO 4217"); v("policy", c.policy, "who runs next");
  v("sequence", c.sequence, "number of the last event"); v("journal", c.journal); v("chips", c.chips); v("jobs", c.jobs);
  v("services", c.services); v("address", c.address, "where this API listens");
}
template <class V> void describe(V& v, HolderView& h) {
  v("task", h.task); v("job", h.job, "null: a service's replica, or another tenant's");
  v("service", h.service, "null: a job's task, or another tenant's"); v("name", h.name, "null: another tenant's");
}
template <class V> void describe(V& v, ChipView& c) {
  v("id", c.id); v("kind", c.kind); v("index", c.index, "which of the node's chips of this kind"); v("health", c.health);
  v("memory_bytes", c.memory); v("power_w", c.power, "under load"); v("price_per_hour", c.price_per_hour);
  v("holder", c.holder, "null: free"); v("utilisation", c.utilisation, "0 to 1; null: the machine does not say");
  v("power_now_w", c.power_now, "null: the machine does not say");
  v("failures", c.failures, "of the chip itself"); v("tasks_failed", c.tasks_failed, "while they held it");
  v("suspect", c.suspect, "so many different jobs failed on it in a row that it may be the chip");
  v("reason", c.reason, "of the last of these; null: there was none, or it is an administrator's to see");
}
template <class V> void describe(V& v, NodeView& n) {
  v("id", n.id); v("name", n.name); v("state", n.state); v("memory_bytes", n.memory);
  v("since", n.since, "when it came into this state");
  v("cpu_milli", n.cpu_milli, "thousandths of a processor; 0: not counted");
  v("domain", n.domain, "the fast fabric that it shares with others; null: not known");
  v("leaf", n.leaf, "its switch; null: not known"); v("spine", n.spine, "the switch above; null: not known");
  v("reservation", n.reservation, "that is under way there: its name, of another tenant's the id; null: none");
  v("chips", n.chips);
}
template <class V> void describe(V& v, UsageLine& u) {
  v("name", u.name); v("id", u.id); v("device_s", u.device_time, "chips x time"); v("energy_j", u.energy);
  v("energy_estimated", u.energy_estimated, "true: at least a part was estimated from the chips' power");
  v("tokens_trained", u.tokens_trained); v("requests", u.requests); v("prompt_tokens", u.prompt_tokens);
  v("completion_tokens", u.completion_tokens);
  v("estimated_tokens", u.estimated_tokens, "of these tokens, how many the engine did not count itself");
  v("cost", u.cost, "in the centre's currency");
  v("preemptible_s", u.preemptible_time, "of device_s: by work that may be stopped for others");
  v("preemptible_cost", u.preemptible_cost, "of cost: by work that may be stopped for others");
  v("spot_s", u.spot_time, "of device_s: by bids; the rest is on demand");
  v("spot_cost", u.spot_cost, "of cost: by bids; the rest is on demand");
}
template <class V> void describe(V& v, PlaceView& p) { v("node", p.node, "its name"); v("chip", p.chip); v("kind", p.kind); }
template <class V> void describe(V& v, ProgressView& p) {
  v("step", p.step, "optimizer steps done"); v("steps", p.steps, "optimizer steps in all"); v("loss", p.loss);
  v("tokens", p.tokens, "over the whole job"); v("tokens_per_s", p.tokens_per_s); v("eta_s", p.eta);
  v("checkpoint", p.checkpoint, "the newest complete one");
}
template <class V> void describe(V& v, JobView& j) {
  v("id", j.id); v("name", j.name); v("tenant", j.tenant); v("state", j.state);
  v("wait", j.wait, "why it waits; null: it does not"); v("priority", j.priority); v("workers", j.workers);
  v("chips", j.chips, "of each worker"); v("chip_kinds", j.chip_kinds, "none: any");
  v("array_index", j.array_index, "null: not of an array"); v("array_size", j.array_size, "null: not of an array");
  v("attempts", j.attempts, "how often it was started"); v("failures", j.failures, "counted against restarts");
  v("restarts", j.restarts, "how many failures are retried"); v("task", j.task, "the attempt under way, or the last one");
  v("placement", j.placement, "of the attempt under way, in rank order; at most 256"); v("submitted", j.submitted);
  v("started", j.started, "the first attempt"); v("finished", j.finished);
  v("runtime_s", j.runtime, "since the first attempt; null: not started");
  v("message", j.message, "why it ended, or why the last attempt did"); v("command", j.command, "at most 8 KiB of it");
  v("after", j.after, "jobs that must be done first"); v("progress", j.progress, "null: it said none yet");
  v("usage", j.usage); v("checkpoints", j.checkpoints, "null: a folder of the job's own");
  v("workdir", j.workdir, "null: a folder of the job's own");
  v("reservation", j.reservation, "it runs there and nowhere else; null: it names none");
}
template <class V> void describe(V& v, ReplicaView& r) {
  v("ordinal", r.ordinal); v("task", r.task); v("state", r.state, "backoff: no task now, waits for its next try");
  v("ready", r.ready); v("port", r.port); v("node", r.node, "the name of the node");
  v("message", r.message, "why the last try ended"); v("failures", r.failures, "in a row");
}
template <class V> void describe(V& v, ServiceView& s) {
  v("id", s.id); v("name", s.name); v("tenant", s.tenant); v("model", s.model); v("state", s.state);
  v("replicas_wanted", s.replicas_wanted); v("replicas_ready", s.replicas_ready);
  v("generation", s.generation, "counts up when it is defined anew"); v("priority", s.priority);
  v("chips", s.chips, "of each replica"); v("replicas", s.replicas, "at most 1,000"); v("defined", s.defined);
  v("usage", s.usage);
}
template <class V> void describe(V& v, TenantView& t) {
  v("id", t.id); v("name", t.name); v("chips_max", t.chips_max, "at the same time; 0: no limit"); v("chips_held", t.chips_held);
  v("tokens_per_day_max", t.tokens_per_day_max, "per UTC day; 0: no limit"); v("tokens_today", t.tokens_today);
  v("usage", t.usage);
}
template <class V> void describe(V& v, KeyView& k) {
  v("id", k.id); v("tenant", k.tenant); v("label", k.label); v("role", k.role); v("added", k.added); v("revoked", k.revoked);
}
template <class V> void describe(V& v, NewKeyView& k) {
  v("id", k.id); v("tenant", k.tenant); v("label", k.label); v("role", k.role); v("added", k.added); v("revoked", k.revoked);
  v("key", k.key, "shown this once; only its hash is kept");
}
template <class V> void describe(V& v, NodeList& l) { v("nodes", l.nodes); v("next", l.next, "null: the last page"); }
template <class V> void describe(V& v, JobList& l) { v("jobs", l.jobs); v("next", l.next, "null: the last page"); }
template <class V> void describe(V& v, ServiceList& l) { v("services", l.services); v("next", l.next, "null: the last page"); }
template <class V> void describe(V& v, TenantList& l) { v("tenants", l.tenants); v("next", l.next, "null: the last page"); }
template <class V> void describe(V& v, KeyList& l) { v("keys", l.keys); v("next", l.next, "null: the last page"); }
template <class V> void describe(V& v, AcceptedView& a) { v("jobs", a.jobs); v("services", a.services); }
template <class V> void describe(V& v, UsageView& u) {
  v("currency", u.currency); v("tenants", u.tenants); v("jobs", u.jobs, "the newest first, as many as limit= says");
  v("services", u.services);
}
template <class V> void describe(V& v, LogView& l) {
  v("text", l.text); v("offset", l.offset, "where the text begins, in bytes"); v("next", l.next, "where to go on");
  v("complete", l.complete, "true: the task has ended and this is the rest of it");
  v("attempt", l.attempt, "of the job; null: of a replica, or of a job that has not started");
}
template <class V> void describe(V& v, HelloView& h) {
  describe(v, h.centre);
  v("resync", h.resync, "whole views of everything follow"); v("jobs_max", h.jobs_max, "of the jobs, the newest so many");
}
template <class V> void describe(V& v, GoneView& g) { v("what", g.what, "service"); v("id", g.id); }
template <class V> void describe(V& v, ReconnectView& r) { v("reason", r.reason); }
template <class V> void describe(V& v, ErrorBody& e) {
  v("kind", e.kind); v("what", e.what); v("where", e.where); v("remedy", e.remedy); v("message", e.message, "all of it in one line");
}
template <class V> void describe(V& v, ErrorView& e) { v("error", e.error); }
// clang-format on

}  // namespace centrale::api
