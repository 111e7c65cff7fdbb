// SPDX-License-Identifier: Apache-2.0
// `centrale top`: what is known, how it is looked at, and the picture that follows from both. Pure; the loop is in top.cpp.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "cli/render.hpp"
#include "cli/sse.hpp"

namespace centrale::cli {

struct TopState {
  CentreView centre;
  std::vector<NodeView> nodes;
  std::vector<JobView> jobs;  // those under way, and the newest that ended
  std::vector<ServiceView> services;
  UsagePage usage;
  std::string trouble;  // why it is not live now; empty: it is
};

inline constexpr std::size_t kTopJobsMax = 1'000;
inline constexpr std::size_t kTopEndedMax = 20;

/// Takes an event in. False: it was none that changes the picture.
bool take_event(TopState& state, const SseEvent& event);
/// Running before queued before ended; the newest first, but of those that wait the one that waits longest. Drops what is too much.
void order_jobs(std::vector<JobView>& jobs);

enum class TopPart : unsigned char { chips, jobs, services, usage };
inline constexpr std::size_t kTopParts = 4;

struct TopLook {
  TopPart focus = TopPart::jobs;
  std::array<std::size_t, kTopParts> scroll{};
  bool help = false;
  bool paused = false;
};

enum class Key : unsigned char { quit, up, down, page_up, page_down, first, last, next_part, previous_part, help, pause, redraw };
/// Takes complete keys off the front of what was typed; what is left is the beginning of one.
[[nodiscard]] std::vector<Key> take_keys(std::string& typed);
/// `rows` is the height of the screen. False: leave.
bool turn(TopLook& look, Key key, std::size_t rows);

/// The picture: exactly `rows` lines, each at most `paper.width` columns. Scroll positions beyond the end are brought back.
[[nodiscard]] std::vector<std::string> render_top(const TopState& state, TopLook& look, const Paper& paper, std::size_t rows);

}  // namespace centrale::cli
