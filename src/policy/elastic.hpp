// SPDX-License-Identifier: Apache-2.0
// What policies that may stop running work have in common: a book of all work, rounds, and how a plan is carried out.
//
// Once a round a subclass says which work should run in which shape, best first (choose()). The base then
//   - keeps what runs so already, and what is not worth its move: a job goes to another shape of its own only when
//     (rate_new / rate_old - 1) x min(time left, max(round, age of the present shape)) is more than restart cost + stop + work lost;
//   - starts what fits, and stops for the rest what is no target, those first that lose least: the time since their last checkpoint that
//     counts, plus their restart cost, times chips; never services, work that is not preemptible, shares of chips, nor what started less
//     than max(4 restart costs, one round) ago;
//   - holds the chips that come free for whom they were freed, for one round at most (`promised`): later work may not take them.
// Between rounds only what waits and fits in free chips that are not promised starts, in the policy's order.
//
// Starvation bound: work that has waited for starvation_after (24 h unless set) goes before all others, the longest wait first. From the
// next round on, chips of one kind are gathered for it: all that may be stopped is, however young, and what comes free is kept; so it
// starts at the latest when the work that may not be stopped, and was there already, has ended and left room for it, and those that
// wait longer have started. Then it is not stopped for others before max(10 restart costs, one round).
//
// Precedence is services, then priority, then the policy's order. Work that is not preemptible, services and shares are rigid: once
// running they stay. Work over its tenant's quota holds back nobody.
#pragma once
#include <map>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "policy/policy.hpp"

namespace centrale {

class ElasticPolicy : public Policy {
 public:
  /// `round`: where `scheduling` has none.
  ElasticPolicy(const Scheduling& scheduling, Nanos round);
  void enqueue(const Work& work) final;
  void dequeue(const Work& work) final;
  void adopt(const Work& work, std::span<const ChipId> chips, std::int64_t chips_per_worker, std::int64_t row, Time since) final;
  void stopping(TaskId task) final;
  void ended(TaskId task) final;
  void progressed(TaskId task, double work_left, Time now, Time saved) final;
  void respeed(TaskId task, std::shared_ptr<const SpeedTable> speed) final;
  [[nodiscard]] bool head_changed() const final { return head_changed_; }
  void decide(Pool& pool, Allowance& allowance, Time now, Decision& out) final;
  [[nodiscard]] std::size_t queued() const final { return waiting_; }
  [[nodiscard]] std::optional<Work> blocked() const final;
  [[nodiscard]] std::string save() const final;
  [[nodiscard]] Result<void> load(std::string_view saved) final;

  /// Chips of that kind that are free and kept for whom they were freed.
  [[nodiscard]] std::int64_t promised(KindIndex kind) const { return reserved_[kind]; }
  [[nodiscard]] Nanos round() const { return round_; }
  /// From an order to stop until the chips are back, in the mean of late, seconds.
  [[nodiscard]] double stop_s() const { return stop_s_; }

 protected:
  using Slot = std::uint32_t;
  static constexpr Slot kNoSlot = ~Slot{0};
  enum class Phase : unsigned char { none, waiting, running, stopping };
  struct Item {
    Work work;
    Phase phase = Phase::none;
    bool fixed = false;      // in this round: it stays as it is, or its chips are on their way
    bool kept = false;       // in this round: a target in the shape that it has
    bool settled = true;     // false: adopted, and not seen by a decision yet
    bool sheltered = false;  // it had starved: not to be stopped for a while
    KindIndex kind = 0;      // while it has chips, and so on
    Spread spread = Spread::node;
    std::int32_t workers = 0, per_worker = 0;
    std::int64_t row = -1;
    std::int32_t target = -1;  // in this round: index of it
    std::uint32_t lane = 0;    // while it waits
    Time since;
    Time seen;             // when it had `left`
    double left = 0;       // work units
    Time saved;            // what was done by then survives a stop
    Time told;             // when it was told to stop
    std::uint64_t heir{};  // the owner for whom it was stopped; 0: nobody's
    std::vector<ChipId> chips;
    [[nodiscard]] std::int64_t held() const { return static_cast<std::int64_t>(chips.size()); }
    [[nodiscard]] bool rigid() const { return work.service || !work.preemptible || work.gang.is_share(); }
  };
  struct Target {
    Slot slot = 0;
    KindIndex kind = 0;
    std::int32_t workers = 1, chips = 1;
    std::int64_t row = -1;
    [[nodiscard]] std::int64_t total() const { return std::int64_t{workers} * chips; }
  };
  /// How work is started between rounds.
  struct Ask {
    std::int32_t workers = 1, chips = 1;
    KindMask kinds = kAnyKind;
  };
  struct Owner {
    std::int32_t starts = 0;
    std::int32_t failures = 0;  // its chips came, and yet it could not be placed
    Time retry;                 // nothing is stopped for it before
    bool promised = false;
  };

