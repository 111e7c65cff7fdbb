// SPDX-License-Identifier: Apache-2.0
#include "operate/health.hpp"

#include <chrono>
#include <map>

#include <fmt/format.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace centrale {

namespace {
using namespace std::chrono_literals;
constexpr auto kWhileStarting = 200ms;  // a person waits for it
constexpr auto kWhileReady = 2000ms;
constexpr auto kPatience = 5000ms;  // for one answer: an engine in a long prefill is slow, not dead
constexpr int kBadAnswersMax = 3;
}  // namespace

struct HealthWatch::State : std::enable_shared_from_this<HealthWatch::State> {
  State(boost::asio::io_context& r, Callbacks c) : rim(r), client(r), callbacks(std::move(c)) {}

  struct Watched {
    std::uint16_t port = 0;
    std::string path;
    bool ready = false;
    int bad = 0;
    std::unique_ptr<boost::asio::steady_timer> timer;
  };
  boost::asio::io_context& rim;
  http::Client client;
  Callbacks callbacks;
  std::map<TaskId, Watched> watched;
  bool closed = false;

  void ask(TaskId task) {
    const auto found = watched.find(task);
    if (found == watched.end() || closed) { return; }
    client.fetch("127.0.0.1", found->second.port, "GET", found->second.path, {}, {}, kPatience, 64 * 1024,
                 [self = shared_from_this(), task](Result<http::Response> answer) { self->answered(task, answer); });
  }

  void answered(TaskId task, const Result<http::Response>& answer) {
    const auto found = watched.find(task);
    if (found == watched.end() || closed) { return; }
    Watched& each = found->second;
    const bool good = answer && answer->status == 200;
    if (good) {
      each.bad = 0;
      if (!each.ready) {
        each.ready = true;
        callbacks.ready(task, each.port);
      }
    } else if (each.ready && ++each.bad >= kBadAnswersMax) {
      each.ready = false;
      callbacks.unready(task, answer ? fmt::format("{} answers {}", each.path, answer->status) : answer.error().message());
    }
    each.timer->expires_after(each.ready ? kWhileReady : kWhileStarting);
    each.timer->async_wait([self = shared_from_this(), task](boost::system::error_code error) {
      if (!error) { self->ask(task); }
    });
  }
};

HealthWatch::HealthWatch(boost::asio::io_context& rim, Callbacks callbacks) : state_(std::make_shared<State>(rim, std::move(callbacks))) {}

HealthWatch::~HealthWatch() {
  state_->closed = true;
  state_->watched.clear();
}

void HealthWatch::watch(TaskId task, std::uint16_t port, std::string path) {
  boost::asio::post(state_->rim, [state = state_, task, port, path = std::move(path)]() mutable {
    if (state->closed) { return; }
    State::Watched& each = state->watched[task];
    each.port = port;
    each.path = std::move(path);
    each.timer = std::make_unique<boost::asio::steady_timer>(state->rim);
    state->ask(task);
  });
}

void HealthWatch::forget(TaskId task) {
  boost::asio::post(state_->rim, [state = state_, task] { state->watched.erase(task); });
}

}  // namespace centrale
