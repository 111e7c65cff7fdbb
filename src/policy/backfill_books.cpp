// SPDX-License-Identifier: Apache-2.0
#include "policy/backfill_books.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "base/ensure.hpp"

namespace centrale::backfill {

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kStandardMin = 3600 * kSecond;  // below it, an unknown job would be taken for a short one
constexpr std::int64_t kOverrunMin = 60 * kSecond;
constexpr std::int64_t kAnyMoment = std::numeric_limits<std::int64_t>::min() + 1;  // the end of what was told to stop

/// An end that has passed, put off: by 1, 3, 7, 15 … minutes, the first that is not before `now`. A function of the two only, so
/// that a restored centre corrects alike.
std::int64_t corrected(std::int64_t due, std::int64_t now) {
  if (due >= now) { return due; }
  const std::int64_t over = now - due;
  std::int64_t step = kOverrunMin;
  while (step < over) { step = 2 * step + kOverrunMin; }
  return due + step;
}

std::int64_t end_after(Time since, std::int64_t span) { return span >= kForever ? kNever.ns : since.ns + span; }

std::int64_t nanos_of(double seconds_left) {
  const double nanos = seconds_left * 1e9;
  return nanos >= static_cast<double>(kForever - 1) ? kForever - 1 : static_cast<std::int64_t>(nanos);
}

std::size_t bin_of(Nanos span) {
  const auto length = static_cast<std::uint64_t>(std::max<std::int64_t>(span.value / 1'000'000, 1));  // ms
  const auto octave = static_cast<std::size_t>(std::bit_width(length)) - 1;
  const std::size_t eighth = octave >= 3 ? (length >> (octave - 3)) & 7U : (length << (3 - octave)) & 7U;
  return octave * 8 + eighth;
}

std::string_view word(std::string_view& text) {
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view first = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return first;
}

template <class Number>
bool number(std::string_view& text, Number& out) {
  const std::string_view first = word(text);
  const auto [end, error] = std::from_chars(first.data(), first.data() + first.size(), out);
  return error == std::errc{} && end == first.data() + first.size();
}

}  // namespace

void RunLengths::add(Nanos span) {
  ++bins_[bin_of(span)];
  ++count_;
  settle();
}

void RunLengths::settle() {
  standard_ = kStandardMin;
  std::int64_t below = 0;
  for (std::size_t bin = 0; bin < bins_.size() && count_ > 0; ++bin) {
    below += bins_[bin];
    if (2 * below < count_) { continue; }
    const double edge = std::ldexp(1.0 + static_cast<double>(bin % 8 + 1) / 8, static_cast<int>(bin / 8));
    standard_ = std::max(kStandardMin, nanos_of(edge * 1e-3));
    return;
  }
}

std::string RunLengths::save() const {
  std::string text;
  for (std::size_t bin = 0; bin < bins_.size(); ++bin) {
    if (bins_[bin] > 0) { text += fmt::format("{}{} {}", text.empty() ? "" : " ", bin, bins_[bin]); }
  }
  return text;
}

bool RunLengths::load(std::string_view saved) {
  while (!saved.empty()) {
    std::size_t bin = 0;
    std::int64_t count = 0;
    if (!number(saved, bin) || !number(saved, count) || bin >= bins_.size() || count < 0) { return false; }
    bins_[bin] = count;
    count_ += count;
  }
  settle();
  return true;
}

bool Books::unknown(const Work& work) { return !work.service && work.expected.value <= 0 && work.work_left <= 0; }

std::int64_t Books::span_on(const Work& work, KindIndex kind) const {
  if (work.service) { return kForever; }
  if (work.speed != nullptr && work.work_left > 0) {
    for (const Shape& shape : work.speed->shapes) {
      if (shape.kind != kind || shape.workers != work.gang.workers || shape.chips != work.gang.chips) { continue; }
      float slowest = 0;  // which spread it will get is not known: the longest run is the safe one
      for (const float rate : shape.rate) {
        if (rate > 0 && (slowest == 0 || rate < slowest)) { slowest = rate; }
      }
      if (slowest > 0) { return std::min(kForever - 1, work.restart_cost.value + nanos_of(work.work_left / static_cast<double>(slowest))); }
    }
  }
  if (work.expected.value > 0) { return std::min(kForever - 1, work.expected.value); }
  if (work.speed == nullptr && work.work_left > 0) { return nanos_of(work.work_left); }
  return standard();
}

std::int64_t Books::span_at_best(const Work& work) const {
  if (work.service) { return kForever; }
  if (work.speed == nullptr || work.work_left <= 0) { return span_on(work, 0); }
  std::int64_t best = kForever;
  for (const Shape& shape : work.speed->shapes) {
    if ((work.kinds.mask >> shape.kind & 1) != 0) { best = std::min(best, span_on(work, shape.kind)); }
  }
  // A kind without a row of this shape runs it as long as was said.
  const std::int64_t said = work.expected.value > 0 ? std::min(kForever - 1, work.expected.value) : standard();
  return std::min(best, said);
}