  // What a subclass answers.
  /// The policy's order, least first; of waiting work it may not depend on `now`, but on what the last round froze.
  [[nodiscard]] virtual double major(const Item& item, Time now) const = 0;
  /// Before a round and its orders: lets it freeze what major() uses.
  virtual void freeze(Time) {}
  /// Appends to targets_ what of `items`, given in the policy's order, should run, by precedence, and takes it from room_. Items that are
  /// `fixed` stay anyway; they are among `items` to be counted. All have one priority, unless by_priority() is false.
  virtual void choose(std::span<const Slot> items, Time now) = 0;
  [[nodiscard]] virtual bool by_priority() const { return true; }
  [[nodiscard]] virtual Ask ask(const Work& work) const;
  /// Prefers the kind where it runs fastest; else the kind with most room.
  [[nodiscard]] virtual bool minds_speed() const { return true; }
  /// Running work may be better off otherwise although nothing waits.
  [[nodiscard]] virtual bool reshapes() const { return false; }
  /// It ended by itself, after so long over all its attempts.
  virtual void learn(const Work&, double) {}
  virtual void departed(std::uint64_t) {}
  virtual void save_more(std::string&) const {}
  virtual bool load_line(std::string_view, std::string_view) { return false; }

  // What it may use.
  /// Greedy, in that order: running work as it is, waiting work as asked.
  void choose_in_order(std::span<const Slot> sorted);
  /// Kinds that it may use, its tenant's quota and the plan so far considered.
  [[nodiscard]] KindMask kinds_for(const Item& item, std::int64_t chips) const;
  /// The best kind of `kinds` with room for it, or kKindsMax.
  [[nodiscard]] std::size_t pick_kind(const Item& item, KindMask kinds, std::int64_t workers, std::int64_t chips) const;
  void add_target(const Target& target);
  void keep(Slot slot);
  [[nodiscard]] double work_left(const Item& item, Time now) const;
  [[nodiscard]] double rate(const Item& item) const;                // units a second; 0: unknown
  [[nodiscard]] double attained(const Item& item, Time now) const;  // chip seconds
  /// Of that shape; 0: unknown.
  [[nodiscard]] double rate_in(const Work& work, KindIndex kind, std::int64_t workers, std::int64_t chips) const;
  [[nodiscard]] std::int64_t row_of(const Work& work, KindIndex kind, std::int64_t workers, std::int64_t chips) const;
  /// Where a gang of so many chips of a kind was seen to be put: within a node, else as the last of the kind that needed more.
  [[nodiscard]] Spread likely_spread(KindIndex kind, std::int64_t total) const;
  [[nodiscard]] double loss_s(const Item& item, Time now) const;  // of a stop: lost work and restart
  [[nodiscard]] bool worth_moving(const Item& item, const Target& to, Time now) const;
  [[nodiscard]] bool same_shape(const Item& item, const Target& to) const;
  struct Promise {
    Slot slot = 0;
    KindIndex kind = 0;
    std::int64_t chips = 0;
  };
  /// Waiting work whose chips are on their way.
  [[nodiscard]] std::vector<Promise> promises() const;
  [[nodiscard]] std::int64_t most_room() const;
  [[nodiscard]] const Owner& owner_of(std::uint64_t owner) const;

  std::vector<Item> items_;
  std::vector<Target> targets_;
  std::array<std::int64_t, kKindsMax> room_{};        // chips that the plan may still give out
  std::array<std::int64_t, kKindsMax> usable_{};      // in service
  std::array<std::int32_t, kKindsMax> node_chips_{};  // of the largest node, of kinds that exist
  std::array<Spread, kKindsMax> wide_{};              // spread of the last gang that needed several nodes
  KindMask existing_ = 0;
  Nanos round_, starvation_;

 private:
  struct Rank {
    std::int32_t place = 0;  // services go first
    std::int64_t priority = 0;
    double major = 0;
    std::uint64_t order = 0, task = 0;
    auto operator<=>(const Rank&) const = default;
  };
  /// Waiting work that differs in rank only.
  struct Lane {
    struct Entry {
      Rank rank;
      Slot slot = 0;
    };
    Gang gang;
    KindMask kinds = 0;
    std::vector<Entry> entries;  // by rank; those that wait no more are skipped
    std::size_t head = 0;
  };
  using LaneKey = std::tuple<KindMask, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
  /// A target whose chips are on their way.
  struct Pending {
    std::uint64_t owner = 0;
    Slot slot = kNoSlot;  // none: not back yet from its own stop
    KindIndex kind = 0;
    std::int32_t workers = 1, chips = 1;
    std::int64_t row = -1;
    std::int64_t have = 0;  // free and kept
    std::int64_t owed = 0;  // of what stops for it
    Time until;
    bool starving = false;
    bool gone = false;                 // its task has ended, and is not queued again yet
    std::vector<std::uint32_t> nodes;  // where its chips are gathered
    [[nodiscard]] std::int64_t total() const { return std::int64_t{workers} * chips; }
  };
  struct Ended {
    Work work;
    Time since, told;
    double attained_before = 0;
    std::int64_t chips = 0;
    bool stopped = false;
  };
  struct Victims {  // of one kind, by what they lose for each chip that is useful to a need of up to 2^n
    std::array<std::vector<Slot>, 20> by_need;
    std::vector<Slot> all;
  };

