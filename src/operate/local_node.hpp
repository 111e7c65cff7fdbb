// SPDX-License-Identifier: Apache-2.0
// This machine as a node of the centre: says which chips it has, starts and stops what the core decides, reports back what
// becomes of it. Translates between the core's words (tasks, chips) and the local driver's (commands, cores, devices).
#pragma once
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.hpp"
#include "fleet/catalogue.hpp"
#include "operate/discover.hpp"
#include "operate/engines.hpp"
#include "operate/health.hpp"
#include "operate/host.hpp"
#include "operate/local_driver.hpp"

namespace centrale {

struct LocalNodeOptions {
  EngineOptions engines;
  std::string supervisor;      // path of centrale-task
  std::string node_name;       // empty: the host's
  std::int64_t cpu_chips = 0;  // 0: one a core; else that many, sharing the cores
  std::chrono::milliseconds sample_every{2000};
};

class LocalNode final : public Launcher {
 public:
  /// Errors: the state folder cannot be used, or this machine's CPUs cannot be read.
  [[nodiscard]] static Result<std::unique_ptr<LocalNode>> open(Host& host, boost::asio::io_context& rim, LocalNodeOptions options,
                                                               MachineReport machine, const Catalogue& catalogue);
  ~LocalNode() override;

  /// What the core is told of this node.
  [[nodiscard]] NodeJoined joined() const;
  [[nodiscard]] const MachineReport& machine() const { return machine_; }
  /// Once the core knows the node: maps its chips to this machine's, starts measuring.
  void attach(const Core& core);

  // Launcher, on the core thread.
  void start(const Core& core, TaskId task) override;
  void stop(const Core& core, TaskId task, Nanos grace) override;
  void adopt(const Core& core, const std::vector<TaskId>& alive) override;

  // From any thread.
  [[nodiscard]] ChipSample sample(ChipId chip) const;
  [[nodiscard]] const LocalDriver& driver() const { return *driver_; }
  /// Was it started or adopted here, and has not been seen to end?
  [[nodiscard]] bool is_alive(TaskId task) const;
  /// The task that was the job's attempt of that number; nothing when its folder is gone.
  [[nodiscard]] std::optional<TaskId> attempt(JobId job, std::int64_t number) const;
  /// The newest task that a replica had.
  [[nodiscard]] std::optional<TaskId> replica(ServiceId service, std::int64_t ordinal) const;

 private:
  LocalNode(Host& host, boost::asio::io_context& rim, LocalNodeOptions options, MachineReport machine);
  void list_chips(const Catalogue& catalogue);
  void remember_folders();
  [[nodiscard]] Result<task::LaunchSpec> launch_of(const Core& core, const Task& task);
  [[nodiscard]] std::vector<task::RankSpec> ranks_of(const Core& core, const Task& task) const;
  void measure();
  /// Energy of the task's chips since it was started here, where every one of them was measured all the time.
  [[nodiscard]] Millijoules energy_since_start(TaskId task);

  /// One chip as the core counts it.
  struct LocalChip {
    std::size_t report = 0;  // index into machine_.chips; several share one when cpu_chips asks for more than there are
    std::size_t sharers = 1;
  };
  struct Kind {
    ChipGroup group;
    std::vector<LocalChip> chips;  // by Chip::local
  };
  struct Running {
    std::string health_path;  // of a replica
    std::vector<ChipId> chips;
    std::vector<std::int64_t> energy_mj;  // of each chip at the start; -1: not measured
  };
  struct Meter {
    std::int64_t energy_mj = 0;
    bool whole = false;  // every sample so far had a power
  };

  Host& host_;
  LocalNodeOptions options_;
  MachineReport machine_;
  std::vector<Kind> kinds_;
  HealthWatch health_;

  mutable std::mutex mutex_;  // guards all below but the thread
  std::map<TaskId, Running> running_;
  std::map<std::pair<JobId, std::int64_t>, TaskId> attempts_;
  std::map<std::pair<ServiceId, std::int64_t>, TaskId> replicas_;
  std::map<ChipId, std::size_t> report_of_;  // chip -> index into machine_.chips
  std::map<ChipId, std::size_t> sharers_of_;
  std::vector<ChipSample> samples_;
  std::vector<Meter> meters_;
  std::condition_variable wake_;
  bool closing_ = false;
  std::thread sampler_;
  std::unique_ptr<LocalDriver> driver_;  // last: its thread calls back into all of the above
};

}  // namespace centrale
