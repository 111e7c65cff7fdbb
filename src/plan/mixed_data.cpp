// SPDX-License-Identifier: Apache-2.0
#include "plan/mixed_data.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "plan/train_report.hpp"

namespace centrale::planning {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Above so many groups shares are not enumerated but improved.
constexpr std::size_t kEnumeratedGroups = 3;

double as_double(std::int64_t n) { return static_cast<double>(n); }

class Sharing {
 public:
  Sharing(std::int64_t batch, std::vector<double> speeds, const ShareTime& time, double worst, std::size_t tried)
      : batch_(batch), speeds_(std::move(speeds)), most_(speeds_), time_(time), best_{.sequences = {}, .slowest = worst}, tried_(tried) {}

  std::optional<Shares> run() {
    const std::size_t groups = speeds_.size();
    if (batch_ < static_cast<std::int64_t>(groups)) { return std::nullopt; }
    if (batch_ > kSharesAllTried || groups > kEnumeratedGroups) {
      // What each takes for its guessed share says how fast it is; twice is enough to settle.
      for (int round = 0; round < 2; ++round) {
        const std::vector<std::int64_t> guess = proportional();
        for (std::size_t g = 0; g < groups; ++g) {
          const double seconds = time_(g, guess[g], kInfinity);
          if (seconds == kInfinity) { return std::nullopt; }
          speeds_[g] = as_double(guess[g]) / seconds;
        }
      }
    }
    if (groups > kEnumeratedGroups) { return improved(); }
    choices_.resize(groups);
    const std::vector<std::int64_t> guess = proportional();
    for (std::size_t g = 0; g < groups; ++g) { choices_[g] = choices(guess[g]); }
    chosen_.resize(groups);
    choose(0, batch_, 0);
    if (best_.sequences.empty()) { return std::nullopt; }
    return best_;
  }

 private:
  /// From shares in proportion to the speeds, in round units: the slowest group gives a unit to the one that is least slowed by it, as long
  /// as that helps.
  std::optional<Shares> improved() {
    const auto groups = static_cast<std::int64_t>(speeds_.size());
    std::int64_t unit = 1;
    while (batch_ % (2 * unit) == 0 && 16 * unit * groups <= batch_) { unit *= 2; }
    batch_ /= unit;
    std::vector<std::int64_t> shares = proportional();
    batch_ *= unit;
    std::vector<double> seconds(shares.size());
    for (std::size_t g = 0; g < shares.size(); ++g) { seconds[g] = time_(g, shares[g] *= unit, kInfinity); }
    for (std::int64_t step = 0; step < 4 * groups; ++step) {
      const auto slowest = static_cast<std::size_t>(std::max_element(seconds.begin(), seconds.end()) - seconds.begin());
      if (shares[slowest] <= unit) { break; }
      std::size_t taker = slowest;
      double taken = seconds[slowest];
      for (std::size_t g = 0; g < shares.size(); ++g) {
        if (g == slowest || seconds[g] >= taken) { continue; }
        if (const double more = time_(g, shares[g] + unit, taken); more < taken) {
          taker = g;
          taken = more;
        }
      }
      const double less = time_(slowest, shares[slowest] - unit, kInfinity);
      if (taker == slowest || less >= seconds[slowest]) { break; }
      shares[taker] += unit;
      seconds[taker] = taken;
      shares[slowest] -= unit;
      seconds[slowest] = less;
    }
    const double slowest = *std::max_element(seconds.begin(), seconds.end());
    if (slowest >= best_.slowest) { return std::nullopt; }
    return Shares{.sequences = shares, .slowest = slowest};
  }

  /// Whole numbers in proportion to the speeds, at least 1: the largest remainders get one more.
  [[nodiscard]] std::vector<std::int64_t> proportional() const {
    double sum = 0;
    for (const double speed : speeds_) { sum += speed; }
    std::vector<std::int64_t> shares;
    std::int64_t left = batch_;
    for (const double speed : speeds_) {
      shares.push_back(std::max<std::int64_t>(1, std::llround(std::floor(as_double(batch_) * speed / sum))));
      left -= shares.back();
    }
    for (std::size_t g = 0; left != 0; g = (g + 1) % shares.size()) {
      const std::int64_t step = left > 0 ? 1 : -1;
      if (shares[g] + step < 1) { continue; }
      shares[g] += step;
      left -= step;
    }
    return shares;
  }

