// SPDX-License-Identifier: Apache-2.0
// Flows that share links max-min fair: no flow can get more without taking from one that has no more (Bertsekas and Gallager, "Data
// Networks", 2nd edition, section 6.5.2). Found by progressive filling: all rates grow together; a flow stops when a link of its path is
// full or it has all that it wants.
//
// A change refills only what it touches. The filling before and after it are followed side by side, level by level: a link is looked at
// from the level on at which one of its flows behaves otherwise than before; all other flows stop where they stopped. Exact to kTolerance.
#pragma once
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "base/dimension.hpp"

namespace centrale {

/// A link of a FlowNetwork, numbered from 0.
struct LinkId {
  std::uint32_t value = 0;
  constexpr auto operator<=>(const LinkId&) const = default;
};

/// A flow of a FlowNetwork; given out again once the flow is removed.
struct FlowId {
  std::uint32_t value = 0;
  constexpr auto operator<=>(const FlowId&) const = default;
};

class FlowNetwork {
 public:
  static constexpr double kNoLimit = std::numeric_limits<double>::infinity();
  /// Relative: a rate that would move by less is left as it is.
  static constexpr double kTolerance = 1e-12;

  /// A link that a flow uses, and the bytes on the link for each byte of the flow.
  struct Hop {
    LinkId link;
    double weight = 1;
  };

  /// `capacity` above 0, finite.
  LinkId link(BytesPerSecond capacity);
  /// A flow over each of those links, none twice. `demand_limit` in bytes/s, above 0; finite where the path is empty.
  FlowId add(std::span<const LinkId> path, double demand_limit = kNoLimit);
  FlowId add(std::span<const Hop> path, double demand_limit = kNoLimit);
  void remove(FlowId flow);

  /// Bytes/s.
  [[nodiscard]] double rate(FlowId flow) const { return flows_[flow.value].rate; }
  /// Bytes/s of all flows on it.
  [[nodiscard]] double load(LinkId link) const;
  [[nodiscard]] BytesPerSecond capacity(LinkId link) const { return {links_[link.value].capacity}; }
  [[nodiscard]] std::size_t flows() const { return alive_; }
  /// The flows that were added, or whose rate changed, since the last call, each once; replaces what `flows` held.
  void changed(std::vector<FlowId>& flows);

 private:
  struct Member {
    std::uint32_t flow = 0;
    std::uint32_t hop = 0;  // of the flow: where in its path this link is
    double weight = 1;
  };
  struct Link {
    double capacity = 0;
    double level = kNoLimit;  // of the filling, at which it is full; never: none
    double frozen = 0;        // in the filling under way: taken by flows that have stopped …
    double growing = 0;       // … the weight of those that have not, and their number
    std::uint32_t growers = 0;
    std::uint32_t pass = 0;  // the filling that last looked at it
    std::vector<Member> members;
  };
  struct PathHop {
    std::uint32_t link = 0;
    std::uint32_t member = 0;  // where in the link's members
    double weight = 1;
  };
  struct Flow {
    double rate = 0;
    double limit = 0;
    std::uint32_t pass = 0;
    bool growing = false;  // in the filling under way
    bool free = false;     // grows beyond its old rate, or is new
    bool alive = false;
    bool reported = false;
    std::vector<PathHop> path;
  };
  /// What comes next in a filling: a link may be full, or a flow stop, at `level`.
  struct Step {
    double level = 0;
    std::uint32_t which = 0;
    bool is_link = false;
    [[nodiscard]] bool after(const Step& o) const {
      if (level != o.level) { return level > o.level; }
      return is_link != o.is_link ? !is_link : which > o.which;
    }
  };

  std::uint32_t take_slot();
  void begin();
  void fill();
  void touch(std::uint32_t index);
  void look_at(std::uint32_t index, double level);
  void look_at_path(std::uint32_t index, double level);
  void link_step(const Step& step);
  void flow_step(const Step& step);
  [[nodiscard]] bool stops_as_before(const Flow& flow) const;
  void stop(std::uint32_t index, double rate, double level);
  void settle_rate(std::uint32_t index, double rate);
  void push(Step step);
  Step pop();

  std::vector<Link> links_;
  std::vector<Flow> flows_;
  std::vector<std::uint32_t> unused_;
  std::vector<std::uint32_t> changed_;
  std::vector<Step> steps_;  // a heap
  std::vector<Hop> hops_;    // scratch of add()
  std::size_t alive_ = 0;
  std::uint32_t pass_ = 0;
};

}  // namespace centrale
