// SPDX-License-Identifier: Apache-2.0
#include "cli/up.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "api/console.hpp"
#include "api/control.hpp"
#include "api/directory.hpp"
#include "api/keys.hpp"
#include "base/text.hpp"
#include "cli/command_line.hpp"
#include "fleet/catalogue.hpp"
#include "gateway/gateway.hpp"
#include "operate/host.hpp"
#include "operate/local_node.hpp"
#include "operate/sqlite_journal.hpp"

namespace centrale::cli {

namespace fs = std::filesystem;

namespace {

/// How long open answers may take to end when the centre stops.
constexpr std::chrono::seconds kDrain{5};

class WallClock final : public Clock {
 public:
  [[nodiscard]] Time now() override {
    return Time{std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count()};
  }
};

/// The logs of the local driver, as the API asks for them.
class LocalLogs final : public api::LogSource {
 public:
  explicit LocalLogs(const LocalNode& node) : node_(node) {}
  [[nodiscard]] Result<api::LogPart> read(const api::LogRequest& request) override {
    const auto stream = request.stream == api::LogStream::out ? local::LogStream::out : local::LogStream::err;
    const int rank = static_cast<int>(request.rank);
    auto chunk = request.tail_lines
                     ? node_.driver().tail_log(request.task, rank, stream, static_cast<std::size_t>(*request.tail_lines))
                     : node_.driver().read_log(request.task, rank, stream, static_cast<std::uint64_t>(request.offset), request.bytes_max);
    if (!chunk) {
      if (chunk.error().kind == ErrorKind::not_found && node_.is_alive(request.task)) {
        return api::LogPart{};  // it is being started: its folder is not made yet
      }
      return std::unexpected(chunk.error());
    }
    return api::LogPart{.bytes = std::move(chunk->bytes),
                        .offset = static_cast<std::int64_t>(chunk->offset),
                        .next = static_cast<std::int64_t>(chunk->next_offset),
                        .at_end = chunk->ended};
  }
  [[nodiscard]] std::optional<TaskId> attempt(JobId job, std::int64_t number) override { return node_.attempt(job, number); }
  [[nodiscard]] std::optional<TaskId> replica(ServiceId service, std::int64_t ordinal) override { return node_.replica(service, ordinal); }

 private:
  const LocalNode& node_;
};

class LocalTelemetry final : public api::Telemetry {
 public:
  explicit LocalTelemetry(const LocalNode& node) : node_(node) {}
  [[nodiscard]] api::ChipSample sample(ChipId chip) const override {
    const ChipSample measured = node_.sample(chip);
    api::ChipSample sample;
    sample.utilisation = measured.utilisation;
    sample.power = measured.power;
    return sample;
  }

