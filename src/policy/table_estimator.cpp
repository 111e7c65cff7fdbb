// SPDX-License-Identifier: Apache-2.0
#include "policy/table_estimator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "base/csv.hpp"
#include "base/text.hpp"

namespace centrale {
namespace {

constexpr std::array<std::string_view, kSpreads> kRateColumns{"rate_node", "rate_domain", "rate_leaf", "rate_spine", "rate_any"};
constexpr std::array<std::string_view, 10> kColumns{"profile",     "kind",      "workers",    "chips",    "rate_node",
                                                    "rate_domain", "rate_leaf", "rate_spine", "rate_any", "layout"};

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) { return std::nullopt; }
  return value;
}

std::unexpected<Error> wrong(const CsvTable& csv, std::size_t row, std::string what, std::string remedy = {}) {
  return fail(ErrorKind::invalid, std::move(what), fmt::format("{}:{}", csv.file, csv.rows[row].line), std::move(remedy));
}

Result<std::int64_t> count_of(const CsvTable& csv, std::size_t row, std::string_view column, std::int64_t most) {
  const std::string_view cell = csv.cell(row, column);
  if (cell.empty()) { return 1; }
  const auto value = number<std::int64_t>(cell);
  if (!value || *value < 1 || *value > most) {
    return wrong(csv, row, fmt::format("{} '{}' is not a number from 1 to {}", column, shorten(cell, 40), most));
  }
  return *value;
}

Result<SpeedRow> read_row(const CsvTable& csv, std::size_t row) {
  SpeedRow out;
  out.kind = csv.cell(row, "kind");
  if (out.kind.empty()) { return wrong(csv, row, "the kind of chip is missing"); }
  TRY_ASSIGN(out.workers, count_of(csv, row, "workers", kWorkersMax));
  TRY_ASSIGN(out.chips, count_of(csv, row, "chips", kChipsPerWorkerMax));
  out.layout = csv.cell(row, "layout");
  std::size_t given = 0;
  for (std::size_t spread = 0; spread < kSpreads; ++spread) {
    const std::string_view cell = csv.cell(row, kRateColumns.at(spread));
    if (cell.empty()) {
      if (spread == 0) { return wrong(csv, row, "rate_node is missing", "work units a second inside one node; 0: it does not run"); }
      out.rates.push_back(out.rates.back());
      continue;
    }
    const auto value = number<double>(cell);
    if (!value || !std::isfinite(*value) || *value < 0) {
      return wrong(csv, row, fmt::format("{} '{}' is not a rate", kRateColumns.at(spread), shorten(cell, 40)),
                   "work units a second, such as 3.2; 0: it does not run");
    }
    out.rates.push_back(*value);
    given = spread + 1;
  }
  out.rates.resize(given);
  return out;
}

}  // namespace

Result<ProfileTable> read_profiles(std::string_view text, std::string_view file) {
  TRY_ASSIGN(const CsvTable csv, read_csv(text, file));
  for (const std::string& name : csv.header) {
    if (std::find(kColumns.begin(), kColumns.end(), name) == kColumns.end()) {
      return fail(ErrorKind::invalid, fmt::format("'{}' is no column of a speed table", shorten(name, 40)), fmt::format("{}:1", file),
                  nearest_remedy(name, kColumns));
    }
  }
  for (const std::string_view needed : {"profile", "kind", "rate_node"}) {
    if (!csv.column(needed)) {
      return fail(ErrorKind::invalid, fmt::format("the column '{}' is missing", needed), fmt::format("{}:1", file));
    }
  }
  ProfileTable table;
  table.file = file;
  for (std::size_t i = 0; i < csv.rows.size(); ++i) {
    const std::string profile(csv.cell(i, "profile"));
    if (profile.empty()) { return wrong(csv, i, "the profile's name is missing"); }
    TRY_ASSIGN(SpeedRow row, read_row(csv, i));
    auto& rows = table.profiles[profile];
    const bool is_twice = std::any_of(rows.begin(), rows.end(), [&](const SpeedRow& r) {
      return r.kind == row.kind && r.workers == row.workers && r.chips == row.chips && r.layout == row.layout;
    });
    if (is_twice) { return wrong(csv, i, fmt::format("'{}' has {} x {} {} twice", profile, row.workers, row.chips, row.kind)); }
    rows.push_back(std::move(row));
  }
  return table;
}

