// SPDX-License-Identifier: Apache-2.0
#include "policy/goodput_choose.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/ensure.hpp"

namespace centrale {
namespace {

class Chooser {
 public:
  Chooser(const ChooseProblem& problem, const ChooseLimits& limits) : p_(problem), limits_(limits), left_(problem.capacity) {
    choice_.assign(p_.jobs(), kNoChoice);
  }

  Chosen exact(std::size_t states) {
    const std::size_t kinds = p_.capacity.size();
    std::vector<std::size_t> stride(kinds, 1);
    for (std::size_t k = 1; k < kinds; ++k) { stride[k] = stride[k - 1] * static_cast<std::size_t>(p_.capacity[k - 1] + 1); }
    std::vector<double> best(states, 0), next(states);
    std::vector<std::int32_t> took(states * p_.jobs(), kNoChoice);
    std::vector<std::int64_t> have(kinds, 0);
    for (std::size_t job = 0; job < p_.jobs(); ++job) {
      std::ranges::fill(have, 0);
      for (std::size_t state = 0; state < states; ++state) {
        next[state] = best[state];
        for (std::size_t c = p_.first[job]; c < p_.first[job + 1]; ++c) {
          const ShapeChoice& shape = p_.choices[c];
          if (shape.value <= 0 || shape.chips > have[shape.kind]) { continue; }
          const double value = shape.value + best[state - static_cast<std::size_t>(shape.chips) * stride[shape.kind]];
          if (value > next[state] + 1e-12) {
            next[state] = value;
            took[job * states + state] = static_cast<std::int32_t>(c - p_.first[job]);
          }
        }
        for (std::size_t k = 0; k < kinds && ++have[k] > p_.capacity[k]; ++k) { have[k] = 0; }
      }
      best.swap(next);
    }
    std::size_t state = states - 1;
    for (std::size_t job = p_.jobs(); job-- > 0;) {
      choice_[job] = took[job * states + state];
      if (choice_[job] == kNoChoice) { continue; }
      const ShapeChoice& shape = at(job, choice_[job]);
      state -= static_cast<std::size_t>(shape.chips) * stride[shape.kind];
    }
    Chosen out{.choice = choice_, .value = total(), .bound = 0, .exact = true};
    out.bound = out.value;
    return out;
  }

  Chosen by_prices() {
    const std::size_t kinds = p_.capacity.size();
    std::vector<double> price(kinds, 0), best_price(kinds, 0);
    double bound = std::numeric_limits<double>::infinity(), best_value = -1;
    double step = 1.5;
    int stuck = 0;
    std::vector<std::int32_t> best_choice = choice_;
    for (int round = 0; round < limits_.price_rounds; ++round) {
      const double dual = take_at(price);
      if (dual < bound - 1e-9 * std::abs(bound)) {
        bound = dual;
        best_price = price;
        stuck = 0;
      } else if (++stuck >= 5) {
        step *= 0.6;
        stuck = 0;
      }
      double norm = 0;
      for (const std::int64_t l : left_) { norm += static_cast<double>(l * l); }
      if (round % 10 == 9 || norm == 0) { keep_if_better(price, best_value, best_choice); }
      if (norm == 0 || step < 1e-3) { break; }
      // Polyak's step towards the best value known.
      const double gap = std::max(1e-9, dual - std::max(0.0, best_value));
      take_at(price);
      norm = 0;
      for (std::size_t k = 0; k < kinds; ++k) { norm += left_[k] < 0 || price[k] > 0 ? static_cast<double>(left_[k] * left_[k]) : 0; }
      if (norm <= 0) { break; }
      for (std::size_t k = 0; k < kinds; ++k) { price[k] = std::max(0.0, price[k] - step * gap / norm * static_cast<double>(left_[k])); }
    }
    take_at(best_price);
    keep_if_better(best_price, best_value, best_choice);
    choice_ = best_choice;
    recount();
    improve();
    return {.choice = choice_, .value = total(), .bound = bound, .exact = false};
  }

