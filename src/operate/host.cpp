// SPDX-License-Identifier: Apache-2.0
#include "operate/host.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <queue>
#include <set>
#include <thread>
#include <variant>

#include <fmt/format.h>

#include "base/ensure.hpp"

namespace centrale {

namespace {

/// How long to wait before the journal is tried again after it refused.
constexpr std::chrono::milliseconds kJournalRetry{500};

struct Wish {
  Event event;
  std::function<void(Result<std::uint64_t>)> done;
};
struct Fact {
  Event event;
};
struct Read {
  std::function<void(const Core&, Time)> f;
};
using Item = std::variant<Wish, Fact, Read>;

/// Takes a snapshot and the events after it, and becomes the state that they tell.
class Fold {
 public:
  Fold(std::unique_ptr<Policy> policy, FoldOptions options) : options_(std::move(options)), core_(std::move(policy), options_.limits) {}

  Result<void> snapshot(const Snapshot& snapshot) {
    TRY_ASSIGN(std::unique_ptr<Policy> policy, make_policy(options_.policy));
    TRY_ASSIGN(core_, Core::restore(snapshot.bytes, std::move(policy), options_.limits));
    return {};
  }
  Result<void> event(const Record& record) {
    auto event = reader_.read(record.payload);
    if (!event) {
      return fail(ErrorKind::invalid, "cannot be read: " + event.error().message(), fmt::format("journal event {}", record.sequence),
                  "upgrade Centrale, or restore the journal from a backup");
    }
    out_.clear();
    if (auto applied = core_.apply(std::move(*event), Time{record.time_ns}, out_); !applied) {
      return fail(ErrorKind::invalid, "cannot be applied: " + applied.error().message(), fmt::format("journal event {}", record.sequence),
                  "start it with the limits it was written under");
    }
    ensure(core_.sequence() == record.sequence);
    return {};
  }
  Core take() { return std::move(core_); }

 private:
  FoldOptions options_;
  Core core_;
  EventReader reader_;
  Output out_;
};

Result<Core> fold(Journal& journal, const HostOptions& options, Recovered& recovered) {
  TRY_ASSIGN(std::unique_ptr<Policy> policy, make_policy(options.policy));
  Fold fold(std::move(policy), {options.policy, options.limits});
  TRY_ASSIGN(recovered, journal.recover([&](const Snapshot& snapshot) { return fold.snapshot(snapshot); },
                                        [&](const Record& record) { return fold.event(record); }));
  return fold.take();
}

}  // namespace

Result<Core> fold_journal(JournalReader& reader, JournalReader::Range range, const FoldOptions& options) {
  TRY_ASSIGN(std::unique_ptr<Policy> policy, make_policy(options.policy));
  Fold fold(std::move(policy), options);
  if (range.first > 1) {
    TRY_ASSIGN(const std::optional<Snapshot> snapshot, reader.snapshot_at(range.first - 1));
    if (!snapshot || snapshot->sequence != range.first - 1) {
      return fail(ErrorKind::invalid, fmt::format("no snapshot is kept for the state before event {}", range.first), "journal");
    }
    TRY(fold.snapshot(*snapshot));
  }
  TRY(reader.read(range.first, range.last + 1, [&](const Record& record) { return fold.event(record); }));
  return fold.take();
}

struct Host::State {
  State(std::unique_ptr<Journal> j, Clock& c, HostOptions o, Core folded)
      : journal(std::move(j)), clock(c), options(std::move(o)), core(std::move(folded)) {}

  std::unique_ptr<Journal> journal;
  Clock& clock;
  HostOptions options;
  Core core;  // the core thread's alone, once it runs
  Launcher* launcher = nullptr;
  std::thread thread;

  mutable std::mutex mutex;  // guards the next four
  std::condition_variable wake;
  std::deque<Item> queue;
  bool stopping = false;
  Health health;
  std::vector<std::function<void(const Core&, Time, const std::vector<Change>&)>> listeners;  // set before run()

  // Of the core thread.
  using Due = std::pair<std::int64_t, std::uint64_t>;  // ns, timer
  std::priority_queue<Due, std::vector<Due>, std::greater<>> timers;
  std::uint64_t snapshot_at = 0;
  std::string buffer;
  Output out;
  bool journal_ok = true;

  struct Pending {  // an event of the batch under way
    std::uint64_t sequence = 0;
    std::size_t offset = 0, length = 0;
    std::function<void(Result<std::uint64_t>)> done;  // empty: a fact
    std::uint64_t created = 0;
  };

  Time now() { return std::max(clock.now(), core.now()); }

