// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "cli/add_command.hpp"
#include "cli/commands.hpp"
#include "cli/connect.hpp"
#include "cli/plan.hpp"
#include "cli/scheduling.hpp"
#include "cli/simulate.hpp"
#include "cli/write_pages.hpp"

namespace centrale::cli {
namespace {

struct Names {
  std::vector<std::string> words;
};

/// --follow, --wait, --detach: one of them.
void add_stay(CLI::App* command, Stay& stay, const std::string& until) {
  command->add_flag_callback(
      "-f,--follow", [&stay] { stay = Stay::follow; }, "show how it goes " + until + " (the default on a terminal)");
  command->add_flag_callback(
      "-w,--wait", [&stay] { stay = Stay::wait; }, "wait silently " + until);
  command->add_flag_callback(
      "-d,--detach", [&stay] { stay = Stay::leave; }, "do not wait (the default where there is no terminal)");
}

const CLI::Validator kStates = CLI::IsMember({"queued", "starting", "running", "stopping", "done", "failed", "cancelled"});

void add_job_commands(CLI::App& app, Context& context) {
  auto submitted = std::make_shared<SubmitOptions>();
  CLI::App* c = add(app, context, "submit",
                    "Hand jobs and services to the centre.\nThe file is YAML; its mistakes are shown with their line before anything is "
                    "sent. Ctrl-C leaves; the job goes on.",
                    submitted, &submit);
  arguments(c, "FILE", submitted->files, "YAML files; - is standard input");
  add_stay(c, submitted->stay, "until the jobs have ended");
  c->add_flag("--check", submitted->check_only, "only check the files");
  set_examples(*c, {"centrale submit examples/train-small.yaml", "centrale submit --detach a.yaml b.yaml",
                    "centrale submit --json --wait job.yaml"});

  auto listed = std::make_shared<PsOptions>();
  c = add(app, context, "ps", "List jobs.", listed, &ps);
  c->add_flag("-a,--all", listed->all, "those that have ended too");
  c->add_option("--state", listed->state, "only this state")
      ->check(kStates)
      ->type_name("queued|starting|running|stopping|done|failed|cancelled");
  c->add_option("--tenant", listed->tenant, "only this tenant's")->type_name("TENANT");
  c->add_option("--name", listed->name, "only of this name")->type_name("NAME");
  c->add_option("-n,--limit", listed->limit, "the newest so many")->check(CLI::Range(1, 1'000'000))->type_name("N")->capture_default_str();
  c->add_flag("-w,--watch", listed->watch, "stay, and show changes as they come");
  set_examples(*c, {"centrale ps", "centrale ps --all --limit 20", "centrale ps --state failed --json"});

  auto read = std::make_shared<LogsOptions>();
  c = add(app, context, "logs", "Print what a job or a service wrote.", read, &logs);
  argument(c, "JOB|SERVICE", read->name, "name or id");
  c->add_flag("-f,--follow", read->follow, "go on as it is written");
  c->add_flag("-e,--err", read->err, "standard error instead of standard output");
  c->add_option("--rank", read->rank, "which worker of a job, which replica of a service")
      ->check(CLI::Range(0, 1'000'000))
      ->type_name("N")
      ->capture_default_str();
  c->add_option("--attempt", read->attempt, "which attempt; 0 is the latest")
      ->check(CLI::Range(0, 1'000'000))
      ->type_name("N")
      ->capture_default_str();
  c->add_option("--tail", read->tail, "only the last N lines")->check(CLI::Range(0, 1'000'000))->type_name("N");
  set_examples(*c, {"centrale logs train-small", "centrale logs -f j12", "centrale logs chat --err --tail 50"});

  auto puzzled = std::make_shared<std::string>();
  c = add<std::string>(app, context, "why",
                       "Say why a job waits, when it will start, and what would start it now.\nThe start is forecast by playing the "
                       "centre forward a few times, each time with other run times.",
                       puzzled, [](Context& x, const std::string& job) { return why(x, job); });
  argument(c, "JOB", *puzzled, "name or id");
  set_examples(*c, {"centrale why train-small", "centrale why j12 --json"});

  auto stopped = std::make_shared<Names>();
  c = add<Names>(app, context, "stop",
                 "Stop jobs and remove services.\nA job is asked to save and leave; after its grace period it is ended.", stopped,
                 [](Context& x, const Names& n) { return stop(x, n.words); });
  arguments(c, "JOB|SERVICE", stopped->words, "names or ids");
  set_examples(*c, {"centrale stop train-small", "centrale stop j12 j13 chat"});

  auto waited = std::make_shared<WaitOptions>();
  c = add(app, context, "wait", "Wait until jobs have ended; the exit code is 0 if all are done.", waited, &wait_for_jobs);
  arguments(c, "JOB", waited->names, "names or ids");
  c->add_option("--timeout", waited->timeout_s, "give up after so many seconds, with exit code 124")
      ->check(CLI::PositiveNumber)
      ->type_name("SECONDS");
  set_examples(*c, {"centrale wait j12 && centrale serve serve.yaml", "centrale wait --timeout 600 train-small"});
}

void add_service_commands(CLI::App& app, Context& context) {
  auto served = std::make_shared<ServeOptions>();
  CLI::App* c = add(app, context, "serve", "Serve models: start the services in the files, or change those that run.", served, &serve);
  arguments(c, "FILE", served->files, "YAML files; - is standard input");
  add_stay(c, served->stay, "until the services answer");
  c->add_option("--timeout", served->timeout_s, "wait at most so many seconds, with exit code 124")
      ->check(CLI::PositiveNumber)
      ->type_name("SECONDS");
  set_examples(*c, {"centrale serve examples/serve-small.yaml", "centrale serve --wait --timeout 300 chat.yaml"});

  c = app.add_subcommand("services", "List services and their replicas.");
  c->callback([&context] { context.chosen = [&context] { return services(context); }; });
  set_examples(*c, {"centrale services", "centrale services --json"});

  struct Scale {
    std::string name;
    std::int64_t replicas = 1;
  };
  auto scaled = std::make_shared<Scale>();
  c = add<Scale>(app, context, "scale", "Set how many replicas of a service run.", scaled,
                 [](Context& x, const Scale& s) { return scale(x, s.name, s.replicas); });
  argument(c, "SERVICE", scaled->name, "name or id");
  c->add_option("N", scaled->replicas, "replicas wanted")->required()->check(CLI::Range(0, 10'000))->type_name("N");
  set_examples(*c, {"centrale scale chat 3"});

  auto asked = std::make_shared<ChatOptions>();
  c = add(app, context, "chat", "Ask a served model something and print the answer as it comes.", asked, &chat);
  argument(c, "SERVICE", asked->model, "the service that serves the model");
  c->add_option("TEXT", asked->message, "what to say")->required()->type_name("TEXT");
  c->add_option("--system", asked->system, "the system prompt")->type_name("TEXT");
  c->add_option("--max-tokens", asked->tokens_max, "at most so many tokens")->check(CLI::Range(1, 1'000'000))->type_name("N");
  c->add_option("--temperature", asked->temperature, "0: the likeliest word each time")->check(CLI::Range(0.0, 5.0))->type_name("T");
  set_examples(*c, {"centrale chat chat \"What is a gang?\"", "centrale chat chat --max-tokens 20 --temperature 0 \"Hello\""});
}

void add_operator_commands(CLI::App& app, Context& context) {
  auto every_chip = std::make_shared<bool>(false);
  CLI::App* c = add<bool>(app, context, "nodes", "List nodes and their chips; take nodes out and back.", every_chip,
                          [](Context& x, const bool& all) { return nodes(x, all); });
  c->add_flag("--chips", *every_chip, "each chip, also of a large centre");
  c->require_subcommand(0, 1);
  set_examples(*c, {"centrale nodes", "centrale nodes --chips", "centrale nodes drain n1", "centrale nodes resume n1"});
  auto drained = std::make_shared<std::string>();
  CLI::App* sub = add<std::string>(*c, context, "drain", "Start nothing more on a node; what runs there goes on.", drained, &drain_node);
  argument(sub, "NODE", *drained, "name or id");
  set_examples(*sub, {"centrale nodes drain n1"});
  auto resumed = std::make_shared<std::string>();
  sub = add<std::string>(*c, context, "resume", "Use a drained node again.", resumed, &resume_node);
  argument(sub, "NODE", *resumed, "name or id");
  set_examples(*sub, {"centrale nodes resume n1"});

  auto by = std::make_shared<std::string>("tenant");
  c = add<std::string>(app, context, "usage", "Show chip time, energy, tokens and cost.", by, &usage);
  c->add_option("--by", *by, "a line for each")
      ->check(CLI::IsMember({"tenant", "job", "service"}))
      ->type_name("tenant|job|service")
      ->capture_default_str();
  set_examples(*c, {"centrale usage", "centrale usage --by job", "centrale usage --json"});

  auto watched = std::make_shared<TopOptions>();
  c = add(app, context, "top",
          "Watch the whole centre live: chips, jobs, services, usage.\nKeys: q quits, j and k or the arrows scroll, tab goes to the next "
          "part, ? shows all keys.",
          watched, &top);
  c->add_flag("--once", watched->once, "print one picture and leave");
  set_examples(*c, {"centrale top", "centrale top --once"});

  c = app.add_subcommand("tenants", "List tenants, or set their quotas.");
  c->require_subcommand(0, 1);
  c->callback([&context, c] {
    if (c->get_subcommands().empty()) {
      context.chosen = [&context] { return tenants(context); };
    }
  });
  set_examples(*c, {"centrale tenants", "centrale tenants add lab --chips 4", "centrale tenants set lab --tokens-per-day 1000000"});
  for (const auto& [name, text] :
       {std::pair("add", "Add a tenant."), std::pair("set", "Set a tenant's quotas; what is not given stays as it is.")}) {
    auto set = std::make_shared<TenantOptions>();
    sub = add(*c, context, name, text, set, &set_tenant);
    argument(sub, "TENANT", set->name, "name");
    sub->add_option("--chips", set->chips_max, "at most so many chips at a time; 0: no limit")
        ->check(CLI::Range(0, 100'000'000))
        ->type_name("N");
    sub->add_option("--tokens-per-day", set->tokens_per_day_max, "at most so many tokens a day; 0: no limit")
        ->check(CLI::NonNegativeNumber)
        ->type_name("N");
    set_examples(*sub, {fmt::format("centrale tenants {} lab --chips 4 --tokens-per-day 1000000", name)});
  }

  auto revoked_too = std::make_shared<bool>(false);
  c = add<bool>(app, context, "keys", "List API keys, add or revoke one.", revoked_too,
                [](Context& x, const bool& all) { return keys(x, all); });
  c->add_flag("-a,--all", *revoked_too, "revoked ones too");
  c->require_subcommand(0, 1);
  set_examples(*c, {"centrale keys", "centrale keys add --role admin --label laptop", "centrale keys revoke k2"});
  struct NewKey {
    std::string tenant = "default", label, role = "user";
  };
  auto made = std::make_shared<NewKey>();
  sub = add<NewKey>(*c, context, "add", "Make a key; it is printed this once.", made,
                    [](Context& x, const NewKey& k) { return add_key(x, k.tenant, k.label, k.role); });
  sub->add_option("--tenant", made->tenant, "whose key")->type_name("TENANT")->capture_default_str();
  sub->add_option("--label", made->label, "what it is for")->type_name("TEXT");
  sub->add_option("--role", made->role, "what it allows")
      ->check(CLI::IsMember({"viewer", "user", "admin"}))
      ->type_name("viewer|user|admin")
      ->capture_default_str();
  set_examples(*sub, {"centrale keys add --role admin --label laptop", "centrale keys add --tenant lab > lab.key"});
  auto ended = std::make_shared<std::string>();
  sub = add<std::string>(*c, context, "revoke", "End a key for ever.", ended, &revoke_key);
  argument(sub, "KEY", *ended, "id, as `centrale keys` prints it");
  set_examples(*sub, {"centrale keys revoke k2"});
}

void add_calibrate(CLI::App& app, Context& context) {
  auto asked = std::make_shared<CalibrateOptions>();
  CLI::App* c =
      add(app, context, "calibrate",
          "Measure this machine and write it down as a chip that plans can be made for.\nNeeds no centre, and a machine that does "
          "nothing else.",
          asked, &calibrate);
  c->add_option("--device", asked->device, "cpu (the default), cuda:0, cuda:1 and so on")->type_name("DEVICE");
  c->add_option("--threads", asked->threads, "CPU threads that are one chip together")->check(CLI::Range(1, 4096))->type_name("N");
  c->add_option("--ranks", asked->ranks, "most ranks that sums are measured over; 1: none")->check(CLI::Range(1, 64))->type_name("N");
  c->add_option("--key", asked->key, "what the chip is called")->type_name("KEY");
  c->add_option("--output", asked->output, "the chip file; KEY.yaml if not given")->type_name("FILE");
  c->add_flag("--quick", asked->quick, "seconds instead of minutes, and coarser");
  set_examples(*c, {"centrale calibrate", "centrale calibrate --device cuda:0 --output my-gpu.yaml", "centrale calibrate --quick --json"});
}

void add_other_commands(CLI::App& app, Context& context) {
  const auto plain = [&](const std::string& name, const std::string& text, int (*run)(Context&), const std::string& example) {
    CLI::App* c = app.add_subcommand(name, text);
    c->callback([&context, run] { context.chosen = [&context, run] { return run(context); }; });
    set_examples(*c, {example});
  };
  plain("schema", "Print the JSON Schema of job and service files, for editors.", &schema, "centrale schema > centrale.schema.json");
  plain("openapi", "Print the centre's OpenAPI document.", &openapi, "centrale openapi > openapi.json");
  plain("version", "Print the version.", &version, "centrale version");

  auto shell = std::make_shared<std::string>();
  CLI::App* c = app.add_subcommand("completion", "Print a completion script for a shell.");
  c->add_option("SHELL", *shell, "the shell")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}))->type_name("bash|zsh|fish");
  c->callback(
      [&app, &context, shell] { context.chosen = [&app, &context, shell] { return print_completion(context, tree_of(app), *shell); }; });
  set_examples(*c, {"source <(centrale completion bash)", "centrale completion zsh > ~/.zfunc/_centrale",
                    "centrale completion fish > ~/.config/fish/completions/centrale.fish"});

