// SPDX-License-Identifier: Apache-2.0
// A replica's prefix cache: blocks of prompts by id, held by running sequences or idle; idle ones are dropped least recently used first.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace centrale {

class PrefixCache {
 public:
  using Slot = std::uint32_t;
  static constexpr Slot kNone = ~Slot{0};

  struct Match {
    std::size_t blocks = 0;   // from the start of the prompt
    std::int64_t tokens = 0;  // of those
    std::int64_t idle = 0;    // tokens of those that nobody holds now
  };
  /// How much of a prompt of that many tokens is there.
  [[nodiscard]] Match match(std::span<const std::uint64_t> blocks, std::int64_t prompt) const;

  /// Holds a block that is there.
  Slot hold(std::uint64_t block);
  /// Adds a block and holds it; kNone if it is there already.
  Slot add(std::uint64_t block, std::int64_t tokens);
  /// Lets go of one hold of each. The last becomes the least recent: a prefix outlives what follows it.
  void release(std::span<const Slot> slots);
  /// Drops idle blocks until `tokens` of them are gone, or all.
  void drop(std::int64_t tokens);

  [[nodiscard]] std::int64_t held() const { return held_; }  // tokens
  [[nodiscard]] std::int64_t idle() const { return idle_; }

 private:
  struct Entry {
    std::uint64_t block = 0;
    std::int64_t tokens = 0;
    std::uint32_t holders = 0;
    Slot before = kNone, after = kNone;  // among idle ones, from least to most recent
  };
  void link(Slot slot);
  void unlink(Slot slot);

  std::unordered_map<std::uint64_t, Slot> by_block_;  // looked up, never walked
  std::vector<Entry> entries_;
  std::vector<Slot> spare_;
  Slot oldest_ = kNone, newest_ = kNone;
  std::int64_t held_ = 0, idle_ = 0;
};

}  // namespace centrale
