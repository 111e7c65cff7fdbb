// SPDX-License-Identifier: Apache-2.0
// Ids are types: a JobId is never a NodeId. All are given out by the core, in order, from 1; 0 means none.
#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace centrale {

template <class Tag>
struct Id {
  std::uint64_t value = 0;
  constexpr auto operator<=>(const Id&) const = default;
  [[nodiscard]] constexpr explicit operator bool() const { return value != 0; }
};

struct JobTag {
  static constexpr char kPrefix = 'j';
};
struct TaskTag {
  static constexpr char kPrefix = 't';
};
struct ServiceTag {
  static constexpr char kPrefix = 's';
};
struct NodeTag {
  static constexpr char kPrefix = 'n';
};
struct ChipTag {
  static constexpr char kPrefix = 'c';
};
struct TenantTag {
  static constexpr char kPrefix = 'u';
};
struct KeyTag {
  static constexpr char kPrefix = 'k';
};
struct TimerTag {
  static constexpr char kPrefix = 'm';
};
struct ReservationTag {
  static constexpr char kPrefix = 'r';
};

using JobId = Id<JobTag>;
using TaskId = Id<TaskTag>;  // one attempt of a job, or one life of a replica
using ServiceId = Id<ServiceTag>;
using NodeId = Id<NodeTag>;
using ChipId = Id<ChipTag>;
using TenantId = Id<TenantTag>;
using KeyId = Id<KeyTag>;
using TimerId = Id<TimerTag>;
using ReservationId = Id<ReservationTag>;

/// As people see it: "j12", "n1".
template <class Tag>
[[nodiscard]] std::string to_string(Id<Tag> id) {
  return Tag::kPrefix + std::to_string(id.value);
}

/// The inverse of to_string; nothing for any other text.
template <class Tag>
[[nodiscard]] std::optional<Id<Tag>> parse_id(std::string_view text) {
  if (text.size() < 2 || text.size() > 20 || text.front() != Tag::kPrefix || text[1] == '0') { return std::nullopt; }
  std::uint64_t value = 0;
  for (const char c : text.substr(1)) {
    if (c < '0' || c > '9') { return std::nullopt; }
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return Id<Tag>{value};
}

}  // namespace centrale

template <class Tag>
struct std::hash<centrale::Id<Tag>> {
  std::size_t operator()(centrale::Id<Tag> id) const noexcept { return std::hash<std::uint64_t>{}(id.value); }
};
