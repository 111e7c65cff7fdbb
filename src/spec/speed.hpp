// SPDX-License-Identifier: Apache-2.0
// How fast a job would run, on which chips, in which shape: what an Estimator says of it. It travels in the event that submits the
// job, so that the journal alone tells what was decided and why.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/reflect.hpp"
#include "fleet/spread.hpp"

namespace centrale {

inline constexpr std::size_t kSpeedRowsMax = 10'000;

/// One way to run: `workers` with `chips` each of one kind.
struct SpeedRow {
  std::string kind;
  std::int64_t workers = 1;
  std::int64_t chips = 1;
  /// Work units a second when the gang stays inside a node, a domain, a leaf, a spine, or does not (see Spread). The last one given
  /// holds for all that follow.
  std::vector<double> rates;
  std::string layout;  // for the program: "tp8 pp2 dp4"; empty: as it likes
  bool operator==(const SpeedRow&) const = default;
};

struct Speeds {
  std::vector<SpeedRow> rows;
  double work = 0;     // units until the job is done; 0: nobody knows
  std::string source;  // "planner", "table gavel.csv", …
  bool operator==(const Speeds&) const = default;
};

template <class V>
void describe(V& v, SpeedRow& r) {
  v("kind", r.kind);
  v("workers", r.workers);
  v("chips", r.chips);
  v("rates", r.rates);
  v("layout", r.layout);
}
template <class V>
void describe(V& v, Speeds& s) {
  v("rows", s.rows);
  v("work", s.work);
  v("source", s.source);
}

}  // namespace centrale
