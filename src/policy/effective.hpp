// SPDX-License-Identifier: Apache-2.0
// Effective throughput over unlike chips, after Gavel (Narayanan et al., OSDI 2020): an allocation says which part of its time each job is
// to spend on each kind (allocate.hpp), and rounds of 360 s make it true: the job whose part is largest against what it received goes
// first. Leftover chips are used. Three objectives: max-min fair (LAS), first come first served, and least makespan.
//
// The allocation is made anew in a round in which the set of jobs has changed. What jobs received counts on with a half life of an hour
// (Gavel forgets it with each new allocation, which lets those with a small part wait while jobs come often).
#pragma once
#include "policy/allocate.hpp"
#include "policy/elastic.hpp"

namespace centrale {

enum class EffectiveGoal : unsigned char { fair, fifo, makespan };

class Effective final : public ElasticPolicy {
 public:
  Effective(const Scheduling& scheduling, EffectiveGoal goal) : ElasticPolicy(scheduling, seconds(360)), goal_(goal) {}
  [[nodiscard]] std::string_view name() const override {
    return goal_ == EffectiveGoal::fair ? "effective" : goal_ == EffectiveGoal::fifo ? "effective-fifo" : "effective-makespan";
  }

 private:
  struct Received {
    std::vector<double> s;  // seconds by kind
    Time until;             // counted so far
  };
  [[nodiscard]] double major(const Item& item, Time) const override { return static_cast<double>(item.work.order); }
  void choose(std::span<const Slot> items, Time now) override;
  void departed(std::uint64_t owner) override { received_.erase(owner); }
  void save_more(std::string& text) const override;
  bool load_line(std::string_view word, std::string_view rest) override;
  void build(std::span<const Slot> items);
  void receive(const Item& item, Time now);
  [[nodiscard]] Shares solve(std::span<const Slot> items, Time now) const;

  EffectiveGoal goal_;
  std::vector<std::size_t> kinds_;  // of the problem
  ShareProblem problem_;
  /// Of one priority: for whom its allocation was made.
  struct Made {
    std::vector<std::uint64_t> owners;
    std::vector<double> capacity, x;
  };
  std::map<std::int64_t, Made> made_;
  std::unordered_map<std::uint64_t, Received> received_;  // by owner; looked up
};

}  // namespace centrale
