// SPDX-License-Identifier: Apache-2.0
// What the books of elastic policies hold that cannot be told from the work itself.
#include <algorithm>
#include <charconv>
#include <sstream>

#include <fmt/format.h>

#include "policy/elastic.hpp"

namespace centrale {

std::string ElasticPolicy::save() const {
  std::string text =
      fmt::format("round {} {} {} {} {} {}\n", next_round_.ns, now_.ns, wake_.ns, decided_ ? 1 : 0, head_changed_ ? 1 : 0, stop_s_);
  text += fmt::format("blocked {}\n", blocked_);
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
    if (usable_[kind] == 0 && free_[kind] == 0) { continue; }
    text += fmt::format("kind {} {} {} {} {}\n", kind, free_[kind], usable_[kind], node_chips_[kind], static_cast<int>(wide_[kind]));
  }
  for (const Pending& p : pendings_) {
    text += fmt::format("pending {} {} {} {} {} {} {} {} {} {} {}", p.owner, p.slot == kNoSlot ? 0 : items_[p.slot].work.task.value,
                        int{p.kind}, p.workers, p.chips, p.row, p.have, p.owed, p.until.ns, p.starving ? 1 : 0, p.gone ? 1 : 0);
    for (const std::uint32_t node : p.nodes) { text += fmt::format(" {}", node); }
    text += '\n';
  }
  std::vector<const Item*> held;
  std::vector<std::uint64_t> owners;
  for (const Item& item : items_) {
    if (item.phase == Phase::running || item.phase == Phase::stopping) { held.push_back(&item); }
    if (item.phase != Phase::none) { owners.push_back(item.work.owner); }
  }
  for (const Pending& p : pendings_) { owners.push_back(p.owner); }
  std::ranges::sort(held, {}, [](const Item* item) { return item->work.task; });
  for (const Item* item : held) {
    text += fmt::format("task {} {} {} {} {} {} {} {} {}\n", item->work.task.value, item->seen.ns, item->left, item->saved.ns,
                        item->told.ns, item->heir, item->sheltered ? 1 : 0, item->phase == Phase::stopping ? 1 : 0, item->work.work_left);
  }
  std::ranges::sort(owners);
  owners.erase(std::unique(owners.begin(), owners.end()), owners.end());
  for (const std::uint64_t owner : owners) {
    const auto found = owners_.find(owner);
    if (found == owners_.end()) { continue; }
    text += fmt::format("owner {} {} {} {}\n", owner, found->second.starts, found->second.failures, found->second.retry.ns);
  }
  for (const Ended& e : ended_) {
    text += fmt::format("ended {} {} {} {} {} {} {}\n", e.since.ns, e.told.ns, e.attained_before, e.chips, e.stopped ? 1 : 0,
                        e.work.service ? 1 : 0, e.work.chips_total());
  }
  save_more(text);
  return text;
}

namespace {

/// A line of a saved book, read from the left.
class Line {
 public:
  explicit Line(std::string_view text) : text_(text) {}
  template <class Number>
  bool take(Number& out) {
    const std::size_t end = std::min(text_.find(' '), text_.size());
    const auto [at, error] = std::from_chars(text_.data(), text_.data() + end, out);
    const bool good = end > 0 && error == std::errc{} && at == text_.data() + end;
    text_.remove_prefix(std::min(end + 1, text_.size()));
    return good;
  }
  template <class... Numbers>
  bool all(Numbers&... out) {
    return (take(out) && ...);
  }
  bool flag(bool& out) {
    int value = 0;
    const bool good = take(value);
    out = value != 0;
    return good;
  }
  [[nodiscard]] bool empty() const { return text_.empty(); }

 private:
  std::string_view text_;
};

}  // namespace