 private:
  const LocalNode& node_;
};

std::string variable(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread
  return value == nullptr ? std::string{} : std::string(value);
}

struct Address {
  std::string host;
  std::uint16_t port = 0;
};

Result<Address> parse_listen(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  Address address;
  address.host = text.substr(0, colon == std::string::npos ? 0 : colon);
  const std::string port = colon == std::string::npos ? text : text.substr(colon + 1);
  if (address.host.empty()) { address.host = "127.0.0.1"; }
  if (address.host.size() > 1 && address.host.front() == '[' && address.host.back() == ']') {
    address.host = address.host.substr(1, address.host.size() - 2);
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc{} || end != port.data() + port.size()) {
    return fail(ErrorKind::invalid, fmt::format("'{}' is no address", text), "--listen", "like 127.0.0.1:7070, [::1]:7070 or 7070");
  }
  return address;
}

bool is_loopback_host(const std::string& host) { return host == "localhost" || host == "::1" || host.starts_with("127."); }

std::string policies_text() {
  std::string text;
  for (const auto& [name, what] : policy_names()) { text += (text.empty() ? "" : ", ") + std::string(name); }
  return text;
}

Result<std::string> prepare_state(const UpOptions& options) {
  TRY_ASSIGN(const std::string folder, state_folder(options.state));
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) { return fail(ErrorKind::io, "the state folder cannot be made: " + error.message(), folder, "choose another: --state DIR"); }
  ::chmod(folder.c_str(), S_IRWXU);  // keys and logs are nobody else's
  return folder;
}

Result<Catalogue> load_catalogue(const std::string& file) {
  if (file.empty()) { return default_catalogue(); }
  std::ifstream in(file);
  if (!in) { return fail(ErrorKind::io, "the catalogue cannot be read", file); }
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  TRY_ASSIGN(const Catalogue upper, read_catalogue(text, file));
  return overlay(default_catalogue(), upper);
}

LocalNodeOptions node_options(const UpOptions& options, const std::string& state, const fs::path& program) {
  LocalNodeOptions node;
  std::string engines = options.engines;
  for (fs::path folder = program; engines.empty() && folder.has_relative_path(); folder = folder.parent_path()) {
    std::error_code error;
    if (fs::exists(folder / "engines/llama/llama_server.py", error)) {  // the source tree that this build lies in
      engines = (folder / "engines").string();
    }
  }
  node.engines = {.state = state,
                  .python = options.python.empty() ? (program / "venv/bin/python3").string() : options.python,
                  .llama_script = engines + "/llama/llama_server.py",
                  .path = variable("PATH")};
  node.supervisor = (program / "centrale-task").string();
  node.cpu_chips = options.cpu_chips;
  return node;
}

void say_what_is_here(const UpOptions& options, const std::string& url, const std::string& state, const Host& host, const LocalNode& node) {
  const Host::Health health = host.health();
  std::string chips;
  for (const ChipGroup& group : node.joined().chips) {
    chips += fmt::format("{}{} x {}", chips.empty() ? "" : ", ", group.count, group.kind);
  }
  fmt::print("Centrale {} is up at {}\n", CENTRALE_VERSION, url);
  fmt::print("  chips    {} ({}), {} of memory\n", chips.empty() ? "none" : chips, node.machine().cpu_model,
             format_bytes(node.machine().memory));
  fmt::print("  state    {} (journal: {} events{})\n", state, health.sequence,
             health.recovered_events > 0 ? fmt::format(", read back in {:.2f} s", health.recover_s) : "");
  for (const std::string& note : node.machine().notes) { fmt::print("  note     {}\n", note); }
  for (const UnusableChip& chip : node.machine().unusable) {
    fmt::print("  unusable {} {} at {}: {}\n", chip.vendor, chip.model, chip.pci, chip.reason);
  }
  if (!options.quiet) {
    fmt::print(
        "\nNext, in another terminal:\n"
        "  build/centrale nodes                              the chips\n"
        "  build/centrale submit examples/train-small.yaml   train a model, with a progress bar\n"
        "  build/centrale serve examples/serve-small.yaml    serve it, and an instruct model\n"
        "  build/centrale chat smollm2 \"What is steel?\"      talk to it\n"
        "  build/centrale top                                everything, live\n"
        "The page is at {}/ and the OpenAI-compatible endpoint at {}/v1. Ctrl-C stops the centre; what runs goes on.\n",
        url, url);
  }
  std::fflush(stdout);
}

struct StopHost {
  Host& host;
  ~StopHost() { host.stop(); }
};

/// Tells the core what this start knows: the policy that was asked for, the tenant that is always there, and this machine.
Result<void> introduce(Host& host, LocalNode& node, const std::string& policy) {
  struct Known {
    bool tenant = false;
    Scheduling scheduling;
  };
  std::promise<Known> promise;
  host.read([&](const Core& core, Time) { promise.set_value({static_cast<bool>(core.tenant_of("default")), core.scheduling()}); });
  Known known = promise.get_future().get();
  if (!policy.empty() && policy != known.scheduling.policy) {
    // An event, not a setting of the process: a replay of the journal decides as this centre does.
    known.scheduling.policy = policy;
    TRY(host.wish_and_wait(SchedulingSet{std::move(known.scheduling)}));
  }
  if (!known.tenant) { TRY(host.wish_and_wait(TenantDefined{"default", {}})); }
  TRY(host.wish_and_wait(node.joined()));
  std::promise<void> attached;
  host.read([&](const Core& core, Time) {
    node.attach(core);
    attached.set_value();
  });
  attached.get_future().get();
  return {};
}

Result<void> serve_until_signal(const UpOptions& options) {
  TRY_ASSIGN(const Address address, parse_listen(options.listen));
  if (!options.policy.empty()) { TRY(make_policy(options.policy)); }
  TRY_ASSIGN(const std::string state, prepare_state(options));
  TRY_ASSIGN(const Catalogue catalogue, load_catalogue(options.catalogue));
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error).parent_path();
  ::setenv("PATH", (program.string() + ":" + variable("PATH")).c_str(), 1);  // NOLINT(concurrency-mt-unsafe): before any thread

