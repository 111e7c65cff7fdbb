// SPDX-License-Identifier: Apache-2.0
// For tests of policies: a pool in a word, tenants who may take all they like, and work in a few words.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "policy/policy.hpp"

namespace centrale::testing {

/// Allows everything, but what a test narrows.
class Generous final : public Allowance {
 public:
  /// The tenant may take `chips` more of all kinds together.
  void limit(TenantId tenant, std::int64_t chips) { limits_.emplace_back(tenant, chips); }
  [[nodiscard]] KindMask kinds_for(TenantId tenant, std::int64_t chips, std::int64_t) const override {
    for (const auto& [limited, left] : limits_) {
      if (limited == tenant && left < chips) { return 0; }
    }
    return kAnyKind;
  }
  void take(TenantId tenant, KindIndex, std::int64_t chips, std::int64_t) override {
    for (auto& [limited, left] : limits_) {
      if (limited == tenant) { left -= chips; }
    }
  }

 private:
  std::vector<std::pair<TenantId, std::int64_t>> limits_;
};

/// `nodes` nodes with `chips` chips of that kind each, all in service.
inline void add_nodes(Pool& pool, std::int64_t nodes, std::int64_t chips, KindIndex kind = 0) {
  for (std::int64_t i = 0; i < nodes; ++i) {
    const std::size_t node = pool.add_node(mebibytes(1'048'576));
    for (std::int64_t j = 0; j < chips; ++j) { pool.set_usable(pool.add_chip(node, kind), true); }
    pool.set_schedulable(node, true);
  }
}
inline Pool pool_of(std::int64_t nodes, std::int64_t chips, KindIndex kind = 0) {
  Pool pool;
  add_nodes(pool, nodes, chips, kind);
  return pool;
}

/// Its kinds, best first.
inline KindChoice on(std::initializer_list<KindIndex> kinds) {
  KindChoice choice;
  choice.mask = 0;
  for (const KindIndex kind : kinds) {
    choice.mask |= KindMask{1} << kind;
    choice.order[choice.count++] = kind;
  }
  return choice;
}

/// Task `id`, in the order of ids, of `workers` workers with a chip each, said to run so long; 0: nobody knows.
inline Work work(std::uint64_t id, std::int64_t workers, Nanos expected) {
  Work w;
  w.task = TaskId{id};
  w.owner = id;
  w.tenant = TenantId{1};
  w.order = id;
  w.gang.workers = workers;
  w.expected = expected;
  return w;
}

/// The ids that a decision starts, in its order.
inline std::vector<std::uint64_t> started(const Decision& decision) {
  std::vector<std::uint64_t> ids;
  for (const Start& start : decision.starts) { ids.push_back(start.task.value); }
  return ids;
}

/// A policy and the pool that it fills; what runs gives its chips back when a test says so.
class Centre {
 public:
  explicit Centre(Pool pool, std::string_view policy) : pool_(std::move(pool)), policy_(make_policy(policy).value()) {}
  std::vector<std::uint64_t> decide(std::int64_t now_s) {
    out_.clear();
    now_ = Time{} + seconds(now_s);
    policy_->decide(pool_, allowance, now_, out_);
    for (const Start& start : out_.starts) {
      auto& chips = held_[start.task.value];
      chips.assign(out_.chips.begin() + static_cast<std::ptrdiff_t>(start.first),
                   out_.chips.begin() + static_cast<std::ptrdiff_t>(start.first + start.count));
      since_[start.task.value] = now_;
    }
    return started(out_);
  }
  void end(std::uint64_t task) {
    for (const ChipId chip : held_.at(task)) { pool_.set_free(chip, true); }
    held_.erase(task);
    policy_->ended(TaskId{task});
  }
  [[nodiscard]] KindIndex kind_of(std::uint64_t task) const { return pool_.kind_of(held_.at(task).front()); }
  /// As after a restart: a fresh policy is told all that the centre knows.
  [[nodiscard]] Result<void> restart(std::map<std::uint64_t, Work> works) {
    const std::string saved = policy_->save();
    auto fresh = make_policy(policy_->name()).value();
    for (const auto& [task, chips] : held_) {
      fresh->adopt(works.at(task), chips, works.at(task).gang.chips, -1, since_.at(task));
      works.erase(task);
    }
    for (const auto& [task, waiting] : works) { fresh->enqueue(waiting); }
    TRY(fresh->load(saved));
    policy_ = std::move(fresh);
    return {};
  }
  Policy* operator->() { return policy_.get(); }
  /// When the last decision wants to be asked again.
  [[nodiscard]] Time wake() const { return out_.wake; }
  [[nodiscard]] std::int64_t free() const { return pool_.free_total(); }
  /// As the class that it is.
  template <class P>
  [[nodiscard]] const P& as() const {
    return dynamic_cast<const P&>(*policy_);
  }
  Pool& pool() { return pool_; }
  Generous allowance;

 private:
  Pool pool_;
  std::unique_ptr<Policy> policy_;
  Decision out_;
  Time now_;
  std::map<std::uint64_t, std::vector<ChipId>> held_;
  std::map<std::uint64_t, Time> since_;
};

}  // namespace centrale::testing
