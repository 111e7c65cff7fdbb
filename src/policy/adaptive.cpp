// SPDX-License-Identifier: Apache-2.0
#include "policy/adaptive.hpp"

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"

namespace centrale {

namespace {

constexpr Nanos kRound = seconds(60);
constexpr Nanos kStarvation = seconds(24 * 3600);
constexpr double kResidualMin = 300;  // s: of a job of which nothing is known and that has not run yet
constexpr double kHoldMin = 1200;     // s that a new shape is taken to hold at least, unless the job ends before
constexpr std::size_t kBench = 512;   // waiting jobs that are looked at between two plans
constexpr double kPlanAllAt = 2000;   // jobs from which on plans keep the whole round apart

}  // namespace

Adaptive::Adaptive(const Scheduling& scheduling)
    : round_(scheduling.round.value > 0 ? scheduling.round : kRound),
      starvation_after_(scheduling.starvation_after.value > 0 ? scheduling.starvation_after : kStarvation) {}

std::size_t Adaptive::add(const Work& work) {
  std::size_t index = entries_.size();
  if (spare_.empty()) {
    entries_.emplace_back();
  } else {
    index = spare_.back();
    spare_.pop_back();
  }
  entries_[index] = Entry{};
  entries_[index].work = work;
  entries_[index].least = work.chips_total();
  if (work.speed != nullptr) {
    for (const Shape& shape : work.speed->shapes) { entries_[index].least = std::min(entries_[index].least, shape.total()); }
  }
  by_task_[work.task.value] = index;
  dirty_ = true;
  return index;
}

void Adaptive::remove(std::size_t index) {
  by_task_.erase(entries_[index].work.task.value);
  entries_[index] = Entry{};
  spare_.push_back(index);
  dirty_ = true;
}

void Adaptive::enqueue(const Work& work) {
  const std::size_t index = add(work);
  entries_[index].state = State::waiting;
  if (const auto kept = by_owner_.find(work.owner); kept != by_owner_.end()) { entries_[index].changes = kept->second.changes; }
  // Beyond the bench they wait for the next plan, unless they come back with a target.
  if (newcomers_.size() < kBench || by_owner_.contains(work.owner)) { newcomers_.push_back(index); }
  ++queued_;
  changed_ = true;
}

void Adaptive::dequeue(const Work& work) {
  const auto found = by_task_.find(work.task.value);
  ensure(found != by_task_.end() && entries_[found->second].state == State::waiting);
  const std::size_t index = found->second;
  by_owner_.erase(work.owner);
  std::erase(newcomers_, index);
  remove(index);
  --queued_;
  changed_ = true;
}

void Adaptive::adopt(const Work& work, std::span<const ChipId> chips, std::int64_t chips_per_worker, std::int64_t row, Time since) {
  const std::size_t index = add(work);
  Entry& entry = entries_[index];
  entry.state = State::running;
  entry.chips = chips_per_worker;
  entry.workers = static_cast<std::int64_t>(chips.size()) / chips_per_worker;
  entry.row = row;
  entry.since = since;
  entry.reported = std::max(work.reported, since);
  entry.saved = work.saved;
  entry.kind = kKindsMax;  // the pool says: learn_kinds()
  entry.work.gang.ends = Time{static_cast<std::int64_t>(chips.front().value)};
}

void Adaptive::stopping(TaskId task) {
  const auto found = by_task_.find(task.value);
  if (found != by_task_.end() && entries_[found->second].state == State::running) {
    entries_[found->second].state = State::stopping;
    ++stopping_;
  }
}

void Adaptive::ended(TaskId task) {
  const auto found = by_task_.find(task.value);
  if (found == by_task_.end()) { return; }
  const std::size_t index = found->second;
  if (entries_[index].state == State::running) { by_owner_.erase(entries_[index].work.owner); }
  if (entries_[index].state == State::stopping) { --stopping_; }
  remove(index);
  changed_ = true;
}

void Adaptive::progressed(TaskId task, double work_left, Time now, Time saved) {
  const auto found = by_task_.find(task.value);
  if (found == by_task_.end()) { return; }
  Entry& entry = entries_[found->second];
  entry.work.work_left = work_left;
  entry.reported = now;
  entry.saved = saved;
}

void Adaptive::respeed(TaskId task, std::shared_ptr<const SpeedTable> speed) {
  const auto found = by_task_.find(task.value);
  if (found == by_task_.end()) { return; }
  entries_[found->second].work.speed = std::move(speed);
  dirty_ = true;
}

double Adaptive::left_of(const Entry& entry, Time now) const {
  const double held = entry.state == State::running ? to_seconds(now - entry.since) : 0;
  if (entry.work.work_left > 0) {
    double left = entry.work.work_left;
    if (entry.state == State::running) {
      const Time working = std::max(entry.reported, entry.changes > 0 ? entry.since + entry.work.restart_cost : entry.since);
      if (now > working) { left -= entry.rate * to_seconds(now - working); }
    }
    if (left > 0.001 * entry.work.work_left) { return left; }
    // It outran what was said of it: as long again as it has already.
    return std::max(entry.rate, 1e-12) * std::max(held, 1.0);
  }
  const double used = to_seconds(entry.work.attained) / static_cast<double>(std::max<std::int64_t>(1, entry.work.chips_total())) + held;
  return std::max(used, kResidualMin);
}

double Adaptive::lost_s(const Entry& entry, Time now) const {
  const Nanos every = entry.work.checkpoint_every;
  if (every.value == 0) { return 0; }
  return std::min(to_seconds(now - std::max(entry.since, entry.saved)), to_seconds(every) * 2);
}

void Adaptive::learn_kinds(const Pool& pool) {
  std::size_t kinds = 0;
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
    if (pool.usable_of(static_cast<KindIndex>(kind)) > 0) { kinds = kind + 1; }
  }
  kinds_ = kinds;
  node_chips_.assign(kinds, 1);
  for (std::size_t kind = 0; kind < kinds; ++kind) {
    KindChoice only;
    only.mask = KindMask{1} << kind;
    only.order[0] = static_cast<KindIndex>(kind);
    only.count = 1;
    for (std::int64_t chips = 2; chips <= 64; chips *= 2) {
      Gang gang;
      gang.chips = chips;
      if (pool.workers_ever(only, gang, 1) == 1) { node_chips_[kind] = chips; }
    }
  }
  for (Entry& entry : entries_) {
    if (entry.state == State::gone || entry.kind != kKindsMax) { continue; }
    entry.kind = pool.kind_of(ChipId{static_cast<std::uint64_t>(entry.work.gang.ends.ns)});
    entry.work.gang.ends = kNever;
    if (entry.rate > 0) { continue; }  // load() knew it
    entry.rate = 1;
    if (entry.work.speed != nullptr) {
      for (const Shape& shape : entry.work.speed->shapes) {
        if (shape.kind == entry.kind && shape.total() == entry.workers * entry.chips &&
            (entry.row < 0 || shape.row == static_cast<std::uint32_t>(entry.row))) {
          entry.rate = static_cast<double>(rate_at(shape));
        }
      }
    }
  }
}