  void loop();
  bool wait_for_work();
  void batch(std::deque<Item> items);
  void take(Event event, std::function<void(Result<std::uint64_t>)> done, Time at, std::vector<Pending>& pending);
  Result<void> commit(const std::vector<Pending>& pending, Time at);
  void refuse(std::vector<Pending>& pending, const Error& error);
  void carry_out();
  void tell_changes(Time at);
  void save_snapshot();
};

Host::Host(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Host>> Host::open(std::unique_ptr<Journal> journal, Clock& clock, HostOptions options) {
  const auto begin = std::chrono::steady_clock::now();
  Recovered recovered;
  TRY_ASSIGN(Core core, fold(*journal, options, recovered));
  auto state = std::make_unique<State>(std::move(journal), clock, std::move(options), std::move(core));
  state->snapshot_at = recovered.snapshot_sequence;
  state->health.recover_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  state->health.recovered_events = recovered.events;
  state->health.sequence = state->core.sequence();
  state->health.journal_message = recovered.warning;
  return std::unique_ptr<Host>(new Host(std::move(state)));
}

Host::~Host() { stop(); }

void Host::stop() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  if (state_->thread.joinable()) { state_->thread.join(); }
}

void Host::run(Launcher& launcher) {
  ensure(state_->launcher == nullptr);
  state_->launcher = &launcher;
  state_->thread = std::thread([this] { state_->loop(); });
}

void Host::wish(Event event, std::function<void(Result<std::uint64_t>)> done) {
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->stopping && state_->queue.size() < state_->options.queue_max) {
      state_->queue.emplace_back(Wish{std::move(event), std::move(done)});
      state_->wake.notify_one();
      return;
    }
  }
  done(fail(ErrorKind::unavailable, "the centre is busy or stopping", {}, "try again in a moment"));
}

Result<std::uint64_t> Host::wish_and_wait(Event event) {
  std::promise<Result<std::uint64_t>> promise;
  auto answer = promise.get_future();
  wish(std::move(event), [&promise](Result<std::uint64_t> result) { promise.set_value(std::move(result)); });
  return answer.get();
}

void Host::fact(Event event) {
  const std::lock_guard lock(state_->mutex);
  state_->queue.emplace_back(Fact{std::move(event)});
  state_->wake.notify_one();
}

void Host::read(std::function<void(const Core&, Time)> f) {
  const std::lock_guard lock(state_->mutex);
  state_->queue.emplace_back(Read{std::move(f)});
  state_->wake.notify_one();
}

void Host::on_changes(std::function<void(const Core&, Time, const std::vector<Change>&)> f) {
  ensure(state_->launcher == nullptr);  // before run()
  state_->listeners.push_back(std::move(f));
}

Host::Health Host::health() const {
  const std::lock_guard lock(state_->mutex);
  Health health = state_->health;
  health.queue = state_->queue.size();
  return health;
}

void Host::State::loop() {
  std::vector<TaskId> alive;
  core.each_task([&](const Task& task) {
    if (task.state != TaskState::queued) { alive.push_back(task.id); }
  });
  launcher->adopt(core, alive);
  out.clear();
  out.actions = core.outstanding();
  carry_out();
  tell_changes(now());
  while (wait_for_work()) {
    std::deque<Item> items;
    {
      const std::lock_guard lock(mutex);
      if (queue.size() <= options.batch_max) {
        items.swap(queue);
      } else {
        const auto end = queue.begin() + static_cast<std::ptrdiff_t>(options.batch_max);
        items.assign(std::make_move_iterator(queue.begin()), std::make_move_iterator(end));
        queue.erase(queue.begin(), end);
      }
    }
    batch(std::move(items));
  }
  save_snapshot();
}

