// SPDX-License-Identifier: Apache-2.0
// Ordered sets whose nodes know a summary of what is below them: a tournament over estimates, sums of chips over time. A treap
// (Seidel and Aragon, Algorithmica 1996) whose shape depends on the keys only, never on the order in which they came. All trees
// of one forest share their nodes' memory, so that the steady state allocates nothing.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "base/ensure.hpp"

namespace centrale::backfill {

/// Of what waits: (~priority, order), so that the smallest goes first. Of what changes: (time, which).
struct Key {
  std::int64_t major = 0;
  std::uint64_t minor = 0;
  constexpr auto operator<=>(const Key&) const = default;
};
inline constexpr Key kBeforeAll{std::numeric_limits<std::int64_t>::min(), 0};

/// The smallest value.
struct Smallest {
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  static Smallest of(std::int64_t value) { return {value}; }
  static Smallest join(const Smallest& a, const Smallest& b) { return {std::min(a.least, b.least)}; }
};
/// The sum, and the extremes of the sums up to each node.
struct Running {
  std::int64_t sum = 0;
  std::int64_t low = std::numeric_limits<std::int64_t>::max() / 4;
  std::int64_t high = std::numeric_limits<std::int64_t>::min() / 4;
  static Running of(std::int64_t value) { return {value, value, value}; }
  static Running join(const Running& a, const Running& b) {
    return {a.sum + b.sum, std::min(a.low, a.sum + b.low), std::max(a.high, a.sum + b.high)};
  }
};

template <class Summary>
class Forest {
 public:
  using Node = std::uint32_t;  // 0: none; a tree is its root

  /// `key` is not in the tree. Returns its node: the same until it is erased.
  Node insert(Node& root, Key key, std::int64_t value) {
    Node node = free_;
    if (node == 0) {
      node = static_cast<Node>(nodes_.size());
      nodes_.emplace_back();
    } else {
      free_ = nodes_[node].left;
    }
    nodes_[node] = {.key = key, .value = value, .summary = Summary::of(value), .left = 0, .right = 0, .rank = rank_of(key)};
    root = put(root, node);
    return node;
  }
  /// `key` is in the tree. Returns the node that it had.
  Node erase(Node& root, Key key) {
    Node gone = 0;
    root = take(root, key, gone);
    nodes_[gone].left = free_;
    free_ = gone;
    return gone;
  }
  [[nodiscard]] Node find(Node node, Key key) const {
    while (node != 0 && nodes_[node].key != key) { node = key < nodes_[node].key ? nodes_[node].left : nodes_[node].right; }
    return node;
  }
  /// The first node after `from`.
  [[nodiscard]] Node next(Node node, Key from) const {
    Node best = 0;
    while (node != 0) {
      if (from < nodes_[node].key) {
        best = node;
        node = nodes_[node].left;
      } else {
        node = nodes_[node].right;
      }
    }
    return best;
  }
  [[nodiscard]] Node last(Node node) const {
    while (node != 0 && nodes_[node].right != 0) { node = nodes_[node].right; }
    return node;
  }
  [[nodiscard]] Key key(Node node) const { return nodes_[node].key; }
  [[nodiscard]] std::int64_t value(Node node) const { return nodes_[node].value; }
  [[nodiscard]] Summary summary(Node node) const { return node == 0 ? Summary{} : nodes_[node].summary; }
  /// No smaller than any node's number.
  [[nodiscard]] std::size_t nodes() const { return nodes_.size(); }

