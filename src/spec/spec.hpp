// SPDX-License-Identifier: Apache-2.0
// What users write: jobs and services, as YAML files or JSON bodies. Plain data with defaults that run.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/reflect.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace centrale {

/// Limits on specs, each so that one request cannot take the centre's memory.
inline constexpr std::int64_t kWorkersMax = 100'000;
inline constexpr std::int64_t kChipsPerWorkerMax = 4096;
inline constexpr std::int64_t kArrayMax = 10'000;
inline constexpr std::int64_t kReplicasMax = 10'000;
inline constexpr std::size_t kNameMax = 63;  // a DNS label: names become host names and metric labels
inline constexpr std::size_t kCommandWordsMax = 1'000;
inline constexpr std::size_t kTextMax = 32 * 1024;  // one word, one value
inline constexpr std::size_t kAfterMax = 100;
inline constexpr std::size_t kChipKindsMax = 16;
inline constexpr std::size_t kEnvMax = 1'000;
inline constexpr std::size_t kArgumentsMax = 1024 * 1024;  // command and env together; execve takes about 2 MiB
inline constexpr std::int64_t kPriorityMax = 100;          // and down to -100
inline constexpr std::int64_t kRestartsMax = 1'000'000;
inline constexpr std::int64_t kContextMax = 16 * 1024 * 1024;
inline constexpr std::int64_t kStepsMax = 1'000'000'000'000;
inline constexpr std::int64_t kCpuMilliMax = 10'000'000;
inline constexpr double kBidMax = 1e6;
inline constexpr Nanos kSpanMax = seconds(std::int64_t{3650} * 86'400);  // doubling and adding never overflow
inline constexpr Bytes kMemoryMax{std::int64_t{1} << 46};                // times kWorkersMax fits 64 bits

/// Runs to an end.
struct JobSpec {
  std::string name;
  std::vector<std::string> command;
  TextMap env;
  std::string workdir;  // absolute once submitted; the CLI resolves it against the file's folder
  std::int64_t workers = 1;
  std::int64_t chips = 1;               // per worker
  std::vector<std::string> chip_kinds;  // empty: any
  Bytes memory;                         // per worker; 0: no limit
  std::int64_t priority = 0;
  std::vector<std::string> after;  // names or ids of jobs that must be done first
  std::int64_t array = 0;          // 0: not an array
  std::int64_t restarts = 3;
  Nanos backoff = seconds(2);
  Nanos grace = seconds(30);
  Nanos time_limit;         // 0: none
  std::string checkpoints;  // absolute; empty: a folder of the job's own
  // What the scheduler may know and do; a job that says nothing of it is run as asked.
  std::string model;              // of the catalogue, or a config.json: the planner says how fast it trains where
  std::int64_t global_batch = 0;  // sequences a step
  std::int64_t sequence = 0;      // tokens of each
  std::string profile;            // a row of a speed table, for what is no such model
  std::int64_t steps = 0;         // until it is done; 0: not said
  Nanos estimate;                 // how long it runs as asked; 0: not said
  std::int64_t workers_min = 0;   // elastic: it runs on any number of workers between; both 0: as asked only
  std::int64_t workers_max = 0;
  std::int64_t cpu_milli = 0;        // per worker, thousandths of a core; 0: not counted
  std::int64_t share_milli = 1000;   // below 1000: of one chip
  bool preemptible = false;          // may be stopped and started again from its checkpoint
  Nanos checkpoint_every;            // how old its newest checkpoint gets; 0: it writes one when it is told to stop
  Nanos restart_cost = seconds(30);  // from its start to its first new step
  std::string reservation;           // its name: the job runs on its nodes, while it lasts, and nowhere else
  double bid = 0;                    // currency a chip hour at most, for chips that are left over; 0: not for sale
};

/// Runs on. `model` names what is served, `command` how, if not by the engine that fits the model.
struct ServiceSpec {
  std::string name;
  std::string model;
  std::vector<std::string> command;
  TextMap env;
  std::string workdir;
  std::int64_t replicas = 1;
  std::int64_t chips = 1;  // per replica
  std::vector<std::string> chip_kinds;
  Bytes memory;
  std::int64_t priority = 10;   // above jobs: a service is a promise
  std::int64_t context = 2048;  // tokens
  std::string health = "/health";
  Nanos start_timeout = seconds(120);
  Nanos backoff = seconds(1);
  Nanos grace = seconds(10);
  std::int64_t cpu_milli = 0;
  std::int64_t share_milli = 1000;
  bool apart = false;             // replicas on different nodes
  std::int64_t replicas_min = 0;  // replicas follow the load between these; both 0: as many as `replicas` says
  std::int64_t replicas_max = 0;
  std::int64_t tokens_per_s = 0;  // what one replica serves within its service level; 0: not known
};

using Spec = std::variant<JobSpec, ServiceSpec>;

/// Reads one YAML text with one or more documents (`---`). `kind: job|train` or `kind: service` says which; errors name
/// file:line and the nearest right key. Paths stay as written.
[[nodiscard]] Result<std::vector<Spec>> read_specs(std::string_view yaml, std::string_view file);
/// Reads one JSON object. An unknown key is an error; `kind`, if it is there, must fit.
[[nodiscard]] Result<JobSpec> job_from_json(std::string_view json);
[[nodiscard]] Result<ServiceSpec> service_from_json(std::string_view json);
[[nodiscard]] std::string to_json(const JobSpec& spec);
[[nodiscard]] std::string to_json(const ServiceSpec& spec);
/// Everything that can be said without knowing the fleet. The readers above call it.
[[nodiscard]] Result<void> validate(const JobSpec& spec);
[[nodiscard]] Result<void> validate(const ServiceSpec& spec);
/// JSON Schema 2020-12 of both kinds of file.
[[nodiscard]] std::string spec_schema();

template <class V>
void describe(V& v, JobSpec& s) {
  v("name", s.name, "what people call it: a-z, 0-9 and '-', at most 63");
  v("command", s.command, "program and arguments; never passed to a shell");
  v("env", s.env, "environment variables");
  v("workdir", s.workdir, "the folder to run in; relative to this file. Not given: this file's folder");
  v("workers", s.workers, "ranks started together as one gang");
  v("chips", s.chips, "chips of each worker, all on one node");
  v("chip_kinds", s.chip_kinds, "kinds that will do, best first, as `centrale nodes` prints them; none: any");
  v("memory", s.memory, "limit for each worker, like 2GiB; none: no limit");
  v("priority", s.priority, "-100 to 100; higher runs first");
  v("after", s.after, "jobs (names or ids) that must be done before this one starts");
  v("array", s.array, "run this many copies, told apart by CENTRALE_ARRAY_INDEX");
  v("restarts", s.restarts, "how many failures are retried");
  v("backoff", s.backoff, "wait before the first retry; doubles each time up to 5 min");
  v("grace", s.grace, "time between SIGTERM and SIGKILL");
  v("time_limit", s.time_limit, "stop the job after this long; none: no limit");
  v("checkpoints", s.checkpoints, "checkpoint folder; none: one of the job's own");
  v("model", s.model, "a model of the catalogue or a config.json: the planner says how fast it trains on which chips");
  v("global_batch", s.global_batch, "sequences a step, for the planner");
  v("sequence", s.sequence, "tokens of each sequence, for the planner");
  v("profile", s.profile, "a row of the centre's speed table, for what the planner does not know");
  v("steps", s.steps, "steps until it is done; 0: not said");
  v("estimate", s.estimate, "how long it runs as asked, for backfilling; none: not said");
  v("workers_min", s.workers_min, "elastic: it may run on any number of workers from this …");
  v("workers_max", s.workers_max, "… to this; 0: as asked only");
  v("cpu_milli", s.cpu_milli, "thousandths of a processor core for each worker; 0: not counted");
  v("share_milli", s.share_milli, "below 1000: so many thousandths of one chip (500: half)");
  v("preemptible", s.preemptible, "it may be stopped for others and goes on from its checkpoint");
  v("checkpoint_every", s.checkpoint_every, "how old its newest checkpoint gets; none: it writes one when it is told to stop");
  v("restart_cost", s.restart_cost, "from its start to its first new step");
  v("reservation", s.reservation, "runs on the nodes of this reservation, while it lasts, and nowhere else");
  v("spot_bid", s.bid, "what it pays for a chip hour at most, on chips that are left over; 0: it waits for its tenant's share");
}

template <class V>
void describe(V& v, ServiceSpec& s) {
  v("name", s.name, "the model name that callers use: a-z, 0-9 and '-', at most 63");
  v("model", s.model, "a GGUF file, a folder with one, job:NAME for what a job exported, or pip:PACKAGE for a model that a package ships");
  v("command", s.command, "an engine of your own: listens on 127.0.0.1:$CENTRALE_PORT and speaks the OpenAI API");
  v("env", s.env, "environment variables");
  v("workdir", s.workdir, "the folder to run in; relative to this file. Not given: this file's folder");
  v("replicas", s.replicas, "how many run");
  v("chips", s.chips, "chips of each replica");
  v("chip_kinds", s.chip_kinds, "kinds that will do, best first; none: any");
  v("memory", s.memory, "limit for each replica, like 2GiB");
  v("priority", s.priority, "-100 to 100; higher is placed first");
  v("context", s.context, "tokens of context");
  v("health", s.health, "the path that answers 200 when the replica is ready");
  v("start_timeout", s.start_timeout, "a replica that is not ready after this long is started again");
  v("backoff", s.backoff, "wait before a failed replica is started again; doubles each time up to 5 min");
  v("grace", s.grace, "time between SIGTERM and SIGKILL");
  v("cpu_milli", s.cpu_milli, "thousandths of a processor core for each replica; 0: not counted");
  v("share_milli", s.share_milli, "below 1000: so many thousandths of one chip (500: half)");
  v("apart", s.apart, "each replica on a node of its own");
  v("replicas_min", s.replicas_min, "replicas follow the load, from this …");
  v("replicas_max", s.replicas_max, "… to this; 0: as many as `replicas` says");
  v("tokens_per_s", s.tokens_per_s, "tokens a second that one replica serves within its service level, for following the load");
}

}  // namespace centrale
