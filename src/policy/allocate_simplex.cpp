// SPDX-License-Identifier: Apache-2.0
#include "policy/allocate_simplex.hpp"

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"

namespace centrale {
namespace {

constexpr double kTiny = 1e-11;  // of a rate of change that is taken for none
constexpr double kGain = 1e-9;   // of a job's cost: what is gained by less is rounding
std::size_t at(int i) { return static_cast<std::size_t>(i); }

}  // namespace

ShareSimplex::ShareSimplex(Input input) : in_(std::move(input)), kinds_(in_.kinds), jobs_(in_.jobs) {
  for (std::size_t m = 0; m < in_.jobs; ++m) {
    for (std::size_t j = 0; j < kinds_; ++j) { jobs_[m].top = std::max(jobs_[m].top, in_.rate[m * kinds_ + j]); }
  }
  // Many jobs and kinds are alike, and a basis where much is zero can turn in a circle: capacities that fit no sum of gangs do not.
  for (std::size_t j = 0; j < kinds_; ++j) {
    in_.capacity[j] *= 1 - 1e-10 * (1 + std::fmod(static_cast<double>(j + 1) * 0.6180339887498949, 1.0));
  }
  fixed_.assign(kinds_, 0);
  slope_ = price_ = mix_ = direction_ = entering_ = scratch_ = held_ = first_price_ = fixed_;
  guide_.assign(kinds_, 1);
  inverse_.assign(kinds_ * kinds_, 0);
  extras_.resize(kinds_);
  steps_max_ = 100'000 + 200 * static_cast<std::uint64_t>(in_.jobs);
}

bool ShareSimplex::allowed(const Job& job, int index, int column) const {
  const bool idle = column == static_cast<int>(kinds_);
  if (job.rows == 1 && value_.empty()) { return !idle && rate(index, column) >= job.top; }
  return idle || rate(index, column) > 0;
}

/// What a column takes from the keys of its job.
std::array<double, 2> ShareSimplex::weights(int job, int column) const {
  const Job& of = jobs_[at(job)];
  if (of.rows == 1) { return {1, 0}; }
  const double low = rate(job, of.key[0]), high = rate(job, of.key[1]);
  const double share = (rate(job, column) - low) / (high - low);
  return {1 - share, share};
}

std::array<double, 2> ShareSimplex::key_values(int job) const {
  const Job& of = jobs_[at(job)];
  std::array<double, 2> x{of.rows > 0 ? 1.0 : 0.0, 0};
  if (of.rows == 2) {
    const double low = rate(job, of.key[0]), high = rate(job, of.key[1]);
    x[1] = ((of.active ? t_ : of.level) - low) / (high - low);
    x[0] = 1 - x[1];
  }
  if (of.extras > 0) {
    for (std::size_t c = 0; c < kinds_; ++c) {
      if (extras_[c].job != job) { continue; }
      const auto w = weights(job, extras_[c].column);
      x[0] -= w[0] * held_[c];
      x[1] -= w[1] * held_[c];
    }
  }
  return x;
}

void ShareSimplex::column_of(const Extra& extra, std::vector<double>& out) const {
  if (extra.job == kWater) {
    out = slope_;
    return;
  }
  std::fill(out.begin(), out.end(), 0.0);
  const auto add = [&](int column, double amount) {
    if (column >= 0 && column < static_cast<int>(kinds_)) { out[at(column)] += amount; }
  };
  if (extra.job == kNone) { return add(extra.column, 1); }
  const double chips = in_.chips[at(extra.job)];
  const auto w = weights(extra.job, extra.column);
  add(extra.column, chips);
  add(jobs_[at(extra.job)].key[0], -chips * w[0]);
  if (jobs_[at(extra.job)].rows == 2) { add(jobs_[at(extra.job)].key[1], -chips * w[1]); }
}

/// Adds what the keys of a job use to fixed_ and slope_, or takes it away.
void ShareSimplex::account(int job, double sign) {
  const Job& of = jobs_[at(job)];
  const double chips = sign * in_.chips[at(job)];
  const auto add = [&](int column, double fixed, double slope) {
    if (column == static_cast<int>(kinds_)) { return; }
    fixed_[at(column)] += chips * fixed;
    slope_[at(column)] += chips * slope;
  };
  if (of.rows == 1) { add(of.key[0], 1, 0); }
  if (of.rows == 2) {
    const double low = rate(job, of.key[0]), wide = rate(job, of.key[1]) - low;
    const double share = ((of.active ? 0 : of.level) - low) / wide, slope = of.active ? 1 / wide : 0;
    add(of.key[0], 1 - share, -slope);
    add(of.key[1], share, slope);
  }
}

void ShareSimplex::recount() {
  std::fill(fixed_.begin(), fixed_.end(), 0.0);
  std::fill(slope_.begin(), slope_.end(), 0.0);
  for (std::size_t m = 0; m < jobs_.size(); ++m) { account(static_cast<int>(m), 1); }
}

/// Gauss and Jordan with row pivots; columns of slacks are units, so only tight kinds cost anything.
void ShareSimplex::refactor() {
  const std::size_t n = kinds_;
  std::vector<double>& work = scratch_;
  work.assign(n * n, 0);
  std::fill(inverse_.begin(), inverse_.end(), 0.0);
  for (std::size_t c = 0; c < n; ++c) {
    column_of(extras_[c], entering_);
    for (std::size_t i = 0; i < n; ++i) { work[i * n + c] = entering_[i]; }
    inverse_[c * n + c] = 1;
  }
  for (std::size_t c = 0; c < n; ++c) {
    std::size_t best = c;
    for (std::size_t i = c + 1; i < n; ++i) {
      if (std::abs(work[i * n + c]) > std::abs(work[best * n + c])) { best = i; }
    }
    if (std::abs(work[best * n + c]) < 1e-14) {  // rounding made a basis of what is none
      exact_ = false;
      work[best * n + c] = 1e-14;
    }
    if (best != c) {
      std::swap_ranges(&work[best * n], &work[best * n] + n, &work[c * n]);
      std::swap_ranges(&inverse_[best * n], &inverse_[best * n] + n, &inverse_[c * n]);
    }
    const double scale = 1 / work[c * n + c];
    for (std::size_t k = 0; k < n; ++k) {
      work[c * n + k] *= scale;
      inverse_[c * n + k] *= scale;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const double factor = work[i * n + c];
      if (i == c || factor == 0) { continue; }
      for (std::size_t k = 0; k < n; ++k) {
        work[i * n + k] -= factor * work[c * n + k];
        inverse_[i * n + k] -= factor * inverse_[c * n + k];
      }
    }
  }
}

/// The values of the extras.
void ShareSimplex::settle() {
  for (std::size_t i = 0; i < kinds_; ++i) { entering_[i] = in_.capacity[i] - fixed_[i] - (water_ == kNone ? slope_[i] * t_ : 0); }
  for (std::size_t c = 0; c < kinds_; ++c) {
    held_[c] = 0;
    for (std::size_t i = 0; i < kinds_; ++i) { held_[c] += inverse_[c * kinds_ + i] * entering_[i]; }
  }
  if (water_ != kNone) { t_ = held_[at(water_)]; }
}

/// What one more chip of each kind is worth to t, or to the value.
void ShareSimplex::prices() {
  std::fill(price_.begin(), price_.end(), 0.0);
  const auto add = [&](std::size_t c, double worth) {
    for (std::size_t j = 0; j < kinds_; ++j) { price_[j] += worth * inverse_[c * kinds_ + j]; }
  };
  if (value_.empty()) {
    if (water_ != kNone) { add(at(water_), 1); }
  } else {
    for (std::size_t c = 0; c < kinds_; ++c) {
      if (extras_[c].job < 0) { continue; }
      const int m = extras_[c].job;
      add(c, value(m, extras_[c].column) - value(m, jobs_[at(m)].key[0]));
    }
  }
  double top = 0, all = 0;
  for (const double price : price_) { top = std::max(top, std::abs(price)); }
  for (double& price : price_) { price = std::abs(price) <= 1e-11 * top ? 0 : price; }  // rounding would be worth a step
  least_gain_ = 1e-11 * top;
  for (std::size_t j = 0; j < kinds_; ++j) { all += std::max(0.0, price_[j]) * in_.capacity[j]; }
  // Kinds that have no price yet soon will: the guide says what it will be about.
  for (std::size_t j = 0; j < kinds_; ++j) { mix_[j] = (all > 0 ? std::max(0.0, price_[j]) / all : 0) + 0.05 * guide_[j]; }
}

/// The column whose time the job would rather have than that of its keys, by how much of its cost it saves.
double ShareSimplex::best_gain(int job, int& column) const {
  const Job& of = jobs_[at(job)];
  if (of.rows == 0) { return 0; }
  const double low = cost(job, of.key[0]), r0 = rate(job, of.key[0]);
  const double high = of.rows == 2 ? cost(job, of.key[1]) : low;
  const double rise = of.rows == 2 ? (high - low) / (rate(job, of.key[1]) - r0) : 0;
  double best = 0;
  for (int l = 0; l <= static_cast<int>(kinds_); ++l) {
    if (!allowed(of, job, l) || l == of.key[0] || l == of.key[1]) { continue; }
    const double here = cost(job, l);
    const double line = low + rise * (rate(job, l) - r0), gain = line - here;
    const double size = std::abs(low) + std::abs(high) + std::abs(here) + std::abs(line);
    if (gain <= kGain * size || gain <= best * size || gain <= least_gain_ * in_.chips[at(job)]) { continue; }
    if (of.extras > 0 && std::any_of(extras_.begin(), extras_.end(), [&](const Extra& e) { return e.job == job && e.column == l; })) {
      continue;
    }
    best = gain / size;
    column = l;
  }
  return best;
}

bool ShareSimplex::find_entering(Extra& entering) {
  double top = 0;
  for (const double price : price_) { top = std::max(top, std::abs(price)); }
  if (top == 0 && value_.empty()) { return false; }
  for (std::size_t j = 0; j < kinds_; ++j) {
    const bool basic = std::any_of(extras_.begin(), extras_.end(), [&](const Extra& e) { return e.job == kNone && at(e.column) == j; });
    if (!basic && price_[j] < -kGain * top) {
      entering = {kNone, static_cast<int>(j)};
      return true;
    }
  }
  // A part of the jobs at a time, from where the last look ended.
  const std::size_t part = std::max<std::size_t>(32, jobs_.size() / 64);
  double best = 0;
  for (std::size_t seen = 0; seen < jobs_.size(); ++seen) {
    const int m = static_cast<int>(cursor_);
    cursor_ = cursor_ + 1 == jobs_.size() ? 0 : cursor_ + 1;
    int column = kNone;
    if (const double gain = best_gain(m, column); gain > best) {
      best = gain;
      entering = {m, column};
    }
    if (best > 0 && seen >= part) { break; }
  }
  return best > 0;
}

double ShareSimplex::key_rate(int job, int key, const Extra& entering, double water) const {
  const Job& of = jobs_[at(job)];
  double change = 0;
  if (of.rows == 2 && of.active) { change = (key == 1 ? water : -water) / (rate(job, of.key[1]) - rate(job, of.key[0])); }
  if (of.extras > 0) {
    for (std::size_t c = 0; c < kinds_; ++c) {
      if (extras_[c].job == job) { change += weights(job, extras_[c].column)[at(key)] * direction_[c]; }
    }
  }
  return entering.job == job ? change - weights(job, entering.column)[at(key)] : change;
}

ShareSimplex::Block ShareSimplex::blocking(const Extra& entering) {
  Block best;
  const auto offer = [&](double value, double fall, Block block) {
    block.limit = std::max(0.0, value) / fall;
    block.rate = fall;
    const double slack = 1e-12 * (1 + best.limit);
    const bool tie = best.limit < std::numeric_limits<double>::infinity() && block.limit <= best.limit + slack && fall > best.rate;
    if (tie || !(block.limit >= best.limit - slack)) { best = block; }
  };
  const double water = water_ != kNone ? -direction_[at(water_)] : entering.job == kWater ? 1 : 0;
  const auto keys = [&](int job) {
    auto x = key_values(job);
    const int count = jobs_[at(job)].rows;
    for (int i = 0; i < count; ++i) {
      if (entering.job == job) { x[at(i)] -= weights(job, entering.column)[at(i)] * moved_; }
      const double fall = -key_rate(job, i, entering, water);
      if (fall > kTiny) { offer(x[at(i)], fall, {.limit = 0, .rate = 0, .extra = kNone, .job = job, .key = i, .breakpoint = false}); }
    }
  };
  for (std::size_t c = 0; c < kinds_; ++c) {
    if (extras_[c].job == kWater) { continue; }
    if (direction_[c] > kTiny) {
      offer(held_[c], direction_[c], {.limit = 0, .rate = 0, .extra = static_cast<int>(c), .job = kNone, .key = 0, .breakpoint = false});
    }
    const int job = extras_[c].job;
    if (job < 0 || job == entering.job) { continue; }
    const auto same = [job](const Extra& e) { return e.job == job; };
    if (std::none_of(extras_.begin(), extras_.begin() + static_cast<std::ptrdiff_t>(c), same)) { keys(job); }
  }
  if (entering.job >= 0) { keys(entering.job); }
  while (water > kTiny * t_ && !breakpoints_.empty()) {
    const auto [level, job] = breakpoints_.top();
    const Job& of = jobs_[at(job)];
    if (!of.active || of.extras > 0 || job == entering.job || rate(job, of.key[1]) != level) {
      breakpoints_.pop();
      continue;
    }
    const double limit = std::max(0.0, level - t_) / water;
    if (limit <= best.limit) { best = {.limit = limit, .rate = water, .extra = kNone, .job = job, .key = 0, .breakpoint = true}; }
    break;
  }
  return best;
}

void ShareSimplex::push(int job) {
  if (job < 0) { return; }
  const Job& of = jobs_[at(job)];
  if (of.active && of.extras == 0) { breakpoints_.emplace(rate(job, of.key[1]), job); }
}

void ShareSimplex::set_keys(int job, int a, int b) {
  account(job, -1);
  Job& of = jobs_[at(job)];
  if (b != kNone && rate(job, a) > rate(job, b)) { std::swap(a, b); }
  of.key = {a, b};
  account(job, 1);
}

/// The level is all that `keep` can give: a faster kind comes in, or there is none and the job is done.
void ShareSimplex::next_key(int job, int keep) {
  Job& of = jobs_[at(job)];
  const double reached = rate(job, keep);
  if (reached >= of.top) {
    account(job, -1);
    of.rows = 1;
    of.key = {keep, kNone};
    of.level = of.top;
    of.active = false;
    --active_;
    account(job, 1);
    return;
  }
  int best = kNone;
  double best_rise = 0;
  for (int l = 0; l < static_cast<int>(kinds_); ++l) {
    if (rate(job, l) <= reached) { continue; }
    const double rise = (mix_[at(l)] - mix_[at(keep)]) / (rate(job, l) - reached);
    if (best == kNone || rise < best_rise) {
      best = l;
      best_rise = rise;
    }
  }
  set_keys(job, keep, best);
}

/// Were the key to leave, the job's other columns would all be equally fast, and its level could not rise: its next kind comes in instead.
bool ShareSimplex::pinned(const Block& block, const Extra& entering) {
  Job& of = jobs_[at(block.job)];
  if (!of.active) { return false; }
  const int keep = of.key[at(1 - block.key)];
  const double reached = rate(block.job, keep);
  const auto differs = [&](const Extra& e) { return e.job == block.job && rate(block.job, e.column) != reached; };
  if (differs(entering) || std::any_of(extras_.begin(), extras_.end(), differs)) { return false; }
  next_key(block.job, keep);
  return true;
}

/// After a job's keys changed in the middle of a step: true when t can rise no more by it, and what was entering takes its place.
bool ShareSimplex::water_stops(const Extra& entering) {
  if (water_ == kNone) {
    refactor();
    return active_ == 0;
  }
  double rises = 0;
  for (std::size_t j = 0; j < kinds_; ++j) { rises += inverse_[at(water_) * kinds_ + j] * slope_[j]; }
  if (rises < 1e-9) {
    extras_[at(water_)] = entering;
    if (entering.job >= 0) { ++jobs_[at(entering.job)].extras; }
    water_ = kNone;
    refactor();
    settle();
    return true;
  }
  refactor();
  return false;
}

void ShareSimplex::step(const Extra& entering) {
  moved_ = 0;
  for (;;) {
    column_of(entering, entering_);
    for (std::size_t c = 0; c < kinds_; ++c) {
      direction_[c] = 0;
      for (std::size_t i = 0; i < kinds_; ++i) { direction_[c] += inverse_[c * kinds_ + i] * entering_[i]; }
    }
    const Block block = blocking(entering);
    if (block.limit == std::numeric_limits<double>::infinity()) {  // only rounding can ask for this: nothing real is without bound
      exact_ = false;
      steps_ = steps_max_;
      return;
    }
    ++steps_;
    for (std::size_t c = 0; c < kinds_; ++c) { held_[c] -= block.limit * direction_[c]; }
    moved_ += block.limit;
    if (water_ != kNone) { t_ = held_[at(water_)]; }
    if (entering.job == kWater) { t_ += block.limit; }
    if (block.breakpoint) {
      t_ = std::max(t_, rate(block.job, jobs_[at(block.job)].key[1]));
      next_key(block.job, jobs_[at(block.job)].key[1]);
      push(block.job);
    } else if (block.job == kNone || !pinned(block, entering)) {
      pivot(block, entering);
      break;
    }
    if (water_stops(entering) || steps_ >= steps_max_) { break; }
  }
  push(entering.job);
}

void ShareSimplex::pivot(const Block& block, const Extra& entering) {
  int place = block.extra;
  if (place != kNone) {
    const int out = extras_[at(place)].job;
    if (out >= 0) { --jobs_[at(out)].extras; }
    extras_[at(place)] = entering;
    if (entering.job >= 0) { ++jobs_[at(entering.job)].extras; }
    push(out);
  } else {
    Job& of = jobs_[at(block.job)];
    const int other = of.rows == 2 ? of.key[at(1 - block.key)] : kNone;
    const auto joins = [&](int column) { return std::abs(weights(block.job, column)[at(block.key)]); };
    double best = entering.job == block.job ? joins(entering.column) : 0;
    for (std::size_t c = 0; c < kinds_; ++c) {
      if (extras_[c].job != block.job) { continue; }
      if (const double size = joins(extras_[c].column); size > best * (place == kNone && best > 0 ? 10 : 1)) {
        best = size;
        place = static_cast<int>(c);
      }
    }
    const int column = place == kNone ? entering.column : extras_[at(place)].column;
    if (place != kNone) {
      --of.extras;
      extras_[at(place)] = entering;
      if (entering.job >= 0) { ++jobs_[at(entering.job)].extras; }
    } else {
      ensure(entering.job == block.job);
    }
    set_keys(block.job, column, other);
    push(block.job);
  }
  if (entering.job == kWater) { water_ = place; }
  if (steps_ % 256 == 0) { recount(); }
  refactor();
  settle();
}

bool ShareSimplex::improve() {
  for (;;) {
    prices();
    Extra entering;
    if ((water_ == kNone && value_.empty()) || !find_entering(entering)) { return true; }
    if (steps_ >= steps_max_) {
      exact_ = false;
      return false;
    }
    step(entering);
  }
}

/// No column helps: the jobs whose level has a price stay where they are (complementary slackness), the others rise on.
void ShareSimplex::freeze() {
  if (!have_first_) {
    have_first_ = true;
    first_level_ = t_;
    first_price_ = price_;
  }
  const double top = *std::max_element(price_.begin(), price_.end());
  int dearest = kNone;
  double dearest_rise = 0;
  const std::size_t before = active_;
  for (std::size_t m = 0; m < jobs_.size(); ++m) {
    Job& of = jobs_[m];
    if (!of.active) { continue; }
    const int job = static_cast<int>(m);
    const double rise = cost(job, of.key[1]) - cost(job, of.key[0]);
    if (rise > dearest_rise || dearest == kNone) {
      dearest_rise = rise;
      dearest = job;
    }
    if (rise <= kGain * top * in_.chips[m]) { continue; }
    of.active = false;
    of.level = t_;
    --active_;
  }
  if (active_ == before) {
    jobs_[at(dearest)].active = false;
    jobs_[at(dearest)].level = t_;
    --active_;
  }
  const auto full = static_cast<int>(std::max_element(price_.begin(), price_.end()) - price_.begin());
  extras_[at(water_)] = {kNone, full};
  water_ = kNone;
  recount();
  refactor();
  settle();
}

std::vector<double> ShareSimplex::x() const {
  std::vector<double> x(jobs_.size() * kinds_, 0);
  const auto add = [&](int job, int column, double amount) {
    if (column >= 0 && column < static_cast<int>(kinds_)) { x[at(job) * kinds_ + at(column)] += std::clamp(amount, 0.0, 1.0); }
  };
  for (std::size_t m = 0; m < jobs_.size(); ++m) {
    const auto values = key_values(static_cast<int>(m));
    for (int i = 0; i < jobs_[m].rows; ++i) { add(static_cast<int>(m), jobs_[m].key[at(i)], values[at(i)]); }
  }
  for (std::size_t c = 0; c < kinds_; ++c) {
    if (extras_[c].job >= 0) { add(extras_[c].job, extras_[c].column, held_[c]); }
  }
  return x;
}

}  // namespace centrale
