// SPDX-License-Identifier: Apache-2.0
#include "policy/estimator.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <tuple>
#include <utility>

namespace centrale {

Result<std::optional<Estimate>> Estimators::estimate(const JobSpec& spec, std::span<const KindOffer> kinds, double work_done) const {
  std::optional<Error> unknown;
  for (const auto& estimator : chain_) {
    auto answer = estimator->estimate(spec, kinds, work_done);
    if (answer && *answer) { return answer; }
    if (!answer) {
      if (answer.error().kind != ErrorKind::not_found) { return answer; }
      if (!unknown) { unknown = std::move(answer).error(); }
    }
  }
  if (unknown) { return std::unexpected(*std::move(unknown)); }
  return std::optional<Estimate>{};
}

std::string_view estimated_as(const JobSpec& spec) { return spec.profile.empty() ? spec.model : spec.profile; }

bool kind_will_do(const JobSpec& spec, std::string_view kind) {
  return spec.chip_kinds.empty() || std::find(spec.chip_kinds.begin(), spec.chip_kinds.end(), kind) != spec.chip_kinds.end();
}

std::vector<std::int64_t> worker_counts(const JobSpec& spec, const KindOffer& offer) {
  constexpr std::int64_t kFew = 8;          // bounds no further apart are looked at one by one
  constexpr std::int64_t kWholeNodes = 16;  // up to so many nodes each number of them, then each power of two and three quarters of it
  std::vector<std::int64_t> counts;
  if (spec.workers < 1 || spec.chips < 1 || spec.chips > offer.chips_per_node) { return counts; }
  const std::int64_t most = offer.chips / spec.chips;
  if (spec.workers_max <= 0) {
    if (spec.workers <= most) { counts.push_back(spec.workers); }
    return counts;
  }
  const std::int64_t lo = std::max<std::int64_t>(spec.workers_min, 1);
  const std::int64_t hi = std::min(spec.workers_max, most);
  const auto add = [&](std::int64_t workers) {
    if (workers >= lo && workers <= hi) { counts.push_back(workers); }
  };
  add(lo);
  add(hi);
  add(spec.workers);
  if (hi - lo <= kFew) {
    for (std::int64_t w = lo; w <= hi; ++w) { add(w); }
  } else {
    const auto add_chips = [&](std::int64_t chips) {
      if (chips % spec.chips == 0) { add(chips / spec.chips); }
    };
    for (std::int64_t nodes = 1; nodes <= kWholeNodes; ++nodes) { add_chips(nodes * offer.chips_per_node); }
    for (std::int64_t chips = 1; chips <= hi * spec.chips; chips *= 2) {
      add_chips(chips);
      if (chips > kWholeNodes * offer.chips_per_node / 2) { add_chips(chips / 2 * 3); }
    }
  }
  std::sort(counts.begin(), counts.end());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  return counts;
}

namespace {

auto find_row(auto& rows, std::string_view what, std::int64_t kind) {
  const auto before = [&](const Correction& c, const auto& key) { return std::tie(c.what, c.kind) < key; };
  const auto key = std::tuple<const std::string_view&, const std::int64_t&>(what, kind);
  return std::lower_bound(rows.begin(), rows.end(), key, before);
}

}  // namespace

void Corrections::observe(std::string_view what, KindIndex kind, double observed, double estimated) {
  const double ratio = observed / estimated;
  if (!(observed > 0 && estimated > 0 && ratio > 0) || !std::isfinite(ratio) || what.empty()) { return; }
  auto row = find_row(rows, what, kind);
  if (row == rows.end() || row->what != what || row->kind != kind) {
    if (rows.size() >= kCorrectionsMax) {
      rows.erase(std::min_element(rows.begin(), rows.end(), [](const Correction& a, const Correction& b) { return a.count < b.count; }));
      row = find_row(rows, what, kind);
    }
    row = rows.insert(row, Correction{.what = std::string(what), .kind = kind, .log_ratio = 0, .count = 0});
  }
  ++row->count;
  const double weight = std::max(kCorrectionWeight, 1.0 / static_cast<double>(row->count));
  row->log_ratio += weight * (std::log(std::clamp(ratio, kCorrectionMin, kCorrectionMax)) - row->log_ratio);
}

double Corrections::factor(std::string_view what, KindIndex kind) const {
  const auto row = find_row(rows, what, kind);
  if (row == rows.end() || row->what != what || row->kind != kind) { return 1; }
  return std::clamp(std::exp(row->log_ratio), kCorrectionMin, kCorrectionMax);
}

std::shared_ptr<const SpeedTable> compile(const Speeds& speeds, std::span<const std::string> kind_names, const Corrections* corrections,
                                          std::string_view what) {
  auto table = std::make_shared<SpeedTable>();
  const auto is_rate = [](double r) { return std::isfinite(r) && r > 0; };
  for (std::size_t i = 0; i < speeds.rows.size(); ++i) {
    const SpeedRow& row = speeds.rows[i];
    const auto kind = std::find(kind_names.begin(), kind_names.end(), row.kind);
    const bool is_shape = row.workers >= 1 && row.workers <= kWorkersMax && row.chips >= 1 && row.chips <= kChipsPerWorkerMax;
    if (kind == kind_names.end() || !is_shape || row.rates.empty() || !is_rate(row.rates.front())) { continue; }
    Shape shape;
    shape.kind = static_cast<KindIndex>(kind - kind_names.begin());
    shape.workers = static_cast<std::int32_t>(row.workers);
    shape.chips = static_cast<std::int32_t>(row.chips);
    shape.row = static_cast<std::uint32_t>(i);
    const double factor = corrections == nullptr ? 1 : corrections->factor(what, shape.kind);
    for (std::size_t spread = 0; spread < kSpreads; ++spread) {
      const double rate = row.rates[std::min(spread, row.rates.size() - 1)];
      shape.rate.at(spread) = is_rate(rate) ? static_cast<float>(rate * factor) : 0;
    }
    table->shapes.push_back(shape);
  }
  std::sort(table->shapes.begin(), table->shapes.end(),
            [](const Shape& a, const Shape& b) { return std::tuple(a.kind, a.total(), a.row) < std::tuple(b.kind, b.total(), b.row); });
  return table;
}

const Shape* shape_as_asked(const SpeedTable& table, KindIndex kind, std::int64_t workers, std::int64_t chips) {
  const Shape* best = nullptr;
  const auto before = [](const Shape& s, const std::pair<KindIndex, std::int64_t>& key) { return std::pair(s.kind, s.total()) < key; };
  auto shape = std::lower_bound(table.shapes.begin(), table.shapes.end(), std::pair(kind, workers * chips), before);
  for (; shape != table.shapes.end() && shape->kind == kind && shape->total() == workers * chips; ++shape) {
    const bool is_asked = shape->workers == workers && shape->chips == chips;
    if (is_asked && (best == nullptr || shape->rate[0] > best->rate[0])) { best = &*shape; }
  }
  return best;
}

}  // namespace centrale