  TRY_ASSIGN(auto journal, SqliteJournal::open(state + "/journal.db"));
  WallClock clock;
  TRY_ASSIGN(const auto host, Host::open(std::move(journal), clock, HostOptions{}));
  TRY_ASSIGN(const std::string admin_key, api::ensure_admin_key(state + "/admin.key"));
  TRY_ASSIGN(MachineReport machine, discover());

  boost::asio::io_context rim(1);
  http::Client upstream(rim);
  http::Server server(rim);
  api::Directory directory(*host, clock, api::key_hash(admin_key));
  gateway::Gateway gateway(upstream, directory);
  TRY_ASSIGN(const auto node, LocalNode::open(*host, rim, node_options(options, state, program), std::move(machine), catalogue));
  LocalLogs logs(*node);
  const LocalTelemetry telemetry(*node);

  // The port before anything is started: a second centre by mistake must change nothing.
  TRY_ASSIGN(const std::uint16_t port, server.listen(address.host, address.port));
  const std::string url =
      fmt::format("http://{}:{}", address.host.find(':') == std::string::npos ? address.host : "[" + address.host + "]", port);
  api::ControlApi control({.host = *host,
                           .logs = logs,
                           .telemetry = telemetry,
                           .check = [&](std::string_view bearer, std::string_view remote) { return directory.identify(bearer, remote); },
                           .rim = api::make_rim(rim),
                           .identity = {.name = options.name,
                                        .version = CENTRALE_VERSION,
                                        .currency = catalogue.currency,
                                        .address = url,
                                        .journal_kind = "sqlite",
                                        .started_at = clock.now()},
                           .gateway_counters = [&] { return gateway.counters(); },
                           .connections = [&] { return server.connections(); },
                           .limits = {}});
  const auto to_control = [&](http::Request request, std::shared_ptr<http::Reply> reply) {
    control.handle(std::move(request), std::move(reply));
  };
  server.route("/api/v1/", to_control);
  server.route("/metrics", to_control);
  server.route("/v1/",
               [&](http::Request request, std::shared_ptr<http::Reply> reply) { gateway.handle(std::move(request), std::move(reply)); });
  server.route("/", [](const http::Request& request, const std::shared_ptr<http::Reply>& reply) {
    api::serve_console(request, *reply, api::console_assets());
  });

  const StopHost stop_first{*host};  // its thread calls the node, the directory and the API
  host->run(*node);
  TRY(introduce(*host, *node, options.policy));
  if (!is_loopback_host(address.host)) {
    std::promise<bool> any_key;
    host->read([&](const Core& core, Time) { any_key.set_value(core.key_count() > 0); });
    if (!any_key.get_future().get()) {
      return fail(ErrorKind::forbidden,
                  fmt::format("will not listen at {} while no key exists: anybody there would be administrator", address.host), "--listen",
                  "start on loopback, add a key (centrale keys add), then listen elsewhere");
    }
  }
  say_what_is_here(options, url, state, *host, *node);