bool ElasticPolicy::load_own(std::string_view word, std::string_view rest) {
  Line line(rest);
  if (word == "round") {
    return line.all(next_round_.ns, now_.ns, wake_.ns) && line.flag(decided_) && line.flag(head_changed_) && line.take(stop_s_);
  }
  if (word == "blocked") { return line.take(blocked_); }
  if (word == "kind") {
    std::size_t kind = 0;
    std::size_t wide = 0;
    if (!line.take(kind) || kind >= kKindsMax) { return false; }
    if (!line.all(free_[kind], usable_[kind], node_chips_[kind], wide) || wide >= kSpreads) { return false; }
    wide_[kind] = static_cast<Spread>(wide);
    if (usable_[kind] > 0) { existing_ |= KindMask{1} << kind; }
    return true;
  }
  if (word == "pending") { return load_pending(rest); }
  if (word == "task") {
    TaskId task;
    Item read;
    bool stops = false;
    if (!line.all(task.value, read.seen.ns, read.left, read.saved.ns, read.told.ns, read.heir) || !line.flag(read.sheltered) ||
        !line.flag(stops) || !line.take(read.work.work_left)) {
      return false;
    }
    Item* item = find(task);
    if (item == nullptr || item->phase == Phase::waiting) { return false; }
    item->seen = read.seen;
    item->left = read.left;
    item->saved = read.saved;
    item->told = read.told;
    item->heir = read.heir;
    item->sheltered = read.sheltered;
    item->work.work_left = read.work.work_left;
    if (stops) { item->phase = Phase::stopping; }
    return true;
  }
  if (word == "owner") {
    std::uint64_t owner = 0;
    Owner read;
    if (!line.all(owner, read.starts, read.failures, read.retry.ns)) { return false; }
    read.promised = owner_of(owner).promised;
    owners_[owner] = read;
    return true;
  }
  if (word == "ended") {
    Ended read;
    if (!line.all(read.since.ns, read.told.ns, read.attained_before, read.chips) || !line.flag(read.stopped) ||
        !line.flag(read.work.service) || !line.take(read.work.gang.workers)) {
      return false;
    }
    ended_.push_back(read);
    return true;
  }
  return load_line(word, rest);
}

bool ElasticPolicy::load_pending(std::string_view rest) {
  Line line(rest);
  Pending read;
  TaskId task;
  std::size_t kind = 0;
  if (!line.all(read.owner, task.value, kind, read.workers, read.chips, read.row, read.have, read.owed, read.until.ns) ||
      !line.flag(read.starving) || !line.flag(read.gone) || kind >= kKindsMax) {
    return false;
  }
  read.kind = static_cast<KindIndex>(kind);
  while (!line.empty()) {
    std::uint32_t node = 0;
    if (!line.take(node) || node > 100'000'000) { return false; }
    read.nodes.push_back(node);
    if (gathering_.size() <= node) { gathering_.resize(node + 1U, 0); }
    ++gathering_[node];
  }
  if (task) {
    const auto found = index_.find(task);
    if (found == index_.end() || items_[found->second].phase != Phase::waiting) { return false; }
    read.slot = found->second;
  }
  reserved_[kind] += read.have;
  promise(std::move(read));
  return true;
}

Result<void> ElasticPolicy::load(std::string_view saved) {
  while (!saved.empty()) {
    const std::size_t end = std::min(saved.find('\n'), saved.size());
    const std::string_view line = saved.substr(0, end);
    saved.remove_prefix(std::min(end + 1, saved.size()));
    const std::size_t space = std::min(line.find(' '), line.size());
    if (!load_own(line.substr(0, space), line.substr(std::min(space + 1, line.size())))) {
      return fail(ErrorKind::invalid, fmt::format("the saved books of policy '{}' have a line that it did not write", name()),
                  std::string(line.substr(0, 80)), "restore from an older snapshot, or from the journal alone");
    }
  }
  jobs_.clear();  // work was queued before its rank was known
  for (Slot slot = 0; slot < items_.size(); ++slot) {
    if (items_[slot].phase == Phase::waiting) { jobs_.push_back(slot); }
  }
  rank_all();
  rebuild_lanes();
  return {};
}

}  // namespace centrale
