// SPDX-License-Identifier: Apache-2.0
#include "policy/assign.hpp"

#include <algorithm>
#include <cmath>

namespace centrale {

namespace {

constexpr int kPriceSteps = 40;

/// What the job would pick at these prices; -1: nothing gains.
std::int32_t pick(const AssignJob& job, const std::vector<double>& price, double& gain) {
  std::int32_t best = -1;
  gain = 0;
  for (std::size_t i = 0; i < job.offers.size(); ++i) {
    const Offer& offer = job.offers[i];
    const double surplus = offer.value - price[offer.kind] * static_cast<double>(offer.chips);
    if (surplus > gain || (surplus == gain && best >= 0 && static_cast<std::int32_t>(i) == job.keep)) {
      gain = surplus;
      best = static_cast<std::int32_t>(i);
    }
  }
  return best;
}

}  // namespace

void Assignment::choose_active(std::span<const AssignJob> jobs, const std::vector<std::int64_t>& capacity) {
  std::int64_t room = 0;
  for (const std::int64_t chips : capacity) { room += chips; }
  ranked_.clear();
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    double best = 0;
    for (const Offer& offer : jobs[i].offers) { best = std::max(best, offer.value / static_cast<double>(offer.chips)); }
    if (best > 0) { ranked_.push_back({best, static_cast<std::uint32_t>(i)}); }
  }
  std::ranges::sort(ranked_,
                    [](const Ranked& a, const Ranked& b) { return a.density != b.density ? a.density > b.density : a.job < b.job; });
  std::size_t count = 0;
  std::int64_t least = 0;  // chips
  double level = 0;
  for (; count < ranked_.size() && least <= 2 * room; ++count) {
    std::int64_t smallest = INT64_MAX;
    for (const Offer& offer : jobs[ranked_[count].job].offers) { smallest = std::min(smallest, offer.chips); }
    least += smallest;
    if (least <= room) { level = ranked_[count].density; }
  }
  active_.assign(ranked_.begin(), ranked_.begin() + static_cast<std::ptrdiff_t>(count));
  std::ranges::sort(active_, {}, &Ranked::job);
  price_.assign(capacity.size(), std::max(level, 1e-300));
}

void Assignment::set_prices(std::span<const AssignJob> jobs, const std::vector<std::int64_t>& capacity) {
  // From the level at which the densest jobs' smallest offers fill the chips, each price moves by how far its kind is over- or undersold.
  const std::size_t kinds = capacity.size();
  std::vector<double> step(kinds, 1.0);  // of the logarithm
  std::vector<int> side(kinds, 0);
  for (int round = 0; round < kPriceSteps; ++round) {
    demand_.assign(kinds, 0);
    for (const Ranked& active : active_) {
      const AssignJob& job = jobs[active.job];
      double gain = 0;
      const std::int32_t picked = pick(job, price_, gain);
      if (picked >= 0) {
        const Offer& offer = job.offers[static_cast<std::size_t>(picked)];
        demand_[offer.kind] += offer.chips;
      }
    }
    bool settled = true;  // within one chip in 200: the repair does the rest
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      const std::int64_t off = demand_[kind] - capacity[kind];
      const int now = off * 200 > capacity[kind] ? 1 : off * 200 < -capacity[kind] ? -1 : 0;
      if (now == 0) { continue; }
      settled = false;
      if (side[kind] != 0 && side[kind] != now) {
        step[kind] *= 0.5;
      } else if (round > 0) {
        step[kind] = std::min(step[kind] * 1.3, 4.0);
      }
      side[kind] = now;
      price_[kind] *= std::exp(static_cast<double>(now) * step[kind]);
    }
    if (settled) { break; }
  }
}

