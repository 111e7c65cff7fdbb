// SPDX-License-Identifier: Apache-2.0
#include "policy/defrag.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/ensure.hpp"

namespace centrale {

namespace {

using Chosen = std::set<std::size_t>;  // indices into running

double chips_of(const Placed& placed) { return static_cast<double>(placed.chips.size()); }

/// For one gang on one kind of chip.
class Clearing {
 public:
  Clearing(const Pool& pool, std::span<const Placed> running, const Work& work, KindIndex kind, const DefragOptions& options,
           std::int64_t& tries)
      : pool_(pool), running_(running), work_(work), kind_(kind), tries_(tries) {
    for (std::size_t i = 0; i < running.size(); ++i) {
      const Placed& placed = running[i];
      if (placed.chips.empty() || pool.kind_of(placed.chips.front()) != kind) { continue; }
      const Nanos restart = std::max(placed.restart_cost, options.restart_least);
      costs_[i] = chips_of(placed) * to_seconds(restart + placed.lost);
      for (std::size_t c = 0; c < placed.chips.size(); ++c) {
        Room& room = nodes_[pool.node_of(placed.chips[c])];
        if (room.tasks.empty() || room.tasks.back() != i) { room.tasks.push_back(i); }
      }
    }
    for (auto& [node, room] : nodes_) {
      room.free = std::max<std::int64_t>(pool.free_on(node, kind), 0);
      room.memory = pool.memory_free(node);
    }
  }

  /// The cheapest set of moves that was found; its cost is of the tasks in it.
  std::optional<DefragPlan> search() {
    std::optional<Chosen> best = begin();
    if (!best) { return std::nullopt; }
    prune(*best);
    exchange(*best);
    return verify(*best);
  }

 private:
  struct Room {
    std::int64_t free = 0;
    Bytes memory;
    std::vector<std::size_t> tasks;  // that have chips here
  };

  [[nodiscard]] bool may_move(std::size_t i) const {
    const Placed& placed = running_[i];
    return placed.movable && !placed.leaves && !placed.gang.is_share() && placed.gang.apart == 0 && placed.gang.reservation == 0 &&
           !stuck_.contains(i);
  }
  [[nodiscard]] double cost(const Chosen& chosen) const {
    return std::accumulate(chosen.begin(), chosen.end(), 0.0, [&](double sum, std::size_t i) { return sum + costs_.at(i); });
  }

  /// Workers of the gang that a node has room for once `chosen` has left.
  [[nodiscard]] std::int64_t workers_on(std::size_t node, const Room& room, const Chosen& chosen) const {
    std::int64_t free = room.free;
    Bytes memory = room.memory;
    for (const std::size_t i : room.tasks) {
      if (!chosen.contains(i)) { continue; }
      const auto here = std::ranges::count_if(running_[i].chips, [&](ChipId chip) { return pool_.node_of(chip) == node; });
      free += here;
      memory += running_[i].gang.memory * (here / running_[i].gang.chips);
    }
    const Bytes needs = work_.gang.memory;
    return std::min(free / work_.gang.chips, needs.value == 0 ? free : memory.value / needs.value);
  }

  struct Step {
    Chosen more;
    double cost = 0;
    std::int64_t workers = 0;
    [[nodiscard]] double per_worker() const { return cost / static_cast<double>(workers); }
  };

  /// The next worker's room on a node: cheapest tasks per chip first, those that turn out not to be needed left where they are.
  [[nodiscard]] std::optional<Step> step_on(std::size_t node, const Room& room, const Chosen& chosen) const {
    const std::int64_t before = workers_on(node, room, chosen);
    std::vector<std::size_t> order;
    for (const std::size_t i : room.tasks) {
      if (may_move(i) && !chosen.contains(i)) { order.push_back(i); }
    }
    std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair(costs_.at(i) / chips_of(running_[i]), running_[i].task); });
    Chosen all = chosen;
    Step step;
    for (const std::size_t i : order) {
      all.insert(i);
      step.more.insert(i);
      if (workers_on(node, room, all) > before) { break; }
    }
    if (workers_on(node, room, all) <= before) { return std::nullopt; }
    std::ranges::sort(order, std::greater{}, [&](std::size_t i) { return std::pair(costs_.at(i), running_[i].task); });
    for (const std::size_t i : order) {
      if (!step.more.contains(i)) { continue; }
      all.erase(i);
      if (workers_on(node, room, all) > before) {
        step.more.erase(i);
      } else {
        all.insert(i);
      }
    }
    step.cost = cost(step.more);
    step.workers = workers_on(node, room, all) - before;
    return step;
  }