  auto folder = std::make_shared<std::string>("man");
  c = app.add_subcommand("man", "Write the manual pages into a folder.");
  c->add_option("FOLDER", *folder, "where; made if it is not there")->type_name("FOLDER")->capture_default_str();
  c->callback(
      [&app, &context, folder] { context.chosen = [&app, &context, folder] { return write_man_pages(context, tree_of(app), *folder); }; });
  set_examples(*c, {"centrale man", "centrale man ~/.local/share/man/man1 && man centrale-submit"});

  // What the completion scripts ask; not shown.
  auto what = std::make_shared<std::string>();
  c = app.add_subcommand("__complete", "")->group("");
  c->add_option("WHAT", *what)->required();
  c->callback([&context, what] { context.chosen = [&context, what] { return print_names(context, *what); }; });
}

const CLI::App* deepest(const CLI::App& app, std::string& path) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    path += " " + at->get_name();
  }
  return at;
}

const CommandTree& find(const CommandTree& root, const std::string& path) {
  const CommandTree* at = &root;
  std::size_t from = root.name.size();
  while (from < path.size()) {
    const std::size_t end = std::min(path.find(' ', from + 1), path.size());
    const CommandTree* next = at->find(path.substr(from + 1, end - from - 1));
    if (next == nullptr) { break; }
    at = next;
    from = end;
  }
  return *at;
}