float Adaptive::rate_at(const Shape& shape) const {
  return shape
      .rate[shape.total() <= node_chips_[shape.kind] ? static_cast<std::size_t>(Spread::node) : static_cast<std::size_t>(Spread::leaf)];
}

Nanos Adaptive::bound_of(const Entry& entry) const {
  const Nanos thrice = entry.work.expected * 3;
  return std::max(starvation_after_, thrice);
}
bool Adaptive::starves(const Entry& entry, Time now) const {
  return entry.state == State::waiting && now - entry.work.queued > bound_of(entry);
}

void Adaptive::offers_of(const Entry& entry, Time now, double left, std::vector<Offer>& offers) const {
  offers.clear();
  const Work& work = entry.work;
  const bool runs = entry.state == State::running;
  double best = 0;  // rate of a chip
  const auto usable = [&](KindIndex kind) { return kind < kinds_ && (work.kinds.mask >> kind & 1) != 0; };
  if (work.speed != nullptr) {
    for (const Shape& shape : work.speed->shapes) {
      if (usable(shape.kind)) { best = std::max(best, static_cast<double>(rate_at(shape)) / static_cast<double>(shape.total())); }
    }
  } else {
    best = 1.0 / static_cast<double>(work.chips_total());
  }
  if (best <= 0) { return; }
  const double size = left / best;                               // chip seconds
  const double scale = 1 / (best * std::sqrt(std::sqrt(size)));  // alpha = 1/4
  const double cost = to_seconds(work.restart_cost) + (runs ? lost_s(entry, now) : 0);
  const auto offer = [&](KindIndex kind, std::int64_t chips, double rate, std::int32_t tag, bool same) {
    double value = rate * scale;
    if (runs) {
      const double hold = std::max(std::min(left / std::max(rate, 1e-12), std::max(kHoldMin, to_seconds(now - entry.since))), 1e-9);
      value *= same ? 1 + cost / hold : std::max(0.0, 1 - cost / hold);
    }
    if (value > 0) { offers.push_back({.kind = kind, .chips = chips, .value = value, .tag = tag}); }
  };
  if (work.speed != nullptr) {
    for (std::size_t i = 0; i < work.speed->shapes.size(); ++i) {
      const Shape& shape = work.speed->shapes[i];
      if (!usable(shape.kind)) { continue; }
      const bool same = runs && shape.kind == entry.kind && shape.total() == entry.workers * entry.chips;
      offer(shape.kind, shape.total(), static_cast<double>(rate_at(shape)), static_cast<std::int32_t>(i), same);
    }
    return;
  }
  for (std::size_t kind = 0; kind < kinds_; ++kind) {
    if (usable(static_cast<KindIndex>(kind))) {
      offer(static_cast<KindIndex>(kind), work.chips_total(), 1, -1, runs && kind == entry.kind);
    }
  }
}

