// SPDX-License-Identifier: Apache-2.0
// Chips that the plan leaves idle, sold by bids: what one currency unit less would not have bought.
//
// A clearing goes through the bids for one kind of chip, highest first, ties by order. A bid for a gang is served whole or not at all;
// one that does not fit may take the place of running bids below it, no more of them than it needs. All who are served pay one price a
// chip hour, the highest bid that was not: with k chips and bids for one each, the (k+1)-th price, and with k = 1 Vickrey's second price
// ("Counterspeculation, Auctions, and Competitive Sealed Tenders", Journal of Finance 16(1), 1961). It is never below a reserve, which is
// a part of the list price.
//
// What holds: nobody pays more than it bids. For bids of one chip each the price that a bidder pays does not depend on its own bid, so to
// bid what the chip is worth is best whatever others do (Vickrey 1961, for many equal units section IV; Krishna, "Auction Theory", 2nd
// ed., section 13.2, where each buyer wants one unit). What does not hold in general: for bids of several chips a uniform price invites to
// bid low for some of them (demand reduction: Ausubel and Cramton, "Demand Reduction and Inefficiency in Multi-Unit Auctions", 1996,
// 2002); here a bid has one price for its whole gang, so that it can only lose the gang, but a tenant with several bids can still gain. Nor
// does serving gangs greedily give the most value (that is a knapsack). A bid above the lowest that is served lost for its shape,
// not for its price, and sets none; without that rule a gang that never fits could price out everybody else.
//
// Between two clearings of running bids (Market::period) the price stands: idle chips go to bids that reach it, highest first.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "policy/policy.hpp"

namespace centrale {

using KindPrices = std::array<MicroCurrency, kKindsMax>;  // a chip hour, by kind

struct Bid {
  TaskId task;
  MicroCurrency price;      // a chip hour at most
  std::uint64_t order = 0;  // the earlier of equals wins
  KindChoice kinds;
  Gang gang;
  // Of one that runs:
  std::span<const ChipId> chips{};
  KindIndex kind = 0;
  std::int64_t lost = 0;  // chips x ns of work since its last checkpoint
};

/// One clearing on one pool. Everything that it tries on the pool is undone by close(), which says what is to be done.
class Auction {
 public:
  /// `reserve`: below it nobody is served.
  Auction(Pool& pool, const KindPrices& reserve);

  /// Before anything else: what runs, and chips that will come free by themselves.
  void runs(const Bid& bid);
  void coming(std::span<const ChipId> chips, const Gang& gang);
  /// Room for work of the plan that waits, at the cost of as few bids as can be: lowest first, then least work lost. Without
  /// enough of them, of none. What there is of its room already is kept for it.
  void make_room(const KindChoice& kinds, KindMask allowed, const Gang& gang);
  /// A bid that waits; call by falling price, then order. `below`: it may take the place of bids that are lower; else it only takes what
  /// is idle at `prices`.
  enum class Reach : unsigned char { idle, below };
  void offer(const Bid& bid, const KindPrices& prices, Reach reach);

  struct Gone {
    TaskId task;
    bool for_plan = false;
  };
  struct Sold {
    TaskId task;  // none: work of the plan
    KindIndex kind = 0;
    std::size_t first = 0, count = 0;  // of chips: where it found room
  };
  struct Outcome {
    std::vector<Gone> gone;  // running bids that have to stop
    std::vector<Sold> sold;  // in order; to be started as soon as its room is there
    std::vector<ChipId> chips;
  };
  /// Undoes what was tried.
  [[nodiscard]] Outcome close();
  /// The price of each kind after all offers, for a clearing in which all bids took part.
  [[nodiscard]] KindPrices prices() const;

 private:
  struct Runner {
    Bid bid;
    bool out = false;
    bool for_plan = false;
  };
  struct Hold {
    Gang gang;
    std::size_t first = 0, count = 0;  // of held_
    TaskId task;                       // none: for work of the plan
    MicroCurrency price;
    KindIndex kind = 0;
  };
  struct Loser {
    MicroCurrency price;
    KindMask kinds = 0;
  };
  struct Failed {
    KindMask mask = 0;
    Gang gang;
    Reach reach = Reach::idle;
  };
  void sort_runners();
  void leave(Runner& runner, bool for_plan);
  void stay(Runner& runner);
  [[nodiscard]] bool displace(const KindChoice& kinds, KindMask allowed, const Gang& gang, MicroCurrency below, bool for_plan);
  [[nodiscard]] bool hold(const KindChoice& kinds, KindMask allowed, const Gang& gang, TaskId task, MicroCurrency price);

  Pool& pool_;
  KindPrices reserve_;
  std::vector<Runner> runners_;  // lowest bid first, then least work lost, then latest
  bool sorted_ = false;
  struct Coming {
    std::span<const ChipId> chips;
    Gang gang;
  };
  std::vector<Coming> coming_;
  std::vector<ChipId> held_;
  std::vector<Hold> holds_;
  std::vector<Loser> losers_;
  std::vector<Failed> failed_;
  int displacements_ = 0;
};

}  // namespace centrale
