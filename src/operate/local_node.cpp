// SPDX-License-Identifier: Apache-2.0
#include "operate/local_node.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "base/text.hpp"

namespace centrale {

namespace fs = std::filesystem;

namespace {

std::string replica_label(const Task& task, const std::string& name) {
  return fmt::format("{}.{} {}", to_string(task.service), task.ordinal, name);
}

/// The inverse of replica_label.
std::optional<std::pair<ServiceId, std::int64_t>> parse_replica_label(std::string_view label) {
  const std::size_t dot = label.find('.');
  if (dot == std::string_view::npos) { return std::nullopt; }
  const auto service = parse_id<ServiceTag>(label.substr(0, dot));
  std::int64_t ordinal = 0;
  const std::string_view rest = label.substr(dot + 1);
  if (!service || std::from_chars(rest.data(), rest.data() + rest.size(), ordinal).ec != std::errc{}) { return std::nullopt; }
  return std::pair{*service, ordinal};
}

std::int64_t scaled(std::optional<double> value, double by) {
  return value && std::abs(*value) < 9e18 / by ? std::llround(*value * by) : 0;
}

void replace_all(std::vector<std::string>& words, std::string_view what, const std::string& with) {
  for (std::string& word : words) {
    for (std::size_t at = word.find(what); at != std::string::npos; at = word.find(what, at + with.size())) {
      word.replace(at, what.size(), with);
    }
  }
}

}  // namespace

// Text from outside becomes UTF-8 here: the journal would write U+FFFD for anything else, and a replay must be what was.
LocalNode::LocalNode(Host& host, boost::asio::io_context& rim, LocalNodeOptions options, MachineReport machine)
    : host_(host),
      options_(std::move(options)),
      machine_(std::move(machine)),
      health_(rim, {.ready =
                        [&host](TaskId task, std::uint16_t port) {
                          host.fact(ReplicaReady{task, port});
                        },
                    .unready =
                        [&host](TaskId task, const std::string& reason) {
                          host.fact(ReplicaUnready{task, to_utf8(reason)});
                        }}) {}

Result<std::unique_ptr<LocalNode>> LocalNode::open(Host& host, boost::asio::io_context& rim, LocalNodeOptions options,
                                                   MachineReport machine, const Catalogue& catalogue) {
  std::unique_ptr<LocalNode> node(new LocalNode(host, rim, std::move(options), std::move(machine)));
  node->list_chips(catalogue);
  node->remember_folders();
  LocalNode* const self = node.get();  // outlives the driver, which it owns
  local::Callbacks callbacks{.on_started =
                                 [self](TaskId task, const local::Started& started) {
                                   self->host_.fact(TaskStarted{task});
                                   std::string path;
                                   {
                                     const std::lock_guard lock(self->mutex_);
                                     const auto found = self->running_.find(task);
                                     path = found == self->running_.end() ? std::string{} : found->second.health_path;
                                   }
                                   if (started.port > 0 && !path.empty()) {
                                     self->health_.watch(task, static_cast<std::uint16_t>(started.port), path);
                                   }
                                 },
                             .on_start_failed =
                                 [self](TaskId task, const Error& error) {
                                   self->health_.forget(task);
                                   self->host_.fact(TaskStartFailed{task, to_utf8(error.message()), error.kind == ErrorKind::invalid});
                                 },
                             .on_progress =
                                 [self](TaskId task, const local::Progress& progress) {
                                   self->host_.fact(TaskProgressed{.task = task,
                                                                   .step = progress.step.value_or(0),
                                                                   .steps = progress.steps.value_or(0),
                                                                   .loss_micro = scaled(progress.loss, 1e6),
                                                                   .tokens = progress.tokens.value_or(0),
                                                                   .tokens_per_s_milli = scaled(progress.tokens_per_s, 1e3),
                                                                   .eta = Nanos{scaled(progress.eta_s, 1e9)},
                                                                   .checkpoint = to_utf8(progress.checkpoint)});
                                 },
                             .on_exited =
                                 [self](TaskId task, const task::ExitReport& report) {
                                   self->health_.forget(task);
                                   self->host_.fact(TaskExited{.task = task,
                                                               .code = report.code,
                                                               .signal = report.signal,
                                                               .lost = report.lost,
                                                               .message = to_utf8(report.message),
                                                               .energy = self->energy_since_start(task)});
                                 }};
  TRY_ASSIGN(node->driver_,
             LocalDriver::open({.state = node->options_.engines.state, .supervisor = node->options_.supervisor}, std::move(callbacks)));
  return node;
}

LocalNode::~LocalNode() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  if (sampler_.joinable()) { sampler_.join(); }
}

