// SPDX-License-Identifier: Apache-2.0
// Step times of centrale-trainer as the planner's formulas have them, on a chip that `centrale calibrate` wrote:
//
//   calibrate_predict CHIP.yaml < lines of "CONFIG.json SEQUENCE BATCH"
//
// One JSON object a line: the step and its parts, seconds. One rank, fp32, a micro-batch of the whole batch.
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <iterator>

#include "estimate/train.hpp"
#include "model/read.hpp"

namespace {

using namespace centrale;

Result<std::string> text_of(const std::string& path) {
  std::ifstream in(path);
  if (!in) { return fail(ErrorKind::not_found, "cannot be read", path); }
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

Result<std::string> predict(const Island& island, const Stack& stack, const std::string& config, std::int64_t sequence,
                            std::int64_t batch) {
  TRY_ASSIGN(const std::string json, text_of(config));
  TRY_ASSIGN(const Model model, read_model(json, config));
  const TrainRun run{.sequence = sequence, .global_batch = batch};
  Layout layout;
  layout.micro_batch = batch;
  layout.precision = Precision::fp32;
  if (std::string fault = fault_of(layout, model, run, island); !fault.empty()) { return fail(ErrorKind::invalid, fault, config); }
  TrainEstimator estimator(model, island, stack, run);
  const StepEstimate e = estimator.estimate(layout);
  return fmt::format(R"({{"step":{},"forward":{},"backward":{},"head":{},"optimizer":{},"other":{},"flop":{},"parameters":{}}})",
                     e.step.value, e.parts.forward.value, e.parts.backward.value, e.parts.head.value, e.parts.optimizer.value,
                     e.parts.other.value, e.model_flop.value, parameters(model));
}

Result<void> run(const std::string& chip_file) {
  TRY_ASSIGN(const std::string yaml, text_of(chip_file));
  TRY_ASSIGN(const Catalogue catalogue, read_catalogue(yaml, chip_file));
  if (catalogue.chips.size() != 1) { return fail(ErrorKind::invalid, "wants one chip", chip_file); }
  TRY_ASSIGN(const Stack stack, stack_named("centrale-trainer", default_stacks()));
  const Fleet fleet = fleet_of(catalogue.chips.front(), 1, catalogue);
  std::string config;
  std::int64_t sequence = 0, batch = 0;
  while (std::cin >> config >> sequence >> batch) {
    TRY_ASSIGN(const std::string line, predict(fleet.islands.front(), stack, config, sequence, batch));
    fmt::print("{}\n", line);
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: calibrate_predict CHIP.yaml < lines of CONFIG.json SEQUENCE BATCH\n");
    return 2;
  }
  if (const auto done = run(argv[1]); !done) {
    fmt::print(stderr, "calibrate_predict: {}\n", done.error().message());
    return 65;
  }
  return 0;
}