  /// The first node after `from` whose value is at most `limit`.
  [[nodiscard]] Node first_at_most(Node node, Key from, std::int64_t limit) const {
    if (node == 0 || nodes_[node].summary.least > limit) { return 0; }
    const auto& here = nodes_[node];
    if (from < here.key) {
      if (const Node found = first_at_most(here.left, from, limit)) { return found; }
      if (here.value <= limit) { return node; }
    }
    return first_at_most(here.right, from, limit);
  }
  /// The sum of the values up to and including `until`.
  [[nodiscard]] std::int64_t sum(Node node, Key until) const {
    std::int64_t total = 0;
    while (node != 0) {
      const auto& here = nodes_[node];
      if (until < here.key) {
        node = here.left;
      } else {
        total += summary(here.left).sum + here.value;
        node = here.right;
      }
    }
    return total;
  }
  /// The first node after `from` up to which the values sum to `level` or more; `before` is the sum of what stands before the tree.
  [[nodiscard]] Node first_reaching(Node node, Key from, std::int64_t level, std::int64_t before = 0) const {
    if (node == 0 || before + nodes_[node].summary.high < level) { return 0; }
    const auto& here = nodes_[node];
    const std::int64_t through = before + summary(here.left).sum + here.value;
    if (from < here.key) {
      if (const Node found = first_reaching(here.left, from, level, before)) { return found; }
      if (through >= level) { return node; }
    }
    return first_reaching(here.right, from, level, through);
  }
  /// The first node after `from` up to which the values sum to less than `level`.
  [[nodiscard]] Node first_below(Node node, Key from, std::int64_t level, std::int64_t before = 0) const {
    if (node == 0 || before + nodes_[node].summary.low >= level) { return 0; }
    const auto& here = nodes_[node];
    const std::int64_t through = before + summary(here.left).sum + here.value;
    if (from < here.key) {
      if (const Node found = first_below(here.left, from, level, before)) { return found; }
      if (through < level) { return node; }
    }
    return first_below(here.right, from, level, through);
  }

 private:
  struct Entry {
    Key key;
    std::int64_t value = 0;
    Summary summary;
    Node left = 0, right = 0;
    std::uint64_t rank = 0;
  };
  /// SplitMix64's mixer: keys that follow each other get ranks that do not.
  static std::uint64_t rank_of(Key key) {
    std::uint64_t z = static_cast<std::uint64_t>(key.major) * 0x9E3779B97F4A7C15ULL + key.minor + 0x632BE59BD9B4E019ULL;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  void refresh(Node node) {
    auto& here = nodes_[node];
    here.summary = Summary::of(here.value);
    if (here.left != 0) { here.summary = Summary::join(nodes_[here.left].summary, here.summary); }
    if (here.right != 0) { here.summary = Summary::join(here.summary, nodes_[here.right].summary); }
  }
  [[nodiscard]] bool above(Node a, Node b) const {
    return nodes_[a].rank != nodes_[b].rank ? nodes_[a].rank > nodes_[b].rank : nodes_[a].key < nodes_[b].key;
  }
  void split(Node node, Key key, Node& left, Node& right) {
    if (node == 0) {
      left = right = 0;
    } else if (key < nodes_[node].key) {
      Node middle = 0;
      split(nodes_[node].left, key, left, middle);
      nodes_[node].left = middle;
      refresh(node);
      right = node;
    } else {
      Node middle = 0;
      split(nodes_[node].right, key, middle, right);
      nodes_[node].right = middle;
      refresh(node);
      left = node;
    }
  }
  Node join(Node a, Node b) {
    if (a == 0 || b == 0) { return a + b; }
    if (above(a, b)) {
      nodes_[a].right = join(nodes_[a].right, b);
      refresh(a);
      return a;
    }
    nodes_[b].left = join(a, nodes_[b].left);
    refresh(b);
    return b;
  }
  Node put(Node root, Node node) {
    if (root == 0 || above(node, root)) {
      split(root, nodes_[node].key, nodes_[node].left, nodes_[node].right);
      refresh(node);
      return node;
    }
    ensure(nodes_[root].key != nodes_[node].key);
    if (nodes_[node].key < nodes_[root].key) {
      nodes_[root].left = put(nodes_[root].left, node);
    } else {
      nodes_[root].right = put(nodes_[root].right, node);
    }
    refresh(root);
    return root;
  }
  Node take(Node root, Key key, Node& gone) {
    ensure(root != 0);
    if (key == nodes_[root].key) {
      gone = root;
      return join(nodes_[root].left, nodes_[root].right);
    }
    if (key < nodes_[root].key) {
      nodes_[root].left = take(nodes_[root].left, key, gone);
    } else {
      nodes_[root].right = take(nodes_[root].right, key, gone);
    }
    refresh(root);
    return root;
  }

  std::vector<Entry> nodes_{1};
  Node free_ = 0;
};

}  // namespace centrale::backfill
