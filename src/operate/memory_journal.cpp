// SPDX-License-Identifier: Apache-2.0
#include "operate/memory_journal.hpp"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "base/ensure.hpp"

namespace centrale {
namespace {

constexpr const char* kWhere = "memory journal";

std::uint64_t last_of(const MemoryDisk& disk) { return disk.first + disk.events.size() - 1; }

/// The contract of JournalReader::read. The lock is not held while the visitor runs: it may append.
Result<std::uint64_t> read_events(MemoryDisk& disk, std::uint64_t from, std::uint64_t to, const VisitRecord& visit) {
  std::uint64_t next = from;
  for (; next < to; ++next) {
    MemoryDisk::Event event;
    {
      const std::lock_guard guard(disk.mutex);
      if (next < disk.first) {
        return fail(ErrorKind::not_found, fmt::format("event {} is no longer kept; the history begins at event {}", next, disk.first),
                    kWhere);
      }
      if (next > last_of(disk)) { return next; }
      event = disk.events[next - disk.first];
    }
    TRY(visit({next, event.time_ns, event.payload}));
  }
  return next;
}

class MemoryJournalReader final : public JournalReader {
 public:
  explicit MemoryJournalReader(std::shared_ptr<MemoryDisk> disk) : disk_(std::move(disk)) {}
  Result<Range> range() override {
    const std::lock_guard guard(disk_->mutex);
    return Range{disk_->first, last_of(*disk_)};
  }
  Result<std::uint64_t> read(std::uint64_t from, std::uint64_t to, const VisitRecord& visit) override {
    return read_events(*disk_, from, to, visit);
  }
  Result<std::optional<Snapshot>> snapshot_at(std::uint64_t sequence) override {
    const std::lock_guard guard(disk_->mutex);
    const auto after = disk_->snapshots.upper_bound(sequence);
    if (after == disk_->snapshots.begin()) { return std::nullopt; }
    const auto& [at, bytes] = *std::prev(after);
    return Snapshot{at, bytes};
  }

 private:
  std::shared_ptr<MemoryDisk> disk_;
};

}  // namespace

MemoryJournal::MemoryJournal(std::shared_ptr<MemoryDisk> disk, const JournalOptions& options) : disk_(std::move(disk)), options_(options) {}

Result<std::unique_ptr<MemoryJournal>> MemoryJournal::open(std::shared_ptr<MemoryDisk> disk, const JournalOptions& options) {
  const std::lock_guard guard(disk->mutex);
  if (disk->open) { return fail(ErrorKind::conflict, "another centre has this journal open", kWhere, "stop it first"); }
  disk->open = true;
  return std::unique_ptr<MemoryJournal>(new MemoryJournal(disk, options));
}

MemoryJournal::~MemoryJournal() {
  const std::lock_guard guard(disk_->mutex);
  disk_->open = false;
}

Result<Recovered> MemoryJournal::recover(const VisitSnapshot& visit_snapshot, const VisitRecord& visit_record) {
  Recovered recovered;
  TRY_ASSIGN(const auto reader, open_reader());
  TRY_ASSIGN(const auto snapshot, reader->snapshot_at(std::numeric_limits<std::uint64_t>::max()));
  if (snapshot) {
    recovered.snapshot_sequence = snapshot->sequence;
    TRY(visit_snapshot(*snapshot));
  }
  recovered.last_sequence = last_sequence();
  const VisitRecord count = [&](const Record& record) {
    ++recovered.events;
    return visit_record(record);
  };
  TRY(reader->read(recovered.snapshot_sequence + 1, std::numeric_limits<std::uint64_t>::max(), count));
  return recovered;
}

template <class Write>
Result<void> MemoryJournal::write(const Write& commit) {
  if (crashed_) { return fail(ErrorKind::io, "the journal has crashed", kWhere); }
  if (fail_next_) { return std::unexpected(*std::exchange(fail_next_, std::nullopt)); }
  crashed_ = crash_after_ && (*crash_after_)-- == 0;
  if (!crashed_ || crash_ == Crash::after_commit) {
    const std::lock_guard guard(disk_->mutex);
    commit();
  }
  if (crashed_) { return fail(ErrorKind::io, "the journal has crashed", kWhere); }
  return {};
}

Result<void> MemoryJournal::append(std::span<const Record> batch) {
  ensure_appendable(batch, last_sequence());
  if (batch.empty()) { return {}; }
  return write([&] {
    for (const Record& record : batch) { disk_->events.push_back({record.time_ns, std::string(record.payload)}); }
  });
}

Result<void> MemoryJournal::save_snapshot(std::uint64_t sequence, std::string_view bytes) {
  {
    const std::lock_guard guard(disk_->mutex);
    ensure(sequence >= 1 && sequence <= last_of(*disk_));
    ensure(disk_->snapshots.lower_bound(sequence) == disk_->snapshots.end());
  }
  return write([&] {
    disk_->snapshots.emplace(sequence, bytes);
    forget_history();
  });
}

void MemoryJournal::forget_history() {
  std::vector<std::uint64_t> sequences;
  for (const auto& [sequence, bytes] : disk_->snapshots) { sequences.push_back(sequence); }
  const Retention retention = retain(sequences, disk_->first, last_of(*disk_), options_.history_max);
  for (; disk_->first <= retention.forget_events_through; ++disk_->first) { disk_->events.pop_front(); }
  for (const std::uint64_t sequence : retention.forget_snapshots) { disk_->snapshots.erase(sequence); }
}

std::uint64_t MemoryJournal::last_sequence() const {
  const std::lock_guard guard(disk_->mutex);
  return last_of(*disk_);
}

Result<std::unique_ptr<JournalReader>> MemoryJournal::open_reader() const { return std::make_unique<MemoryJournalReader>(disk_); }

}  // namespace centrale
