// SPDX-License-Identifier: Apache-2.0
// centrale-calibrate: measures a device and writes it down as a chip of the catalogue. See docs/calibrate.md.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>

#include "base/text.hpp"
#include "chip_file.hpp"
#include "fit.hpp"
#include "links.hpp"
#include "measure.hpp"
#include "report.hpp"

namespace {

using namespace centrale;
using namespace centrale::calibrate;

// As `centrale` has them.
enum ExitCode : int { kDone = 0, kFailed = 1, kUsage = 2, kInput = 65 };

struct Options {
  std::string device = "cpu";
  std::string output;  // empty: KEY.yaml
  std::string key;     // empty: from the device
  int threads = 0;
  int ranks = 0;  // 0: as many as there are threads or devices, 8 at most
  bool quick = false;
  bool json = false;
};

int complain(const Error& error) {
  fmt::print(stderr, "centrale-calibrate: {}\n", error.message());
  return error.kind == ErrorKind::invalid || error.kind == ErrorKind::not_found ? kInput : kFailed;
}

/// "cpu-2t", "nvidia-h100-80gb-hbm3-measured".
std::string key_of(const Machine& machine) {
  if (machine.is_cpu) { return fmt::format("cpu-{}t", machine.units); }
  std::string key;
  for (const char c : machine.name) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
    if (word) { key += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
    if (!word && !key.empty() && key.back() != '-') { key += '-'; }
  }
  return key.substr(0, 48) + "-measured";
}

Tell teller(bool silent) {
  const bool terminal = !silent && ::isatty(STDERR_FILENO) == 1;
  return [terminal](std::size_t done, std::size_t all, const std::string& what) {
    if (terminal) { fmt::print(stderr, "\r\033[Kcalibrate  {}/{}  {}", done, all, what); }
  };
}

void clear_line() {
  if (::isatty(STDERR_FILENO) == 1) { fmt::print(stderr, "\r\033[K"); }
}

Result<void> write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::trunc);
  out << text;
  out.close();
  if (!out) { return fail(ErrorKind::io, "cannot be written", path, "name another file with --output"); }
  return {};
}

/// Written only when the catalogue's own reader gives the chip back.
Result<void> check(const std::string& text, const std::string& path, const std::string& key) {
  TRY_ASSIGN(const Catalogue read, read_catalogue(text, path));
  if (read.chip(key) == nullptr) { return fail(ErrorKind::io, "the chip file does not hold the chip", path); }
  return {};
}

Result<void> calibrate_device(const Options& options) {
  if (!options.key.empty() && !is_valid_name(options.key)) {
    return fail(ErrorKind::invalid, fmt::format("'{}' is no key", options.key), "--key", "use a-z, 0-9 and '-'");
  }
  TRY_ASSIGN(const at::Device device, open_device(options.device, options.threads));
  Plan plan{.device = device, .quick = options.quick, .patience = {}};
  if (options.quick) {
    plan.rounds = 2;
    plan.patience = {.run_s = 1.5e-3, .all_s = 0.04, .runs_min = 5, .runs_max = 60, .settled = 0.03};
  }
  const Load before = load_now();
  Samples samples = measure_device(plan, teller(false));
  const Machine& machine = samples.machine;
  samples.others = others_share(before, load_now());
  if (constexpr double kQuiet = 0.05; samples.others > kQuiet) {
    samples.notes.push_back(
        fmt::format("other work took {:.0f} % of the machine's cores meanwhile: the constants may be low; measure again when it is idle",
                    samples.others * 100));
  }
  const std::int64_t ranks = options.ranks > 0 ? options.ranks : std::min<std::int64_t>(8, machine.is_cpu ? machine.units : machine.chips);
  if (ranks > 1) {
    teller(false)(0, 1, fmt::format("sums over up to {} ranks", ranks));
    TRY_ASSIGN(samples.links, measure_links({.device = machine.is_cpu ? "cpu" : "cuda", .ranks_max = ranks, .quick = options.quick}));
  } else {
    samples.notes.emplace_back("collectives are left out: there is one rank");
  }
  clear_line();
  const std::string key = options.key.empty() ? key_of(machine) : options.key;
  TRY_ASSIGN(const Fit fit, fit_chip(samples, key));
  const std::string path = options.output.empty() ? key + ".yaml" : options.output;
  std::vector<std::string> comments{fmt::format("Written by centrale calibrate on {}; use it with --catalogue {}.", machine.date, path)};
  if (machine.is_cpu) {
    comments.push_back(
        fmt::format("One chip is {} threads of this processor together, as libtorch uses them for one operator.", machine.units));
  }
  comments.emplace_back("bandwidth is the fastest stream that an element-wise operator reached, caches included, not the memory's own.");
  for (const std::string& note : samples.notes) { comments.push_back(note); }
  const std::string text = chip_file(fit.chip, default_catalogue().currency, comments);
  TRY(check(text, path, key));
  TRY(write_file(path, text));
  if (options.json) {
    fmt::print("{}", json(samples, fit, path));
  } else {
    fmt::print("{}\n  written to {}\n", table(samples, fit), path);
  }
  return {};
}

int run(int argc, char** argv) {
  CLI::App app{"Measures this machine and writes a chip file that `centrale plan … --catalogue FILE` uses"};
  Options options;
  app.add_option("--device", options.device, "cpu, cuda:0, cuda:1 and so on")->capture_default_str();
  app.add_option("--threads", options.threads, "CPU threads that are one chip; 0: as many as libtorch takes")->check(CLI::Range(0, 4096));
  app.add_option("--ranks", options.ranks, "most ranks that sums are measured over; 1: none; 0: one a thread or device, 8 at most")
      ->check(CLI::Range(0, 64));
  app.add_option("--key", options.key, "what the chip is called");
  app.add_option("--output", options.output, "the chip file; KEY.yaml by default");
  app.add_flag("--quick", options.quick, "a tenth of the shapes: seconds, not minutes, and coarser");
  app.add_flag("--json", options.json, "print every sample as JSON");
  LinkPlan rank;
  auto* const as_rank = app.add_subcommand("rank", "")->group("");
  as_rank->add_option("--device", rank.device)->required();
  as_rank->add_flag("--quick", rank.quick);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) { return app.exit(error) == 0 ? kDone : kUsage; }
  const Result<void> done = app.got_subcommand("rank") ? run_rank(rank) : calibrate_device(options);
  return done ? kDone : complain(done.error());
}

}  // namespace

int main(int argc, char** argv) {
  // As centrale-trainer: threads that spin long between operators slow each other down, and the times must be those of training.
  if (std::getenv("GOMP_SPINCOUNT") == nullptr && std::getenv("OMP_WAIT_POLICY") == nullptr) {
    setenv("GOMP_SPINCOUNT", "2000", 0);
    execv("/proc/self/exe", argv);
  }
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "centrale-calibrate: out of memory; use --quick\n");
  } catch (const std::exception& error) { fmt::print(stderr, "centrale-calibrate: {}\n", error.what()); }
  return kFailed;
}