int usage_error(Context& context, const std::string& what, const std::string& remedy) {
  return report(context, Failure(Error{ErrorKind::invalid, what, {}, remedy}, kExitUsage));
}

/// CLI11's message without its decoration.
std::string message_of(const CLI::ParseError& e) {
  std::string text = e.what();
  while (text.ends_with('\n')) { text.pop_back(); }
  std::ranges::replace(text, '\n', ' ');
  return text;
}

}  // namespace

void set_examples(CLI::App& command, const std::vector<std::string>& lines) {
  std::string footer;
  for (const std::string& line : lines) { footer += (footer.empty() ? "" : "\n") + line; }
  command.footer(footer);
}

void add_options_of_all(CLI::App& app, Context& context, Connection& connection) {
  app.description("Train, serve and meter large models on every chip of a centre.");
  app.set_help_flag("-h,--help", "show help and leave");
  app.set_version_flag(
      "-V,--version", [] { return std::string("centrale ") + CENTRALE_VERSION; }, "print the version and leave");
  app.add_option("--centre", connection.centre, "where the centre listens; else CENTRALE_URL, else http://127.0.0.1:7070")
      ->type_name("URL");
  app.add_option("--key", connection.key, "the API key; else CENTRALE_KEY, else the file named by CENTRALE_KEY_FILE")->type_name("KEY");
  app.add_flag("--json", context.json, "print JSON for programs, errors too");
  app.add_flag("--no-color,--no-colour", connection.no_colour, "no colours; NO_COLOR does the same");
  app.require_subcommand(0, 1);
  app.fallthrough();
  set_examples(app,
               {"centrale up", "centrale submit examples/train-small.yaml", "centrale serve examples/serve-small.yaml", "centrale top"});
}

