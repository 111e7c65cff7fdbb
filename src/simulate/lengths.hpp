// SPDX-License-Identifier: Apache-2.0
// How long jobs run, learned from those that ended and those that still run: what the forecast draws from. Jobs that still run count
// as "longer than this so far" (Kaplan and Meier, JASA 53, 1958), else the short ones, which end first, would be taken for typical.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "centre/core.hpp"

namespace centrale {

/// The share of something that is longer than a length. Lengths are above 0, of any unit.
class Survival {
 public:
  void add(double length, bool ended, double weight = 1);
  /// After the last add().
  void settle();
  [[nodiscard]] double longer_than(double length) const;
  /// The length of one that is longer than `above`; `u` in [0, 1) picks it.
  [[nodiscard]] double draw(double above, double u) const;
  /// How many were added that ended, by weight.
  [[nodiscard]] double ended() const { return ended_; }

 private:
  struct Seen {
    double length = 0;
    bool ended = false;
    double weight = 1;
  };
  struct Point {
    double length = 0, longer = 1;
  };
  std::vector<Seen> seen_;
  std::vector<Point> points_;  // ascending; straight between them, beyond the last as 1 / length
  double ended_ = 0;
};

/// What a job is drawn from.
class Lengths {
 public:
  explicit Lengths(const Core& core, Time now);
  /// Seconds that it runs as asked, of which it has run `age_s`: by what it said, else as jobs like it did.
  [[nodiscard]] double seconds(const Job& job, double age_s, double u) const;
  /// How many times as long as its speeds say it takes, given that it is more than `above`.
  [[nodiscard]] double slowness(const Job& job, double above, double u) const;

 private:
  /// Of jobs of one name of a tenant, else of the tenant, else of all.
  using Curves = std::map<std::string, Survival>;
  [[nodiscard]] static const Survival& curve(const Curves& curves, const Job& job);
  Curves lengths_, of_estimate_, of_speed_;
};

/// Seconds that the job takes as asked where it is fastest, by its speeds; nothing when these do not say.
[[nodiscard]] std::optional<double> predicted_s(const Core& core, const Job& job);
/// What the user said, in seconds; nothing: neither an estimate nor a limit.
[[nodiscard]] std::optional<double> said_s(const JobSpec& spec);

}  // namespace centrale
