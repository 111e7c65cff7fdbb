// SPDX-License-Identifier: Apache-2.0
#include "policy/effective.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <sstream>

#include <fmt/format.h>

namespace centrale {

namespace {
constexpr double kHalfLife_s = 3600;
}

void Effective::build(std::span<const Slot> items) {
  kinds_.clear();
  for (KindMask left = existing_; left != 0; left &= left - 1) { kinds_.push_back(static_cast<std::size_t>(std::countr_zero(left))); }
  problem_.jobs = items.size();
  problem_.kinds = kinds_.size();
  problem_.rate.assign(problem_.jobs * problem_.kinds, 0);
  problem_.chips.assign(problem_.jobs, 1);
  problem_.capacity.assign(problem_.kinds, 0);
  for (std::size_t j = 0; j < kinds_.size(); ++j) {
    problem_.capacity[j] = static_cast<double>(std::max<std::int64_t>(0, room_[kinds_[j]]));
  }
  for (std::size_t m = 0; m < items.size(); ++m) {
    const Item& item = items_[items[m]];
    const Work& work = item.work;
    problem_.chips[m] = static_cast<double>(work.chips_total());
    for (std::size_t j = 0; j < kinds_.size(); ++j) {
      if ((work.kinds.mask >> kinds_[j] & 1) == 0) { continue; }
      const auto kind = static_cast<KindIndex>(kinds_[j]);
      problem_.rate[m * problem_.kinds + j] = work.speed == nullptr ? 1 : rate_in(work, kind, work.gang.workers, work.gang.chips);
      if (item.fixed && item.phase == Phase::running && item.kind == kind) { problem_.capacity[j] += static_cast<double>(item.held()); }
    }
  }
}

/// Time on chips since it was last counted, and what is remembered of before.
void Effective::receive(const Item& item, Time now) {
  Received& had = received_[item.work.owner];
  had.s.resize(kKindsMax, 0);
  const double fade = std::exp2(-to_seconds(now - had.until) / kHalfLife_s);
  for (double& s : had.s) { s *= fade; }
  if (item.phase == Phase::running) { had.s[item.kind] += std::max(0.0, to_seconds(now - std::max(item.since, had.until))); }
  had.until = now;
}

Shares Effective::solve(std::span<const Slot> items, Time now) const {
  if (goal_ == EffectiveGoal::fair) { return max_min(problem_); }
  if (goal_ == EffectiveGoal::fifo) { return fifo_aware(problem_); }
  std::vector<double> left;
  for (const Slot slot : items) {
    const Item& item = items_[slot];
    const double known = item.work.work_left > 0 ? work_left(item, now) : to_seconds(item.work.expected);
    left.push_back(known > 0 ? known : 3600);
  }
  return makespan(problem_, left);
}

void Effective::choose(std::span<const Slot> items, Time now) {
  build(items);
  if (problem_.kinds == 0) { return; }
  std::vector<std::uint64_t> owners;
  for (const Slot slot : items) {
    owners.push_back(items_[slot].work.owner);
    receive(items_[slot], now);
  }
  Made& made = made_[items_[items.front()].work.priority];
  if (made.owners != owners || made.capacity != problem_.capacity) {
    made.x = solve(items, now).x;
    made.owners = std::move(owners);
    made.capacity = problem_.capacity;
  }
  std::vector<double> received(problem_.jobs * problem_.kinds, 0);
  for (std::size_t m = 0; m < items.size(); ++m) {
    const Received& had = received_.at(items_[items[m]].work.owner);
    for (std::size_t j = 0; j < kinds_.size(); ++j) { received[m * problem_.kinds + j] = had.s[kinds_[j]]; }
  }
  // What stays anyway takes no part, nor do those that their quota holds back.
  ShareProblem open = problem_;
  for (std::size_t j = 0; j < kinds_.size(); ++j) { open.capacity[j] = static_cast<double>(std::max<std::int64_t>(0, room_[kinds_[j]])); }
  for (std::size_t m = 0; m < items.size(); ++m) {
    const Item& item = items_[items[m]];
    const bool out = item.fixed || item.phase == Phase::stopping;
    const KindMask kinds = item.phase == Phase::waiting && !out ? kinds_for(item, item.work.chips_total()) : item.work.kinds.mask;
    for (std::size_t j = 0; j < kinds_.size(); ++j) {
      if (out || (kinds >> kinds_[j] & 1) == 0) { open.rate[m * open.kinds + j] = 0; }
    }
  }
  for (const RoundPick& pick : pick_round(open, made.x, received, Leftovers::used)) {
    const Slot slot = items[pick.job];
    const Item& item = items_[slot];
    const Work& work = item.work;
    const auto kind = static_cast<KindIndex>(kinds_[pick.kind]);
    if (item.phase == Phase::waiting && (kinds_for(item, work.chips_total()) >> kind & 1) == 0) { continue; }
    add_target({.slot = slot,
                .kind = kind,
                .workers = static_cast<std::int32_t>(work.gang.workers),
                .chips = static_cast<std::int32_t>(work.gang.chips),
                .row = row_of(work, kind, work.gang.workers, work.gang.chips)});
  }
}

void Effective::save_more(std::string& text) const {
  for (const auto& [priority, made] : made_) {
    text += fmt::format("made {} {} {}", priority, made.owners.size(), made.capacity.size());
    for (const std::uint64_t owner : made.owners) { text += fmt::format(" {}", owner); }
    for (const double c : made.capacity) { text += fmt::format(" {}", c); }
    for (const double x : made.x) { text += fmt::format(" {}", x); }
    text += '\n';
  }
  std::vector<std::uint64_t> owners;
  for (const auto& [owner, had] : received_) { owners.push_back(owner); }
  std::ranges::sort(owners);
  for (const std::uint64_t owner : owners) {
    const Received& had = received_.at(owner);
    text += fmt::format("received {} {}", owner, had.until.ns);
    for (std::size_t kind = 0; kind < had.s.size(); ++kind) {
      if (had.s[kind] > 0) { text += fmt::format(" {} {}", kind, had.s[kind]); }
    }
    text += '\n';
  }
}

bool Effective::load_line(std::string_view word, std::string_view rest) {
  std::istringstream in{std::string(rest)};
  if (word == "made") {
    std::int64_t priority = 0;
    std::size_t jobs = 0, kinds = 0;
    if (!(in >> priority >> jobs >> kinds) || kinds > kKindsMax || jobs > rest.size()) { return false; }
    Made made;
    made.owners.resize(jobs);
    made.capacity.resize(kinds);
    made.x.resize(jobs * kinds);
    for (auto& owner : made.owners) { in >> owner; }
    for (auto& c : made.capacity) { in >> c; }
    for (auto& x : made.x) { in >> x; }
    made_[priority] = std::move(made);
    return static_cast<bool>(in);
  }
  if (word != "received") { return false; }
  std::uint64_t owner = 0;
  Received had;
  had.s.resize(kKindsMax, 0);
  if (!(in >> owner >> had.until.ns)) { return false; }
  std::size_t kind = 0;
  while (in >> kind) {
    if (kind >= kKindsMax || !(in >> had.s[kind])) { return false; }
  }
  received_[owner] = std::move(had);
  return true;
}

}  // namespace centrale
