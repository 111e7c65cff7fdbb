// SPDX-License-Identifier: Apache-2.0
// Turns the core in real time: one core thread takes events in batches, applies them, makes them durable with one group
// commit, and only then carries out their actions and answers whoever waits.
#pragma once
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "centre/core.hpp"
#include "operate/journal.hpp"

namespace centrale {

/// The wall clock, injected. Host time never runs back: it is the larger of the clock and the last event's time.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Time now() = 0;
};

/// What carries out actions. Called on the core thread, after the events are durable, with the core as it then is. Must not block.
class Launcher {
 public:
  virtual ~Launcher() = default;
  virtual void start(const Core& core, TaskId task) = 0;
  virtual void stop(const Core& core, TaskId task, Nanos grace) = 0;
  /// After a restart, before anything else: what the core believes to be alive.
  virtual void adopt(const Core& core, const std::vector<TaskId>& alive) = 0;
};

struct FoldOptions {
  std::string policy = "fifo";
  CoreLimits limits;
};
/// The state after event range.last, from the journal alone, reading every event of the range. It begins at event 1 or at a kept
/// snapshot just before range.first.
[[nodiscard]] Result<Core> fold_journal(JournalReader& reader, JournalReader::Range range, const FoldOptions& options);

struct HostOptions {
  std::size_t batch_max = 4096;            // events in one group commit
  std::size_t queue_max = 200'000;         // beyond it, posts are refused: unavailable
  std::uint64_t snapshot_every = 200'000;  // events
  std::string policy = "fifo";
  CoreLimits limits;
};

class Host {
 public:
  /// Folds the journal into a core. Errors: the journal's.
  [[nodiscard]] static Result<std::unique_ptr<Host>> open(std::unique_ptr<Journal> journal, Clock& clock, HostOptions options);
  ~Host();
  /// Ends the core thread; what was posted is committed first. Afterwards wishes are refused and facts are left to be found again at
  /// the next start. What the thread calls (the launcher, listeners) must live until then.
  void stop();

  /// Starts the core thread: adopts, issues outstanding actions, then takes events.
  void run(Launcher& launcher);

  /// A wish: `done` gets the created id once the event is durable, or the error. Called on the core thread.
  void wish(Event event, std::function<void(Result<std::uint64_t>)> done);
  /// The same, waiting for the answer. Never from the core thread.
  [[nodiscard]] Result<std::uint64_t> wish_and_wait(Event event);
  /// A fact from a driver. Never refused; kept until it can be made durable.
  void fact(Event event);
  /// Runs `f` on the core thread between batches. Never waits for the disk to be durable.
  void read(std::function<void(const Core&, Time now)> f);
  /// Called on the core thread after each durable batch with what changed (deduplicated).
  void on_changes(std::function<void(const Core&, Time now, const std::vector<Change>&)> f);

  struct Health {
    bool journal_ok = true;
    std::string journal_message;
    std::uint64_t sequence = 0;
    std::size_t queue = 0;
    std::uint64_t commits = 0, events = 0;
    double recover_s = 0;
    std::uint64_t recovered_events = 0;
  };
  [[nodiscard]] Health health() const;

 private:
  struct State;
  explicit Host(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace centrale
