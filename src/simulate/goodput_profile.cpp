// SPDX-License-Identifier: Apache-2.0
#include "simulate/goodput_profile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/text.hpp"

namespace centrale::goodput {
namespace {

constexpr double kNumberMax = 1e30;

Result<double> number(const CsvTable& csv, std::size_t row, std::string_view column, bool above_zero) {
  const std::string_view cell = csv.cell(row, column);
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  const bool is_number = error == std::errc{} && end == cell.data() + cell.size() && std::abs(value) <= kNumberMax;
  if (!is_number || value < 0 || (above_zero && value == 0)) {
    return fail(ErrorKind::invalid, fmt::format("{} '{}' is not a number {} 0", column, shorten(cell, 40), above_zero ? "above" : "from"),
                fmt::format("{}:{}", csv.file, csv.rows[row].line));
  }
  return value;
}

Result<void> need(const CsvTable& csv, std::initializer_list<std::string_view> columns) {
  for (const std::string_view column : columns) {
    if (!csv.column(column)) {
      return fail(ErrorKind::invalid, fmt::format("the column '{}' is missing", column), csv.file + ":1",
                  nearest_remedy(column, csv.header));
    }
  }
  return {};
}

Result<StepTime> step_time(const CsvTable& csv, std::size_t row) {
  StepTime step;
  TRY_ASSIGN(step.batch, number(csv, row, "local_bsz", true));
  TRY_ASSIGN(step.seconds, number(csv, row, "step_time", true));
  TRY_ASSIGN(step.sync, number(csv, row, "sync_time", false));
  step.sync = std::min(step.sync, step.seconds);
  return step;
}

/// Ascending batches; one that was measured several times is their mean.
void settle(std::vector<StepTime>& curve) {
  std::stable_sort(curve.begin(), curve.end(), [](const StepTime& a, const StepTime& b) { return a.batch < b.batch; });
  std::size_t out = 0;
  for (std::size_t i = 0; i < curve.size();) {
    StepTime mean{.batch = curve[i].batch, .seconds = 0, .sync = 0};
    double n = 0;
    for (; i < curve.size() && curve[i].batch == mean.batch; ++i, ++n) {
      mean.seconds += curve[i].seconds;
      mean.sync += curve[i].sync;
    }
    curve[out++] = {.batch = mean.batch, .seconds = mean.seconds / n, .sync = mean.sync / n};
  }
  curve.resize(out);
}

std::optional<StepTime> on_curve(const std::vector<StepTime>& curve, double batch) {
  const auto hi = std::lower_bound(curve.begin(), curve.end(), batch, [](const StepTime& s, double b) { return s.batch < b; });
  if (hi == curve.end() || (hi == curve.begin() && hi->batch != batch)) { return std::nullopt; }
  if (hi->batch == batch) { return *hi; }
  const auto lo = std::prev(hi);
  const double part = (batch - lo->batch) / (hi->batch - lo->batch);
  return StepTime{
      .batch = batch, .seconds = lo->seconds + part * (hi->seconds - lo->seconds), .sync = lo->sync + part * (hi->sync - lo->sync)};
}

}  // namespace

Placement canonical(std::span<const std::int64_t> placement) {
  Placement chips;
  std::copy_if(placement.begin(), placement.end(), std::back_inserter(chips), [](std::int64_t n) { return n > 0; });
  Placement best = chips;
  for (std::size_t i = 1; i < chips.size(); ++i) {
    std::rotate(chips.begin(), chips.begin() + 1, chips.end());
    best = std::min(best, chips);
  }
  return best;
}

Result<void> StepProfile::read_placements(const CsvTable& csv) {
  TRY(need(csv, {"placement", "local_bsz", "step_time", "sync_time"}));
  for (std::size_t row = 0; row < csv.rows.size(); ++row) {
    const std::string_view cell = csv.cell(row, "placement");
    Placement placement;
    for (const char c : cell) { placement.push_back(c - '0'); }
    if (cell.empty() || std::any_of(placement.begin(), placement.end(), [](std::int64_t n) { return n < 1 || n > 9; })) {
      return fail(ErrorKind::invalid, fmt::format("placement '{}' is not a digit from 1 to 9 a node", shorten(cell, 40)),
                  fmt::format("{}:{}", csv.file, csv.rows[row].line));
    }
    TRY_ASSIGN(const StepTime step, step_time(csv, row));
    placements_[canonical(placement)].push_back(step);
    const auto nodes = static_cast<std::int64_t>(placement.size());
    sizes_[nodes][std::accumulate(placement.begin(), placement.end(), std::int64_t{0})].push_back(step);
    batch_min_ = batch_min_ == 0 ? step.batch : std::min(batch_min_, step.batch);
  }
  for (auto& [placement, curve] : placements_) { settle(curve); }
  for (auto& [nodes, by_chips] : sizes_) {
    for (auto& [chips, curve] : by_chips) { settle(curve); }
  }
  return {};
}

Result<void> StepProfile::read_scalability(const CsvTable& csv) {
  TRY(need(csv, {"num_nodes", "num_replicas", "local_bsz", "step_time", "sync_time"}));
  std::map<std::int64_t, std::map<std::int64_t, Curve>> read;
  for (std::size_t row = 0; row < csv.rows.size(); ++row) {
    TRY_ASSIGN(const double nodes, number(csv, row, "num_nodes", true));
    TRY_ASSIGN(const double chips, number(csv, row, "num_replicas", true));
    TRY_ASSIGN(const StepTime step, step_time(csv, row));
    if (nodes != std::floor(nodes) || chips != std::floor(chips) || chips < nodes || chips > 1e6) {
      return fail(ErrorKind::invalid, fmt::format("{} replicas on {} nodes", chips, nodes),
                  fmt::format("{}:{}", csv.file, csv.rows[row].line), "whole numbers, a replica a node at least");
    }
    read[static_cast<std::int64_t>(nodes)][static_cast<std::int64_t>(chips)].push_back(step);
    batch_min_ = batch_min_ == 0 ? step.batch : std::min(batch_min_, step.batch);
  }
  // Placements were measured one by one; what they do not cover is taken from here.
  for (auto& [nodes, by_chips] : read) {
    for (auto& [chips, curve] : by_chips) {
      settle(curve);
      sizes_[nodes].try_emplace(chips, std::move(curve));
    }
  }
  return {};
}

bool StepProfile::next_to(std::int64_t nodes, double chips, double weight, std::vector<Weighed>& out) const {
  const auto& by_chips = sizes_.at(nodes);
  const auto hi = by_chips.lower_bound(static_cast<std::int64_t>(std::ceil(chips - 1e-9)));
  if (hi == by_chips.end()) { return false; }
  const auto hi_chips = static_cast<double>(hi->first);
  if (std::abs(hi_chips - chips) < 1e-9) {
    out.push_back({.curve = &hi->second, .weight = weight});
    return true;
  }
  if (hi == by_chips.begin()) { return false; }
  const auto lo = std::prev(hi);
  const double part = (chips - static_cast<double>(lo->first)) / (hi_chips - static_cast<double>(lo->first));
  out.push_back({.curve = &lo->second, .weight = weight * (1 - part)});
  out.push_back({.curve = &hi->second, .weight = weight * part});
  return true;
}

std::vector<StepProfile::Weighed> StepProfile::curves_at(std::span<const std::int64_t> placement) const {
  std::vector<Weighed> curves;
  const Placement wanted = canonical(placement);
  if (wanted.empty()) { return curves; }
  if (const auto found = placements_.find(wanted); found != placements_.end()) {
    curves.push_back({.curve = &found->second, .weight = 1});
    return curves;
  }
  const auto nodes = static_cast<std::int64_t>(wanted.size());
  const auto chips = static_cast<double>(std::accumulate(wanted.begin(), wanted.end(), std::int64_t{0}));
  const auto hi = sizes_.lower_bound(nodes);
  bool is_known = false;
  if (hi != sizes_.end() && hi->first == nodes) {
    is_known = next_to(nodes, chips, 1, curves);
  } else if (hi != sizes_.end() && hi != sizes_.begin()) {
    const auto lo = std::prev(hi);
    const double a_node = chips / static_cast<double>(nodes);
    const double part = static_cast<double>(nodes - lo->first) / static_cast<double>(hi->first - lo->first);
    is_known = next_to(lo->first, a_node * static_cast<double>(lo->first), 1 - part, curves) &&
               next_to(hi->first, a_node * static_cast<double>(hi->first), part, curves);
  }
  if (!is_known) { curves.clear(); }
  return curves;
}

std::optional<StepTime> StepProfile::at(std::span<const std::int64_t> placement, double batch) const {
  StepTime sum{.batch = batch, .seconds = 0, .sync = 0};
  const auto curves = curves_at(placement);
  if (curves.empty()) { return std::nullopt; }
  for (const Weighed& w : curves) {
    const auto step = on_curve(*w.curve, batch);
    if (!step) { return std::nullopt; }
    sum.seconds += w.weight * step->seconds;
    sum.sync += w.weight * step->sync;
  }
  return sum;
}

double StepProfile::batch_max(std::span<const std::int64_t> placement) const {
  double most = 0;
  for (const Weighed& w : curves_at(placement)) {
    const double last = w.curve->back().batch;
    most = most == 0 ? last : std::min(most, last);
  }
  return most;
}

Result<void> Statistics::read(std::int64_t batch, const CsvTable& csv) {
  TRY(need(csv, {"progress", "grad_sqr", "grad_var"}));
  std::vector<EpochRow> rows;
  for (std::size_t row = 0; row < csv.rows.size(); ++row) {
    EpochRow epoch;
    TRY_ASSIGN(epoch.progress, number(csv, row, "progress", true));
    TRY_ASSIGN(epoch.grad_sqr, number(csv, row, "grad_sqr", false));
    TRY_ASSIGN(epoch.grad_var, number(csv, row, "grad_var", false));
    if (!rows.empty() && epoch.progress <= rows.back().progress) {
      return fail(ErrorKind::invalid, fmt::format("progress {} is not above that of the epoch before", epoch.progress),
                  fmt::format("{}:{}", csv.file, csv.rows[row].line));
    }
    rows.push_back(epoch);
  }
  if (rows.empty()) { return fail(ErrorKind::invalid, "no epoch", csv.file); }
  by_batch_[batch] = std::move(rows);
  return {};
}

void Statistics::set_epochs(std::int64_t epochs) {
  auto count = static_cast<std::size_t>(std::max<std::int64_t>(epochs, 1));
  for (const auto& [batch, rows] : by_batch_) { count = std::min(count, rows.size()); }
  ends_.assign(count, 0);
  for (std::size_t e = 0; e < count; ++e) {
    // An epoch is over when it is with the batch that counts it soonest.
    ends_[e] = by_batch_.begin()->second[e].progress;
    for (const auto& [batch, rows] : by_batch_) { ends_[e] = std::min(ends_[e], rows[e].progress); }
  }
}

std::size_t Statistics::epoch_at(double progress) const {
  // Whoever asks again at an epoch's end, by work that was multiplied and divided, is past it.
  const auto next = std::upper_bound(ends_.begin(), ends_.end(), progress * (1 + 1e-9));
  return std::min(static_cast<std::size_t>(next - ends_.begin()), ends_.size() - 1);
}

double Statistics::gain(double batch, std::size_t epoch) const {
  const double clamped = std::clamp(batch, static_cast<double>(batch_first()), static_cast<double>(batch_last()));
  const auto hi = by_batch_.lower_bound(static_cast<std::int64_t>(std::ceil(clamped)));
  EpochRow row = hi->second[epoch];
  if (hi != by_batch_.begin() && static_cast<double>(hi->first) != clamped) {
    const auto lo = std::prev(hi);
    const double part = (clamped - static_cast<double>(lo->first)) / static_cast<double>(hi->first - lo->first);
    row.grad_sqr = lo->second[epoch].grad_sqr + part * (row.grad_sqr - lo->second[epoch].grad_sqr);
    row.grad_var = lo->second[epoch].grad_var + part * (row.grad_var - lo->second[epoch].grad_var);
  }
  const double scale = clamped / static_cast<double>(batch_first());
  const double noise = row.grad_var / scale + row.grad_sqr;
  return noise > 0 ? (row.grad_var + row.grad_sqr) / noise : 1;
}

}  // namespace centrale::goodput