  /// Clears node after node, the cheapest worker's room first, until the gang fits. `domain`: only nodes of it; 0: anywhere.
  [[nodiscard]] std::optional<Chosen> greedy(std::uint32_t domain) const {
    Chosen chosen;
    std::int64_t room_now = 0;
    for (const auto& [node, room] : nodes_) {
      if (domain == 0 || pool_.where(node).domain == domain) { room_now += workers_on(node, room, chosen); }
    }
    if (domain == 0) {  // nodes on which nothing runs are not among ours
      KindChoice only = work_.kinds;
      room_now = pool_.workers_now(only, KindMask{1} << kind_, work_.gang, work_.gang.workers);
    }
    while (room_now < work_.gang.workers) {
      std::optional<Step> best;
      for (const auto& [node, room] : nodes_) {
        if (pool_.free_on(node, kind_) < 0 || (domain != 0 && pool_.where(node).domain != domain)) { continue; }
        std::optional<Step> step = step_on(node, room, chosen);
        if (step && (!best || step->per_worker() < best->per_worker())) { best = std::move(step); }
      }
      if (!best) { return std::nullopt; }
      chosen.insert(best->more.begin(), best->more.end());
      room_now += best->workers;
    }
    return chosen;
  }

  /// A start that holds: anywhere, and in each domain; what turns out to fit nowhere else stays where it is from then on.
  std::optional<Chosen> begin() {
    std::set<std::uint32_t> domains{0};
    for (const auto& [node, room] : nodes_) { domains.insert(pool_.where(node).domain); }
    std::optional<Chosen> best;
    for (const std::uint32_t domain : domains) {
      stuck_.clear();
      while (tries_ > 0) {
        std::optional<Chosen> chosen = greedy(domain);
        if (!chosen || chosen->empty() || (best && cost(*chosen) >= cost(*best))) { break; }
        if (verify(*chosen)) {
          best = std::move(chosen);
          break;
        }
        if (!blame_) { break; }
        stuck_.insert(*blame_);
      }
    }
    stuck_.clear();
    return best;
  }

  void prune(Chosen& chosen) {
    std::vector<std::size_t> order(chosen.begin(), chosen.end());
    std::ranges::sort(order, std::greater{}, [&](std::size_t i) { return std::pair(costs_.at(i), running_[i].task); });
    for (const std::size_t i : order) {
      if (chosen.size() == 1) { return; }
      Chosen fewer = chosen;
      fewer.erase(i);
      if (verify(fewer)) { chosen = std::move(fewer); }
    }
  }

  /// One moved task for a cheaper one, as long as that works out.
  void exchange(Chosen& chosen) {
    std::vector<std::size_t> cheap;
    for (const auto& [i, cost] : costs_) {
      if (may_move(i)) { cheap.push_back(i); }
    }
    std::ranges::sort(cheap, {}, [&](std::size_t i) { return std::pair(costs_.at(i), running_[i].task); });
    for (bool better = true; better && tries_ > 0;) {
      better = false;
      const std::vector<std::size_t> order(chosen.begin(), chosen.end());
      for (const std::size_t out : order) {
        for (const std::size_t in : cheap) {
          if (costs_.at(in) >= costs_.at(out) || tries_ <= 0) { break; }
          if (chosen.contains(in)) { continue; }
          Chosen other = chosen;
          other.erase(out);
          other.insert(in);
          if (!verify(other)) { continue; }
          chosen = std::move(other);
          better = true;
          break;
        }
      }
    }
  }

  /// On a copy of the pool: they leave, the gang is placed, then they are, the largest first, each on its kind and no further apart.
  std::optional<DefragPlan> verify(const Chosen& chosen) {
    --tries_;
    blame_.reset();
    Pool pool = pool_;
    for (const std::size_t i : chosen) { pool.give_back(running_[i].chips, running_[i].gang); }
    DefragPlan plan;
    const KindMask here = KindMask{1} << kind_;
    if (!pool.place(work_.kinds, here, work_.gang, plan.gets)) { return std::nullopt; }
    std::vector<std::size_t> order(chosen.begin(), chosen.end());
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
      return std::tuple(running_[b].chips.size(), running_[b].gang.chips, running_[a].task) <
             std::tuple(running_[a].chips.size(), running_[a].gang.chips, running_[b].task);
    });
    for (const std::size_t i : order) {
      const Placed& placed = running_[i];
      Gang gang = placed.gang;
      gang.ends = Time{};  // what may be moved may be stopped, and is in nobody's way
      DefragMove move{.task = placed.task, .from = placed.chips, .to = {}, .cost_chip_s = costs_.at(i)};
      if (!pool.place({}, here, gang, move.to) || pool_.spread(move.to) > pool_.spread(move.from)) {
        blame_ = i;
        return std::nullopt;
      }
      plan.cost_chip_s += move.cost_chip_s;
      plan.moves.push_back(std::move(move));
    }
    return plan;
  }

  const Pool& pool_;
  std::span<const Placed> running_;
  const Work& work_;
  KindIndex kind_;
  std::int64_t& tries_;
  std::map<std::size_t, double> costs_;  // by index into running_, chip seconds
  std::map<std::size_t, Room> nodes_;    // those on which something runs
  Chosen stuck_;
  std::optional<std::size_t> blame_;  // what did not fit elsewhere, in the last verify()
};

