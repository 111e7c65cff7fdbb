// SPDX-License-Identifier: Apache-2.0
// What runs and until when, as far as anyone knows: common to the backfilling policies.
//
// A task's end is told by, best first: what it reported (its work left at the pace it showed), its speeds, the user's estimate, and
// else the default: the median run of what ended so far, at least an hour. A task that runs past its end is expected to run over by
// as much again as it has, at least a minute (corrections that grow, after Tsafrir, Etsion and Feitelson, TPDS 18(6), 2007,
// section 4.3). Services never end. What was told to stop may end any moment.
#pragma once
#include <array>
#include <unordered_map>
#include <vector>

#include "policy/backfill_tree.hpp"
#include "policy/policy.hpp"

namespace centrale::backfill {

/// Longer than any run (a service's), and still no overflow when added to a time: 100 years, ns.
inline constexpr std::int64_t kForever = 3'155'760'000'000'000'000;

/// When enough chips will be free for a request, and how many more will be then.
struct Shadow {
  std::int64_t at = kNever.ns;  // kNever: nobody knows
  std::int64_t extra = 0;
};

/// How long what ended has run, in bins of an eighth of an octave.
class RunLengths {
 public:
  void add(Nanos span);
  /// The upper edge of the median's bin, at least an hour.
  [[nodiscard]] std::int64_t standard() const { return standard_; }
  [[nodiscard]] std::string save() const;
  /// What save() said; false: it is not that.
  bool load(std::string_view saved);

 private:
  void settle();
  std::array<std::int64_t, 512> bins_{};
  std::int64_t count_ = 0;
  std::int64_t standard_ = 3'600'000'000'000;
};

class Books : public Policy {
 public:
  void adopt(const Work& work, std::span<const ChipId> chips, std::int64_t chips_per_worker, std::int64_t row, Time since) override;
  void stopping(TaskId task) override;
  void ended(TaskId task) override;
  void progressed(TaskId task, double work_left, Time now, Time saved) override;
  [[nodiscard]] std::string save() const override;
  [[nodiscard]] Result<void> load(std::string_view saved) override;

 protected:
  /// True when nothing tells how long it runs.
  [[nodiscard]] static bool unknown(const Work& work);
  /// How long it runs on chips of that kind, ns.
  [[nodiscard]] std::int64_t span_on(const Work& work, KindIndex kind) const;
  /// The shortest of those, over its kinds.
  [[nodiscard]] std::int64_t span_at_best(const Work& work) const;
  [[nodiscard]] std::int64_t standard() const { return lengths_.standard(); }

  /// It has taken so many whole chips.
  void started(const Work& work, KindIndex kind, std::int64_t chips, Time now);
  /// Before each decision: learns kinds and run lengths, and corrects ends that have passed.
  void settle(const Pool& pool, Time now);
  [[nodiscard]] Shadow shadow(KindIndex kind, std::int64_t free, std::int64_t need, Time now) const;
  /// Called with a change of the profile of `kind` that is no task's end and lies before now; it must take it out.
  virtual void passed(KindIndex kind, Key key);
  /// Something gives its chips back before it was expected to.
  virtual void freed_early() {}
  /// One line of what save() adds; false: not mine.
  virtual bool load_line(std::string_view word, std::string_view rest);

  using Profiles = Forest<Running>;
  Profiles forest_;
  std::array<Profiles::Node, kKindsMax> profile_{};  // by kind: the changes of what is free to come, by (time, task)
  std::array<std::int64_t, kKindsMax> held_{};       // chips that running tasks have

 private:
  struct Occupant {
    TaskId task;
    KindIndex kind = 0;
    std::int64_t chips = 0;
    Time since;
    std::int64_t due = 0;  // its end as estimated, ns
    std::int64_t end = 0;  // … corrected: where it stands in the profile
    double work_at_start = 0;
    Time pace_since;    // when it had that much left
    bool told = false;  // due cannot be told from its work
    bool leaving = false;
    bool service = false;
  };
  struct Adopted {
    Work work;
    ChipId chip;
    std::int64_t chips = 0;
    Time since;
  };
  void settle_loaded();

  struct Told {  // what load() said of one that is adopted only at the next decision
    std::int64_t chips = 0;
    std::int64_t due = 0;
    double work_at_start = 0;
    Time pace_since;
  };
  Occupant* find(TaskId task);
  void put_end(Occupant& occupant, std::int64_t end);
  void move_end(Occupant& occupant, std::int64_t end);
  void occupy(const Work& work, KindIndex kind, std::int64_t chips, Time since, const Told* told);

  std::unordered_map<TaskId, std::size_t> index_;  // into occupants_; looked up, never walked
  std::vector<Occupant> occupants_;
  std::vector<std::size_t> vacant_;
  std::vector<Adopted> adopted_;
  std::vector<TaskId> leaving_;  // told to stop before their kind was known
  std::unordered_map<TaskId, Told> told_;
  std::unordered_map<TaskId, KindIndex> on_;  // kinds of what was adopted, of a load() under way
  struct Ended {                              // since the last decision
    Time since;
    std::int64_t end = 0;  // as it was expected
    bool counts = true;    // ran to its end
  };
  std::vector<Ended> ended_;
  RunLengths lengths_;
};

}  // namespace centrale::backfill
