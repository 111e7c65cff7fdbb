// SPDX-License-Identifier: Apache-2.0
// A checkpoint is a folder step-000120/ that is also a Hugging Face model folder:
//   model.safetensors, config.json, tokenizer.json, tokenizer_config.json   the model
//   optimizer.safetensors                                                   AdamW's moments
//   state.json                                                              where the run is, and fingerprints of the rest
// It is written under another name and renamed when all of it is on the disk: it is whole, or it is not there.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "optimizer.hpp"
#include "weights.hpp"

namespace centrale::trainer {

/// Where a run is, and what must be the same to go on. There is no other state of chance: weights are drawn once from the
/// seed, and the order of the data is a function of (seed, epoch).
struct RunState {
  std::int64_t step = 0;       // optimizer steps done
  std::int64_t sequences = 0;  // position in the order of the data, over all workers
  std::int64_t tokens = 0;     // trained on
  std::uint64_t seed = 0;
  std::int64_t batch = 0;
  std::int64_t sequence_length = 0;
  double eval_fraction = 0;
  std::uint64_t corpus_mark = 0;
  std::uint64_t loss_history = 0;  // fingerprint of all losses so far, in order: two runs can be compared at a glance
  std::string precision;
  int threads = 0;
  int workers = 0;
};

struct Checkpoint {
  std::filesystem::path folder;
  RunState state;
  ModelFiles files;
};

using Warn = std::function<void(const std::string&)>;

std::string checkpoint_name(std::int64_t step);

/// The newest whole one; damaged and half-written ones are passed over with a warning. Fails if all are damaged.
Result<std::optional<Checkpoint>> newest_checkpoint(const std::filesystem::path& folder, const Warn& warn);
Result<Checkpoint> open_checkpoint(const std::filesystem::path& folder);
Result<void> load_checkpoint(const Checkpoint& checkpoint, Llama& model, AdamW& optimizer);

/// Returns the folder's name. When it is whole, all but the `keep` newest are removed.
Result<std::string> save_checkpoint(const std::filesystem::path& folder, const RunState& state, const Llama& model, const AdamW& optimizer,
                                    const Vocabulary& vocabulary, int keep);

}  // namespace centrale::trainer