void Adaptive::plan(Pool& pool, Time now, Decision& out) {
  learn_kinds(pool);
  planned_ = now;
  dirty_ = false;
  std::vector<std::int64_t> capacity(kinds_, 0);
  for (std::size_t kind = 0; kind < kinds_; ++kind) { capacity[kind] = pool.free_of(static_cast<KindIndex>(kind)); }
  // Who may get what: running work that has to stay keeps its chips, the rest of them is shared out anew.
  std::vector<std::size_t> open;
  std::map<std::uint64_t, OwnerKept> owners;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    if (entry.state == State::gone || entry.work.gang.is_share()) { continue; }
    if (const auto kept = by_owner_.find(entry.work.owner); kept != by_owner_.end()) { owners[entry.work.owner] = kept->second; }
    if (entry.state == State::stopping) {
      if (entry.kind < kinds_) { capacity[entry.kind] += entry.workers * entry.chips; }
      continue;
    }
    if (entry.state == State::running) {
      const bool young = now - entry.since < std::max(entry.work.restart_cost * 4, Nanos{1});
      if (!entry.work.preemptible || entry.work.service || young || entry.kind >= kinds_) { continue; }
      capacity[entry.kind] += entry.workers * entry.chips;
    }
    open.push_back(i);
  }
  by_owner_ = std::move(owners);
  // Classes: what starves, services, then by priority; each shares what those before it leave.
  struct Ranked {
    std::tuple<bool, bool, std::int64_t> its;
    std::uint64_t order;
    std::size_t index;
    bool operator<(const Ranked& other) const { return std::tie(its, order, index) < std::tie(other.its, other.order, other.index); }
  };
  std::vector<Ranked> ranks;
  ranks.reserve(open.size());
  for (const std::size_t i : open) {
    const Entry& entry = entries_[i];
    ranks.push_back({{!starves(entry, now), !entry.work.service, -entry.work.priority}, entry.work.order, i});
  }
  std::ranges::sort(ranks, std::less<>());
  for (std::size_t i = 0; i < ranks.size(); ++i) { open[i] = ranks[i].index; }
  newcomers_.clear();
  for (std::size_t from = 0; from < open.size();) {
    const auto its = ranks[from].its;
    std::size_t to = from + 1;
    const bool one_by_one = !std::get<0>(its);  // starving work goes in order
    while (!one_by_one && to < open.size() && ranks[to].its == its) { ++to; }
    if (jobs_.size() < to - from) { jobs_.resize(to - from); }
    std::vector<AssignJob> jobs(std::make_move_iterator(jobs_.begin()),
                                std::make_move_iterator(jobs_.begin() + static_cast<std::ptrdiff_t>(to - from)));
    for (std::size_t k = from; k < to; ++k) {
      const Entry& entry = entries_[open[k]];
      AssignJob& job = jobs[k - from];
      job.keep = -1;
      offers_of(entry, now, left_of(entry, now), job.offers);
      if (entry.state == State::running) {
        for (std::size_t o = 0; o < job.offers.size(); ++o) {
          if (job.offers[o].kind == entry.kind && job.offers[o].chips == entry.workers * entry.chips) {
            job.keep = static_cast<std::int32_t>(o);
          }
        }
        // A shape that no offer has (it was adopted, or its speeds changed): it stays as it is.
        if (job.keep < 0) {
          job.offers.assign(1, {.kind = entry.kind, .chips = entry.workers * entry.chips, .value = 1e300, .tag = -2});
          job.keep = 0;
        }
      }
    }
    assignment_.solve(jobs, capacity);
    if (one_by_one && jobs[0].chosen < 0) {  // what cannot be stopped is in its way: all else that it needs is kept for it
      std::int64_t most = -1;
      for (std::size_t o = 0; o < jobs[0].offers.size(); ++o) {
        const Offer& offer = jobs[0].offers[o];
        if (offer.chips <= pool.usable_of(offer.kind) && capacity[offer.kind] > most) {
          most = capacity[offer.kind];
          jobs[0].chosen = static_cast<std::int32_t>(o);
        }
      }
    }
    std::size_t bench = 0;
    for (std::size_t k = from; k < to; ++k) {
      const std::size_t index = open[k];
      Entry& entry = entries_[index];
      const AssignJob& job = jobs[k - from];
      Target target;
      if (job.chosen >= 0) {
        const Offer& offer = job.offers[static_cast<std::size_t>(job.chosen)];
        capacity[offer.kind] = std::max<std::int64_t>(capacity[offer.kind] - offer.chips, 0);
        target.kind = offer.kind;
        if (offer.tag >= 0) {
          const Shape& shape = entry.work.speed->shapes[static_cast<std::size_t>(offer.tag)];
          target.workers = shape.workers;
          target.chips = shape.chips;
          target.row = shape.row;
        } else {
          target.workers = offer.tag == -2 ? entry.workers : entry.work.gang.workers;
          target.chips = offer.tag == -2 ? entry.chips : entry.work.gang.chips;
          target.row = offer.tag == -2 ? entry.row : -1;
        }
      }
      if (entry.state == State::running && job.chosen == job.keep) { continue; }
      if (target.total() > 0 || entry.state == State::running) {
        OwnerKept& kept = by_owner_[entry.work.owner];
        kept.target = target;
        kept.changes = entry.changes + 1;
      } else {
        by_owner_.erase(entry.work.owner);
      }
      if (entry.state == State::running) {
        out.stops.push_back({entry.work.task, target.total() > 0 ? StopReason::resized : StopReason::preempted});
      } else if (target.total() > 0 || bench++ < kBench) {
        newcomers_.push_back(index);
      }
    }
    from = to;
  }
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].state == State::waiting && entries_[i].work.gang.is_share()) { newcomers_.push_back(i); }
  }
}