  boost::asio::signal_set signals(rim, SIGINT, SIGTERM);
  boost::asio::steady_timer tick(rim);
  std::chrono::steady_clock::time_point deadline;
  const std::function<void()> wait_for_the_last = [&] {
    if (server.connections() == 0 || std::chrono::steady_clock::now() > deadline) {
      rim.stop();
      return;
    }
    tick.expires_after(std::chrono::milliseconds(50));
    tick.async_wait([&](boost::system::error_code) { wait_for_the_last(); });
  };
  signals.async_wait([&](boost::system::error_code, int) {
    server.drain();
    control.close_streams();
    deadline = std::chrono::steady_clock::now() + kDrain;
    wait_for_the_last();
    signals.async_wait([&](boost::system::error_code, int) { rim.stop(); });  // a second signal: at once
  });
  rim.run();
  std::promise<std::size_t> running;
  host->read([&](const Core& core, Time) {
    std::size_t count = 0;
    core.each_task([&](const Task& task) { count += task.state == TaskState::queued ? 0U : 1U; });
    running.set_value(count);
  });
  const std::size_t going_on = running.get_future().get();
  fmt::print("\nCentrale is down.{}\n", going_on == 0 ? ""
                                                      : fmt::format(" {} task{} on; start the centre again to find {}.", going_on,
                                                                    going_on == 1 ? " goes" : "s go", going_on == 1 ? "it" : "them"));
  return {};
}

}  // namespace

Result<std::string> state_folder(const std::string& given) {
  std::string folder = given.empty() ? variable("CENTRALE_STATE") : given;
  if (folder.empty()) {
    const std::string home = variable("HOME");
    if (home.empty()) {
      return fail(ErrorKind::invalid, "there is no HOME to keep the centre's state in", {}, "name a folder: --state DIR");
    }
    folder = home + "/.centrale";
  }
  std::error_code error;
  const fs::path path = fs::absolute(folder, error).lexically_normal();
  return path.has_filename() ? path.string() : path.parent_path().string();
}

int run_up(const UpOptions& options) {
  if (const auto result = serve_until_signal(options); !result) {
    fmt::print(stderr, "centrale: {}\n", result.error().message());
    return result.error().kind == ErrorKind::invalid ? kExitInput : kExitFailed;
  }
  return kExitOk;
}

void add_journal(CLI::App& app, Context& context);  // journal.cpp

void add_up(CLI::App& app, Context& context) {
  add_journal(app, context);
  auto options = std::make_shared<UpOptions>();
  CLI::App* const command = app.add_subcommand("up", "Start the centre on this machine");
  command->add_option("--listen", options->listen, "Address and port; not loopback only once keys exist")->capture_default_str();
  command->add_option("--state", options->state,
                      "Folder of the journal, logs and checkpoints (default: $CENTRALE_STATE, else ~/.centrale)");
  command->add_option("--name", options->name, "What this centre is called")->capture_default_str();
  command
      ->add_option("--policy", options->policy,
                   "Who runs next, from now on: " + policies_text() + " (default: as before; of a new centre, fifo)")
      ->type_name("NAME");
  command->add_option("--catalogue", options->catalogue, "A chips.yaml with your own powers and prices");
  command->add_option("--cpu-chips", options->cpu_chips, "Offer this many CPU chips instead of one a core; they share the cores")
      ->check(CLI::Range(1, 4096));
  command->add_option("--engines", options->engines,
                      "Folder with the engines' launchers (default: engines/ in a folder above the program)");
  command->add_option("--python", options->python, "Python with the engine packages (default: venv/bin/python3 beside the program)");
  command->add_flag("--quiet", options->quiet, "Do not say what to do next");
  set_examples(*command, {"centrale up", "centrale up --listen 127.0.0.1:8080 --state /srv/centrale", "centrale up --policy backfill"});
  command->callback([options, &context] { context.chosen = [options] { return run_up(*options); }; });
}

}  // namespace centrale::cli
