// SPDX-License-Identifier: Apache-2.0
#include "cli/follow.hpp"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <map>

#include "cli/find.hpp"
#include "cli/progress.hpp"

namespace centrale::cli {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kPollEvery = 1000ms;   // a lost event costs at most this
constexpr auto kRedrawEvery = 100ms;  // faster than people read, slower than a busy centre's events
constexpr auto kReconnectEvery = 1000ms;
constexpr auto kSayEvery = 10s;  // without a terminal: a line now and then
constexpr double kFailuresInRow = 3;
constexpr std::size_t kNameWidthMax = 32;

template <class View>
std::size_t name_width(const std::vector<View>& views) {
  std::size_t width = 0;
  for (const View& view : views) { width = std::max(width, display_width(view.name.empty() ? view.id : view.name)); }
  return std::min(width, kNameWidthMax);
}

/// Where nothing can be drawn over: says a line when it has changed, and not too often.
class SparseLines {
 public:
  explicit SparseLines(Context& context) : context_(context) {}
  void say(const std::string& id, const std::string& state, std::string line) {
    while (line.ends_with(' ')) { line.pop_back(); }
    Said& said = said_[id];
    const auto now = Clock::now();
    if (said.state == state && (now < said.when + kSayEvery || said.line == line)) { return; }
    said = {state, line, now};
    note(context_, line);
  }

 private:
  struct Said {
    std::string state, line;
    Clock::time_point when;
  };
  Context& context_;
  std::map<std::string, Said> said_;
};

struct Timeout {
  std::optional<Clock::time_point> at;
  explicit Timeout(std::optional<double> seconds) {
    if (seconds) {
      at = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::min(*seconds, 1e9)));
    }
  }
  [[nodiscard]] bool passed() const { return at && Clock::now() >= *at; }
  [[nodiscard]] std::chrono::milliseconds left(std::chrono::milliseconds at_most) const {
    return at ? std::clamp(std::chrono::duration_cast<std::chrono::milliseconds>(*at - Clock::now()), 0ms, at_most) : at_most;
  }
};

/// The job, or every member of the array that it is of; those not asked for yet count as queued.
std::vector<JobView> members_of(const JobView& job) {
  std::vector<JobView> members;
  for (std::string& id : array_of(job)) {
    if (id == job.id) {
      members.push_back(job);
      continue;
    }
    JobView member;
    member.id = std::move(id);
    member.name = job.name;
    member.state = "queued";
    members.push_back(std::move(member));
  }
  return members;
}

/// The lines that stand for the jobs: one each, and one for a whole array.
std::vector<std::string> lines_of(const std::vector<std::vector<JobView>>& groups, const Context& context, std::size_t names) {
  const std::size_t width = context.width > 0 ? context.width - 1 : 0;  // the last column would wrap on some terminals
  std::vector<std::string> lines;
  for (const auto& group : groups) {
    lines.push_back(group.size() == 1 ? progress_line(group.front(), names, width, context.style)
                                      : array_line(group, names, width, context.style));
  }
  return lines;
}

}  // namespace

void refresh_size(Context& context) {
  winsize size{};
  if (context.out_is_terminal && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    context.width = size.ws_col;
    context.height = size.ws_row;
  }
}

void EventFeed::open() {
  if (Clock::now() < next_try_) { return; }
  next_try_ = Clock::now() + kReconnectEvery;
  reader_ = {};
  auto stream = context_.api->stream("GET", "/api/v1/events", {});
  if (stream && (*stream)->status() == 200) { stream_ = std::move(*stream); }
}

std::vector<SseEvent> EventFeed::wait(std::chrono::milliseconds time_max) {
  std::vector<SseEvent> events;
  if (!stream_) { open(); }
  if (!stream_) {
    context_.pause(signals_, std::min<std::chrono::milliseconds>(time_max, 200ms));
    return events;
  }
  const Part part = stream_->next(time_max, wake_fd_);
  if (part.kind == Part::Kind::end) {
    stream_.reset();
    context_.pause(signals_, std::min<std::chrono::milliseconds>(time_max, 50ms));  // a stream that ends at once must not spin
    return events;
  }
  reader_.feed(part.bytes);
  while (auto event = reader_.next()) { events.push_back(std::move(*event)); }
  return events;
}

void LiveLines::draw(const std::vector<std::string>& lines) {
  const std::size_t room = context_.height > 1 ? context_.height - 1 : lines.size();
  const std::size_t count = std::min(lines.size(), room);
  std::string text;
  if (drawn_ > 0) { text += fmt::format("\x1b[{}A", drawn_); }
  for (std::size_t i = 0; i < count; ++i) {
    const bool is_last = i + 1 == count && count < lines.size();
    text += "\r\x1b[2K" + (is_last ? fmt::format("and {} more", lines.size() - i) : lines[i]) + "\n";
  }
  if (count < drawn_) { text += "\x1b[J"; }
  drawn_ = count;
  context_.out << text << std::flush;
}

