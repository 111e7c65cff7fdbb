// SPDX-License-Identifier: Apache-2.0
// A copy of the core to play with, as the forecast does many times over.
#include "centre/core_state.hpp"

namespace centrale {

const Allowance& Core::allowance() const { return *state_; }

Core Core::fork() const {
  const CoreState& s = *state_;
  Saved saved = s.save();
  saved.keys.clear();
  saved.finished.clear();
  std::erase_if(saved.jobs, [](const Job& job) { return is_final(job.state); });
  for (Job& job : saved.jobs) {  // what only launchers and people read
    job.spec.command = {};
    job.spec.env = {};
    job.spec.workdir = {};
    job.spec.checkpoints = {};
    job.message = {};
  }
  CoreLimits limits = s.limits;
  limits.jobs_finished_kept = 0;
  auto policy = make_policy(s.scheduling);
  ensure(policy.has_value());
  Core copy(std::move(*policy), limits);
  const Result<void> loaded = copy.state_->load(std::move(saved));
  ensure(loaded.has_value());  // it is our own state
  return copy;
}

}  // namespace centrale