void add_commands(CLI::App& app, Context& context) {
  add_job_commands(app, context);
  add_service_commands(app, context);
  add_operator_commands(app, context);
  add_scheduling_commands(app, context);
  add_plan_commands(app, context);
  add_simulate_commands(app, context);
  add_calibrate(app, context);
  add_other_commands(app, context);
}

CommandTree tree_of(const CLI::App& app) {
  CommandTree tree;
  tree.name = app.get_name();
  tree.text = app.get_description();
  std::string footer = app.get_footer();
  while (!footer.empty()) {
    const std::size_t end = std::min(footer.find('\n'), footer.size());
    tree.examples.push_back(footer.substr(0, end));
    footer.erase(0, end + 1);
  }
  for (const CLI::Option* option : app.get_options()) {
    OptionText text;
    text.text = option->get_description();
    text.fallback = option->get_default_str();
    text.required = option->get_required();
    text.repeats = option->get_expected_max() > 1;
    text.value = option->get_type_size() == 0 ? "" : option->get_type_name();
    text.value.resize(std::min(text.value.size(), text.value.find(':')));  // CLI11 adds what its checks say
    if (option->get_positional()) {
      text.names.push_back(text.value.empty() || text.value.find('|') == std::string::npos ? option->get_name() : text.value);
      text.fallback = option->get_default_str();
      tree.arguments.push_back(std::move(text));
      continue;
    }
    for (const std::string& name : option->get_snames()) { text.names.push_back("-" + name); }
    for (const std::string& name : option->get_lnames()) { text.names.push_back("--" + name); }
    tree.options.push_back(std::move(text));
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!sub->get_group().empty()) { tree.commands.push_back(tree_of(*sub)); }
  }
  return tree;
}

