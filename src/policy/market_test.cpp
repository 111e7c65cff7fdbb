// SPDX-License-Identifier: Apache-2.0
#include "policy/market.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "policy/testing.hpp"

namespace centrale {
namespace {

using testing::pool_of;

Bid bid(std::uint64_t task, std::int64_t price, std::int64_t workers = 1) {
  Bid b{.task = TaskId{task}, .price = {price}, .order = task, .kinds = testing::on({0}), .gang = {}};
  b.gang.workers = workers;
  return b;
}

KindPrices reserve_of(std::int64_t price) {
  KindPrices prices;
  prices.fill({price});
  return prices;
}

/// Highest first, as offer() wants them.
std::pair<std::vector<std::uint64_t>, std::int64_t> clear(Pool& pool, std::vector<Bid> bids, std::int64_t reserve) {
  std::ranges::stable_sort(bids, [](const Bid& a, const Bid& b) { return a.price > b.price; });
  Auction auction(pool, reserve_of(reserve));
  for (const Bid& each : bids) { auction.offer(each, {}, Auction::Reach::below); }
  const Auction::Outcome outcome = auction.close();
  std::vector<std::uint64_t> sold;
  for (const Auction::Sold& each : outcome.sold) { sold.push_back(each.task.value); }
  std::ranges::sort(sold);
  return {sold, auction.prices()[0].value};
}

TEST(Market, OneChipGoesForTheSecondPrice) {
  Pool pool = pool_of(1, 1);
  EXPECT_EQ(clear(pool, {bid(1, 30), bid(2, 70), bid(3, 50)}, 10), (std::pair{std::vector<std::uint64_t>{2}, std::int64_t{50}}));
  EXPECT_EQ(pool.free_total(), 1) << "what was tried is undone";
}

TEST(Market, NeverBelowTheReserve) {
  Pool pool = pool_of(1, 2);
  EXPECT_EQ(clear(pool, {bid(1, 30), bid(2, 9)}, 10), (std::pair{std::vector<std::uint64_t>{1}, std::int64_t{10}}));
}

TEST(Market, AGangThatDoesNotFitPricesNobodyOut) {
  Pool pool = pool_of(1, 2);
  EXPECT_EQ(clear(pool, {bid(1, 90, 3), bid(2, 40), bid(3, 30), bid(4, 20)}, 10),
            (std::pair{std::vector<std::uint64_t>{2, 3}, std::int64_t{20}}));
}

TEST(Market, MakesRoomAtTheCostOfTheLowestAndOfNoMoreThanItNeeds) {
  Pool pool = pool_of(1, 4);
  std::vector<std::vector<ChipId>> chips(4);
  for (std::uint64_t i = 0; i < 4; ++i) { ASSERT_TRUE(pool.place({}, kAnyKind, Gang{}, chips[i])); }
  const auto gone_for = [&](std::int64_t workers) {
    Auction auction(pool, reserve_of(0));
    for (std::uint64_t i = 0; i < 4; ++i) {
      Bid running = bid(i + 1, i == 3 ? 5 : 10);
      running.lost = i == 1 ? 0 : 100;
      running.chips = chips[i];
      auction.runs(running);
    }
    Gang gang;
    gang.workers = workers;
    auction.make_room({}, kAnyKind, gang);
    std::vector<std::uint64_t> gone;
    for (const Auction::Gone& each : auction.close().gone) { gone.push_back(each.task.value); }
    std::ranges::sort(gone);
    return gone;
  };
  EXPECT_EQ(gone_for(1), (std::vector<std::uint64_t>{4})) << "the lowest bid";
  EXPECT_EQ(gone_for(2), (std::vector<std::uint64_t>{2, 4})) << "of equals, who loses least";
  EXPECT_EQ(gone_for(5), (std::vector<std::uint64_t>{})) << "in vain: nobody";
  EXPECT_EQ(pool.free_total(), 0);
}

/// With bids of one chip each: the k highest, at the (k+1)-th price; and no bidder gains by another bid than its value (Vickrey 1961).
TEST(Market, BidsOfOneChipAreServedAndPricedAsByTheBook) {
  Random random(4);
  for (int round = 0; round < 400; ++round) {
    const auto k = static_cast<std::int64_t>(1 + random.below(5));
    const std::int64_t reserve = 10;
    std::vector<Bid> bids;
    for (std::uint64_t i = 1; i <= 1 + random.below(8); ++i) { bids.push_back(bid(i, static_cast<std::int64_t>(random.below(40)))); }
    Pool pool = pool_of(1, k);
    const auto [sold, price] = clear(pool, bids, reserve);
    std::vector<Bid> sorted = bids;
    std::ranges::stable_sort(sorted, [](const Bid& a, const Bid& b) { return a.price > b.price; });
    std::vector<std::uint64_t> expected;
    std::int64_t lost = reserve;
    for (std::size_t i = 0; i < sorted.size(); ++i) {
      if (i < static_cast<std::size_t>(k) && sorted[i].price.value >= reserve) {
        expected.push_back(sorted[i].task.value);
      } else {
        lost = std::max(lost, sorted[i].price.value);
      }
    }
    std::ranges::sort(expected);
    ASSERT_EQ(sold, expected);
    ASSERT_EQ(price, lost);
    const std::int64_t value = bids[0].price.value;
    const auto gain = [&](std::int64_t said) {
      bids[0].price = {said};
      const auto [winners, paid] = clear(pool, bids, reserve);
      return std::ranges::find(winners, 1U) == winners.end() ? 0 : value - paid;
    };
    const std::int64_t honest = gain(value);
    ASSERT_LE(gain(static_cast<std::int64_t>(random.below(50))), honest);
  }
}

}  // namespace
}  // namespace centrale