Outcome<Followed> follow_jobs(Context& context, Signals& signals, const std::vector<JobView>& jobs, bool draws,
                              std::optional<double> timeout_s) {
  const Timeout timeout(timeout_s);
  const std::size_t names = name_width(jobs);
  std::vector<std::vector<JobView>> groups;
  std::map<std::string, std::pair<std::size_t, std::size_t>> places;  // id -> group, member
  std::map<std::string, Clock::time_point> asked;
  for (const JobView& job : jobs) {
    std::vector<JobView> members = members_of(job);
    for (std::size_t i = 0; i < members.size(); ++i) { places[members[i].id] = {groups.size(), i}; }
    groups.push_back(std::move(members));
  }
  const auto job_at = [&](const std::pair<std::size_t, std::size_t>& place) -> JobView& { return groups[place.first][place.second]; };

  EventFeed feed(context, signals);
  LiveLines live(context);
  SparseLines sparse(context);
  Clock::time_point drawn{};
  Followed followed;
  while (true) {
    bool all_ended = true;
    std::size_t asks_left = 50;  // of a large array a part at a time: events bring the rest
    for (const auto& [id, place] : places) {
      JobView& job = job_at(place);
      if (has_ended(job)) { continue; }
      const auto now = Clock::now();
      if (asks_left > 0 && now >= asked[id] + kPollEvery) {
        --asks_left;
        asked[id] = now;
        TRY_ASSIGN(const std::string body, ask(context, "GET", path_of("jobs", id)));
        job = read_job(body);
      }
      all_ended = all_ended && has_ended(job);
    }
    if (draws && (all_ended || Clock::now() >= drawn + kRedrawEvery)) {
      drawn = Clock::now();
      if (signals.take(SIGWINCH)) { refresh_size(context); }
      const std::vector<std::string> lines = lines_of(groups, context, names);
      if (context.out_is_terminal) {
        live.draw(lines);
      } else {
        for (std::size_t i = 0; i < lines.size(); ++i) { sparse.say(groups[i].front().id, groups[i].front().state, lines[i]); }
      }
    }
    if (all_ended || timeout.passed() || signals.told_to_end()) {
      followed.ending = all_ended ? Ending::done : timeout.passed() ? Ending::timeout : Ending::interrupted;
      break;
    }
    for (const SseEvent& event : feed.wait(timeout.left(draws ? kRedrawEvery * 2 : kPollEvery))) {
      if (event.type != "job") { continue; }
      JobView job = read_job(event.data);
      if (const auto it = places.find(job.id); it != places.end()) {
        asked[job.id] = Clock::now();
        job_at(it->second) = std::move(job);
      }
    }
  }
  for (const auto& group : groups) {
    for (const JobView& job : group) {
      if (followed.ending == Ending::done && job.state != "done") { followed.ending = Ending::failed; }
      followed.jobs.push_back(job);
    }
  }
  return followed;
}

Outcome<Ending> follow_services(Context& context, Signals& signals, std::vector<ServiceView>& services, bool draws,
                                std::optional<double> timeout_s) {
  const Timeout timeout(timeout_s);
  const std::size_t names = name_width(services);
  EventFeed feed(context, signals);
  LiveLines live(context);
  SparseLines sparse(context);
  std::map<std::string, Clock::time_point> asked;
  const auto failed_for_good = [](const ServiceView& service) {
    return !service.replicas.empty() && std::ranges::all_of(service.replicas, [](const ReplicaView& replica) {
      return !replica.ready && replica.failures.value_or(0) >= kFailuresInRow;
    });
  };
  while (true) {
    bool all_ready = true;
    bool any_failed = false;
    for (ServiceView& service : services) {
      if (service.state != "ready" && Clock::now() >= asked[service.id] + kPollEvery) {
        asked[service.id] = Clock::now();
        TRY_ASSIGN(const std::string body, ask(context, "GET", path_of("services", service.id)));
        service = read_service(body);
      }
      all_ready = all_ready && service.state == "ready";
      any_failed = any_failed || failed_for_good(service) || service.state == "removing";
    }
    if (draws) {
      if (signals.take(SIGWINCH)) { refresh_size(context); }
      std::vector<std::string> lines;
      for (const ServiceView& service : services) {
        lines.push_back(service_line(service, names, context.width > 0 ? context.width - 1 : 0, context.style));
        if (!context.out_is_terminal) { sparse.say(service.id, service.state, lines.back()); }
      }
      if (context.out_is_terminal) { live.draw(lines); }
    }
    if (all_ready || any_failed) { return all_ready ? Ending::done : Ending::failed; }
    if (timeout.passed() || signals.told_to_end()) { return timeout.passed() ? Ending::timeout : Ending::interrupted; }
    for (const SseEvent& event : feed.wait(timeout.left(kPollEvery))) {
      if (event.type != "service") { continue; }
      ServiceView changed = read_service(event.data);
      for (ServiceView& service : services) {
        if (service.id == changed.id) {
          asked[service.id] = Clock::now();
          service = changed;
        }
      }
    }
  }
}

}  // namespace centrale::cli
