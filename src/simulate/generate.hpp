// SPDX-License-Identifier: Apache-2.0
// Synthetic load from a seed: the same shape and seed give the same workload, on every machine.
//
// Sizes and run times come from a named mix. Those of real clusters are made to hold the statistics that Hu et al. published of them
// (NSDI 2024, AcmeTrace, data/cluster_summary.csv, CC BY 4.0): median and mean run time, mean and largest number of chips, and the mean
// chip-time of a job, which says how much longer large jobs run. How a job ends is drawn apart from how long it runs.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/reflect.hpp"
#include "base/result.hpp"
#include "simulate/workload.hpp"

namespace centrale {

enum class LoadMix : unsigned char { philly, helios, seren, kalos, pai, gavel, gavel_multi, llm };
template <>
inline constexpr auto kEnumNames<LoadMix> = std::to_array<std::string_view>({"philly", "helios", "seren", "kalos", "pai", "gavel",
                                                                             "gavel-multi", "llm"});

/// When jobs come. Given their number, the arrivals of a Poisson process are independent draws from its intensity (Lewis and Shedler
/// 1979 thin candidates to an intensity that varies), so that a load can be met exactly.
enum class Arrivals : unsigned char {
  poisson,  // evenly
  diurnal,  // more by day: the peak at 14:00, by a cosine
  weekly,   // and fewer at the weekend; time 0 is Monday, 00:00
};
template <>
inline constexpr auto kEnumNames<Arrivals> = std::to_array<std::string_view>({"poisson", "diurnal", "weekly"});

/// A model that jobs may train: its speed on the chips that a job of the mix is counted in, which turns run times into steps.
struct LoadProfile {
  std::string name;
  double weight = 1;         // among those that fit a job's size
  std::int64_t workers = 0;  // only for jobs of that many chips; 0: any
  double steps_per_second = 1;
};

struct LoadShape {
  std::uint64_t seed = 1;
  LoadMix mix = LoadMix::philly;
  std::int64_t fleet_chips = 1024;  // of the fleet that the load is a part of; no job asks for more
  double load = 0.8;                // mean demand over the horizon (chips x run time) / (fleet_chips x horizon)
  std::int64_t jobs = 10'000;       // so many, over the time that gives the load; 0: as many as fill `horizon`
  Nanos horizon;                    // only with jobs == 0
  std::int64_t node_chips = 8;      // a job of more than a node's is workers of whole nodes
  Arrivals arrivals = Arrivals::poisson;
  double peak_to_trough = 3;  // of a day
  double weekend = 0.5;       // arrivals on Saturday and Sunday, of a weekday's
  double burst_share = 0;     // of jobs that come in bursts: sweeps of one tenant, seconds apart
  double burst_jobs = 20;     // mean of a burst
  std::int64_t tenants = 20;  // their shares of jobs fall as 1 / rank^zipf
  double zipf = 1;
  double estimate_sigma = 1;  // spread of what users say (below); 0: they say nothing
  double failing_share = -1;  // failed and cancelled jobs; -1: as the mix has
  double elastic_share = 0;   // of jobs that can run on a quarter to four times their chips
  double model_share = 1;     // of jobs that train a model of `profiles`, where one fits
  std::vector<LoadProfile> profiles;
};

// Users over-estimate, and say round numbers (Mu'alem and Feitelson, IEEE TPDS 12(6), 2001; Tsafrir, Etsion, Feitelson, JSSPP 2005): an
// estimate is the run time times 1 + a log-normal factor of median 1 (at most 100), rounded up to whole hours. No job outlives its
// estimate.

inline constexpr std::int64_t kLoadJobsMax = 20'000'000;  // more do not fit a machine's memory

/// Jobs, settled; the first note says what was made. An error where the shape makes no sense.
[[nodiscard]] Result<Workload> generate(const LoadShape& shape);

}  // namespace centrale
