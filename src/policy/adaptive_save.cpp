// SPDX-License-Identifier: Apache-2.0
// The books that a restart needs to decide alike, and what waits longest.
#include <algorithm>

#include "base/json.hpp"
#include "policy/adaptive.hpp"

namespace centrale {

std::optional<Work> Adaptive::blocked() const {
  const Work* first = nullptr;
  for (const Entry& entry : entries_) {
    if (entry.state == State::waiting &&
        (first == nullptr || std::tuple(-entry.work.priority, entry.work.order) < std::tuple(-first->priority, first->order))) {
      first = &entry.work;
    }
  }
  return first == nullptr ? std::nullopt : std::optional(*first);
}

std::string Adaptive::save() const {
  Books books;
  books.planned = planned_;
  books.dirty = dirty_;
  std::map<std::uint64_t, Kept> kept;
  for (const auto& [owner, its] : by_owner_) {
    kept[owner] = {.owner = owner,
                   .changes = its.changes,
                   .kind = its.target.kind,
                   .workers = its.target.workers,
                   .chips = its.target.chips,
                   .row = its.target.row,
                   .rate = 0,
                   .bench = -1};
  }
  for (const Entry& entry : entries_) {
    if (entry.state != State::running && entry.state != State::stopping) { continue; }
    Kept& its = kept[entry.work.owner];
    its.owner = entry.work.owner;
    its.rate = entry.rate;
    if (entry.state == State::running) { its.changes = entry.changes; }
  }
  for (std::size_t i = 0; i < newcomers_.size(); ++i) {
    Kept& its = kept[entries_[newcomers_[i]].work.owner];
    its.owner = entries_[newcomers_[i]].work.owner;
    its.bench = static_cast<std::int64_t>(i);
    if (!by_owner_.contains(its.owner)) { its.changes = entries_[newcomers_[i]].changes; }
  }
  for (const auto& [owner, its] : kept) { books.kept.push_back(its); }
  std::string text;
  write_json(text, books);
  return text;
}

Result<void> Adaptive::load(std::string_view saved) {
  if (saved.empty()) { return {}; }
  Books books;
  TRY(read_json(saved, books, JsonStrictness::lenient));
  std::unordered_map<std::uint64_t, std::size_t> entry_of;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].state != State::gone) { entry_of[entries_[i].work.owner] = i; }
  }
  std::vector<std::pair<std::int64_t, std::size_t>> bench;
  by_owner_.clear();
  for (const Kept& kept : books.kept) {
    const auto found = entry_of.find(kept.owner);
    Entry* const entry = found == entry_of.end() ? nullptr : &entries_[found->second];
    if (entry != nullptr) {
      entry->changes = kept.changes;
      if (kept.rate > 0) { entry->rate = kept.rate; }
      if (kept.bench >= 0 && entry->state == State::waiting) { bench.emplace_back(kept.bench, found->second); }
    }
    // A running job without a target has no book of its own; one that waits or stops keeps what was planned for it.
    if (kept.workers > 0 || (kept.rate > 0 && entry != nullptr && entry->state == State::stopping)) {
      by_owner_[kept.owner] = {.target = {.kind = kept.kind, .workers = kept.workers, .chips = kept.chips, .row = kept.row},
                               .changes = kept.changes};
    }
  }
  std::ranges::sort(bench);
  newcomers_.clear();
  for (const auto& [place, index] : bench) { newcomers_.push_back(index); }
  planned_ = books.planned;
  dirty_ = books.dirty;
  return {};
}

}  // namespace centrale
