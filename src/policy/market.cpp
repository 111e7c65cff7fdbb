// SPDX-License-Identifier: Apache-2.0
#include "policy/market.hpp"

#include <algorithm>
#include <tuple>

namespace centrale {

namespace {
/// How many bids of unlike shape one clearing tries to make room for; each may look at all that run. Lower ones take what is idle.
constexpr int kDisplacementsMax = 256;
/// Shapes that were found not to fit are remembered, up to so many.
constexpr std::size_t kFailedMax = 64;
constexpr KindMask bit(KindIndex kind) { return KindMask{1} << kind; }

/// Kinds whose price the bid reaches.
KindMask reached(const Bid& bid, const KindPrices& prices) {
  KindMask mask = 0;
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) { mask |= bid.price >= prices[kind] ? KindMask{1} << kind : 0; }
  return mask & bid.kinds.mask;
}
}  // namespace

Auction::Auction(Pool& pool, const KindPrices& reserve) : pool_(pool), reserve_(reserve) {}

void Auction::runs(const Bid& bid) { runners_.push_back({.bid = bid, .out = false}); }

void Auction::coming(std::span<const ChipId> chips, const Gang& gang) {
  pool_.give_back(chips, gang);
  coming_.push_back({.chips = chips, .gang = gang});
}

void Auction::sort_runners() {
  if (sorted_) { return; }
  sorted_ = true;
  std::ranges::sort(runners_, [](const Runner& a, const Runner& b) {
    return std::tuple(a.bid.price, a.bid.lost, b.bid.order) < std::tuple(b.bid.price, b.bid.lost, a.bid.order);
  });
  for (Runner& runner : runners_) {
    if (runner.bid.price < reserve_[runner.bid.kind]) { leave(runner, false); }
  }
}

void Auction::leave(Runner& runner, bool for_plan) {
  pool_.give_back(runner.bid.chips, runner.bid.gang);
  runner.out = true;
  runner.for_plan = for_plan;
}

void Auction::stay(Runner& runner) {
  pool_.take(runner.bid.chips, runner.bid.gang);
  runner.out = false;
}

/// Lets go of the fewest of the lowest running bids below `below` that leave room; of none if all of them do not.
bool Auction::displace(const KindChoice& kinds, KindMask allowed, const Gang& gang, MicroCurrency below, bool for_plan) {
  std::vector<Runner*> gone;
  bool fits = false;
  std::size_t batch = 1;  // grows, so that what never fits is asked for only a few times
  for (std::size_t i = 0; i < runners_.size() && !fits && runners_[i].bid.price < below;) {
    const std::size_t before = gone.size();
    for (; i < runners_.size() && gone.size() < before + batch && runners_[i].bid.price < below; ++i) {
      Runner& runner = runners_[i];
      if (runner.out || (bit(runner.bid.kind) & kinds.mask & allowed) == 0) { continue; }
      leave(runner, for_plan);
      gone.push_back(&runner);
    }
    fits = gone.size() > before && pool_.probe(kinds, allowed, gang).has_value();
    batch *= 2;
  }
  for (std::size_t i = gone.size(); i-- > 0;) {  // the highest are spared first
    stay(*gone[i]);
    if (fits && !pool_.probe(kinds, allowed, gang)) { leave(*gone[i], for_plan); }
  }
  return fits;
}

bool Auction::hold(const KindChoice& kinds, KindMask allowed, const Gang& gang, TaskId task, MicroCurrency price) {
  const std::size_t first = held_.size();
  if (!pool_.place(kinds, allowed, gang, held_)) { return false; }
  holds_.push_back(
      {.gang = gang, .first = first, .count = held_.size() - first, .task = task, .price = price, .kind = pool_.kind_of(held_[first])});
  return true;
}

void Auction::make_room(const KindChoice& kinds, KindMask allowed, const Gang& gang) {
  sort_runners();
  if (hold(kinds, allowed, gang, {}, {})) { return; }
  if (displace(kinds, allowed, gang, {std::numeric_limits<std::int64_t>::max()}, true)) { (void)hold(kinds, allowed, gang, {}, {}); }
}

void Auction::offer(const Bid& bid, const KindPrices& prices, Reach reach) {
  sort_runners();
  const KindMask mask = reached(bid, reach == Reach::below ? reserve_ : prices);
  const auto failed_before = [&] {
    return std::ranges::any_of(failed_, [&](const Failed& f) { return f.mask == mask && f.gang == bid.gang && f.reach == reach; });
  };
  bool served = false;
  if (mask != 0 && !failed_before()) {
    served = hold(bid.kinds, mask, bid.gang, bid.task, bid.price);
    if (!served && reach == Reach::below && displacements_ < kDisplacementsMax) {
      ++displacements_;
      served = displace(bid.kinds, mask, bid.gang, bid.price, false) && hold(bid.kinds, mask, bid.gang, bid.task, bid.price);
    }
    // Later bids are lower and find less: what does not fit now does not fit in this clearing.
    if (!served && failed_.size() < kFailedMax) { failed_.push_back({.mask = mask, .gang = bid.gang, .reach = reach}); }
  }
  if (!served) { losers_.push_back({.price = bid.price, .kinds = bid.kinds.mask}); }
}

KindPrices Auction::prices() const {
  KindPrices lowest;  // that is served
  lowest.fill({std::numeric_limits<std::int64_t>::max()});
  KindPrices found = reserve_;
  for (const Runner& runner : runners_) {
    if (!runner.out) { lowest[runner.bid.kind] = std::min(lowest[runner.bid.kind], runner.bid.price); }
  }
  for (const Hold& hold : holds_) {
    if (hold.task) { lowest[hold.kind] = std::min(lowest[hold.kind], hold.price); }
  }
  const auto lost = [&](MicroCurrency price, KindMask kinds) {
    for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
      if ((kinds >> kind & 1) != 0 && price <= lowest[kind]) { found[kind] = std::max(found[kind], price); }
    }
  };
  for (const Loser& loser : losers_) { lost(loser.price, loser.kinds); }
  for (const Runner& runner : runners_) {
    if (runner.out) { lost(runner.bid.price, runner.bid.kinds.mask); }
  }
  return found;
}

Auction::Outcome Auction::close() {
  sort_runners();
  Outcome outcome;
  for (std::size_t i = holds_.size(); i-- > 0;) {
    const Hold& hold = holds_[i];
    pool_.give_back(std::span(held_).subspan(hold.first, hold.count), hold.gang);
  }
  for (const Hold& hold : holds_) {
    outcome.sold.push_back({.task = hold.task, .kind = hold.kind, .first = hold.first, .count = hold.count});
  }
  outcome.chips = std::move(held_);
  for (Runner& runner : runners_) {
    if (runner.out) {
      outcome.gone.push_back({.task = runner.bid.task, .for_plan = runner.for_plan});
      pool_.take(runner.bid.chips, runner.bid.gang);
    }
  }
  for (const Coming& coming : coming_) { pool_.take(coming.chips, coming.gang); }
  return outcome;
}

}  // namespace centrale