 private:
  [[nodiscard]] const ShapeChoice& at(std::size_t job, std::int32_t choice) const {
    return p_.choices[p_.first[job] + static_cast<std::size_t>(choice)];
  }
  [[nodiscard]] double value_of(std::size_t job) const { return choice_[job] == kNoChoice ? 0 : at(job, choice_[job]).value; }
  [[nodiscard]] double total() const {
    double sum = 0;
    for (std::size_t job = 0; job < p_.jobs(); ++job) { sum += value_of(job); }
    return sum;
  }
  void recount() {
    left_ = p_.capacity;
    for (std::size_t job = 0; job < p_.jobs(); ++job) {
      if (choice_[job] != kNoChoice) { left_[at(job, choice_[job]).kind] -= at(job, choice_[job]).chips; }
    }
  }
  /// Each job takes what is worth most at these prices; returns the dual's value.
  double take_at(const std::vector<double>& price) {
    double dual = 0;
    for (std::size_t k = 0; k < price.size(); ++k) { dual += price[k] * static_cast<double>(p_.capacity[k]); }
    for (std::size_t job = 0; job < p_.jobs(); ++job) {
      double best = 1e-12;
      choice_[job] = kNoChoice;
      for (std::size_t c = p_.first[job]; c < p_.first[job + 1]; ++c) {
        const ShapeChoice& shape = p_.choices[c];
        if (shape.value <= 0 || shape.chips > p_.capacity[shape.kind]) { continue; }
        const double net = shape.value - price[shape.kind] * static_cast<double>(shape.chips);
        if (net > best) {
          best = net;
          choice_[job] = static_cast<std::int32_t>(c - p_.first[job]);
        }
      }
      if (choice_[job] != kNoChoice) { dual += best; }
    }
    recount();
    return dual;
  }
  void keep_if_better(const std::vector<double>& price, double& best_value, std::vector<std::int32_t>& best_choice) {
    repair(price);
    fill();
    if (const double value = total(); value > best_value) {
      best_value = value;
      best_choice = choice_;
    }
  }
  /// While a kind is overdrawn: the job on it that loses least for each chip it gives up takes a smaller shape, another kind, or nothing.
  void repair(const std::vector<double>&) {
    for (std::size_t kind = 0; kind < left_.size(); ++kind) {
      if (left_[kind] >= 0) { continue; }
      struct Loss {
        double each;
        std::size_t job;
        std::int32_t to;
      };
      std::vector<Loss> losses;
      const auto least = [&](std::size_t job) {
        const ShapeChoice& has = at(job, choice_[job]);
        Loss best{has.value / static_cast<double>(has.chips), job, kNoChoice};
        for (std::size_t c = p_.first[job]; c < p_.first[job + 1]; ++c) {
          const ShapeChoice& to = p_.choices[c];
          if (to.value <= 0 || (to.kind == kind ? to.chips >= has.chips : to.chips > left_[to.kind])) { continue; }
          const std::int64_t freed = to.kind == kind ? has.chips - to.chips : has.chips;
          const double each = (has.value - to.value) / static_cast<double>(freed);
          if (each < best.each) { best = {each, job, static_cast<std::int32_t>(c - p_.first[job])}; }
        }
        return best;
      };
      const auto worse = [](const Loss& a, const Loss& b) { return a.each != b.each ? a.each > b.each : a.job < b.job; };
      for (std::size_t job = 0; job < p_.jobs(); ++job) {
        if (choice_[job] != kNoChoice && at(job, choice_[job]).kind == kind) { losses.push_back(least(job)); }
      }
      std::make_heap(losses.begin(), losses.end(), worse);
      while (left_[kind] < 0) {
        ensure(!losses.empty());
        std::pop_heap(losses.begin(), losses.end(), worse);
        Loss loss = losses.back();
        losses.pop_back();
        if (loss.to != kNoChoice && at(loss.job, loss.to).kind != kind && at(loss.job, loss.to).chips > left_[at(loss.job, loss.to).kind]) {
          losses.push_back(least(loss.job));  // what it would have moved to is gone
          std::push_heap(losses.begin(), losses.end(), worse);
          continue;
        }
        move(loss.job, loss.to);
        if (choice_[loss.job] != kNoChoice && at(loss.job, choice_[loss.job]).kind == kind) {
          losses.push_back(least(loss.job));
          std::push_heap(losses.begin(), losses.end(), worse);
        }
      }
    }
  }
  void move(std::size_t job, std::int32_t to) {
    if (choice_[job] != kNoChoice) { left_[at(job, choice_[job]).kind] += at(job, choice_[job]).chips; }
    choice_[job] = to;
    if (to != kNoChoice) { left_[at(job, to).kind] -= at(job, to).chips; }
  }
  /// Steps up that fit, those that gain most for each chip first.
  void fill() {
    struct Gain {
      double each;
      std::size_t job;
      std::int32_t to;
    };
    const auto less = [](const Gain& a, const Gain& b) { return a.each != b.each ? a.each < b.each : a.job > b.job; };
    const auto most = [&](std::size_t job) {
      Gain best{0, job, kNoChoice};
      const double now = value_of(job);
      for (std::size_t c = p_.first[job]; c < p_.first[job + 1]; ++c) {
        const ShapeChoice& to = p_.choices[c];
        std::int64_t more = to.chips;
        if (choice_[job] != kNoChoice && at(job, choice_[job]).kind == to.kind) { more -= at(job, choice_[job]).chips; }
        if (to.value <= now + 1e-12 || more > left_[to.kind]) { continue; }
        const double each = (to.value - now) / static_cast<double>(std::max<std::int64_t>(more, 1));
        if (each > best.each) { best = {each, job, static_cast<std::int32_t>(c - p_.first[job])}; }
      }
      return best;
    };
    std::vector<Gain> gains;
    for (std::size_t job = 0; job < p_.jobs(); ++job) {
      if (const Gain gain = most(job); gain.to != kNoChoice) { gains.push_back(gain); }
    }
    std::make_heap(gains.begin(), gains.end(), less);
    while (!gains.empty()) {
      std::pop_heap(gains.begin(), gains.end(), less);
      const Gain gain = gains.back();
      gains.pop_back();
      const Gain still = most(gain.job);
      if (still.to == kNoChoice) { continue; }
      if (still.to == gain.to) { move(gain.job, gain.to); }
      if (const Gain again = most(gain.job); again.to != kNoChoice) {
        gains.push_back(again);
        std::push_heap(gains.begin(), gains.end(), less);
      }
    }
  }
  /// Pairs of jobs, each pair as well as can be, until nothing gets better or the limit is met.
  void improve() {
    std::uint64_t steps = 0;
    for (bool better = true; better;) {
      better = false;
      for (std::size_t a = 0; a < p_.jobs(); ++a) {
        for (std::size_t b = 0; b < a; ++b) {
          const std::size_t shapes = (p_.first[a + 1] - p_.first[a] + 1) * (p_.first[b + 1] - p_.first[b] + 1);
          steps += shapes;
          if (steps > limits_.improve_steps) { return; }
          better = improve_pair(a, b) || better;
        }
      }
      if (better) { fill(); }
    }
  }
  bool improve_pair(std::size_t a, std::size_t b) {
    const std::int32_t was_a = choice_[a], was_b = choice_[b];
    double best = value_of(a) + value_of(b) + 1e-9;
    std::int32_t best_a = was_a, best_b = was_b;
    move(a, kNoChoice);
    move(b, kNoChoice);
    const auto count = [&](std::size_t job) { return static_cast<std::int32_t>(p_.first[job + 1] - p_.first[job]); };
    for (std::int32_t i = kNoChoice; i < count(a); ++i) {
      if (i != kNoChoice && (at(a, i).value <= 0 || at(a, i).chips > left_[at(a, i).kind])) { continue; }
      const double value = i == kNoChoice ? 0 : at(a, i).value;
      if (i != kNoChoice) { left_[at(a, i).kind] -= at(a, i).chips; }
      for (std::int32_t j = kNoChoice; j < count(b); ++j) {
        if (j != kNoChoice && at(b, j).chips > left_[at(b, j).kind]) { continue; }
        const double both = value + (j == kNoChoice ? 0 : at(b, j).value);
        if (both > best) {
          best = both;
          best_a = i;
          best_b = j;
        }
      }
      if (i != kNoChoice) { left_[at(a, i).kind] += at(a, i).chips; }
    }
    move(a, best_a);
    move(b, best_b);
    return best_a != was_a || best_b != was_b;
  }

  const ChooseProblem& p_;
  const ChooseLimits& limits_;
  std::vector<std::int64_t> left_;
  std::vector<std::int32_t> choice_;
};

}  // namespace

Chosen choose_shapes(const ChooseProblem& problem, const ChooseLimits& limits) {
  Chooser chooser(problem, limits);
  std::uint64_t states = 1;
  for (const std::int64_t c : problem.capacity) {
    ensure(c >= 0);
    states = std::min<std::uint64_t>(states * static_cast<std::uint64_t>(c + 1), limits.exact_steps + 1);
  }
  if (states * std::max<std::size_t>(1, problem.choices.size()) <= limits.exact_steps) {
    return chooser.exact(static_cast<std::size_t>(states));
  }
  return chooser.by_prices();
}

}  // namespace centrale
