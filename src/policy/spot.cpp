// SPDX-License-Identifier: Apache-2.0
#include "policy/spot.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include <fmt/format.h>

#include "base/ensure.hpp"

namespace centrale {

void Spot::enqueue(const Work& work) {
  ensure(work.bid.value > 0);
  ensure(waiting_.emplace(key(work), work).second);
  head_changed_ = true;
}

void Spot::dequeue(const Work& work) {
  ensure(waiting_.erase(key(work)) == 1);
  if (idle()) { prices_ = {}; }
}

void Spot::adopt(const Work& work, std::span<const ChipId> chips, std::int64_t, std::int64_t, Time since) {
  running_[work.task] = {.work = work, .chips = {chips.begin(), chips.end()}, .kind = 0, .saved = since, .stopping = false};
}

void Spot::stopping(TaskId task) { running_.at(task).stopping = true; }

void Spot::ended(TaskId task) {
  ensure(running_.erase(task) == 1);
  if (idle()) { prices_ = {}; }
}

void Spot::progressed(TaskId task, double, Time, Time saved) {
  Running& running = running_.at(task);
  running.saved = std::max(running.saved, saved);
}

void Spot::set_terms(const Market& market, const KindPrices& list) {
  const auto parts = static_cast<Int128>(std::llround(market.reserve * 1e6));
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
    reserve_[kind] = {static_cast<std::int64_t>(list[kind].value * parts / 1'000'000)};
  }
  period_ = market.period;
}

void Spot::decide(Pool& pool, Allowance& allowance, Time now, Decision& out) {
  head_changed_ = false;
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) { prices_[kind] = std::max(prices_[kind], reserve_[kind]); }
  Auction auction(pool, reserve_);
  bool undisturbed = true;  // nobody is priced anew
  for (auto& [task, running] : running_) {
    running.kind = pool.kind_of(running.chips.front());
    if (running.stopping) {
      auction.coming(running.chips, running.work.gang);
      continue;
    }
    undisturbed = false;
    const std::int64_t lost = running.work.checkpoint_every.value == 0 ? 0 : (now - running.saved).value / 1'000'000;
    auction.runs({.task = task,
                  .price = running.work.bid,
                  .order = running.work.order,
                  .kinds = running.work.kinds,
                  .gang = running.work.gang,
                  .chips = running.chips,
                  .kind = running.kind,
                  .lost = lost * running.work.chips_total()});
  }
  for (const Coming& coming : coming_) { auction.coming(coming.chips, coming.gang); }
  for (const auto& [work, allowed] : plan_) { auction.make_room(work.kinds, allowed, work.gang); }
  const bool clears = undisturbed || now >= cleared_ + period_;
  if (clears || pool.kinds_with_free() != 0) {
    const MicroCurrency least = *std::ranges::min_element(clears ? reserve_ : prices_);
    for (const auto& [key, work] : waiting_) {
      if (work.bid < least) { break; }
      if (allowance.kinds_for(work.tenant, work.chips_total(), work.gang.share_milli) == 0) { continue; }
      auction.offer({.task = work.task, .price = work.bid, .order = work.order, .kinds = work.kinds, .gang = work.gang}, prices_,
                    clears ? Auction::Reach::below : Auction::Reach::idle);
    }
  }
  const Auction::Outcome outcome = auction.close();
  if (clears) {
    prices_ = auction.prices();
    cleared_ = now;
  } else if (!idle()) {
    out.wake = std::min(out.wake, cleared_ + period_);
  }
  for (const Auction::Gone& gone : outcome.gone) {
    out.stops.push_back({.task = gone.task, .why = gone.for_plan ? StopReason::preempted : StopReason::outbid});
  }
  start(outcome, pool, allowance, now, out);
  plan_.clear();
  coming_.clear();
}

/// Starts what was sold and has its room already. Who waits for others to go keeps what is free of it from those below.
void Spot::start(const Auction::Outcome& outcome, Pool& pool, Allowance& allowance, Time now, Decision& out) {
  std::map<TaskId, Key> keys;
  for (const auto& [key, work] : waiting_) { keys[work.task] = key; }
  std::vector<ChipId> kept;
  for (const Auction::Sold& sold : outcome.sold) {
    const std::size_t first = out.chips.size();
    if (sold.task) {
      const auto found = waiting_.find(keys.at(sold.task));
      const Work& work = found->second;
      if (pool.place(work.kinds, KindMask{1} << sold.kind, work.gang, out.chips)) {
        const std::size_t count = out.chips.size() - first;
        out.starts.push_back({.task = work.task, .first = first, .count = count, .chips = work.gang.chips, .row = -1});
        allowance.take(work.tenant, sold.kind, work.chips_total(), work.gang.share_milli);
        running_[work.task] = {.work = work,
                               .chips = {out.chips.begin() + static_cast<std::ptrdiff_t>(first), out.chips.end()},
                               .kind = sold.kind,
                               .saved = now,
                               .stopping = false};
        waiting_.erase(found);
        continue;
      }
    }
    for (std::size_t i = sold.first; i < sold.first + sold.count; ++i) {
      if (pool.is_free(outcome.chips[i])) {
        pool.set_free(outcome.chips[i], false);
        kept.push_back(outcome.chips[i]);
      }
    }
  }
  for (const ChipId chip : kept) { pool.set_free(chip, true); }
}

std::string Spot::save() const {
  std::string text = fmt::format("cleared {} {}\n", cleared_.ns, head_changed_ ? 1 : 0);
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
    if (prices_[kind].value > 0) { text += fmt::format("price {} {}\n", kind, prices_[kind].value); }
  }
  for (const auto& [task, running] : running_) { text += fmt::format("saved {} {}\n", task.value, running.saved.ns); }
  return text;
}

Result<void> Spot::load(std::string_view saved) {
  std::istringstream lines{std::string(saved)};
  std::string line, word;
  head_changed_ = false;
  while (std::getline(lines, line)) {
    std::istringstream in(line);
    std::uint64_t which = 0;
    std::int64_t value = 0;
    bool read = static_cast<bool>(in >> word);
    if (word == "cleared") {
      read = read && in >> cleared_.ns >> head_changed_;
    } else if (word == "price") {
      read = read && in >> which >> value && which < kKindsMax;
      if (read) { prices_[which] = {value}; }
    } else if (word == "saved") {
      read = read && in >> which >> value && running_.contains(TaskId{which});
      if (read) { running_[TaskId{which}].saved = {value}; }
    } else {
      read = false;
    }
    if (!read) { return fail(ErrorKind::invalid, fmt::format("the spot market's books say '{}'", line.substr(0, 100)), "snapshot"); }
  }
  return {};
}

}  // namespace centrale