  /// All of them, or round numbers near the guess: shares with many divisors leave the most layouts.
  [[nodiscard]] std::vector<std::int64_t> choices(std::int64_t guess) const {
    std::set<std::int64_t> near;
    if (batch_ <= kSharesAllTried) {
      for (std::int64_t n = 1; n < batch_; ++n) { near.insert(n); }
    } else {
      for (std::int64_t unit = batch_; unit >= 1 && near.size() < tried_; unit = unit % 2 == 0 ? unit / 2 : (unit == 1 ? 0 : 1)) {
        for (const std::int64_t n : {guess / unit * unit, (guess / unit + 1) * unit}) {
          if (n >= 1 && n < batch_) { near.insert(n); }
        }
      }
    }
    return {near.begin(), near.end()};
  }

  void choose(std::size_t group, std::int64_t left, double slowest) {
    if (group + 1 == choices_.size()) {
      take(group, left, slowest);
      return;
    }
    const auto try_share = [&](std::int64_t share) {
      if (left - share < static_cast<std::int64_t>(choices_.size() - group - 1)) { return; }
      if (least_time(group, group + 1, share) >= best_.slowest || least_time(group + 1, most_.size(), left - share) >= best_.slowest) {
        return;
      }
      const double seconds = std::max(slowest, time_(group, share, best_.slowest));
      if (seconds >= best_.slowest) { return; }
      chosen_[group] = share;
      choose(group + 1, left - share, seconds);
    };
    for (const std::int64_t share : choices_[group]) { try_share(share); }
    if (group + 2 == choices_.size() && batch_ > kSharesAllTried) {
      // So that the last group's share may be the round one.
      for (const std::int64_t last : choices_[group + 1]) {
        if (last < left) { try_share(left - last); }
      }
    }
  }

  /// s that no division of so many sequences among groups [first, end) goes below.
  [[nodiscard]] double least_time(std::size_t first, std::size_t end, std::int64_t sequences) const {
    double rate = 0;
    for (std::size_t g = first; g < end; ++g) { rate += most_[g]; }
    return as_double(sequences) / (as_double(batch_) * rate);
  }

  void take(std::size_t group, std::int64_t share, double slowest) {
    const double seconds = std::max(slowest, time_(group, share, best_.slowest));
    if (seconds >= best_.slowest) { return; }
    chosen_[group] = share;
    best_ = {.sequences = chosen_, .slowest = seconds};
  }

  std::int64_t batch_;
  std::vector<double> speeds_, most_;
  const ShareTime& time_;
  Shares best_;
  std::size_t tried_;
  std::vector<std::vector<std::int64_t>> choices_;
  std::vector<std::int64_t> chosen_;
};

}  // namespace

std::optional<Shares> share_batch(std::int64_t batch, std::vector<double> speeds, const ShareTime& time, double worst, std::size_t tried) {
  return Sharing(batch, std::move(speeds), time, worst, tried).run();
}

Seconds gradients_across(Islands& islands, const std::vector<std::vector<std::size_t>>& groups) {
  const TrainRequest& r = islands.request();
  double elements = as_double(parameters(r.model));
  if (r.lora_rank > 0) { elements = adapter_elements(r.model, r.lora_rank); }
  const double n = as_double(static_cast<std::int64_t>(groups.size()));
  // A ring over the groups in their order; between two groups the best of their islands' paths.
  BytesPerSecond narrowest{kInfinity};
  Seconds longest;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    BytesPerSecond widest;
    Seconds latency;
    for (const std::size_t from : groups[g]) {
      for (const std::size_t to : groups[(g + 1) % groups.size()]) {
        const IslandLink& link = islands.path(from, to);
        if (link.bandwidth > widest) {
          widest = link.bandwidth;
          latency = link.latency;
        }
      }
    }
    narrowest = std::min(narrowest, widest);
    longest = std::max(longest, latency);
  }
  const ByteCount bytes{elements * r.stack.gradient_bytes};
  return bytes * (2 * (n - 1) / n) / narrowest + longest * (2 * (n - 1));
}

}  // namespace centrale::planning