void Assignment::solve(std::span<AssignJob> jobs, std::vector<std::int64_t> capacity) {
  for (std::int64_t& chips : capacity) { chips = std::max<std::int64_t>(chips, 0); }
  for (AssignJob& job : jobs) { job.chosen = -1; }
  choose_active(jobs, capacity);
  set_prices(jobs, capacity);
  left_ = std::move(capacity);
  ranked_.clear();
  // The jobs that gain most for what they cost come first; each takes its best offer that fits.
  for (const Ranked& active : active_) {
    const std::size_t i = active.job;
    double best = 0;
    for (const Offer& offer : jobs[i].offers) {
      const double cost = price_[offer.kind] * static_cast<double>(offer.chips);
      best = std::max(best, offer.value / std::max(cost, 1e-300));
    }
    if (best > 0) { ranked_.push_back({best, static_cast<std::uint32_t>(i)}); }
  }
  std::ranges::stable_sort(ranked_, [](const Ranked& a, const Ranked& b) { return a.density > b.density; });
  for (const bool beyond : {false, true}) {  // what gains at these prices first; then whatever still fits
    for (const Ranked& ranked : ranked_) {
      AssignJob& job = jobs[ranked.job];
      if (job.chosen >= 0) { continue; }
      double most = beyond ? -1e300 : 0;
      for (std::size_t i = 0; i < job.offers.size(); ++i) {
        const Offer& offer = job.offers[i];
        if (offer.chips > left_[offer.kind] || offer.value <= 0) { continue; }
        const double cost = price_[offer.kind] * static_cast<double>(offer.chips);
        const double surplus = beyond ? offer.value / std::max(cost, 1e-300) : offer.value - cost;
        if (surplus > most || (surplus == most && static_cast<std::int32_t>(i) == job.keep)) {
          most = surplus;
          job.chosen = static_cast<std::int32_t>(i);
        }
      }
      if (job.chosen >= 0) {
        const Offer& offer = job.offers[static_cast<std::size_t>(job.chosen)];
        left_[offer.kind] -= offer.chips;
      }
    }
  }
  // Chips that are still free: the best exchange of a job's offer for another, until none gains. Each pass takes one exchange a job.
  for (int pass = 0; pass < 8; ++pass) {
    ranked_.clear();
    for (const Ranked& active : active_) {
      const std::size_t j = active.job;
      const AssignJob& job = jobs[j];
      const double has = job.chosen < 0 ? 0 : job.offers[static_cast<std::size_t>(job.chosen)].value;
      double best = 0;
      for (const Offer& offer : job.offers) {
        if (offer.value <= has) { continue; }
        const Offer* const old = job.chosen < 0 ? nullptr : &job.offers[static_cast<std::size_t>(job.chosen)];
        const std::int64_t room = left_[offer.kind] + (old != nullptr && old->kind == offer.kind ? old->chips : 0);
        if (offer.chips > room) { continue; }
        const auto more = static_cast<double>(std::max<std::int64_t>(offer.chips - (old == nullptr ? 0 : old->chips), 0));
        best = std::max(best, (offer.value - has) / (more + 0.01));
      }
      if (best > 0) { ranked_.push_back({best, static_cast<std::uint32_t>(j)}); }
    }
    if (ranked_.empty()) { return; }
    std::ranges::stable_sort(ranked_, [](const Ranked& a, const Ranked& b) { return a.density > b.density; });
    for (const Ranked& ranked : ranked_) {
      AssignJob& job = jobs[ranked.job];
      const Offer* const old = job.chosen < 0 ? nullptr : &job.offers[static_cast<std::size_t>(job.chosen)];
      const double has = old == nullptr ? 0 : old->value;
      double best = 0;
      std::int32_t to = -1;
      for (std::size_t i = 0; i < job.offers.size(); ++i) {
        const Offer& offer = job.offers[i];
        const std::int64_t room = left_[offer.kind] + (old != nullptr && old->kind == offer.kind ? old->chips : 0);
        if (offer.value <= has || offer.chips > room) { continue; }
        const auto more = static_cast<double>(std::max<std::int64_t>(offer.chips - (old == nullptr ? 0 : old->chips), 0));
        const double density = (offer.value - has) / (more + 0.01);
        if (density > best) {
          best = density;
          to = static_cast<std::int32_t>(i);
        }
      }
      if (to < 0) { continue; }
      if (old != nullptr) { left_[old->kind] += old->chips; }
      job.chosen = to;
      left_[job.offers[static_cast<std::size_t>(to)].kind] -= job.offers[static_cast<std::size_t>(to)].chips;
    }
  }
}

}  // namespace centrale
