// SPDX-License-Identifier: Apache-2.0
// What failed on which chip. One job that fails says little of a chip; different jobs that fail on it in a row say something.
#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "centre/core_state.hpp"

namespace centrale {

namespace {
constexpr std::size_t kReasonMax = 200;  // bytes of a reason that are kept for each chip of a gang
}  // namespace

void CoreState::note_failure(ChipId chip, const std::string& reason) {
  ChipRecord& record = chip_records[chip.value];
  record.chip = chip;
  record.reason = shorten(reason, kReasonMax);
  record.last = now;
  changed(Change::What::node, chips[chip.value - 1].node.value);
}

bool CoreState::is_suspect(const ChipRecord& record) const {
  return scheduling.suspect_after > 0 && static_cast<std::int64_t>(record.row.size()) >= scheduling.suspect_after;
}

/// Counts what failed by itself. What was stopped, or says that its own command is wrong (sysexits.h), says nothing of the chips.
void CoreState::note_ending(const Task& task, Ending ending, const std::string& message) {
  if (ending == Ending::done) {
    if (chip_records.empty()) { return; }
    for (const ChipId chip : task.chips) {
      if (const auto found = chip_records.find(chip.value); found != chip_records.end()) { found->second.row.clear(); }
    }
    return;
  }
  if (ending != Ending::failed && ending != Ending::lost) { return; }
  const std::uint64_t owner = owner_of(task);
  for (const ChipId id : task.chips) {
    note_failure(id, message);
    ChipRecord& record = chip_records[id.value];
    ++record.tasks_failed;
    if (record.row.size() < kFailedInARowMax && std::ranges::find(record.row, owner) == record.row.end()) { record.row.push_back(owner); }
    if (scheduling.quarantine && is_suspect(record) && chips[id.value - 1].health == ChipHealth::ok) {
      ++record.failures;
      record.reason = shorten(fmt::format("{} different jobs failed on it in a row, the last: {}", record.row.size(), message), kReasonMax);
      set_health(id, ChipHealth::failed);
    }
  }
}

const ChipRecord* Core::chip_record(ChipId id) const {
  const auto found = state_->chip_records.find(id.value);
  return found == state_->chip_records.end() ? nullptr : &found->second;
}

bool Core::is_suspect(ChipId id) const {
  const ChipRecord* const record = chip_record(id);
  return record != nullptr && state_->is_suspect(*record);
}

}  // namespace centrale
