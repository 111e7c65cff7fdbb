// SPDX-License-Identifier: Apache-2.0
#include "cli/simulate_speeds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "cli/spec_files.hpp"
#include "estimate/stack.hpp"
#include "policy/plan_estimator.hpp"
#include "simulate/gavel_table.hpp"

namespace centrale::cli {
namespace fs = std::filesystem;
namespace {

// Gavel's table has 1 MB, Sia's largest file 3.
constexpr std::size_t kSpeedFileMax = std::size_t{256} * 1024 * 1024;
constexpr std::size_t kSpeedFilesMax = 10'000;

std::unexpected<Failure> bad(Error error) { return std::unexpected(Failure(std::move(error), kExitInput)); }

Outcome<std::vector<GoodputFile>> files_of(const std::string& folder) {
  std::vector<fs::path> paths;
  std::error_code code;
  for (fs::recursive_directory_iterator at(folder, code), end; !code && at != end; at.increment(code)) {
    if (at->is_regular_file(code) && at->path().extension() == ".csv") { paths.push_back(at->path()); }
    if (paths.size() > kSpeedFilesMax) { break; }
  }
  if (code) { return bad({ErrorKind::invalid, "--speeds cannot be read: " + code.message(), folder, {}}); }
  if (paths.empty() || paths.size() > kSpeedFilesMax) {
    return bad({ErrorKind::invalid, fmt::format("has {} CSV files", paths.empty() ? "no" : "too many"), folder,
                "--speeds: name the folder with one folder for each application, such as bert/placements-aws.csv"});
  }
  std::ranges::sort(paths);
  std::vector<GoodputFile> files;
  for (const fs::path& path : paths) {
    TRY_ASSIGN(std::string text, read_text_file(path.string(), kSpeedFileMax));
    files.push_back({.path = path.lexically_relative(folder).generic_string(), .text = std::move(text)});
  }
  return files;
}

void rename_kinds(ProfileTable& table, const std::vector<std::string>& kinds, const Catalogue& catalogue, std::vector<std::string>& notes) {
  std::map<std::string, std::string> known;
  for (auto& [profile, rows] : table.profiles) {
    for (SpeedRow& row : rows) {
      auto at = known.find(row.kind);
      if (at == known.end()) { at = known.emplace(row.kind, kind_meant(row.kind, kinds, catalogue)).first; }
      if (!at->second.empty()) { row.kind = at->second; }
    }
  }
  for (const auto& [kind, meant] : known) {
    if (!meant.empty() && meant != kind) { notes.push_back(fmt::format("speeds of '{}' are taken for the fleet's {}", kind, meant)); }
  }
}

}  // namespace

Outcome<void> read_speeds(const std::string& path, const std::vector<std::string>& kinds, SpeedSource& into,
                          std::vector<std::string>& notes) {
  if (path.empty()) { return {}; }
  std::error_code code;
  if (fs::is_directory(path, code)) {
    TRY_ASSIGN(into.goodput, files_of(path));
    into.goodput_kinds = sia_kinds();
    for (GoodputKind& kind : into.goodput_kinds) {
      if (std::string meant = kind_meant(kind.kind, kinds, into.catalogue); !meant.empty()) { kind.kind = std::move(meant); }
    }
    auto model = GoodputModel::read(into.goodput, sia_applications(), into.goodput_kinds);
    if (!model) { return bad(std::move(model).error()); }
    notes.insert(notes.end(), model->notes().begin(), model->notes().end());
    return {};
  }
  TRY_ASSIGN(const std::string text, read_text_file(path, kSpeedFileMax));
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') {
    auto gavel = read_gavel(text, path);
    if (!gavel) { return bad(std::move(gavel).error()); }
    into.table = std::move(gavel->alone);
    notes.insert(notes.end(), gavel->notes.begin(), gavel->notes.end());
  } else {
    auto table = read_profiles(text, path);
    if (!table) { return bad(std::move(table).error()); }
    into.table = *std::move(table);
  }
  rename_kinds(*into.table, kinds, into.catalogue, notes);
  return {};
}

std::vector<LoadProfile> load_profiles(const SpeedSource& speeds, const std::vector<std::string>& kinds) {
  if (!speeds.table) { return {}; }
  const auto fastest = [&](const std::vector<SpeedRow>& rows, std::string_view kind) {
    double rate = 0;
    for (const SpeedRow& row : rows) {
      if (row.kind == kind && !row.rates.empty()) {
        rate = std::max(rate, row.rates.front() / static_cast<double>(row.workers * row.chips));
      }
    }
    return rate;
  };
  std::map<std::string, int> wins;
  for (const auto& [profile, rows] : speeds.table->profiles) {
    const auto best = std::ranges::max_element(kinds, {}, [&](const std::string& kind) { return fastest(rows, kind); });
    if (best != kinds.end() && fastest(rows, *best) > 0) { ++wins[*best]; }
  }
  if (wins.empty()) { return {}; }
  const std::string& kind = std::ranges::max_element(wins, {}, [](const auto& win) { return win.second; })->first;
  std::vector<LoadProfile> profiles;
  for (const auto& [profile, rows] : speeds.table->profiles) {
    for (const SpeedRow& row : rows) {
      if (row.kind != kind || row.rates.empty() || row.rates.front() <= 0) { continue; }
      profiles.push_back({.name = profile, .weight = 1, .workers = row.workers * row.chips, .steps_per_second = row.rates.front()});
    }
  }
  return profiles;
}

Outcome<std::shared_ptr<const Estimator>> SpeedSource::make() const {
  std::vector<std::shared_ptr<const Estimator>> chain;
  if (table) { chain.push_back(std::make_shared<const TableEstimator>(*table)); }
  if (!goodput.empty()) {
    auto model = GoodputModel::read(goodput, sia_applications(), goodput_kinds);
    if (!model) { return bad(std::move(model).error()); }
    chain.push_back(std::make_shared<const GoodputModel>(*std::move(model)));
  }
  chain.push_back(std::make_shared<const PlanEstimator>(catalogue, default_stacks()));
  return std::make_shared<const Estimators>(std::move(chain));
}

}  // namespace centrale::cli
