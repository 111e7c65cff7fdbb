// SPDX-License-Identifier: Apache-2.0
#include "cli/top.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <csignal>

#include "cli/commands.hpp"
#include "cli/follow.hpp"
#include "cli/screen.hpp"

namespace centrale::cli {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kAskEvery = 2000ms;  // what no event says: uptime, counts
constexpr auto kDrawEvery = 100ms;  // a busy centre has more events than anyone reads

/// Readable when a key was typed or a signal came.
class Wake {
 public:
  Wake(const Signals& signals, bool keys) : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
    add(signals.fd());
    if (keys) { add(STDIN_FILENO); }
  }
  ~Wake() { ::close(fd_); }
  Wake(const Wake&) = delete;
  Wake& operator=(const Wake&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  void add(int fd) const {
    epoll_event event{};
    event.events = EPOLLIN;
    ::epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event);
  }
  int fd_;
};

struct Snapshot {
  std::string centre, nodes, services, usage;
  std::vector<std::string> jobs;
};

/// Everything, from scratch.
Outcome<void> ask_all(Context& context, TopState& state, Snapshot* raw) {
  TRY_ASSIGN(std::string centre, ask(context, "GET", "/api/v1/centre"));
  TRY_ASSIGN(std::string nodes, ask(context, "GET", "/api/v1/nodes"));
  TRY_ASSIGN(std::string services, ask(context, "GET", "/api/v1/services"));
  TRY_ASSIGN(std::string usage, ask(context, "GET", "/api/v1/usage"));
  state.centre = read_centre(centre);
  state.nodes = read_nodes(nodes);
  state.services = read_services(services);
  state.usage = read_usage(usage);
  state.jobs.clear();
  for (const std::string_view state_name : {"running", "starting", "stopping", "queued", "done", "failed", "cancelled"}) {
    const bool ended = state_name == "done" || state_name == "failed" || state_name == "cancelled";
    TRY_ASSIGN(const std::string jobs,
               ask(context, "GET", "/api/v1/jobs?state=" + std::string(state_name) + (ended ? "&limit=20" : "&limit=200")));
    for (JobView& job : read_jobs(jobs).jobs) {
      // A job that changed its state between two questions would be there twice; the later answer counts.
      std::erase_if(state.jobs, [&](const JobView& seen) { return seen.id == job.id; });
      state.jobs.push_back(std::move(job));
    }
    if (raw != nullptr) {
      for (std::string& item : raw_items(jobs, "jobs")) { raw->jobs.push_back(std::move(item)); }
    }
  }
  order_jobs(state.jobs);
  if (raw != nullptr) { *raw = {std::move(centre), std::move(nodes), std::move(services), std::move(usage), std::move(raw->jobs)}; }
  return {};
}

/// What no event says.
Outcome<void> ask_counts(Context& context, TopState& state) {
  TRY_ASSIGN(const std::string centre, ask(context, "GET", "/api/v1/centre"));
  TRY_ASSIGN(const std::string nodes, ask(context, "GET", "/api/v1/nodes"));
  TRY_ASSIGN(const std::string services, ask(context, "GET", "/api/v1/services"));
  TRY_ASSIGN(const std::string usage, ask(context, "GET", "/api/v1/usage"));
  state.centre = read_centre(centre);
  state.nodes = read_nodes(nodes);
  state.services = read_services(services);
  state.usage = read_usage(usage);
  return {};
}

Outcome<int> print_once(Context& context) {
  TopState state;
  Snapshot raw;
  TRY(ask_all(context, state, &raw));
  if (context.json) {
    print(context, "{\"centre\":" + raw.centre + "," + raw_array("jobs", raw.jobs) + ",\"nodes\":" + raw.nodes +
                       ",\"services\":" + raw.services + ",\"usage\":" + raw.usage + "}");
    return kExitOk;
  }
  TopLook look;
  const Paper paper{context.width > 0 ? context.width : 120, context.style, context.now(), {}};
  constexpr std::size_t kRowsMax = 2'000;
  std::vector<std::string> lines = render_top(state, look, paper, kRowsMax);
  lines.pop_back();  // the keys
  while (!lines.empty() && lines.back().empty()) { lines.pop_back(); }
  for (const std::string& line : lines) { print(context, line + "\n"); }
  return kExitOk;
}

Outcome<int> live(Context& context) {
  TopState state;
  TRY(ask_all(context, state, nullptr));  // an error now is said in the usual way, not on the borrowed screen
  Signals signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP});
  const Wake wake(signals, context.in_is_terminal);
  EventFeed feed(context, signals, wake.fd());
  Screen screen;
  TopLook look;
  std::string typed;
  bool was_connected = true;
  auto asked = Clock::now();
  auto drawn = Clock::time_point{};
  bool changed = true;
  refresh_size(context);
  while (!signals.told_to_end() && !signals.take(SIGQUIT)) {
    if (signals.take(SIGTSTP)) {
      screen.suspend();
      refresh_size(context);
      changed = true;
    }
    if (signals.take(SIGWINCH)) {
      refresh_size(context);
      screen.forget();
      changed = true;
    }
    typed += screen.typed();
    for (const Key key : take_keys(typed)) {
      if (!turn(look, key, context.height)) { return kExitOk; }
      if (key == Key::redraw) { screen.forget(); }
      drawn = {};  // a key is answered at once
      changed = true;
    }
    const auto now = Clock::now();
    if (!look.paused && now >= asked + kAskEvery) {
      asked = now;
      const Outcome<void> answer = was_connected ? ask_counts(context, state) : ask_all(context, state, nullptr);
      state.trouble = answer ? "" : answer.error().error.what + "; trying again";
      was_connected = answer.has_value();
      changed = true;
    }
    if (changed && now >= drawn + kDrawEvery) {
      drawn = now;
      changed = false;
      const Paper paper{context.width, context.style, context.now(), {}};
      screen.draw(render_top(state, look, paper, context.height));
    }
    for (const SseEvent& event : feed.wait(changed ? kDrawEvery : 500ms)) {
      changed = (!look.paused && take_event(state, event)) || changed;
    }
  }
  return kExitOk;
}

}  // namespace

int top(Context& context, const TopOptions& options) {
  const bool draws = context.out_is_terminal && !context.json && !options.once;
  return finish(context, draws ? live(context) : print_once(context));
}

}  // namespace centrale::cli
