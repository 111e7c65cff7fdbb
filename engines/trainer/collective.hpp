// SPDX-License-Identifier: Apache-2.0
// The ranks of one job: torch's own collectives, Gloo on CPUs and NCCL on GPUs. One rank alone needs no network.
#pragma once
#include <memory>
#include <string>

#include "base/result.hpp"
#include "torch.hpp"

namespace centrale::trainer {

struct Ranks {
  int rank = 0;
  int local_rank = 0;
  int count = 1;
  std::string address = "127.0.0.1";
  int port = 29500;
  bool agent_has_store = false;  // torchrun's agent serves the rendezvous itself
};
/// RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, as torch.distributed reads them.
Result<Ranks> ranks_from_environment();

class Collective {
 public:
  /// Waits until all ranks are there, five minutes at most.
  static Result<Collective> join(const Ranks& ranks, const at::Device& device);
  Collective(Collective&&) noexcept;
  Collective& operator=(Collective&&) noexcept;
  ~Collective();

  [[nodiscard]] int rank() const { return ranks_.rank; }
  [[nodiscard]] int count() const { return ranks_.count; }
  /// In place. Fails when another rank has gone.
  Result<void> sum(at::Tensor& values);
  /// In place: everyone has rank 0's values afterwards.
  Result<void> broadcast(at::Tensor& values);
  /// Rank 0 passes the text, everyone gets it.
  Result<std::string> share(const std::string& name, const std::string& text);

 private:
  struct Group;
  Collective();
  Ranks ranks_;
  std::unique_ptr<Group> group_;
};

}  // namespace centrale::trainer