std::string write_profiles(const ProfileTable& table) {
  std::string out;
  for (const std::string_view column : kColumns) { out += fmt::format("{}{}", out.empty() ? "" : ",", column); }
  out += '\n';
  for (const auto& [profile, rows] : table.profiles) {
    for (const SpeedRow& row : rows) {
      out += fmt::format("{},{},{},{}", csv_cell(profile), csv_cell(row.kind), row.workers, row.chips);
      for (std::size_t spread = 0; spread < kSpreads; ++spread) {
        out += spread < row.rates.size() ? fmt::format(",{}", row.rates[spread]) : ",";
      }
      out += fmt::format(",{}\n", csv_cell(row.layout));
    }
  }
  return out;
}

namespace {

double rate_at(const SpeedRow& row, std::size_t spread) { return row.rates[std::min(spread, row.rates.size() - 1)]; }

/// One kind's rows of a profile, as workers of the job's own chips, by workers.
std::vector<SpeedRow> rows_for(const std::vector<SpeedRow>& rows, const JobSpec& spec, std::string_view kind) {
  std::vector<SpeedRow> same, other;
  for (const SpeedRow& row : rows) {
    if (row.kind != kind) { continue; }
    if (row.chips == spec.chips) {
      same.push_back(row);
    } else if (row.workers * row.chips % spec.chips == 0) {
      other.push_back(row);
      other.back().workers = row.workers * row.chips / spec.chips;
      other.back().chips = spec.chips;
    }
  }
  auto& chosen = same.empty() ? other : same;
  std::stable_sort(chosen.begin(), chosen.end(), [](const SpeedRow& a, const SpeedRow& b) { return a.workers < b.workers; });
  return chosen;
}

/// A row between two measured ones.
std::optional<SpeedRow> between(const SpeedRow& a, const SpeedRow& b, std::int64_t workers) {
  if (rate_at(a, 0) <= 0 || rate_at(b, 0) <= 0) { return std::nullopt; }
  SpeedRow row{.kind = a.kind, .workers = workers, .chips = a.chips, .rates = {}, .layout = {}};
  const auto log = [](std::int64_t n) { return std::log(static_cast<double>(n)); };
  const double part = (log(workers) - log(a.workers)) / (log(b.workers) - log(a.workers));
  for (std::size_t spread = 0; spread < std::max(a.rates.size(), b.rates.size()); ++spread) {
    const double at_a = rate_at(a, spread), at_b = rate_at(b, spread);
    row.rates.push_back(at_a > 0 && at_b > 0 ? std::exp(std::log(at_a) + part * (std::log(at_b) - std::log(at_a))) : 0);
  }
  return row;
}

void add_kind(const std::vector<SpeedRow>& known, const JobSpec& spec, const KindOffer& offer, std::vector<SpeedRow>& out) {
  std::vector<std::int64_t> counts = worker_counts(spec, offer);
  if (counts.empty()) { return; }
  // What was measured is worth more than round numbers.
  for (const SpeedRow& row : known) {
    if (row.workers > counts.front() && row.workers < counts.back()) { counts.push_back(row.workers); }
  }
  std::sort(counts.begin(), counts.end());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  for (const std::int64_t workers : counts) {
    const auto first = std::find_if(known.begin(), known.end(), [&](const SpeedRow& r) { return r.workers >= workers; });
    if (first == known.end()) { break; }
    if (first->workers == workers) {
      for (auto row = first; row != known.end() && row->workers == workers; ++row) {
        if (rate_at(*row, 0) > 0) { out.push_back(*row); }
      }
    } else if (first != known.begin()) {
      if (auto row = between(*std::prev(first), *first, workers)) { out.push_back(*std::move(row)); }
    }
  }
}

}  // namespace

Result<std::optional<Estimate>> TableEstimator::estimate(const JobSpec& spec, std::span<const KindOffer> kinds, double) const {
  if (spec.profile.empty()) { return std::optional<Estimate>{}; }
  const auto found = table_.profiles.find(spec.profile);
  if (found == table_.profiles.end()) {
    std::vector<std::string> names;
    for (const auto& [name, rows] : table_.profiles) { names.push_back(name); }
    return fail(ErrorKind::not_found, fmt::format("the speed table has no profile '{}'", shorten(spec.profile, 80)), table_.file,
                nearest_remedy(spec.profile, names));
  }
  Speeds speeds;
  for (const KindOffer& offer : kinds) {
    if (kind_will_do(spec, offer.kind)) { add_kind(rows_for(found->second, spec, offer.kind), spec, offer, speeds.rows); }
  }
  if (speeds.rows.empty()) { return std::optional<Estimate>{}; }
  speeds.work = static_cast<double>(spec.steps);
  speeds.source = "table " + table_.file;
  return std::optional<Estimate>{Estimate{.speeds = share(std::move(speeds)), .until = std::numeric_limits<double>::infinity()}};
}

}  // namespace centrale