int run_command_line(const std::vector<std::string>& words, Context& context, AddMore add_more) {
  CLI::App app("", "centrale");
  Connection connection;
  add_options_of_all(app, context, connection);
  if (add_more != nullptr) { add_more(app, context); }
  add_commands(app, context);
  std::vector<std::string> reversed(words.rbegin(), words.rend());  // as CLI11 wants it
  std::string path = "centrale";
  const auto help = [&] {
    path = "centrale";
    deepest(app, path);
    const CommandTree tree = tree_of(app);
    print(context, help_text(find(tree, path), tree, path, context.width));
    return kExitOk;
  };
  try {
    app.parse(reversed);
  } catch (const CLI::CallForVersion&) { return version(context); } catch (const CLI::CallForHelp&) {
    return help();
  } catch (const CLI::CallForAllHelp&) { return help(); } catch (const CLI::ParseError& e) {
    context.json = std::ranges::find(words, "--json") != words.end();
    if (const auto mistake = find_mistake(tree_of(app), words)) { return usage_error(context, mistake->what, mistake->remedy); }
    deepest(app, path);
    return usage_error(context, message_of(e), "see: " + path + " --help");
  }
  if (connection.no_colour) {
    context.style.colour = false;
    context.err_style.colour = false;
  }
  if (!context.chosen) {
    if (words.empty()) { return help(); }
    return usage_error(context, "no command given", "see: centrale --help");
  }
  if (!context.api && !context.offline) {
    Result<std::unique_ptr<Api>> api = connect_api(connection);
    if (!api) { return report(context, Failure(std::move(api).error(), kExitUsage)); }
    context.api = std::move(*api);
  }
  return context.chosen();
}

}  // namespace centrale::cli
