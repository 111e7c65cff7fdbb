// SPDX-License-Identifier: Apache-2.0
// Speeds that were measured, by name: a table that people write by hand or tools from their measurements.
//
//   profile,kind,workers,chips,rate_node,rate_domain,rate_leaf,rate_spine,rate_any,layout
//   resnet-50,v100,1,1,3.2,,,,,
//   resnet-50,v100,4,1,11.9,,8.1,,,
//
// Rates are work units (steps) a second of the whole gang while it stays inside a node, a domain, a leaf, a spine, or does not. An empty
// rate repeats the one before it; 0: it does not run there.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "policy/estimator.hpp"
#include "spec/speed.hpp"

namespace centrale {

struct ProfileTable {
  std::string file;  // what errors and Speeds::source call it
  std::map<std::string, std::vector<SpeedRow>, std::less<>> profiles;
};

/// Errors name file:line: a cell that is no number, a shape twice, no rate inside a node, an unknown column. Other columns are not needed.
[[nodiscard]] Result<ProfileTable> read_profiles(std::string_view csv, std::string_view file);
/// As read_profiles reads it, every number exact.
[[nodiscard]] std::string write_profiles(const ProfileTable& table);

/// Jobs that name a profile. Rows whose workers have as many chips as the job's are used; where a kind has none of those, all of its rows
/// by their number of chips in all. An elastic job's counts between two measured ones are interpolated, straight on logarithmic axes, each
/// spread by itself; nothing is extrapolated, and nothing across a count that does not run.
class TableEstimator : public Estimator {
 public:
  explicit TableEstimator(ProfileTable table) : table_(std::move(table)) {}
  /// Nothing: no profile is named, or none of its rows is for these kinds and counts. An unknown profile is an error of kind not_found.
  [[nodiscard]] Result<std::optional<Estimate>> estimate(const JobSpec& spec, std::span<const KindOffer> kinds,
                                                         double work_done) const override;
  [[nodiscard]] const ProfileTable& table() const { return table_; }

 private:
  ProfileTable table_;
};

}  // namespace centrale
