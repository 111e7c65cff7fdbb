// SPDX-License-Identifier: Apache-2.0
// Our own policy. Each round it gives every job one shape (kind, workers), or none, so that the sum over jobs of
//
//     value = weight x rate(shape) / work left,      weight = (chip time left where chips do most for it)^(1 - alpha)
//
// is as large as the chips of each kind allow. rate / work left is the part of the job that one second finishes: with alpha = 1 the
// sum is jobs finished a second, which is what shortest-remaining-first maximises on equal chips; below 1 it is gentler with long
// jobs, as it has to be where speeds grow less than chips (heSRPT, Berg et al., SIGMETRICS 2020, gives the small more, never all). Kinds
// have prices (policy/assign.hpp): a job goes to the kind where it gains most over what others would pay, which is Gavel's and AlloX's
// advantage of unlike chips; counts grow while one more chip is worth its price, which is Pollux's and Sia's elasticity. What is not known
// of a job's end is taken from what it has used so far, which makes least attained service of it.
//
// Why it holds its own when the load, the mix or the fleet changes: nothing in it is tuned to a load. With idle chips prices are nought and
// every job gets its fastest shape; as the queue grows, prices rise and counts shrink to where chips are used best; with equal, rigid,
// unknown jobs it is first come first served.
//
// A running job changes its shape, or stops for another, only where the gain over the time that it is likely to hold exceeds what the
// change costs. Starvation bound: work that has waited longer than max(starvation_after, 3 x the run time that it expects) goes before all
// others, in order of submission, and only chips of work that cannot be stopped are waited for.
#pragma once
#include <map>
#include <unordered_map>
#include <vector>

#include "policy/assign.hpp"
#include "policy/policy.hpp"

namespace centrale {

class Adaptive final : public Policy {
 public:
  explicit Adaptive(const Scheduling& scheduling);
  [[nodiscard]] std::string_view name() const override { return "adaptive"; }
  void enqueue(const Work& work) override;
  void dequeue(const Work& work) override;
  void adopt(const Work& work, std::span<const ChipId> chips, std::int64_t chips_per_worker, std::int64_t row, Time since) override;
  void stopping(TaskId task) override;
  void ended(TaskId task) override;
  void progressed(TaskId task, double work_left, Time now, Time saved) override;
  void respeed(TaskId task, std::shared_ptr<const SpeedTable> speed) override;
  [[nodiscard]] bool head_changed() const override { return changed_; }
  void decide(Pool& pool, Allowance& allowance, Time now, Decision& out) override;
  [[nodiscard]] std::size_t queued() const override { return queued_; }
  [[nodiscard]] std::optional<Work> blocked() const override;
  [[nodiscard]] std::string save() const override;
  [[nodiscard]] Result<void> load(std::string_view saved) override;

 private:
  enum class State : unsigned char { gone, waiting, running, stopping };
  /// What the last plan says of a job, by owner: it outlives the stop and the new start between two shapes.
  struct Target {
    KindIndex kind = 0;
    std::int64_t workers = 0, chips = 0;  // workers 0: none
    std::int64_t row = -1;
    [[nodiscard]] std::int64_t total() const { return workers * chips; }
  };
  struct Entry {
    Work work;
    State state = State::gone;
    KindIndex kind = 0;
    std::int64_t workers = 0, chips = 0, row = -1;  // held
    Time since;                                     // on these chips
    Time reported;                                  // work_left is of then
    Time saved;
    double rate = 0;  // work units a second on them
    std::int64_t changes = 0;
    std::int64_t least = 1;  // chips, of its smallest shape
  };
  struct Kept {  // of a job between two of its tasks
    std::uint64_t owner = 0;
    std::int64_t changes = 0;
    KindIndex kind = 0;
    std::int64_t workers = 0, chips = 0, row = -1;  // the target
    double rate = 0;                                // of a running one
    std::int64_t bench = -1;                        // its place among those that wait to be looked at; -1: none
  };
  template <class V>
  friend void describe(V& v, Kept& k) {
    v("owner", k.owner);
    v("changes", k.changes);
    v("kind", k.kind);
    v("workers", k.workers);
    v("chips", k.chips);
    v("row", k.row);
    v("rate", k.rate);
    v("bench", k.bench);
  }
  struct Books {
    Time planned;
    bool dirty = true;
    std::vector<Kept> kept;
  };
  template <class V>
  friend void describe(V& v, Books& b) {
    v("planned", b.planned);
    v("dirty", b.dirty);
    v("kept", b.kept);
  }

  std::size_t add(const Work& work);
  void remove(std::size_t index);
  [[nodiscard]] double left_of(const Entry& entry, Time now) const;
  [[nodiscard]] double lost_s(const Entry& entry, Time now) const;
  void learn_kinds(const Pool& pool);
  void offers_of(const Entry& entry, Time now, double left, std::vector<Offer>& offers) const;
  [[nodiscard]] float rate_at(const Shape& shape) const;
  void plan(Pool& pool, Time now, Decision& out);
  void carry_out(Pool& pool, Allowance& allowance, Time now, Decision& out);
  bool start(std::size_t index, const Target& target, Pool& pool, Allowance& allowance, Time now, Decision& out);
  [[nodiscard]] bool starves(const Entry& entry, Time now) const;
  [[nodiscard]] Nanos bound_of(const Entry& entry) const;

  Nanos round_, starvation_after_;
  std::vector<Entry> entries_;
  std::vector<std::size_t> spare_;
  std::unordered_map<std::uint64_t, std::size_t> by_task_;  // looked up, never walked
  struct OwnerKept {
    Target target;
    std::int64_t changes = 0;
  };
  std::map<std::uint64_t, OwnerKept> by_owner_;
  std::vector<std::size_t> newcomers_;  // waiting since the last plan, and those with a target that is not filled
  std::size_t queued_ = 0, stopping_ = 0;
  bool changed_ = false;
  bool dirty_ = true;  // something happened since the last plan
  Time planned_{-1};
  std::size_t kinds_ = 0;
  std::vector<std::int64_t> node_chips_;  // by kind: of its largest node
  Assignment assignment_;
  std::vector<AssignJob> jobs_;  // kept to save allocations
};

}  // namespace centrale
