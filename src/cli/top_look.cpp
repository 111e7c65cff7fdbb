// SPDX-License-Identifier: Apache-2.0
// Events into what is known, keys into how it is looked at.
#include <algorithm>

#include "base/ids.hpp"
#include "cli/progress.hpp"
#include "cli/top.hpp"

namespace centrale::cli {
namespace {

template <class View>
void put(std::vector<View>& views, View view) {
  if (view.id.empty()) { return; }
  const auto it = std::ranges::find(views, view.id, &View::id);
  if (it != views.end()) {
    *it = std::move(view);
  } else {
    views.push_back(std::move(view));
  }
}

constexpr int kQueuedRank = 2;

int rank_of(const JobView& job) {
  return job.state == "running" || job.state == "stopping" ? 0 : job.state == "starting" ? 1 : job.state == "queued" ? kQueuedRank : 3;
}

std::uint64_t number_of(const JobView& job) {
  const auto id = parse_id<JobTag>(job.id);
  return id ? id->value : 0;
}

}  // namespace

void order_jobs(std::vector<JobView>& jobs) {
  std::ranges::stable_sort(jobs, [](const JobView& a, const JobView& b) {
    if (rank_of(a) != rank_of(b)) { return rank_of(a) < rank_of(b); }
    return rank_of(a) == kQueuedRank ? number_of(a) < number_of(b) : number_of(a) > number_of(b);
  });
  const auto first_ended = std::ranges::find_if(jobs, has_ended);
  const auto under_way = static_cast<std::size_t>(first_ended - jobs.begin());
  const std::size_t kept = std::min(under_way, kTopJobsMax);
  jobs.erase(jobs.begin() + static_cast<std::ptrdiff_t>(kept), first_ended);
  jobs.resize(std::min(jobs.size(), kept + kTopEndedMax));
}

bool take_event(TopState& state, const SseEvent& event) {
  if (event.type == "job") {
    put(state.jobs, read_job(event.data));
    order_jobs(state.jobs);
  } else if (event.type == "node") {
    put(state.nodes, read_node(event.data));
  } else if (event.type == "service") {
    ServiceView service = read_service(event.data);
    // One that is being removed and has nothing left is gone.
    if (service.state == "removing" && service.replicas.empty()) {
      std::erase_if(state.services, [&](const ServiceView& s) { return s.id == service.id; });
    } else {
      put(state.services, std::move(service));
    }
  } else if (event.type == "usage") {
    state.usage = read_usage(event.data);
  } else {
    return false;
  }
  return true;
}

std::vector<Key> take_keys(std::string& typed) {
  struct Sequence {
    std::string_view bytes;
    Key key;
  };
  // Longer ones first: "\x1b" alone is a key as well.
  static constexpr std::array kSequences{Sequence{"\x1b[5~", Key::page_up},
                                         Sequence{"\x1b[6~", Key::page_down},
                                         Sequence{"\x1b[1~", Key::first},
                                         Sequence{"\x1b[4~", Key::last},
                                         Sequence{"\x1b[A", Key::up},
                                         Sequence{"\x1b[B", Key::down},
                                         Sequence{"\x1b[C", Key::next_part},
                                         Sequence{"\x1b[D", Key::previous_part},
                                         Sequence{"\x1bOA", Key::up},
                                         Sequence{"\x1bOB", Key::down},
                                         Sequence{"\x1b[H", Key::first},
                                         Sequence{"\x1b[F", Key::last},
                                         Sequence{"\x1b[Z", Key::previous_part},
                                         Sequence{"q", Key::quit},
                                         Sequence{"Q", Key::quit},
                                         Sequence{"j", Key::down},
                                         Sequence{"k", Key::up},
                                         Sequence{"\t", Key::next_part},
                                         Sequence{"g", Key::first},
                                         Sequence{"G", Key::last},
                                         Sequence{"?", Key::help},
                                         Sequence{"h", Key::help},
                                         Sequence{" ", Key::pause},
                                         Sequence{"\x0c", Key::redraw},
                                         Sequence{"\x06", Key::page_down},
                                         Sequence{"\x02", Key::page_up}};
  std::vector<Key> keys;
  while (!typed.empty()) {
    const auto it = std::ranges::find_if(kSequences, [&](const Sequence& s) { return typed.starts_with(s.bytes); });
    if (it != kSequences.end()) {
      keys.push_back(it->key);
      typed.erase(0, it->bytes.size());
    } else if (typed.front() == '\x1b' && typed.size() < 4 &&
               std::ranges::any_of(kSequences, [&](const Sequence& s) { return s.bytes.starts_with(typed); })) {
      break;  // the rest of it is on its way
    } else if (typed.starts_with("\x1b[") || typed.starts_with("\x1bO")) {
      // An unknown sequence ends with a letter or '~'.
      const std::size_t end = typed.find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz~", 2);
      typed.erase(0, end == std::string::npos ? typed.size() : end + 1);
    } else {
      typed.erase(0, 1);
    }
  }
  return keys;
}

bool turn(TopLook& look, Key key, std::size_t rows) {
  std::size_t& scroll = look.scroll.at(static_cast<std::size_t>(look.focus));
  const std::size_t page = std::max<std::size_t>(1, rows / 2);
  const auto part = static_cast<std::size_t>(look.focus);
  if (look.help && key != Key::quit) {
    look.help = false;
    return true;
  }
  switch (key) {
    case Key::quit: return false;
    case Key::up: scroll -= std::min<std::size_t>(scroll, 1); break;
    case Key::down: ++scroll; break;  // render_top brings it back from beyond the end
    case Key::page_up: scroll -= std::min(scroll, page); break;
    case Key::page_down: scroll += page; break;
    case Key::first: scroll = 0; break;
    case Key::last: scroll = static_cast<std::size_t>(-1) / 2; break;
    case Key::next_part: look.focus = static_cast<TopPart>((part + 1) % kTopParts); break;
    case Key::previous_part: look.focus = static_cast<TopPart>((part + kTopParts - 1) % kTopParts); break;
    case Key::help: look.help = true; break;
    case Key::pause: look.paused = !look.paused; break;
    case Key::redraw: break;
  }
  return true;
}

}  // namespace centrale::cli