Books::Occupant* Books::find(TaskId task) {
  const auto found = index_.find(task);
  return found == index_.end() ? nullptr : &occupants_[found->second];
}

void Books::occupy(const Work& work, KindIndex kind, std::int64_t chips, Time since, const Told* told) {
  std::size_t at = occupants_.size();
  if (vacant_.empty()) {
    occupants_.emplace_back();
  } else {
    at = vacant_.back();
    vacant_.pop_back();
  }
  if (told != nullptr) { chips = told->chips; }
  Occupant& occupant = occupants_[at];
  occupant = {};
  occupant.task = work.task;
  occupant.kind = kind;
  occupant.chips = chips;
  occupant.since = since;
  occupant.service = work.service;
  occupant.told = told != nullptr || unknown(work) || work.gang.is_share();
  occupant.due = told != nullptr ? told->due : end_after(since, span_on(work, kind));
  occupant.work_at_start = told != nullptr ? told->work_at_start : work.work_left;
  occupant.pace_since = told != nullptr ? told->pace_since : since + work.restart_cost;
  occupant.end = occupant.due;
  index_.insert_or_assign(work.task, at);
  forest_.insert(profile_[kind], {occupant.end, work.task.value}, chips);
  held_[kind] += chips;
}

void Books::started(const Work& work, KindIndex kind, std::int64_t chips, Time now) { occupy(work, kind, chips, now, nullptr); }

void Books::adopt(const Work& work, std::span<const ChipId> chips, std::int64_t, std::int64_t, Time since) {
  ensure(!chips.empty());
  adopted_.push_back({.work = work, .chip = chips.front(), .chips = static_cast<std::int64_t>(chips.size()), .since = since});
}

void Books::put_end(Occupant& occupant, std::int64_t end) {
  forest_.erase(profile_[occupant.kind], {occupant.end, occupant.task.value});
  forest_.insert(profile_[occupant.kind], {end, occupant.task.value}, occupant.chips);
  occupant.end = end;
}

void Books::move_end(Occupant& occupant, std::int64_t end) {
  if (end == occupant.end) { return; }
  const bool early = end < occupant.end;
  put_end(occupant, end);
  if (early) { freed_early(); }
}

void Books::stopping(TaskId task) {
  if (Occupant* occupant = find(task)) {
    occupant->leaving = true;
    move_end(*occupant, kAnyMoment);
  } else {
    leaving_.push_back(task);
  }
}

void Books::ended(TaskId task) {
  std::erase_if(leaving_, [&](TaskId other) { return other == task; });
  const auto found = index_.find(task);
  if (found == index_.end()) {
    std::erase_if(adopted_, [&](const Adopted& other) { return other.work.task == task; });
    return;
  }
  const Occupant& occupant = occupants_[found->second];
  forest_.erase(profile_[occupant.kind], {occupant.end, task.value});
  held_[occupant.kind] -= occupant.chips;
  ended_.push_back({.since = occupant.since, .end = occupant.end, .counts = !occupant.leaving && !occupant.service});
  vacant_.push_back(found->second);
  index_.erase(found);
}

void Books::progressed(TaskId task, double work_left, Time now, Time) {
  Occupant* occupant = find(task);
  if (occupant == nullptr || occupant->leaving || occupant->service) { return; }
  const double done = occupant->work_at_start - work_left;
  const Nanos elapsed = now - occupant->pace_since;
  if (occupant->work_at_start <= 0) {  // the first that anyone says: its pace shows at the next report
    occupant->work_at_start = work_left;
    occupant->pace_since = now;
    occupant->told = true;
    return;
  }
  if (done <= 0 || elapsed.value <= 0 || work_left < 0) { return; }
  occupant->due = now.ns + nanos_of(to_seconds(elapsed) * work_left / done);
  occupant->told = true;
  move_end(*occupant, corrected(occupant->due, now.ns));
}

void Books::settle(const Pool& pool, Time now) {
  for (const Adopted& adopted : adopted_) {
    const auto told = told_.find(adopted.work.task);
    occupy(adopted.work, pool.kind_of(adopted.chip), adopted.chips, adopted.since, told == told_.end() ? nullptr : &told->second);
  }
  adopted_.clear();
  told_.clear();
  for (const TaskId task : leaving_) {
    if (Occupant* occupant = find(task)) {
      occupant->leaving = true;
      move_end(*occupant, kAnyMoment);
    }
  }
  leaving_.clear();
  for (const Ended& ended : ended_) {
    if (ended.end > now.ns) { freed_early(); }
    if (ended.counts) { lengths_.add(now - ended.since); }
  }
  ended_.clear();
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
    const Key from{kAnyMoment, std::numeric_limits<std::uint64_t>::max()};
    for (auto node = forest_.next(profile_[kind], from); node != 0; node = forest_.next(profile_[kind], from)) {
      const Key key = forest_.key(node);
      if (key.major >= now.ns) { break; }
      if (Occupant* occupant = find(TaskId{key.minor})) {
        move_end(*occupant, corrected(occupant->due, now.ns));
      } else {
        passed(static_cast<KindIndex>(kind), key);
      }
    }
  }
}