bool Adaptive::start(std::size_t index, const Target& target, Pool& pool, Allowance& allowance, Time now, Decision& out) {
  Entry& entry = entries_[index];
  Gang gang = entry.work.gang;
  gang.workers = target.workers;
  gang.chips = target.chips;
  const KindMask mine = allowance.kinds_for(entry.work.tenant, target.total(), gang.share_milli) & entry.work.kinds.mask;
  const KindMask wanted = mine & (KindMask{1} << target.kind);
  const std::size_t first = out.chips.size();
  if (wanted == 0 || !pool.place(entry.work.kinds, wanted, gang, out.chips)) { return false; }
  allowance.take(entry.work.tenant, target.kind, target.total(), gang.share_milli);
  out.starts.push_back(
      {.task = entry.work.task, .first = first, .count = out.chips.size() - first, .chips = target.chips, .row = target.row});
  entry.state = State::running;
  entry.kind = target.kind;
  entry.workers = target.workers;
  entry.chips = target.chips;
  entry.row = target.row;
  entry.since = entry.reported = now;
  entry.rate = 1;
  if (entry.work.speed != nullptr) {
    const std::span<const ChipId> chips(out.chips.data() + first, out.chips.size() - first);
    const auto spread = static_cast<std::size_t>(pool.spread(chips));
    for (const Shape& shape : entry.work.speed->shapes) {
      if (target.row >= 0 && shape.row == static_cast<std::uint32_t>(target.row)) { entry.rate = static_cast<double>(shape.rate[spread]); }
    }
  }
  --queued_;
  return true;
}