void LocalNode::list_chips(const Catalogue& catalogue) {
  const auto kind_named = [this](const std::string& name) -> Kind& {
    const auto found = std::ranges::find(kinds_, name, [](const Kind& kind) { return kind.group.kind; });
    if (found != kinds_.end()) { return *found; }
    kinds_.push_back({.group = {.kind = name, .count = 0, .memory = {}, .power = {}, .price_per_hour = {}}, .chips = {}});
    return kinds_.back();
  };
  for (std::size_t i = 0; i < machine_.chips.size(); ++i) {
    const ChipReport& chip = machine_.chips[i];
    Kind& kind = kind_named(chip.kind);
    kind.chips.push_back({.report = i, .sharers = 1});
    kind.group.memory = chip.memory;
    kind.group.power = chip.power_limit;
    if (const ChipType* const known = catalogue.chip(chip.kind)) {
      kind.group.power = chip.power_limit.value > 0 ? chip.power_limit : known->power.value;
      kind.group.price_per_hour = known->price_per_hour.value;
    }
  }
  if (options_.cpu_chips > 0) {
    for (Kind& kind : kinds_) {
      if (machine_.chips[kind.chips.front().report].source != ChipSource::cpu) { continue; }
      const std::vector<LocalChip> cores = std::move(kind.chips);
      kind.chips.clear();
      for (std::int64_t i = 0; i < options_.cpu_chips; ++i) {
        const auto core = static_cast<std::size_t>(i) % cores.size();
        kind.chips.push_back({.report = cores[core].report,
                              .sharers = (static_cast<std::size_t>(options_.cpu_chips) + cores.size() - 1 - core) / cores.size()});
      }
    }
  }
  for (Kind& kind : kinds_) { kind.group.count = static_cast<std::int64_t>(kind.chips.size()); }
}

NodeJoined LocalNode::joined() const {
  NodeJoined node{
      .name = to_utf8(options_.node_name.empty() ? machine_.hostname : options_.node_name), .memory = machine_.memory, .chips = {}};
  for (const Kind& kind : kinds_) { node.chips.push_back(kind.group); }
  return node;
}

void LocalNode::attach(const Core& core) {
  const NodeId id = core.node_of(joined().name);
  if (!id) { return; }
  const std::lock_guard lock(mutex_);
  for (const ChipId chip_id : core.node(id)->chips) {
    const Chip& chip = core.chip(chip_id);
    for (const Kind& kind : kinds_) {
      const auto local = static_cast<std::size_t>(chip.local);
      if (kind.group.kind == core.kind_name(chip.kind) && local < kind.chips.size()) {
        report_of_[chip_id] = kind.chips[local].report;
        sharers_of_[chip_id] = kind.chips[local].sharers;
      }
    }
  }
  if (!sampler_.joinable()) {
    samples_.resize(machine_.chips.size());
    meters_.resize(machine_.chips.size());
    sampler_ = std::thread([this] { measure(); });
  }
}

/// The folders of ended tasks, so that their logs are found after a restart.
void LocalNode::remember_folders() {
  std::error_code error;
  for (fs::directory_iterator it(options_.engines.state + "/tasks", error), end; !error && it != end; it.increment(error)) {
    std::ifstream in(it->path() / "task.json");
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto launch = task::parse_launch(text);
    if (!launch) {
      continue;  // a folder that was never complete
    }
    if (const auto job = parse_id<JobTag>(launch->spec.job)) {
      attempts_[{*job, launch->spec.attempt}] = launch->spec.task;
    } else if (const auto replica = parse_replica_label(launch->spec.label)) {
      TaskId& newest = replicas_[*replica];
      newest = std::max(newest, launch->spec.task);
    }
  }
}

std::vector<task::RankSpec> LocalNode::ranks_of(const Core& core, const Task& task) const {
  std::vector<task::RankSpec> ranks;
  for (std::size_t i = 0; i < task.chips.size(); ++i) {
    if (i % static_cast<std::size_t>(task.chips_per_worker) == 0) { ranks.emplace_back(); }
    task::RankSpec& rank = ranks.back();
    const Chip& chip = core.chip(task.chips[i]);
    const auto kind = std::ranges::find(kinds_, core.kind_name(chip.kind), [](const Kind& k) { return k.group.kind; });
    if (kind == kinds_.end() || static_cast<std::size_t>(chip.local) >= kind->chips.size()) {
      continue;  // the machine changed under the core; it will hear of that
    }
    const ChipReport& report = machine_.chips[kind->chips[static_cast<std::size_t>(chip.local)].report];
    for (const int pu : report.pus) {
      if (std::ranges::find(rank.cpus, pu) == rank.cpus.end()) { rank.cpus.push_back(pu); }
    }
    rank.visible_variable = visible_devices_variable(report.source);
    if (!report.device.empty()) { rank.visible_devices.push_back(report.device); }
  }
  return ranks;
}