struct Wait {
  Nanos span;
  bool known = true;
};

/// When it would fit if all ends as expected and nobody else comes; none: not even then.
std::optional<Wait> wait_of(const Pool& start, std::span<const Placed> running, const Work& work, Time now, const DefragOptions& options) {
  struct End {
    Time at;
    bool known;
    std::size_t which;
  };
  std::vector<End> ends;
  for (std::size_t i = 0; i < running.size(); ++i) {
    const Placed& placed = running[i];
    const bool known = placed.leaves || placed.ends != kNever;
    ends.push_back({placed.leaves ? now + placed.grace : known ? std::max(placed.ends, now) : now + options.unknown, known, i});
  }
  std::ranges::sort(ends, {}, [&](const End& end) { return std::pair(end.at, running[end.which].task); });
  Pool pool = start;
  for (const End& end : ends) {
    pool.give_back(running[end.which].chips, running[end.which].gang);
    if (pool.probe(work.kinds, kAnyKind, work.gang)) { return Wait{.span = end.at - now, .known = end.known}; }
  }
  return std::nullopt;
}

std::string count_of(std::size_t n, const char* one, const char* many) { return fmt::format("{} {}", n, n == 1 ? one : many); }

/// What it does, or why not.
std::string in_words(const DefragPlan& plan, const Work& work, bool proposed) {
  const std::string moves = count_of(plan.moves.size(), "task moves", "tasks move");
  const std::string wait = fmt::format("{:.0f} s{}", to_seconds(plan.wait), plan.wait_known ? "" : " or so (nobody knows)");
  if (proposed) {
    return fmt::format("{} ({} chips) starts now and not in {}: {}, which costs {:.0f} chip seconds and saves {:.0f}", to_string(work.task),
                       work.chips_total(), wait, moves, plan.cost_chip_s, plan.gain_chip_s);
  }
  return fmt::format("{} ({} chips) could start if {}, but that costs {:.0f} chip seconds and saves {:.0f}", to_string(work.task),
                     work.chips_total(), count_of(plan.moves.size(), "task moved", "tasks moved"), plan.cost_chip_s, plan.gain_chip_s);
}

}  // namespace

DefragPlan propose(const Pool& pool, std::span<const Placed> running, std::span<const Work> blocked, Time now,
                   const DefragOptions& options) {
  std::string why = "nothing waits for chips";
  std::int64_t tries = options.tries_max;
  for (const Work& work : blocked.first(std::min(blocked.size(), options.gangs_max))) {
    if (work.gang.is_share() || work.gang.apart != 0 || work.gang.reservation != 0) {
      why = fmt::format("{} waits for a part of a chip, for a node of its own or for a reservation: moves do not help it",
                        to_string(work.task));
      continue;
    }
    if (pool.probe(work.kinds, kAnyKind, work.gang)) {
      why = fmt::format("{} fits as it is", to_string(work.task));
      continue;
    }
    std::optional<DefragPlan> best;
    for (std::size_t k = 0; k < kKindsMax; ++k) {
      const auto kind = static_cast<KindIndex>(k);
      // Every moved task needs as many chips elsewhere as it had: what is not free now, no move can free.
      if ((work.kinds.mask >> k & 1) == 0 || pool.free_of(kind) < work.chips_total()) { continue; }
      std::optional<DefragPlan> plan = Clearing(pool, running, work, kind, options, tries).search();
      if (plan && (!best || plan->cost_chip_s < best->cost_chip_s)) { best = std::move(plan); }
    }
    if (!best) {
      why = fmt::format("no moves make room for {} ({} chips)", to_string(work.task), work.chips_total());
      continue;
    }
    Nanos leave;
    for (const Placed& placed : running) {
      if (std::ranges::find(best->moves, placed.task, &DefragMove::task) != best->moves.end()) { leave = std::max(leave, placed.grace); }
    }
    const std::optional<Wait> wait = wait_of(pool, running, work, now, options);
    best->wait = wait ? wait->span : options.unknown;
    best->wait_known = wait && wait->known;
    best->gain_chip_s = static_cast<double>(work.chips_total()) * std::max(to_seconds(best->wait - leave), 0.0);
    const bool worth = best->gain_chip_s > best->cost_chip_s;
    best->why = in_words(*best, work, worth);
    if (worth) {
      best->gang = work.task;
      return std::move(*best);
    }
    why = std::move(best->why);
  }
  DefragPlan none;
  none.why = std::move(why);
  return none;
}

}  // namespace centrale
