// SPDX-License-Identifier: Apache-2.0
// The book of bids for chips that the plan leaves idle (policy/market.hpp says how they are sold). To the core it is one more policy, asked
// after the others: it gets what they left, and makes room when they say that something waits.
#pragma once
#include <map>
#include <utility>
#include <vector>

#include "policy/market.hpp"
#include "policy/policy.hpp"

namespace centrale {

class Spot final : public Policy {
 public:
  [[nodiscard]] std::string_view name() const override { return "spot"; }
  /// Works have a bid above 0.
  void enqueue(const Work& work) override;
  void dequeue(const Work& work) override;
  void adopt(const Work& work, std::span<const ChipId> chips, std::int64_t chips_per_worker, std::int64_t row, Time since) override;
  void stopping(TaskId task) override;
  void ended(TaskId task) override;
  void progressed(TaskId task, double work_left, Time now, Time saved) override;
  [[nodiscard]] bool head_changed() const override { return head_changed_; }
  void decide(Pool& pool, Allowance& allowance, Time now, Decision& out) override;
  [[nodiscard]] std::size_t queued() const override { return waiting_.size(); }
  [[nodiscard]] std::string save() const override;
  [[nodiscard]] Result<void> load(std::string_view saved) override;

  /// Nothing waits and nothing runs: no need to ask.
  [[nodiscard]] bool idle() const { return waiting_.empty() && running_.empty(); }
  [[nodiscard]] bool anything_runs() const { return !running_.empty(); }
  /// `list`: a chip hour's price by kind.
  void set_terms(const Market& market, const KindPrices& list);
  /// Those that were not told to stop.
  template <class F>
  void each_running(F&& f) const {
    for (const auto& [task, running] : running_) {
      if (!running.stopping) { f(task); }
    }
  }
  /// For the next decision: work of the plan that waits for chips of `allowed`, and chips of the plan that will come free by themselves.
  void must_fit(const Work& work, KindMask allowed) { plan_.emplace_back(work, allowed); }
  void coming(std::span<const ChipId> chips, const Gang& gang) { coming_.push_back({.chips = {chips.begin(), chips.end()}, .gang = gang}); }
  /// A chip hour, by kind: as of the last clearing, and the least that it can be.
  [[nodiscard]] const KindPrices& prices() const { return prices_; }
  [[nodiscard]] const KindPrices& reserve() const { return reserve_; }
  [[nodiscard]] Time cleared() const { return cleared_; }

 private:
  using Key = std::pair<std::int64_t, std::uint64_t>;  // minus the bid, order
  struct Running {
    Work work;
    std::vector<ChipId> chips;
    KindIndex kind = 0;
    Time saved;  // what was done until then is not lost by a stop
    bool stopping = false;
  };
  struct Coming {
    std::vector<ChipId> chips;
    Gang gang;
  };
  [[nodiscard]] static Key key(const Work& work) { return {-work.bid.value, work.order}; }
  void start(const Auction::Outcome& outcome, Pool& pool, Allowance& allowance, Time now, Decision& out);

  std::map<Key, Work> waiting_;
  std::map<TaskId, Running> running_;
  std::vector<std::pair<Work, KindMask>> plan_;
  std::vector<Coming> coming_;
  Nanos period_;
  KindPrices reserve_{}, prices_{};
  Time cleared_;
  bool head_changed_ = false;
};

}  // namespace centrale
