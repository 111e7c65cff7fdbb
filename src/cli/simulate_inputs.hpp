// SPDX-License-Identifier: Apache-2.0
// What a simulation is told: machines, load and speeds, from files and words.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/context.hpp"
#include "cli/simulate.hpp"
#include "fleet/catalogue.hpp"
#include "policy/estimator.hpp"
#include "policy/table_estimator.hpp"
#include "simulate/generate.hpp"
#include "simulate/goodput_model.hpp"
#include "simulate/machines.hpp"
#include "simulate/twin.hpp"

namespace centrale::cli {

// The largest traces that are published have some 800 MB of text.
inline constexpr std::size_t kTraceFileMax = std::size_t{2} * 1024 * 1024 * 1024;

/// What estimators are made from. They remember what they were asked, so that each thread has its own.
struct SpeedSource {
  Catalogue catalogue;
  std::optional<ProfileTable> table;
  std::vector<GoodputFile> goodput;
  std::vector<GoodputKind> goodput_kinds;
  [[nodiscard]] bool any() const { return table || !goodput.empty(); }
  [[nodiscard]] Outcome<std::shared_ptr<const Estimator>> make() const;
};

struct Simulation {
  Machines machines;
  std::vector<std::string> kinds;         // of the machines, in their order
  std::shared_ptr<const Workload> trace;  // null: `shape` makes it
  LoadShape shape;
  std::string load_name;  // "philly, 10,000 jobs"
  SpeedSource speeds;
  TwinOptions twin;
  Window window;
  bool elastic = false, rigid = false;
  std::vector<std::string> policies;
  std::vector<std::uint64_t> seeds;
  std::string currency;
  std::vector<std::string> notes;

  /// The load of that seed.
  [[nodiscard]] Outcome<std::shared_ptr<const Workload>> workload(std::uint64_t seed) const;
};
[[nodiscard]] Outcome<Simulation> read_simulation(const SimulateOptions& options);

/// "a,b": each known to make_policy(), each once.
[[nodiscard]] Outcome<std::vector<std::string>> policies_of(std::string_view text);
/// "1000:3000", "1000:", ":3000".
[[nodiscard]] Outcome<Window> window_of(std::string_view text);
/// The kind of the fleet that people mean by `name`: itself, what the catalogue takes it for, or the first form of it ("v100" is
/// "v100-sxm-16gb"); empty: none.
[[nodiscard]] std::string kind_meant(std::string_view name, const std::vector<std::string>& kinds, const Catalogue& catalogue);
/// Jobs that no machine can hold, or that ask only for kinds that are not there, counted and said; an error where that is all of them.
[[nodiscard]] Outcome<std::vector<std::string>> check_fit(const Workload& workload, const Machines& machines);

}  // namespace centrale::cli