void Adaptive::carry_out(Pool& pool, Allowance& allowance, Time now, Decision& out) {
  std::vector<std::int64_t> promised(kinds_, 0);
  std::vector<bool> freeing(kinds_, false);
  for (const std::size_t index : newcomers_) {
    const auto kept = by_owner_.find(entries_[index].work.owner);
    if (kept != by_owner_.end() && kept->second.target.total() > 0) { promised[kept->second.target.kind] += kept->second.target.total(); }
  }
  for (const Entry& entry : stopping_ == 0 ? std::span<const Entry>() : std::span<const Entry>(entries_)) {
    if (entry.state == State::stopping && entry.kind < kinds_) {
      freeing[entry.kind] = true;
      const auto kept = by_owner_.find(entry.work.owner);
      if (kept != by_owner_.end() && kept->second.target.total() > 0) { promised[kept->second.target.kind] += kept->second.target.total(); }
    }
  }
  std::vector<Offer> offers;
  const auto best_that_fits = [&](std::size_t index) {
    const Entry& entry = entries_[index];
    bool may = false;
    for (std::size_t kind = 0; kind < kinds_; ++kind) {
      may = may || ((entry.work.kinds.mask >> kind & 1) != 0 && pool.free_of(static_cast<KindIndex>(kind)) - promised[kind] >= entry.least);
    }
    if (!may) { return false; }
    offers_of(entry, now, left_of(entry, now), offers);
    while (true) {
      auto best = offers.end();
      for (auto offer = offers.begin(); offer != offers.end(); ++offer) {
        if (offer->chips <= pool.free_of(offer->kind) - promised[offer->kind] && (best == offers.end() || offer->value > best->value)) {
          best = offer;
        }
      }
      if (best == offers.end()) { return false; }
      Target target{.kind = best->kind, .workers = entry.work.gang.workers, .chips = entry.work.gang.chips, .row = -1};
      if (best->tag >= 0) {
        const Shape& shape = entry.work.speed->shapes[static_cast<std::size_t>(best->tag)];
        target = {.kind = shape.kind, .workers = shape.workers, .chips = shape.chips, .row = shape.row};
      }
      if (start(index, target, pool, allowance, now, out)) { return true; }
      offers.erase(best);
    }
  };
  std::vector<std::size_t> left;
  const auto started = [&](std::size_t index) { by_owner_.erase(entries_[index].work.owner); };
  for (const std::size_t index : newcomers_) {
    Entry& entry = entries_[index];
    if (entry.work.gang.is_share()) {
      bool placed = false;
      for (std::size_t kind = 0; kind < kinds_ && !placed; ++kind) {
        placed = start(index, {.kind = static_cast<KindIndex>(kind), .workers = entry.work.gang.workers, .chips = 1, .row = -1}, pool,
                       allowance, now, out);
      }
      if (!placed) { left.push_back(index); }
      continue;
    }
    const auto kept = by_owner_.find(entry.work.owner);
    if (kept == by_owner_.end() || kept->second.target.total() == 0) {
      left.push_back(index);
      continue;
    }
    const Target target = kept->second.target;
    if (target.kind < kinds_ && start(index, target, pool, allowance, now, out)) {
      promised[target.kind] -= target.total();
      started(index);
      continue;
    }
    if (target.kind < kinds_ && !freeing[target.kind] &&
        !starves(entry, now)) {  // counts said that it fits, nodes do not: what does fit, then
      promised[target.kind] -= target.total();
      kept->second.target = {};
    }
    left.push_back(index);
  }
  newcomers_.clear();
  for (const std::size_t index : left) {
    const auto kept = by_owner_.find(entries_[index].work.owner);
    const bool waits = kept != by_owner_.end() && kept->second.target.total() > 0;
    if (!waits && !entries_[index].work.gang.is_share() && best_that_fits(index)) {
      started(index);
    } else {
      newcomers_.push_back(index);
    }
  }
}

void Adaptive::decide(Pool& pool, Allowance& allowance, Time now, Decision& out) {
  changed_ = false;
  const double crowd = std::min(1.0, static_cast<double>(by_task_.size()) / kPlanAllAt);
  const Nanos apart{static_cast<std::int64_t>(static_cast<double>(round_.value) * crowd)};
  if (dirty_ && (planned_.ns < 0 || now >= planned_ + apart)) { plan(pool, now, out); }
  if (kinds_ == 0) { learn_kinds(pool); }
  for (const Stop& stop : out.stops) { stopping(stop.task); }
  carry_out(pool, allowance, now, out);
  if (dirty_) {
    out.wake = std::max(planned_ + apart, now + Nanos{1});
  } else if (queued_ > 0) {
    out.wake = now + round_;
    dirty_ = true;  // what was left grows less: others may gain more by then
  }
}

}  // namespace centrale
