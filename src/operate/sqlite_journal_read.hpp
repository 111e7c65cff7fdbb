// SPDX-License-Identifier: Apache-2.0
// Private to the SQLite journal: what writer and reader both read. Everything read is checked: the file is input.
#pragma once
#include <vector>

#include "operate/journal.hpp"
#include "operate/sqlite_journal_file.hpp"

namespace centrale::sqlite {

[[nodiscard]] Result<void> check_journal_schema(sqlite3* db, const std::string& path);
[[nodiscard]] Result<JournalReader::Range> event_range(sqlite3* db, const std::string& path);
/// Ascending.
[[nodiscard]] Result<std::vector<std::uint64_t>> snapshot_sequences(sqlite3* db, const std::string& path);
[[nodiscard]] Result<Snapshot> load_snapshot(sqlite3* db, std::uint64_t sequence, const std::string& path);
[[nodiscard]] std::uint32_t snapshot_part_checksum(std::uint64_t sequence, std::uint64_t part, std::uint64_t parts, std::string_view bytes);
/// The contract of JournalReader::read.
[[nodiscard]] Result<std::uint64_t> read_events(sqlite3* db, std::uint64_t from, std::uint64_t to, const VisitRecord& visit,
                                                const std::string& path);

}  // namespace centrale::sqlite