void Books::passed(KindIndex, Key) { ensure(false); }

Shadow Books::shadow(KindIndex kind, std::int64_t free, std::int64_t need, Time now) const {
  std::int64_t at = now.ns;
  if (need > free) {
    const auto node = forest_.first_reaching(profile_[kind], kBeforeAll, need - free);
    if (node == 0 || forest_.key(node).major == kNever.ns) { return {}; }
    at = std::max(at, forest_.key(node).major);
  }
  return {.at = at, .extra = free + forest_.sum(profile_[kind], {at, std::numeric_limits<std::uint64_t>::max()}) - need};
}

std::string Books::save() const {
  std::vector<const Occupant*> all, told, leaving;
  for (const auto& occupant : occupants_) {
    const auto found = index_.find(occupant.task);
    if (found == index_.end() || &occupants_[found->second] != &occupant) { continue; }
    all.push_back(&occupant);
    if (occupant.told) { told.push_back(&occupant); }
    if (occupant.leaving) { leaving.push_back(&occupant); }
  }
  std::ranges::sort(all, {}, &Occupant::task);
  std::ranges::sort(told, {}, &Occupant::task);
  std::ranges::sort(leaving, {}, &Occupant::task);
  std::string text = "lengths " + lengths_.save() + "\n";
  for (const Occupant* occupant : all) { text += fmt::format("on {} {}\n", occupant->task.value, occupant->kind); }
  for (const Occupant* occupant : told) {
    text += fmt::format("task {} {} {} {} {}\n", occupant->task.value, occupant->chips, occupant->due, occupant->work_at_start,
                        occupant->pace_since.ns);
  }
  for (const Occupant* occupant : leaving) { text += fmt::format("leaving {}\n", occupant->task.value); }
  for (const TaskId task : leaving_) { text += fmt::format("leaving {}\n", task.value); }
  for (const Ended& ended : ended_) { text += fmt::format("ended {} {} {}\n", ended.since.ns, ended.end, ended.counts ? 1 : 0); }
  return text;
}

bool Books::load_line(std::string_view kind, std::string_view rest) {
  if (kind == "lengths") { return lengths_.load(rest); }
  if (kind == "ended") {
    Ended ended;
    int counts = 0;
    const bool good = number(rest, ended.since.ns) && number(rest, ended.end) && number(rest, counts);
    ended.counts = counts != 0;
    ended_.push_back(ended);
    return good;
  }
  TaskId task;
  if (kind == "leaving") {
    const bool good = number(rest, task.value);
    leaving_.push_back(task);
    return good;
  }
  if (kind == "on") {  // the books are complete at once: a report may come before the next decision
    KindIndex on = 0;
    if (!number(rest, task.value) || !number(rest, on) || on >= kKindsMax) { return false; }
    on_.insert_or_assign(task, on);
    return true;
  }
  if (kind != "task") { return false; }
  Told told;
  if (!number(rest, task.value) || !number(rest, told.chips) || !number(rest, told.due) || !number(rest, told.work_at_start) ||
      !number(rest, told.pace_since.ns)) {
    return false;
  }
  told_.insert_or_assign(task, told);
  return true;
}

/// What was adopted and whose kind is known is in the books as before.
void Books::settle_loaded() {
  std::erase_if(adopted_, [&](const Adopted& adopted) {
    const auto on = on_.find(adopted.work.task);
    if (on == on_.end()) { return false; }
    const auto told = told_.find(adopted.work.task);
    occupy(adopted.work, on->second, adopted.chips, adopted.since, told == told_.end() ? nullptr : &told->second);
    return true;
  });
  on_.clear();
  std::erase_if(leaving_, [&](TaskId task) {
    Occupant* const occupant = find(task);
    if (occupant == nullptr) { return false; }
    occupant->leaving = true;
    put_end(*occupant, kAnyMoment);  // known before: nothing comes of it now
    return true;
  });
}

Result<void> Books::load(std::string_view saved) {
  while (!saved.empty()) {
    const std::size_t end = std::min(saved.find('\n'), saved.size());
    std::string_view line = saved.substr(0, end);
    saved.remove_prefix(std::min(end + 1, saved.size()));
    const std::string_view whole = line;
    const std::string_view first = word(line);
    if (!load_line(first, line)) {
      return fail(ErrorKind::invalid, fmt::format("the saved books of policy '{}' have a line that it did not write", name()),
                  std::string(whole.substr(0, 80)), "restore from an older snapshot, or from the journal alone");
    }
  }
  settle_loaded();
  return {};
}

}  // namespace centrale::backfill
