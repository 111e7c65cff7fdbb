// SPDX-License-Identifier: Apache-2.0
// Least attained service first: discretised 2D-LAS of Tiresias (Gu et al., NSDI 2019, section 3.2.2). Two queues by attained chip time;
// in each first come first served, so that those that have attained alike do not take turns. Kinds of chip are alike to it: any that is
// free, the one with most room first.
#pragma once
#include "policy/elastic.hpp"

namespace centrale {

class LeastAttained final : public ElasticPolicy {
 public:
  /// Chip seconds from which work is in the second queue: an hour of one chip, the example of two queues in Tiresias's simulator (README,
  /// 4, `dlas`).
  static constexpr double kFirstQueue_s = 3600;

  explicit LeastAttained(const Scheduling& scheduling) : ElasticPolicy(scheduling, seconds(300)) {}
  [[nodiscard]] std::string_view name() const override { return "las"; }

 private:
  [[nodiscard]] double major(const Item& item, Time now) const override { return attained(item, now) < kFirstQueue_s ? 0 : 1; }
  [[nodiscard]] bool minds_speed() const override { return false; }
  void choose(std::span<const Slot> items, Time) override { choose_in_order(items); }
};

}  // namespace centrale