Result<task::LaunchSpec> LocalNode::launch_of(const Core& core, const Task& task) {
  task::LaunchSpec launch;
  launch.task = task.id;
  launch.attempt = static_cast<int>(task.attempt);
  launch.ranks = ranks_of(core, task);
  launch.memory_max = task.memory * static_cast<std::int64_t>(launch.ranks.size());
  if (task.job) {
    const Job& job = *core.job(task.job);
    launch.label = fmt::format("{} ({}, attempt {})", job.spec.name, to_string(job.id), task.attempt);
    TRY_ASSIGN(launch.argv, fill_in_jobs(options_.engines, core, job.tenant, job.spec.command));
    launch.env = job.spec.env;
    launch.env.emplace_back("CENTRALE_EXPORT_DIR", export_folder(options_.engines, job));
    launch.work_dir = job.spec.workdir;
    launch.checkpoint_dir = checkpoint_folder(options_.engines, job);
    launch.grace = job.spec.grace;
    launch.job = to_string(job.id);
    if (job.array_index >= 0) { launch.array_index = job.array_index; }
    return launch;
  }
  const Service& service = *core.service(task.service);
  launch.label = replica_label(task, service.spec.name);
  TRY_ASSIGN(launch.argv, serving_command(options_.engines, core, service.tenant, service.spec));
  replace_all(launch.argv, "{threads}", std::to_string(std::max<std::size_t>(1, launch.ranks.front().cpus.size())));
  launch.env = service.spec.env;
  launch.work_dir = service.spec.workdir;
  launch.grace = service.spec.grace;
  launch.wants_port = true;
  return launch;
}

void LocalNode::start(const Core& core, TaskId id) {
  const Task& task = *core.task(id);
  auto launch = launch_of(core, task);
  if (!launch) {
    // Nothing of it runs; a service is tried again with back-off, since what it waits for (a job) may come.
    host_.fact(TaskStartFailed{id, to_utf8(launch.error().message()), launch.error().kind != ErrorKind::unavailable});
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    Running& running = running_[id];
    running.chips = task.chips;
    running.energy_mj.clear();
    for (const ChipId chip : task.chips) {
      const auto report = report_of_.find(chip);
      const bool measured = report != report_of_.end() && report->second < meters_.size() && meters_[report->second].whole;
      running.energy_mj.push_back(measured ? meters_[report->second].energy_mj : -1);
    }
    if (task.job) {
      attempts_[{task.job, task.attempt}] = id;
    } else {
      running.health_path = core.service(task.service)->spec.health;
      replicas_[{task.service, task.ordinal}] = id;
    }
  }
  driver_->start(std::move(*launch));
}

void LocalNode::stop(const Core&, TaskId task, Nanos grace) { driver_->stop(task, grace); }

void LocalNode::adopt(const Core& core, const std::vector<TaskId>& alive) {
  {
    const std::lock_guard lock(mutex_);
    for (const TaskId id : alive) {
      const Task& task = *core.task(id);
      Running& running = running_[id];
      running.chips = task.chips;
      running.energy_mj.assign(task.chips.size(), -1);  // nobody measured while the centre was away
      if (task.service) { running.health_path = core.service(task.service)->spec.health; }
    }
  }
  driver_->adopt(alive);
}

ChipSample LocalNode::sample(ChipId chip) const {
  const std::lock_guard lock(mutex_);
  const auto found = report_of_.find(chip);
  return found == report_of_.end() || found->second >= samples_.size() ? ChipSample{} : samples_[found->second];
}

bool LocalNode::is_alive(TaskId task) const {
  const std::lock_guard lock(mutex_);
  return running_.contains(task);
}

std::optional<TaskId> LocalNode::attempt(JobId job, std::int64_t number) const {
  const std::lock_guard lock(mutex_);
  const auto found = attempts_.find({job, number});
  return found == attempts_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<TaskId> LocalNode::replica(ServiceId service, std::int64_t ordinal) const {
  const std::lock_guard lock(mutex_);
  const auto found = replicas_.find({service, ordinal});
  return found == replicas_.end() ? std::nullopt : std::optional(found->second);
}

void LocalNode::measure() {
  DiscoverOptions ask;
  ask.time_limit = options_.sample_every;  // a driver that hangs must not hold up the end
  Sampler sampler(ask, machine_);
  auto before = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!closing_) {
    lock.unlock();
    MachineSample sample = sampler.sample();
    const auto now = std::chrono::steady_clock::now();
    const auto span = Nanos{std::chrono::duration_cast<std::chrono::nanoseconds>(now - before).count()};
    before = now;
    lock.lock();
    for (std::size_t i = 0; i < meters_.size() && i < sample.chips.size(); ++i) {
      meters_[i].whole = sample.chips[i].power.has_value();
      if (sample.chips[i].power) { meters_[i].energy_mj += energy(*sample.chips[i].power, span).value; }
    }
    samples_ = std::move(sample.chips);
    wake_.wait_for(lock, options_.sample_every, [this] { return closing_; });
  }
}

Millijoules LocalNode::energy_since_start(TaskId task) {
  const std::lock_guard lock(mutex_);
  const auto found = running_.find(task);
  if (found == running_.end()) { return {}; }
  const Running running = std::move(found->second);
  running_.erase(found);
  Millijoules sum;
  for (std::size_t i = 0; i < running.chips.size(); ++i) {
    const auto report = report_of_.find(running.chips[i]);
    if (running.energy_mj[i] < 0 || report == report_of_.end() || !meters_[report->second].whole) {
      return {};  // not measured: the core estimates
    }
    sum +=
        Millijoules{(meters_[report->second].energy_mj - running.energy_mj[i]) / static_cast<std::int64_t>(sharers_of_[running.chips[i]])};
  }
  return sum;
}

}  // namespace centrale
