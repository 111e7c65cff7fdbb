// SPDX-License-Identifier: Apache-2.0
// Staying with things that happen at the centre: its events as they come, and lines that are drawn again in place.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cli/context.hpp"
#include "cli/sse.hpp"
#include "cli/views.hpp"

namespace centrale::cli {

/// GET /api/v1/events, opened again when it breaks. Without it (an older centre) waiting still ends after its time.
class EventFeed {
 public:
  /// Waits end early when `wake_fd` becomes readable; -1: when a signal comes.
  EventFeed(Context& context, Signals& signals, int wake_fd = -1)
      : context_(context), signals_(signals), wake_fd_(wake_fd == -1 ? signals.fd() : wake_fd) {}
  /// The events that came within this time; returns early when some came or a signal did.
  [[nodiscard]] std::vector<SseEvent> wait(std::chrono::milliseconds time_max);
  [[nodiscard]] bool connected() const { return stream_ != nullptr; }

 private:
  void open();
  Context& context_;
  Signals& signals_;
  int wake_fd_;
  std::unique_ptr<Stream> stream_;
  SseReader reader_;
  std::chrono::steady_clock::time_point next_try_{};
};

/// A few lines at the bottom of the terminal, drawn over themselves.
class LiveLines {
 public:
  explicit LiveLines(Context& context) : context_(context) {}
  /// As many of the lines as the terminal has rows.
  void draw(const std::vector<std::string>& lines);
  /// The lines stay; what is printed next comes below.
  void leave() { drawn_ = 0; }

 private:
  Context& context_;
  std::size_t drawn_ = 0;
};

/// What became of the jobs that were waited for.
enum class Ending : unsigned char { done, failed, interrupted, timeout };

struct Followed {
  Ending ending = Ending::done;
  std::vector<JobView> jobs;  // of arrays all members
};

/// Stays until every job has ended; of an array, every member. Draws if `draws`.
[[nodiscard]] Outcome<Followed> follow_jobs(Context& context, Signals& signals, const std::vector<JobView>& jobs, bool draws,
                                            std::optional<double> timeout_s);
/// Stays until every service is ready, or one cannot become it: each of its replicas failed three times in a row.
[[nodiscard]] Outcome<Ending> follow_services(Context& context, Signals& signals, std::vector<ServiceView>& services, bool draws,
                                              std::optional<double> timeout_s);
/// Takes a changed size of the terminal over.
void refresh_size(Context& context);

}  // namespace centrale::cli
