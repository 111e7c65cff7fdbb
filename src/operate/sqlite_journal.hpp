// SPDX-License-Identifier: Apache-2.0
// The journal in one SQLite file (WAL mode, synchronous=FULL): `path`, with `path-wal` and `path-shm` beside it, and
// `path.lock`, which the one writer holds. A file that is not a journal, or a newer one, is refused untouched.
#pragma once
#include <filesystem>
#include <memory>

#include "operate/journal.hpp"

namespace centrale {

// Written into the file's header; a journal with a larger number was written by a newer Centrale.
inline constexpr std::uint32_t kJournalSchema = 1;
// "CtrJ": SQLite's application_id, by which `file` and we tell a journal from any other database.
inline constexpr std::uint32_t kJournalApplicationId = 0x4374724A;

class SqliteJournal final : public Journal {
 public:
  /// Opens the journal, or creates it (mode 0600) where there is no file; the folder must exist.
  /// conflict: another process has it open (named by its pid). invalid: not a journal, damaged, or of a newer schema.
  /// not_found: no such folder. io, unavailable: the machine refused.
  [[nodiscard]] static Result<std::unique_ptr<SqliteJournal>> open(const std::filesystem::path& path, const JournalOptions& options = {});
  ~SqliteJournal() override;

  [[nodiscard]] Result<Recovered> recover(const VisitSnapshot&, const VisitRecord&) override;
  [[nodiscard]] Result<void> append(std::span<const Record> batch) override;
  [[nodiscard]] Result<void> save_snapshot(std::uint64_t sequence, std::string_view bytes) override;
  [[nodiscard]] std::uint64_t last_sequence() const override;
  [[nodiscard]] Result<std::unique_ptr<JournalReader>> open_reader() const override;

 private:
  struct State;
  explicit SqliteJournal(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Reads a journal that may or may not have a writer; never takes the writer's lock, never changes an event.
[[nodiscard]] Result<std::unique_ptr<JournalReader>> open_sqlite_reader(const std::filesystem::path& path);

}  // namespace centrale
