// SPDX-License-Identifier: Apache-2.0
// The journal: every event is on disk before its actions are carried out, and the state is the fold of the journal.
// It is also the trace that the twin replays, so events that a snapshot covers are kept for a while.
// Payloads are opaque here; the core encodes and decodes them.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace centrale {

// An event is a fact of a few hundred bytes; the largest is a submit with its files inline.
inline constexpr std::size_t kPayloadBytesMax = 16u << 20;
// One transaction: bounded so that a commit cannot hold the disk for seconds.
inline constexpr std::size_t kBatchRecordsMax = 100'000;
inline constexpr std::uint64_t kSnapshotBytesMax = std::uint64_t{8} << 30;

/// One event. Sequences count from 1 without a gap. A Record that a visitor is given is valid during that call only.
struct Record {
  std::uint64_t sequence = 0;
  std::int64_t time_ns = 0;
  std::string_view payload;
};

/// The encoded state after event `sequence`.
struct Snapshot {
  std::uint64_t sequence = 0;
  std::string bytes;
};

using VisitRecord = std::function<Result<void>(const Record&)>;
using VisitSnapshot = std::function<Result<void>(const Snapshot&)>;

/// What recover() found.
struct Recovered {
  std::uint64_t snapshot_sequence = 0;  // 0: from the beginning
  std::uint64_t last_sequence = 0;
  std::uint64_t events = 0;  // how many were streamed after the snapshot
  std::string warning;       // a damaged snapshot was passed over; nothing is lost, recovery took longer
};

struct JournalOptions {
  /// Events that a snapshot covers are kept until there are more than about this many; the kept history always begins
  /// at event 1 or at a kept snapshot, so that it can be replayed. The newest two snapshots and all after them stay.
  std::uint64_t history_max = 2'000'000;
};

/// Reads while the writer writes, on a thread or in a process of its own. One thread at a time.
class JournalReader {
 public:
  virtual ~JournalReader() = default;
  /// The oldest event that is still kept (last + 1 when none is), and the newest one.
  struct Range {
    std::uint64_t first = 1, last = 0;
  };
  [[nodiscard]] virtual Result<Range> range() = 0;
  /// Streams the events of [from, to) that exist, in order; returns the sequence to go on from.
  /// not_found when `from` is older than what is kept; io when a record is damaged or missing; the visitor's error.
  [[nodiscard]] virtual Result<std::uint64_t> read(std::uint64_t from, std::uint64_t to, const VisitRecord&) = 0;
  /// The newest kept snapshot at or before `sequence`.
  [[nodiscard]] virtual Result<std::optional<Snapshot>> snapshot_at(std::uint64_t sequence) = 0;
};

/// The writer's side: one owner, one thread at a time.
class Journal {
 public:
  virtual ~Journal() = default;
  /// Gives the newest sound snapshot (if any), then every event after it, in order. A gap, a bad checksum or an
  /// unreadable page is an error that names the sequence; nothing is changed on disk.
  [[nodiscard]] virtual Result<Recovered> recover(const VisitSnapshot&, const VisitRecord&) = 0;
  /// All of the batch or none of it; durable when it returns. The first sequence is last_sequence() + 1.
  /// unavailable: no space; the same batch may be appended again later. io: the disk refused; likewise.
  [[nodiscard]] virtual Result<void> append(std::span<const Record> batch) = 0;
  /// Durable when it returns. `sequence` is at most last_sequence() and above every earlier snapshot.
  /// May forget old history (JournalOptions::history_max).
  [[nodiscard]] virtual Result<void> save_snapshot(std::uint64_t sequence, std::string_view bytes) = 0;
  [[nodiscard]] virtual std::uint64_t last_sequence() const = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<JournalReader>> open_reader() const = 0;
};

// ---- shared by the implementations ----

/// Which snapshots to forget and up to which event, when `snapshots` (ascending) and the events first..last are there.
struct Retention {
  std::vector<std::uint64_t> forget_snapshots;
  std::uint64_t forget_events_through = 0;
};
[[nodiscard]] Retention retain(std::span<const std::uint64_t> snapshots, std::uint64_t first, std::uint64_t last,
                               std::uint64_t history_max);

/// What must hold of a batch: a caller that breaks it is broken itself.
void ensure_appendable(std::span<const Record> batch, std::uint64_t last_sequence);

/// CRC-32C (Castagnoli), as in RFC 3720; `crc` continues an earlier sum.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes, std::uint32_t crc = 0);
/// Covers sequence, time and payload, so that a record that lands under another's number is noticed.
[[nodiscard]] std::uint32_t record_checksum(const Record&);

}  // namespace centrale
