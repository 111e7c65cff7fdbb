// SPDX-License-Identifier: Apache-2.0
#include "simulate/gavel_table.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "base/text.hpp"

namespace centrale {
namespace {

namespace dom = simdjson::dom;

constexpr std::string_view kApart = "_unconsolidated";
constexpr std::size_t kGavelSizeMax = 64 * 1024 * 1024;  // the published ones are below 1 MiB

struct JobType {
  std::string name;
  std::int64_t workers = 1;
  auto operator<=>(const JobType&) const = default;
};

/// "('ResNet-18 (batch size 64)', 2)", as Python prints a pair.
std::optional<JobType> job_type_of(std::string_view text) {
  const std::size_t comma = text.rfind("', ");
  if (!text.starts_with("('") || !text.ends_with(")") || comma == std::string_view::npos || comma < 3) { return std::nullopt; }
  JobType type;
  type.name = text.substr(2, comma - 2);
  const std::string_view count = text.substr(comma + 3, text.size() - comma - 4);
  const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), type.workers);
  if (error != std::errc{} || end != count.data() + count.size() || type.workers < 1 || type.workers > kWorkersMax) { return std::nullopt; }
  return type;
}

struct Measured {
  std::optional<double> together, apart;  // inside a node, across nodes
  [[nodiscard]] double inside() const { return together.value_or(0); }
  [[nodiscard]] double across() const { return apart.value_or(inside()); }
};
using PairKey = std::tuple<std::string, std::string, std::int64_t, std::string>;  // kind, profile, workers, other

class Reader {
 public:
  Reader(std::string_view file, GavelPlacement placement) : file_(file), placement_(placement) {}

  Result<GavelTable> read(const dom::element& root) {
    dom::object types;
    if (root.get(types) != simdjson::SUCCESS) { return wrong("", "is not an object of worker types"); }
    for (const auto& [type, jobs] : types) {
      if (placement_ == GavelPlacement::as_measured || !type.ends_with(kApart)) { TRY(read_type(type, jobs)); }
    }
    return table();
  }

 private:
  [[nodiscard]] std::unexpected<Error> wrong(std::string_view path, std::string what) const {
    return fail(ErrorKind::invalid, (path.empty() ? "" : fmt::format("'{}' ", shorten(path, 120))) + std::move(what), std::string(file_),
                "the form is that of Gavel's simulation_throughputs.json");
  }

  Result<double> rate_of(const dom::element& value, const std::string& path) const {
    double rate = 0;
    if (value.get(rate) != simdjson::SUCCESS || !std::isfinite(rate) || rate < 0) { return wrong(path, "is not a throughput"); }
    return rate;
  }

  Result<void> read_type(std::string_view type, const dom::element& jobs_value) {
    const bool apart = type.ends_with(kApart);
    const std::string kind(apart ? type.substr(0, type.size() - kApart.size()) : type);
    dom::object jobs;
    if (kind.empty() || jobs_value.get(jobs) != simdjson::SUCCESS) { return wrong(type, "is not an object of job types"); }
    for (const auto& [name, rates_value] : jobs) {
      const std::string path = fmt::format("{}/{}", type, name);
      const auto job = job_type_of(name);
      dom::object rates;
      if (!job || rates_value.get(rates) != simdjson::SUCCESS) { return wrong(path, "is not \"('NAME', WORKERS)\" with an object"); }
      for (const auto& [other, value] : rates) { TRY(read_rate(kind, *job, other, value, apart, path)); }
    }
    return {};
  }

  Result<void> read_rate(const std::string& kind, const JobType& job, std::string_view other_name, const dom::element& value, bool apart,
                         const std::string& job_path) {
    const std::string path = fmt::format("{}/{}", job_path, other_name);
    const auto slot = [&](Measured& m) -> std::optional<double>& { return apart ? m.apart : m.together; };
    if (other_name == "null") {
      TRY_ASSIGN(slot(alone_[{job.name, kind, job.workers}]), rate_of(value, path));
      return {};
    }
    const auto other = job_type_of(other_name);
    dom::array pair;
    if (!other || value.get(pair) != simdjson::SUCCESS || pair.size() != 2) { return wrong(path, "is not a pair of throughputs"); }
    if (other->workers != job.workers) {
      ++unlike_;
      return {};
    }
    auto& both = pairs_[{kind, job.name, job.workers, other->name}];
    TRY_ASSIGN(slot(both.first), rate_of(pair.at(0), path));
    TRY_ASSIGN(slot(both.second), rate_of(pair.at(1), path));
    return {};
  }

  [[nodiscard]] GavelTable table() const {
    GavelTable out;
    out.alone.file = file_;
    for (const auto& [key, rate] : alone_) {
      const auto& [profile, kind, workers] = key;
      SpeedRow row{.kind = kind, .workers = workers, .chips = 1, .rates = {rate.inside()}, .layout = {}};
      // One worker is on one node, wherever that is.
      if (rate.apart && workers > 1) { row.rates.push_back(*rate.apart); }
      // What was measured across nodes only has no rate inside one: it is the least that it reaches there.
      if (!rate.together && rate.apart) { row.rates = {*rate.apart}; }
      out.alone.profiles[profile].push_back(std::move(row));
    }
    for (const auto& [key, both] : pairs_) {
      const auto& [kind, profile, workers, other] = key;
      out.pairs.push_back({.kind = kind,
                           .profile = profile,
                           .other = other,
                           .workers = workers,
                           .rate = both.first.inside(),
                           .other_rate = both.second.inside(),
                           .rate_apart = both.first.across(),
                           .other_rate_apart = both.second.across()});
    }
    if (unlike_ > 0) { out.notes.push_back(fmt::format("{} pairs of gangs of unlike sizes were left out", unlike_)); }
    return out;
  }

  std::string_view file_;
  GavelPlacement placement_;
  std::map<std::tuple<std::string, std::string, std::int64_t>, Measured> alone_;  // profile, kind, workers
  std::map<PairKey, std::pair<Measured, Measured>> pairs_;
  std::int64_t unlike_ = 0;
};

}  // namespace

const SharedChips* GavelTable::pair(std::string_view kind, std::string_view profile, std::int64_t workers, std::string_view other) const {
  const auto key = [](const SharedChips& p) {
    return std::tuple<std::string_view, std::string_view, std::int64_t, std::string_view>(p.kind, p.profile, p.workers, p.other);
  };
  const std::tuple wanted(kind, profile, workers, other);
  const auto found = std::lower_bound(pairs.begin(), pairs.end(), wanted, [&](const SharedChips& p, const auto& w) { return key(p) < w; });
  return found != pairs.end() && key(*found) == wanted ? &*found : nullptr;
}

Result<GavelTable> read_gavel(std::string_view json, std::string_view file, GavelPlacement placement) {
  if (json.size() > kGavelSizeMax) { return fail(ErrorKind::invalid, "more than 64 MiB", std::string(file)); }
  dom::parser parser;
  dom::element root;
  if (const auto error = parser.parse(json.data(), json.size()).get(root); error != simdjson::SUCCESS) {
    return fail(ErrorKind::invalid, fmt::format("is not JSON: {}", simdjson::error_message(error)), std::string(file));
  }
  return Reader(file, placement).read(root);
}

}  // namespace centrale