  // elastic.cpp: the books
  [[nodiscard]] Item* find(TaskId task);
  Slot occupy(const Work& work);
  void vacate(Slot slot);
  void settle(const Pool& pool, Time now);
  void set_chips(Item& item, const Pool& pool);
  void drop_pending(std::size_t index, bool failed);
  [[nodiscard]] Pending* pending_of(std::uint64_t owner);
  [[nodiscard]] Rank rank_of(const Item& item, Time now) const;
  void find_lane(Slot slot);
  void insert_in_lane(Slot slot, const Rank& rank);
  [[nodiscard]] std::int64_t unpromised(KindIndex kind) const;

  // elastic_save.cpp
  [[nodiscard]] bool load_own(std::string_view word, std::string_view rest);
  [[nodiscard]] bool load_pending(std::string_view rest);

  // elastic_round.cpp: the plan, carried out
  void replan();
  void lapse();
  void count_room();
  void count_item(Slot slot);
  void count_planned();
  void feed_starving();
  void feed(Slot slot);
  void top_up();
  void choose_all();
  void carry_out();
  void carry_out(const Target& target);
  /// Chips for `pending`, from what is free, what is coming, its own (`own`) and what may be stopped for it; false: there are not enough,
  /// and nothing changed.
  [[nodiscard]] bool acquire(Pending& pending, Slot own);
  void claim(Pending& pending, std::int64_t free);
  void add_freed(const Item& item, const Pending& pending, std::int64_t sign);
  void promise(Pending pending);
  [[nodiscard]] const std::vector<Slot>& victims(KindIndex kind, std::int64_t need);
  void collect_victims();
  void tell_to_stop(Slot slot, StopReason why, std::uint64_t heir);
  [[nodiscard]] bool stoppable(const Item& item, bool starving) const;

  // elastic_start.cpp: what starts
  void start_pending();
  void fill();
  [[nodiscard]] bool start(Slot slot, KindIndex kind, std::int64_t workers, std::int64_t chips, std::int64_t row, Pending* pending);
  enum class Tried : unsigned char { started, no_quota, no_room };
  [[nodiscard]] Tried start_somewhere(Slot slot, const Lane& lane);
  [[nodiscard]] bool fits(const Lane& lane) const;
  void push_lane(std::size_t lane);
  void rank_all();
  void rebuild_lanes();
  void set_wake();

  std::unordered_map<TaskId, Slot> index_;           // looked up, never walked
  std::unordered_map<std::uint64_t, Owner> owners_;  // never walked in an order that matters
  std::vector<Slot> vacant_;
  std::size_t waiting_ = 0, running_ = 0;
  std::map<LaneKey, std::vector<std::size_t>> lane_of_;  // those that differ in rarer things
  std::vector<Lane> lanes_;
  std::vector<Pending> pendings_;
  std::array<std::int64_t, kKindsMax> reserved_{};
  std::array<std::int64_t, kKindsMax> free_{};  // as the last decision left it
  std::vector<std::uint16_t> gathering_;        // by node: how many gather chips there
  std::vector<Ended> ended_;
  std::vector<TaskId> unsettled_;
  Time next_round_;
  Time now_;
  Time wake_ = kNever;
  bool head_changed_ = false;
  bool decided_ = false;
  double stop_s_ = 0;
  std::uint64_t blocked_ = 0;  // task

  // Of one decision, kept to save allocations.
  Pool* pool_ = nullptr;
  Allowance* allowance_ = nullptr;
  Decision* out_ = nullptr;
  std::vector<Slot> jobs_, starving_, scratch_;
  std::vector<std::pair<Rank, Slot>> ranked_;  // all that waits, and all jobs that run, in order
  std::vector<Victims> victims_;
  bool victims_known_ = false;
  std::unordered_map<std::uint64_t, std::int64_t> planned_;  // chips that the plan gives tenants beside what they have
  std::vector<std::int64_t> node_extra_;
  std::vector<std::uint32_t> node_touched_;
  std::int64_t workers_gained_ = 0;
  std::vector<std::pair<Rank, std::size_t>> heap_;
  std::array<std::vector<Slot>, kKindsMax> coming_;  // stopping, for nobody yet
  std::int64_t visits_left_ = 0;
  KindMask gathered_ = 0;  // kinds where starving work waits for what may not be stopped
};

}  // namespace centrale
