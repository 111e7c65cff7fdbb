// SPDX-License-Identifier: Apache-2.0
#include "simulate/replica_cache.hpp"

#include <algorithm>
#include <ranges>

#include "base/ensure.hpp"
#include "simulate/requests.hpp"

namespace centrale {

PrefixCache::Match PrefixCache::match(std::span<const std::uint64_t> blocks, std::int64_t prompt) const {
  Match match;
  for (const std::uint64_t block : blocks) {
    const auto at = by_block_.find(block);
    if (at == by_block_.end()) { break; }
    const Entry& entry = entries_[at->second];
    if (entry.tokens != std::min(kPrefixBlock, prompt - match.tokens)) { break; }  // a prompt's last block, longer or shorter here
    match.blocks += 1;
    match.tokens += entry.tokens;
    match.idle += entry.holders == 0 ? entry.tokens : 0;
  }
  return match;
}

PrefixCache::Slot PrefixCache::hold(std::uint64_t block) {
  const auto at = by_block_.find(block);
  ensure(at != by_block_.end());
  Entry& entry = entries_[at->second];
  if (entry.holders++ == 0) {
    unlink(at->second);
    idle_ -= entry.tokens;
    held_ += entry.tokens;
  }
  return at->second;
}

PrefixCache::Slot PrefixCache::add(std::uint64_t block, std::int64_t tokens) {
  const auto [at, added] = by_block_.try_emplace(block, kNone);
  if (!added) { return kNone; }
  Slot slot = static_cast<Slot>(entries_.size());
  if (spare_.empty()) {
    entries_.emplace_back();
  } else {
    slot = spare_.back();
    spare_.pop_back();
  }
  at->second = slot;
  entries_[slot] = {.block = block, .tokens = tokens, .holders = 1, .before = kNone, .after = kNone};
  held_ += tokens;
  return slot;
}

void PrefixCache::release(std::span<const Slot> slots) {
  for (const Slot slot : slots | std::views::reverse) {
    Entry& entry = entries_[slot];
    ensure(entry.holders > 0);
    if (--entry.holders > 0) { continue; }
    held_ -= entry.tokens;
    idle_ += entry.tokens;
    link(slot);
  }
}

void PrefixCache::drop(std::int64_t tokens) {
  while (tokens > 0 && oldest_ != kNone) {
    const Slot slot = oldest_;
    unlink(slot);
    tokens -= entries_[slot].tokens;
    idle_ -= entries_[slot].tokens;
    by_block_.erase(entries_[slot].block);
    spare_.push_back(slot);
  }
}

void PrefixCache::link(Slot slot) {
  entries_[slot].before = newest_;
  entries_[slot].after = kNone;
  (newest_ == kNone ? oldest_ : entries_[newest_].after) = slot;
  newest_ = slot;
}

void PrefixCache::unlink(Slot slot) {
  const Entry& entry = entries_[slot];
  (entry.before == kNone ? oldest_ : entries_[entry.before].after) = entry.after;
  (entry.after == kNone ? newest_ : entries_[entry.after].before) = entry.before;
}

}  // namespace centrale
