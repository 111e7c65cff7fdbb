// SPDX-License-Identifier: Apache-2.0
// Shared by the journal's tests.
#pragma once
#include <fmt/format.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "operate/journal.hpp"

namespace centrale::journal_testing {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "centrale-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) { std::abort(); }
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  [[nodiscard]] std::filesystem::path operator/(const char* name) const { return path_ / name; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// A payload that follows from its sequence, of 0 to 600 bytes with zero bytes in it, so that any mix-up shows.
inline std::string payload_of(std::uint64_t sequence) {
  std::string text = fmt::format("event {}", sequence);
  text.resize(sequence * 7919 % 601, static_cast<char>(sequence % 251));
  return text;
}
inline std::int64_t time_of(std::uint64_t sequence) { return static_cast<std::int64_t>(sequence) * 1'000 - 5'000; }

/// Appends the next `count` events as one batch.
inline Result<void> append_next(Journal& journal, std::size_t count) {
  std::vector<std::string> payloads;
  payloads.reserve(count);
  std::vector<Record> batch;
  std::uint64_t sequence = journal.last_sequence();
  for (std::size_t i = 0; i < count; ++i) {
    ++sequence;
    payloads.push_back(payload_of(sequence));
    batch.push_back({sequence, time_of(sequence), payloads.back()});
  }
  return journal.append(batch);
}

/// Runs recover(); the error tells what differs from what append_next and "state after N" snapshots wrote.
inline Result<Recovered> recover_and_check(Journal& journal) {
  std::uint64_t next = 1;
  const auto wrong = [&] { return fail(ErrorKind::invalid, fmt::format("event or snapshot {} has other content", next)); };
  return journal.recover(
      [&](const Snapshot& snapshot) -> Result<void> {
        next = snapshot.sequence;
        if (snapshot.bytes != fmt::format("state after {}", snapshot.sequence)) { return wrong(); }
        ++next;
        return {};
      },
      [&](const Record& record) -> Result<void> {
        if (record.sequence != next || record.time_ns != time_of(next) || record.payload != payload_of(next)) { return wrong(); }
        ++next;
        return {};
      });
}

inline Result<void> save_state(Journal& journal) {
  return journal.save_snapshot(journal.last_sequence(), fmt::format("state after {}", journal.last_sequence()));
}

}  // namespace centrale::journal_testing