/// False when the host is to end and nothing is left to do.
bool Host::State::wait_for_work() {
  std::unique_lock lock(mutex);
  if (!journal_ok && !stopping) {
    wake.wait_for(lock, kJournalRetry, [this] { return stopping; });
  }
  for (;;) {
    if (stopping) {
      // What can still be made durable is; a journal that refuses is not waited for: facts are found again at the next start.
      return !queue.empty() && journal_ok;
    }
    if (!queue.empty()) { return true; }
    if (timers.empty()) {
      wake.wait(lock);
      continue;
    }
    const std::int64_t wait_ns = timers.top().first - clock.now().ns;
    if (wait_ns <= 0) { return true; }
    wake.wait_for(lock, std::chrono::nanoseconds(std::min<std::int64_t>(wait_ns, 1'000'000'000)));
  }
}

void Host::State::take(Event event, std::function<void(Result<std::uint64_t>)> done, Time at, std::vector<Pending>& pending) {
  const std::size_t offset = buffer.size();
  encode(event, buffer);
  out.created = 0;
  if (auto applied = core.apply(std::move(event), at, out); !applied) {
    buffer.resize(offset);
    if (done) { done(std::unexpected(std::move(applied).error())); }
    return;  // a fact that the core refuses concerns something that is no more
  }
  pending.push_back({core.sequence(), offset, buffer.size() - offset, std::move(done), out.created});
}

void Host::State::batch(std::deque<Item> items) {
  buffer.clear();
  out.clear();
  std::vector<Pending> pending;
  std::vector<Read> reads;
  const Time at = now();
  while (!timers.empty() && timers.top().first <= at.ns) {
    take(TimerFired{TimerId{timers.top().second}}, {}, at, pending);
    timers.pop();
  }
  for (Item& item : items) {
    if (auto* wish = std::get_if<Wish>(&item)) {
      take(std::move(wish->event), std::move(wish->done), at, pending);
    } else if (auto* fact = std::get_if<Fact>(&item)) {
      take(std::move(fact->event), {}, at, pending);
    } else {
      reads.push_back(std::move(std::get<Read>(item)));
    }
  }
  if (!pending.empty()) {
    if (auto committed = commit(pending, at); committed) {
      carry_out();
      for (Pending& each : pending) {
        if (each.done) { each.done(each.created); }
      }
      tell_changes(at);
    } else {
      refuse(pending, committed.error());
    }
  }
  for (Read& read : reads) { read.f(core, now()); }
  if (journal_ok && core.sequence() - snapshot_at >= options.snapshot_every) { save_snapshot(); }
}

Result<void> Host::State::commit(const std::vector<Pending>& pending, Time at) {
  std::vector<Record> records;
  records.reserve(pending.size());
  for (const Pending& each : pending) {
    records.push_back({each.sequence, at.ns, std::string_view(buffer).substr(each.offset, each.length)});
  }
  const Result<void> appended = journal->append(records);
  const std::lock_guard lock(mutex);
  journal_ok = appended.has_value();
  health.journal_ok = journal_ok;
  health.journal_message = appended ? std::string{} : appended.error().message();
  if (appended) {
    ++health.commits;
    health.events += records.size();
    health.sequence = core.sequence();
  }
  return appended;
}

/// The journal did not take the batch: the state goes back to what the journal says, whoever wished is told, and the
/// facts, which stay true, are kept for the next try.
void Host::State::refuse(std::vector<Pending>& pending, const Error& error) {
  std::deque<Item> facts;
  EventReader reader;
  for (Pending& each : pending) {
    if (each.done) {
      each.done(fail(ErrorKind::unavailable, "the journal cannot be written: " + error.what, error.where, error.remedy));
    } else {
      facts.emplace_back(Fact{reader.read(std::string_view(buffer).substr(each.offset, each.length)).value()});
    }
  }
  Recovered recovered;
  Result<Core> again = fold(*journal, options, recovered);
  if (!again) {  // it can be neither written nor read: stop before the state and the world drift apart
    fmt::print(stderr, "centrale: the journal is lost while running: {}\n", again.error().message());
    std::abort();
  }
  core = std::move(*again);
  out.clear();
  const std::lock_guard lock(mutex);
  queue.insert(queue.begin(), std::make_move_iterator(facts.begin()), std::make_move_iterator(facts.end()));
}

void Host::State::carry_out() {
  for (const Action& action : out.actions) {
    if (const auto* start = std::get_if<StartTask>(&action.act)) {
      const Task* const task = core.task(start->task);
      if (task != nullptr && task->state == TaskState::starting) {  // the same batch may have ended it already
        launcher->start(core, start->task);
      }
    } else if (const auto* stop = std::get_if<StopTask>(&action.act)) {
      if (core.task(stop->task) != nullptr) { launcher->stop(core, stop->task, stop->grace); }
    } else {
      const auto& timer = std::get<SetTimer>(action.act);
      timers.emplace(timer.due.ns, timer.timer.value);
    }
  }
}

void Host::State::tell_changes(Time at) {
  auto& changes = out.changes;
  std::ranges::sort(changes, {}, [](const Change& c) { return std::pair(c.what, c.id); });
  const auto rest = std::ranges::unique(changes, [](const Change& a, const Change& b) { return a.what == b.what && a.id == b.id; });
  changes.erase(rest.begin(), rest.end());
  for (const auto& listener : listeners) { listener(core, at, changes); }
}

void Host::State::save_snapshot() {
  if (core.sequence() == snapshot_at || !journal_ok) { return; }
  const std::uint64_t sequence = core.sequence();
  snapshot_at = sequence;  // also after a failure: the events are safe, and the next attempt waits its turn
  if (auto saved = journal->save_snapshot(sequence, core.snapshot()); !saved) {
    const std::lock_guard lock(mutex);
    health.journal_message = "no snapshot: " + saved.error().message();
  }
}

}  // namespace centrale
