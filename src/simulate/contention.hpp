// SPDX-License-Identifier: Apache-2.0
// Jobs slow each other down where they share links. A job whose nodes talk to each other is one flow, as a ring through them is: the same
// rate on every node, passing once over the uplink of each leaf and spine block that it spans and over the links between its islands.
// Flows share links max-min fair.
//
// A step of which the part c is communication takes 1 - c + c * wanted / got times as long when the job gets less than it wants.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "simulate/flows.hpp"
#include "simulate/machines.hpp"

namespace centrale {

class Contention {
 public:
  explicit Contention(const Machines& machines);  // which must outlive it

  /// Jobs by numbers of the caller's, each placed once at a time; `nodes` at least one, repeated or not, in any order; `wanted` 0 or more,
  /// in bytes/s of each node, if nothing is in the way; `communication` the part c of its step, 0 to 1. Returns its slowdown, 1 or more. A
  /// job inside one domain does not use the network, and is never slowed down.
  double place(std::uint64_t job, std::span<const std::uint32_t> nodes, double wanted, double communication);
  /// Nothing, for a job that does not use the network or was not placed.
  void remove(std::uint64_t job);
  /// The jobs, by number, whose slowdown is no longer what place() or this said last; replaces what `jobs` held.
  void changed(std::vector<std::pair<std::uint64_t, double>>& jobs);
  /// Jobs that use the network now.
  [[nodiscard]] std::size_t flows() const { return slots_.size(); }

 private:
  struct Job {
    std::uint64_t id = 0;
    FlowId flow;
    double wanted = 0, limit = 0, communication = 0;
    double told = 1;                   // the slowdown that the caller knows
    std::vector<std::uint32_t> nodes;  // ascending, each once
    std::vector<FlowNetwork::Hop> path;
  };
  /// Jobs on one node's network card. There is no link for it until two of them share it: one alone is held by its limit.
  struct Card {
    std::uint32_t link = kNone;
    std::vector<std::uint32_t> jobs;  // slots
  };
  static constexpr std::uint32_t kNone = UINT32_MAX;

  [[nodiscard]] double slowdown(const Job& job) const;
  [[nodiscard]] double limit(const Job& job) const;
  std::uint32_t take_slot();
  void find_path(Job& job);
  void add_groups(Job& job, std::uint32_t Machine::*group, std::vector<std::uint32_t>& links,
                  double (Contention::*capacity)(std::uint32_t) const);
  void add_island_links(Job& job);
  void add_to_cards(std::uint32_t slot);
  void start(std::uint32_t slot);
  /// Bytes/s through the uplinks of the group that the node is in; 0: never short.
  [[nodiscard]] double leaf_capacity(std::uint32_t node) const;
  [[nodiscard]] double spine_capacity(std::uint32_t node) const;
  [[nodiscard]] double card_capacity(std::uint32_t node) const;
  [[nodiscard]] double chips_in(std::uint32_t Machine::*group, std::uint32_t number) const;
  [[nodiscard]] std::uint32_t link_of(std::uint32_t& known, double capacity);
  [[nodiscard]] const std::vector<std::uint32_t>& route(std::uint32_t from, std::uint32_t to);

  const Machines& machines_;
  FlowNetwork net_;
  std::vector<std::uint32_t> leaf_links_, spine_links_, island_links_;  // of the network; kNone: not made yet
  std::vector<Card> cards_;                                             // by node
  std::vector<Job> jobs_;
  std::vector<std::uint32_t> unused_;
  std::vector<std::uint32_t> job_of_flow_;
  std::unordered_map<std::uint64_t, std::uint32_t> slots_;  // by job; only looked up
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<std::uint32_t>> routes_;
  std::vector<FlowId> changed_;  // scratch
};

}  // namespace centrale
