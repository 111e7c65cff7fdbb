// SPDX-License-Identifier: Apache-2.0
// `centrale journal`: looks into a centre's journal without the centre. Never writes.
#include <memory>
#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/json.hpp"
#include "cli/command_line.hpp"
#include "cli/up.hpp"
#include "operate/host.hpp"
#include "operate/sqlite_journal.hpp"

namespace centrale::cli {

namespace {

struct JournalCheck {
  std::string journal;
  std::uint64_t events = 0, first_kept = 0;
  std::int64_t jobs = 0, unfinished = 0, services = 0, tasks_alive = 0;
  std::string contradiction;
};
template <class V>
void describe(V& v, JournalCheck& c) {
  v("journal", c.journal);
  v("events", c.events);
  v("first_kept", c.first_kept);
  v("jobs", c.jobs);
  v("unfinished", c.unfinished);
  v("services", c.services);
  v("tasks_alive", c.tasks_alive);
  v("contradiction", c.contradiction);
}

Outcome<JournalCheck> check_journal(const std::string& state) {
  JournalCheck check;
  check.journal = state + "/journal.db";
  TRY_ASSIGN(const auto reader, open_sqlite_reader(check.journal));
  TRY_ASSIGN(const auto range, reader->range());
  TRY_ASSIGN(const Core core, fold_journal(*reader, range, {}));
  check.events = range.last;
  check.first_kept = range.first;
  core.each_job([&](const Job& job) {
    ++check.jobs;
    check.unfinished += is_final(job.state) ? 0 : 1;
  });
  core.each_service([&](const Service&) { ++check.services; });
  core.each_task([&](const Task& task) { check.tasks_alive += task.state == TaskState::queued ? 0 : 1; });
  check.contradiction = core.contradiction();
  return check;
}

int run_check(Context& context, const std::string& state) {
  const Outcome<JournalCheck> check = check_journal(state);
  if (!check) { return report(context, check.error()); }
  std::string text;
  if (context.json) {
    write_json(text, *check);
    text += '\n';
  } else {
    text = fmt::format(
        "{}\n  events     {} (kept from {})\n  jobs       {}, {} unfinished\n  services   {}\n  tasks      {} alive\n  state      {}\n",
        check->journal, check->events, check->first_kept, check->jobs, check->unfinished, check->services, check->tasks_alive,
        check->contradiction.empty() ? "sound: the fold of all events contradicts nothing" : "CONTRADICTION: " + check->contradiction);
  }
  print(context, text);
  return check->contradiction.empty() ? kExitOk : kExitFailed;
}

}  // namespace

void add_journal(CLI::App& app, Context& context) {
  CLI::App* const journal = app.add_subcommand("journal", "Look into a centre's journal, also while it runs");
  journal->require_subcommand(1);
  CLI::App* const check = journal->add_subcommand("check", "Read every event and say whether the state they fold to is sound");
  auto state = std::make_shared<std::string>();
  check->add_option("--state", *state, "The centre's state folder (default: $CENTRALE_STATE, else ~/.centrale)");
  set_examples(*journal, {"centrale journal check"});
  set_examples(*check, {"centrale journal check", "centrale journal check --state /srv/centrale --json"});
  check->callback([state, &context] {
    context.chosen = [state, &context] {
      const Result<std::string> folder = state_folder(*state);
      return folder ? run_check(context, *folder) : report(context, Failure(folder.error()));
    };
  });
}

}  // namespace centrale::cli
