// SPDX-License-Identifier: Apache-2.0
// `centrale plan …`: what is asked, as it was written on the command line. The commands need no centre. Each returns the exit code.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/context.hpp"

namespace CLI {
class App;
}

namespace centrale::cli {

/// Adds `plan` with its commands. CLI11 is seen by few files: it is slow to compile.
void add_plan_commands(CLI::App& app, Context& context);

/// Files laid over what is built in.
struct KnownFiles {
  std::string catalogue;  // chips
  std::string stacks;     // training software
  std::string engines;    // serving software
};

struct PlanTrainOptions {
  KnownFiles known;
  std::string model, fleet, tokens, batch, sequence;
  std::string precisions = "bf16";
  std::string schedules;  // empty: those of the stack
  std::string stack;      // empty: the usual one of the first island's chips
  std::string layout;     // judged instead of searched for
  std::string timeline;
  std::string chip_mtbf, restart, checkpoint_every;
  std::size_t top = 5;
  std::int64_t lora_rank = 0;
  double margin = 0.03, pue = 1.2;
  bool explain = false;
};
int plan_train_command(Context& context, const PlanTrainOptions& options);

struct PlanPredictOptions {
  KnownFiles known;
  std::string file;
};
int plan_predict_command(Context& context, const PlanPredictOptions& options);

struct PlanServeOptions {
  KnownFiles known;
  std::string model, fleet;
  std::string input = "1024", output = "512";
  std::string ttft, itl, rate;  // empty: no limit; one replica's most
  std::string engine;           // empty: the usual one of the chip
  std::string weights;          // formats, comma-separated; empty: bf16, and fp8 where the chip has it
  double spread = 0, reuse = 0, margin = 0.03;
  double draft = 0, acceptance = 0.7;
  std::int64_t replica_chips_max = 0;
  std::size_t top = 5;
  bool together = false;  // prefill and decode are not parted
  bool explain = false;
};
int plan_serve_command(Context& context, const PlanServeOptions& options);

struct PlanFleetOptions {
  KnownFiles known;
  std::string model, tokens, batch, sequence = "4096";
  std::string chips;  // keys, comma-separated
  double days = 0;
  std::int64_t chips_max = 262144;
  std::string precisions = "bf16";
  std::string stack;
};
int plan_fleet_command(Context& context, const PlanFleetOptions& options);

int plan_models_command(Context& context, const KnownFiles& known);
int plan_chips_command(Context& context, const KnownFiles& known);
int plan_stacks_command(Context& context, const KnownFiles& known);

}  // namespace centrale::cli
