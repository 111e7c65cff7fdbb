// SPDX-License-Identifier: Apache-2.0
#include "cli/add_command.hpp"
#include "cli/command_line.hpp"
#include "cli/scheduling.hpp"

namespace centrale::cli {
namespace {

void add_schedule(CLI::App& app, Context& context) {
  auto set = std::make_shared<ScheduleOptions>();
  CLI::App* c = add(app, context, "schedule",
                    "Show how the centre schedules, or change it while it runs.\nWhat is not given stays as it is; it is kept over "
                    "restarts. Which policy fits: centrale simulate.",
                    set, &schedule);
  c->add_option("--policy", set->policy, "who runs next; without options this command lists them")->type_name("NAME");
  c->add_option("--round", set->round, "elastic policies think again this often; 0: their default")->type_name("TIME");
  c->add_option("--starvation-after", set->starvation_after, "what waited so long goes first; 0: the policy's default")->type_name("TIME");
  c->add_option("--suspect-after", set->suspect_after, "so many different jobs that fail in a row make a chip a suspect; 0: never")
      ->check(CLI::Range(0, 16))
      ->type_name("N");
  c->add_option("--quarantine", set->quarantine, "give suspect chips out no more, until they are said to be repaired")
      ->check(CLI::IsMember({"on", "off"}))
      ->type_name("on|off");
  set_examples(
      *c, {"centrale schedule", "centrale schedule --policy las --round 5m --starvation-after 12h", "centrale schedule --quarantine on"});
}

void add_reservations(CLI::App& app, Context& context) {
  auto wanted = std::make_shared<ReserveOptions>();
  CLI::App* c = add(app, context, "reserve",
                    "Set nodes apart for a tenant for a time, or for maintenance.\nJobs run there that name the reservation in their file "
                    "(reservation: NAME), and nothing else.",
                    wanted, &reserve);
  argument(c, "NAME", wanted->name, "what it is called: a-z, 0-9 and '-'");
  c->add_option("--nodes", wanted->nodes, "these nodes, by name or id; or else --kind and --chips")->delimiter(',')->type_name("LIST");
  c->add_option("--kind", wanted->kind, "whole nodes with chips of this kind, those that are free soonest")->type_name("KIND");
  c->add_option("--chips", wanted->chips, "at least so many of them")->check(CLI::Range(1, 100'000'000))->type_name("N");
  c->add_option("--from", wanted->from, "2025-11-24T18:00:00Z, or +2h from now; not given: now")->type_name("TIME");
  CLI::Option* const span = c->add_option("--for", wanted->span, "how long, such as 4h")->type_name("TIME");
  c->add_option("--until", wanted->until, "or else its end")->type_name("TIME")->excludes(span);
  CLI::Option* const tenant = c->add_option("--tenant", wanted->tenant, "for whom; not given: you")->type_name("TENANT");
  c->add_flag("--maintenance", wanted->maintenance, "for nobody: nothing runs there meanwhile")->excludes(tenant);
  set_examples(*c, {"centrale reserve big-run --kind h100 --chips 16 --from 2025-11-24T18:00:00Z --for 4h --tenant lab",
                    "centrale reserve new-fans --nodes n1,n2 --from +2h --for 1h --maintenance"});

  c = app.add_subcommand("reservations", "List reservations and maintenance windows, to come and under way.");
  c->callback([&context] { context.chosen = [&context] { return reservations(context); }; });
  set_examples(*c, {"centrale reservations", "centrale reservations --json"});

  auto ended = std::make_shared<std::string>();
  c = add<std::string>(app, context, "unreserve", "End a reservation, or take it back.", ended, &unreserve);
  argument(c, "NAME", *ended, "name or id");
  set_examples(*c, {"centrale unreserve big-run"});
}

}  // namespace

void add_scheduling_commands(CLI::App& app, Context& context) {
  add_schedule(app, context);
  add_reservations(app, context);
  auto repaired = std::make_shared<std::string>();
  CLI::App* c =
      add<std::string>(app, context, "repair",
                       "Say that a chip is well: it is given out again, and what failed on it in a row is forgotten.", repaired, &repair);
  argument(c, "CHIP", *repaired, "id, as `centrale nodes --chips` prints it");
  set_examples(*c, {"centrale repair c7"});
}

}  // namespace centrale::cli
