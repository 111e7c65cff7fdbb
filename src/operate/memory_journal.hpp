// SPDX-License-Identifier: Apache-2.0
// The journal's contract in memory, with faults on demand: tests crash and restart a centre on it in microseconds.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "operate/journal.hpp"

namespace centrale {

/// What outlives a crash. One journal at a time may have it open.
struct MemoryDisk {
  struct Event {
    std::int64_t time_ns = 0;
    std::string payload;
  };
  std::mutex mutex;  // guards all below: readers run on other threads
  std::uint64_t first = 1;
  std::deque<Event> events;  // events[i] has sequence first + i
  std::map<std::uint64_t, std::string> snapshots;
  bool open = false;
};

class MemoryJournal final : public Journal {
 public:
  /// conflict: the disk is open already.
  [[nodiscard]] static Result<std::unique_ptr<MemoryJournal>> open(std::shared_ptr<MemoryDisk> disk, const JournalOptions& options = {});
  ~MemoryJournal() override;

  // Faults. A failed write leaves the disk as it was; a crashed journal refuses all until the disk is opened anew.
  enum class Crash { before_commit, after_commit };
  /// The next append or snapshot fails with `error`, once.
  void fail_next(Error error) { fail_next_ = std::move(error); }
  /// After `writes` more appends or snapshots, the next one crashes: its data is lost, or durable all the same.
  void crash_after(std::uint64_t writes, Crash crash) { crash_after_ = writes, crash_ = crash; }

  [[nodiscard]] Result<Recovered> recover(const VisitSnapshot&, const VisitRecord&) override;
  [[nodiscard]] Result<void> append(std::span<const Record> batch) override;
  [[nodiscard]] Result<void> save_snapshot(std::uint64_t sequence, std::string_view bytes) override;
  [[nodiscard]] std::uint64_t last_sequence() const override;
  [[nodiscard]] Result<std::unique_ptr<JournalReader>> open_reader() const override;

 private:
  MemoryJournal(std::shared_ptr<MemoryDisk> disk, const JournalOptions& options);
  template <class Write>
  Result<void> write(const Write& commit);
  void forget_history();

  std::shared_ptr<MemoryDisk> disk_;
  JournalOptions options_;
  std::optional<Error> fail_next_;
  std::optional<std::uint64_t> crash_after_;
  Crash crash_ = Crash::before_commit;
  bool crashed_ = false;
};

}  // namespace centrale
