// SPDX-License-Identifier: Apache-2.0
// How the commands of the twin are spelled.
#include "base/reflect.hpp"
#include "cli/add_command.hpp"
#include "cli/command_line.hpp"
#include "cli/simulate.hpp"
#include "policy/policy.hpp"
#include "simulate/generate.hpp"
#include "simulate/trace.hpp"

namespace centrale::cli {
namespace {

template <class Names>
std::string joined(const Names& names, std::string_view with) {
  std::string text;
  for (const auto& name : names) { text += (text.empty() ? "" : std::string(with)) + std::string(name); }
  return text;
}

template <class Enum>
std::vector<std::string> names_of() {
  return {kEnumNames<Enum>.begin(), kEnumNames<Enum>.end()};
}

std::string policies_text() {
  std::vector<std::string_view> names;
  for (const auto& [name, what] : policy_names()) { names.push_back(name); }
  return joined(names, ", ");
}

void add_load(CLI::App* c, SimulateOptions& o) {
  c->add_option("--trace", o.trace, "recorded jobs; the format is seen from the file; - is standard input")->type_name("FILE");
  c->add_option("--format", o.format, "read the trace as this format: " + joined(names_of<TraceFormat>(), ", "))
      ->check(CLI::IsMember(names_of<TraceFormat>()))
      ->type_name("FORMAT")
      ->capture_default_str();
  c->add_option("--generate", o.generate, "make jobs like those of this mix instead; each seed makes others")
      ->check(CLI::IsMember(names_of<LoadMix>()))
      ->type_name(joined(names_of<LoadMix>(), "|"));
  c->add_option("--jobs", o.jobs, "how many to make; 10000 if neither this nor --days is given")
      ->check(CLI::Range(std::int64_t{1}, kLoadJobsMax))
      ->type_name("N");
  c->add_option("--days", o.days, "make as many as fill so many days")->check(CLI::Range(0.001, 36'500.0))->type_name("N");
  c->add_option("--load", o.load, "of made jobs: chip time asked for, of the chip time that there is")
      ->check(CLI::Range(0.001, 100.0))
      ->type_name("PART")
      ->capture_default_str();
  c->add_option("--arrivals", o.arrivals, "when made jobs come")
      ->check(CLI::IsMember(names_of<Arrivals>()))
      ->type_name(joined(names_of<Arrivals>(), "|"))
      ->capture_default_str();
  c->add_option("--tenants", o.tenants, "who submits made jobs")->check(CLI::Range(1, 100'000))->type_name("N")->capture_default_str();
  c->add_option("--rate", o.rate, "jobs of the trace come so many times as fast")
      ->check(CLI::Range(1e-6, 1e6))
      ->type_name("TIMES")
      ->capture_default_str();
  c->add_option("--gavel-rate", o.gavel_rate, "jobs an hour of a Gavel trace, which was made at 4")
      ->check(CLI::Range(1e-6, 1e6))
      ->type_name("N");
  c->add_option("--limit", o.limit, "only the first so many jobs of the trace")->check(CLI::Range(1, 1'000'000'000))->type_name("N");
  c->add_option("--window", o.window, "only jobs FIRST to LAST, counted from 0, LAST not included, count for the results; all are played")
      ->type_name("FIRST:LAST");
  c->add_flag("--any-kind", o.any_kind, "forget which kinds of chip the jobs of the trace asked for");
  c->add_flag("--rigid", o.rigid, "every job runs on as many chips as it asks for");
  c->add_flag("--elastic", o.elastic, "every job whose speed is known may run on a quarter to four times as many workers");
}

void add_run(CLI::App* c, SimulateOptions& o) {
  c->add_option("--policy", o.policies, "policies to compare, comma-separated: " + policies_text())
      ->type_name("LIST")
      ->capture_default_str();
  c->add_option("--speeds", o.speeds,
                "how fast jobs run on which chips: a CSV of measured speeds, Gavel's throughputs (JSON), or a folder of Sia's profiles")
      ->type_name("FILE|FOLDER");
  c->add_option("--seeds", o.seeds, "play so many times, each with its own load or noise, and say how sure the results are")
      ->check(CLI::Range(1, 1000))
      ->type_name("N")
      ->capture_default_str();
  c->add_option("--seed", o.seed, "the first of them")->type_name("N")->capture_default_str();
  c->add_option("--noise", o.noise, "jobs run faster and slower than estimated: standard deviation of the logarithm")
      ->check(CLI::Range(0.0, 5.0))
      ->type_name("SIGMA")
      ->capture_default_str();
  c->add_option("--restart-cost", o.restart_cost, "from a job's start to its first new step, such as 30s")->type_name("SPAN");
  c->add_option("--stop-cost", o.stop_cost, "from the order to stop until the chips are free")->type_name("SPAN");
  c->add_option("--checkpoint-every", o.checkpoint_every, "a failure loses at most so much, such as 30m")->type_name("SPAN");
  c->add_option("--round", o.round, "how often elastic policies think again, such as 6m")->type_name("SPAN");
  c->add_option("--starvation-after", o.starvation_after, "a job that waited so long goes before all others")->type_name("SPAN");
  c->add_option("--until", o.until, "play no longer than so long, such as 30d")->type_name("SPAN");
  c->add_option("--threads", o.threads, "runs at the same time; as many as there are cores if not given")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  c->add_flag("--check", o.check, "check all books of the centre after every event; slow");
}

}  // namespace

void add_simulate_commands(CLI::App& app, Context& context) {
  auto o = std::make_shared<SimulateOptions>();
  CLI::App* c =
      add(app, context, "simulate",
          "Play a load through a centre that is not there, and compare policies.\nThe same scheduler as a live centre's, in virtual "
          "time; the same inputs and seed give the same result.",
          o, &simulate_command);
  c->preparse_callback([&context](std::size_t) { context.offline = true; });
  c->add_option("--fleet", o->fleet,
                "a fleet file, such as h100x64,mi300xx32, or a CSV of nodes; else the machines that the trace came with")
      ->type_name("FLEET");
  add_load(c, *o);
  add_run(c, *o);
  c->add_option("--csv", o->csv, "write what became of each job")->type_name("FILE");
  c->add_option("--html", o->html, "write a page with tables and plots; it loads nothing")->type_name("FILE");
  c->add_option("--timeline", o->timeline, "write every placement of the first seed for ui.perfetto.dev or chrome://tracing")
      ->type_name("FILE");
  c->add_option("--catalogue", o->known.catalogue, "chips of your own, laid over those built in")->type_name("FILE");
  set_examples(*c, {"centrale simulate --fleet h100x256 --generate philly --jobs 2000 --policy fifo,backfill --seeds 5",
                    "centrale simulate --fleet v100x36,p100x36,k80x36 --trace gavel.trace --speeds throughputs.json --html report.html",
                    "centrale simulate --fleet fleet.yaml --trace jobs.csv --csv results.csv --timeline run.json --json"});

  c = app.add_subcommand("policies", "List the policies that decide who runs next.");
  c->preparse_callback([&context](std::size_t) { context.offline = true; });
  c->callback([&context] { context.chosen = [&context] { return policies_command(context); }; });
  set_examples(*c, {"centrale policies", "centrale policies --json"});
}

}  // namespace centrale::cli
