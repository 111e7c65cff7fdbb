// SPDX-License-Identifier: Apache-2.0
// Goodput (Sia, Jayaram Subramanya et al., SOSP 2023, after Pollux, Qiao et al., OSDI 2021): in each round every job gets one shape of its
// speeds, or none, so that the sum over jobs of lambda - (r G)^p is largest under the chips of each kind (section 3.4, equation 4, which
// states it as a minimum for p < 0), with p = -0.5 and lambda = 1.1. G is the shape's rate over the job's least, times the chips of that
// least shape, so that a rigid gang counts what it takes. r = (T - N S) / (T + S) discounts shapes other than the present one: T the
// job's age, N its restarts, S its restart cost; 1 while it is younger than a restart.
//
// As in Sia a job starts with its least shape and has at most twice its chips in the next round; beyond one node it takes whole nodes.
// (A job that was stopped may start again with any.) Unlike Sia's solver, choose_shapes() has no branch and bound; and a reshape that the
// program wants is made only when it pays for itself (elastic.hpp).
#pragma once
#include "policy/elastic.hpp"
#include "policy/goodput_choose.hpp"

namespace centrale {

class Goodput final : public ElasticPolicy {
 public:
  static constexpr double kPower = -0.5, kLambda = 1.1;
  static constexpr std::int64_t kGrowthMax = 2;

  explicit Goodput(const Scheduling& scheduling) : ElasticPolicy(scheduling, seconds(60)) {}
  [[nodiscard]] std::string_view name() const override { return "goodput"; }

 private:
  [[nodiscard]] double major(const Item& item, Time) const override { return static_cast<double>(item.work.order); }
  [[nodiscard]] Ask ask(const Work& work) const override;
  [[nodiscard]] bool reshapes() const override { return true; }
  void choose(std::span<const Slot> items, Time now) override;
  void offer(Slot slot, Time now);
  void offer_shape(const Item& item, const Shape& shape, std::int64_t row, double goodput, double restart);
  [[nodiscard]] bool may_have(const Item& item, const Shape& shape, std::int64_t least) const;

  ChooseProblem problem_;
  std::vector<Target> offers_;                    // beside the problem's choices
  std::vector<Slot> slots_;                       // of its jobs
  std::array<std::size_t, kKindsMax> kind_at_{};  // its number of a kind
};

}  // namespace centrale
