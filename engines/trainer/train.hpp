// SPDX-License-Identifier: Apache-2.0
// One training run, as docs/task-contract.md wants it: progress on stdout, checkpoints, SIGTERM, exit codes.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "export.hpp"
#include "formats/order.hpp"

namespace centrale::trainer {

struct TrainOptions {
  std::filesystem::path model;  // config.json; empty: the one of `init`
  std::filesystem::path data;
  std::filesystem::path tokenizer;  // empty: the one of `init`, or a new one
  std::filesystem::path init;       // weights to go on from
  std::filesystem::path checkpoints;
  std::filesystem::path export_to;  // empty: no export
  ExportGguf export_gguf = ExportGguf::f16;
  std::int64_t vocab = 0;  // size of a new tokenizer; 0: as the configuration says
  Schedule schedule;
  std::int64_t batch = 8;        // sequences a step, over all workers
  std::int64_t micro_batch = 8;  // sequences at once in one worker
  std::int64_t sequence_length = 256;
  double weight_decay = 0.1;
  double clip = 1;
  std::uint64_t seed = 1;
  std::string dtype = "auto";
  std::int64_t checkpoint_every = 100;
  int keep = 2;
  double eval_fraction = 0;
  int threads = 0;
};

enum class Ending : unsigned char {
  finished,
  stopped,  // SIGTERM: saved, not finished
};

Result<Ending> train(const TrainOptions& options);

}  // namespace centrale::trainer
