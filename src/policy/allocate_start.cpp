// SPDX-License-Identifier: Apache-2.0
// Where the simplex starts: near the answer, so that it has little to do.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "policy/allocate_simplex.hpp"

namespace centrale {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

}  // namespace

/// The cheapest way for the job to have the level.
void ShareSimplex::respond(int job, double level, std::span<const double> price) {
  Job& of = jobs_[at(job)];
  of.extras = 0;
  of.rows = of.top > 0 && in_.chips[at(job)] > 0 ? 2 : 0;
  of.active = of.rows == 2 && level < of.top;
  if (of.rows == 0) { return; }
  double best = std::numeric_limits<double>::infinity();
  const int idle = static_cast<int>(kinds_);
  if (!of.active) {
    of.rows = 1;
    of.level = of.top;
    for (int l = 0; l < idle; ++l) {
      if (rate(job, l) >= of.top && price[at(l)] < best) {
        best = price[at(l)];
        of.key = {l, kNone};
      }
    }
    return;
  }
  for (int b = 0; b < idle; ++b) {
    if (rate(job, b) <= level) { continue; }
    for (int a = 0; a <= idle; ++a) {
      const double low = rate(job, a), floor = a == idle ? 0 : price[at(a)];
      if (low > level || (low <= 0 && a != idle)) { continue; }
      // At level 0 all cost nothing: what the first of it costs counts.
      const double share = (std::max(level, 1e-9 * of.top) - low) / (rate(job, b) - low);
      if (const double total = floor + share * (price[at(b)] - floor); total < best) {
        best = total;
        of.key = {a, b};
      }
    }
  }
}

/// Prices and a level from a sample of the jobs: what is asked for more than there is gets dearer.
void ShareSimplex::find_guide() {
  std::vector<int> sample;
  double all = 0, part = 0;
  const std::size_t stride = jobs_.size() / 500 + 1;
  for (std::size_t m = 0; m < jobs_.size(); ++m) {
    if (jobs_[m].top <= 0 || in_.chips[m] <= 0) { continue; }
    all += in_.chips[m];
    if (m % stride != 0) { continue; }
    part += in_.chips[m];
    sample.push_back(static_cast<int>(m));
  }
  if (sample.empty()) { return; }
  double top = 0, least = std::numeric_limits<double>::infinity();
  for (const int m : sample) {
    top = std::max(top, jobs_[at(m)].top);
    least = std::min(least, jobs_[at(m)].top);
  }
  double level = first_level_ > 0 ? first_level_ : least;
  std::vector<double> load(kinds_);
  for (int pass = 0; pass < 60; ++pass) {
    std::fill(load.begin(), load.end(), 0.0);
    for (const int m : sample) {
      respond(m, level, guide_);
      t_ = level;
      const auto x = key_values(m);
      for (int i = 0; i < jobs_[at(m)].rows; ++i) {
        if (const int l = jobs_[at(m)].key[at(i)]; l < static_cast<int>(kinds_)) {
          load[at(l)] += x[at(i)] * in_.chips[at(m)] * all / part;
        }
      }
    }
    const double eager = 0.7 / (1 + 0.15 * pass);
    double paid = 0, worth = 0;
    for (std::size_t j = 0; j < kinds_; ++j) {
      paid += guide_[j] * load[j];
      worth += guide_[j] * in_.capacity[j];
    }
    const double busy = std::max(worth > 0 ? paid / worth : 1, 1e-3);
    double sum = 0;
    for (std::size_t j = 0; j < kinds_; ++j) {
      const double used = in_.capacity[j] > 0 ? load[j] / in_.capacity[j] / busy : 1;
      guide_[j] = std::max(guide_[j] * std::pow(std::clamp(used, 0.05, 20.0), eager), 1e-9 / std::max(1.0, in_.capacity[j]));
      sum += guide_[j] * in_.capacity[j];
    }
    for (double& price : guide_) { price /= sum > 0 ? sum : 1; }
    level = std::min(level * std::pow(busy, -eager), top);
  }
  first_level_ = level;
}

bool ShareSimplex::fits() const {
  for (std::size_t j = 0; j < kinds_; ++j) {
    if (fixed_[j] + slope_[j] * t_ > in_.capacity[j]) { return false; }
  }
  return true;
}

/// The highest start at or below `level` that is found quickly, with slacks for extras.
void ShareSimplex::start_at(double level, std::span<const double> price) {
  for (int tries = 0;; ++tries) {
    t_ = tries < 40 ? level * std::pow(0.97, tries * (tries + 1) / 2) : 0;
    for (std::size_t m = 0; m < jobs_.size(); ++m) { respond(static_cast<int>(m), t_, price); }
    recount();
    if (fits() || t_ == 0) { break; }
  }
  active_ = 0;
  for (std::size_t m = 0; m < jobs_.size(); ++m) {
    active_ += jobs_[m].active ? 1U : 0U;
    push(static_cast<int>(m));
  }
}

void ShareSimplex::fill(std::span<const double> price, double level) {
  if (kinds_ == 0 || jobs_.empty()) { return; }
  const double floor = price.size() == kinds_ ? 1e-6 * *std::max_element(price.begin(), price.end()) : 0;
  if (floor > 0 && level > 0) {
    double sum = 0;
    for (std::size_t j = 0; j < kinds_; ++j) { sum += (guide_[j] = std::max(price[j], floor)) * in_.capacity[j]; }
    for (double& p : guide_) { p /= sum > 0 ? sum : 1; }
    first_level_ = level;
  } else {
    find_guide();
  }
  start_at(first_level_, guide_);
  first_level_ = 0;
  mix_ = guide_;
  for (std::size_t j = 0; j < kinds_; ++j) { extras_[j] = {kNone, static_cast<int>(j)}; }
  refactor();
  settle();
  while (active_ > 0 && steps_ < steps_max_) {
    step({kWater, 0});
    if (!improve()) { break; }
    if (active_ > 0 && water_ != kNone) { freeze(); }
  }
  if (active_ > 0) { exact_ = false; }
  if (!have_first_) { first_level_ = t_; }
}

void ShareSimplex::earn(std::span<const double> value) {
  value_.assign(value.begin(), value.end());
  if (kinds_ == 0 || jobs_.empty()) { return; }
  const int idle = static_cast<int>(kinds_);
  std::vector<std::pair<double, int>> order;
  for (std::size_t m = 0; m < jobs_.size(); ++m) {
    jobs_[m].rows = jobs_[m].top > 0 && in_.chips[m] > 0 ? 1 : 0;
    jobs_[m].key = {idle, kNone};
    if (jobs_[m].rows == 0) { continue; }
    double most = 0;
    for (std::size_t j = 0; j < kinds_; ++j) { most = std::max(most, value_[m * kinds_ + j]); }
    order.emplace_back(-most / in_.chips[m], static_cast<int>(m));
  }
  std::sort(order.begin(), order.end());
  std::vector<double> left = in_.capacity;
  for (const auto& [worth, m] : order) {
    int best = idle;
    for (int l = 0; l < idle; ++l) {
      if (rate(m, l) > 0 && left[at(l)] >= in_.chips[at(m)] && this->value(m, l) > this->value(m, best)) { best = l; }
    }
    jobs_[at(m)].key = {best, kNone};
    if (best != idle) { left[at(best)] -= in_.chips[at(m)]; }
  }
  for (std::size_t j = 0; j < kinds_; ++j) { extras_[j] = {kNone, static_cast<int>(j)}; }
  recount();
  refactor();
  settle();
  if (!improve()) { exact_ = false; }
  first_price_ = price_;
}

}  // namespace centrale
