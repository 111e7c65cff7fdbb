// SPDX-License-Identifier: Apache-2.0
// The layouts that need least memory. One sequence a micro-batch, one chunk a stage and all the ranks that the batch allows never need more
// than their alternatives: fewer bytes are alive, and ZeRO divides among more.
#include <algorithm>

#include "plan/train_search.hpp"

namespace centrale::planning {
namespace {

/// Calls `look` with each lean layout until it returns false.
template <class Look>
class Lean {
 public:
  Lean(const Search& search, Look& look)
      : s_(search), look_(look), space_(space_of(search.model, search.run, search.island, search.limits)) {}

  void walk() {
    Layout l;
    for (const Precision precision : s_.limits.precisions) {
      l.precision = precision;
      // Many stages and wide groups first: they are where a large model fits.
      for (auto pp = space_.pp.rbegin(); pp != space_.pp.rend(); ++pp) {
        l.pp = *pp;
        for (auto tp = space_.tp.rbegin(); tp != space_.tp.rend(); ++tp) {
          l.tp = *tp;
          for (const std::int64_t cp : space_.cp) {
            l.cp = cp;
            if (l.pp * l.tp * l.cp > space_.chips) { break; }
            if (!open_experts(l)) { return; }
          }
        }
      }
    }
  }

 private:
  bool open_experts(Layout l) {
    const std::int64_t most = space_.chips / (l.pp * l.tp * l.cp);
    for (auto ep = space_.ep.rbegin(); ep != space_.ep.rend(); ++ep) {
      for (const std::int64_t etp : {std::int64_t{1}, l.tp}) {
        if (etp > 1 && !space_.has_experts) { continue; }
        l.ep = *ep;
        l.etp = etp;
        l.dp = 0;
        for (const std::int64_t dp : space_.batch_divisors) {
          if (dp > most || (s_.limits.dp_max > 0 && dp > s_.limits.dp_max)) { break; }
          if (l.tp * l.cp * dp % (l.ep * l.etp) == 0) { l.dp = dp; }
        }
        if (l.dp > 0 && !open_rest(l)) { return false; }
        if (l.tp == 1) { break; }
      }
    }
    return true;
  }

  bool open_rest(Layout l) {
    for (const bool parallel : {true, false}) {
      if (parallel && (l.tp == 1 || !s_.limits.sequence_parallel)) { continue; }
      l.sequence_parallel = parallel;
      for (const Schedule schedule : s_.limits.schedules) {
        l.schedule = schedule;
        if (!feeds(schedule, l.pp, s_.run.global_batch / (l.dp * l.micro_batch))) { continue; }
        for (auto zero = s_.limits.zeros.rbegin(); zero != s_.limits.zeros.rend(); ++zero) {
          l.zero = *zero;
          if (l.zero == Zero::gradients && l.pp > 1) { continue; }
          for (auto offload = s_.limits.offloads.rbegin(); offload != s_.limits.offloads.rend(); ++offload) {
            l.offload = *offload;
            for (auto recompute = s_.limits.recomputes.rbegin(); recompute != s_.limits.recomputes.rend(); ++recompute) {
              l.recompute = *recompute;
              if (!look_(l)) { return false; }
            }
          }
        }
      }
    }
    return true;
  }

  const Search& s_;
  Look& look_;
  Space space_;
};

}  // namespace

std::optional<Layout> some_layout_that_fits(const Search& search) {
  std::optional<Layout> found;
  auto look = [&](const Layout& l) {
    if (search.estimator.memory(l).total().value <= search.capacity) { found = l; }
    return !found;
  };
  Lean(search, look).walk();
  return found;
}

std::optional<Leanest> leanest_layout(const Search& search) {
  std::optional<Leanest> least;
  auto look = [&](const Layout& l) {
    const Memory memory = search.estimator.memory(l);
    if (!least || memory.total() < least->memory.total()) { least = Leanest{.layout = l, .memory = memory}; }
    return true;
  };
  Lean(search, look).walk();
  return least;
}

}  // namespace centrale::planning
