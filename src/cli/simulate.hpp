// SPDX-License-Identifier: Apache-2.0
// `centrale simulate` and `centrale policies`: what is asked, as it was written on the command line. They need no centre.
#pragma once
#include <cstdint>
#include <string>

#include "cli/context.hpp"
#include "cli/plan.hpp"

namespace CLI {
class App;
}

namespace centrale::cli {

/// Adds `simulate` and `policies`. CLI11 is seen by few files: it is slow to compile.
void add_simulate_commands(CLI::App& app, Context& context);

struct SimulateOptions {
  KnownFiles known;
  std::string fleet;  // a file, words such as h100x64, or a CSV of nodes; empty: the machines that the trace came with
  // The load: a trace, or one made from a mix.
  std::string trace, format = "automatic";
  std::string generate;
  std::int64_t jobs = 0;  // 0: 10,000, or as many as fill `days`
  double load = 0.8, days = 0;
  std::string arrivals = "poisson";
  std::int64_t tenants = 20;
  double rate = 1, gavel_rate = 0;
  std::int64_t limit = 0;
  std::string window;  // "1000:3000"
  bool any_kind = false, rigid = false, elastic = false;
  // How it is run.
  std::string policies = "fifo,backfill";
  std::string speeds;
  std::int64_t seeds = 1;
  std::uint64_t seed = 1;
  double noise = 0;
  std::string restart_cost, stop_cost, checkpoint_every, round, starvation_after, until;  // spans; empty: the default
  std::int64_t threads = 0;                                                               // 0: as many as the machine has
  bool check = false;
  // What is written.
  std::string csv, html, timeline;
};
int simulate_command(Context& context, const SimulateOptions& options);
int policies_command(Context& context);

}  // namespace centrale::cli
