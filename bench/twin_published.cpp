// SPDX-License-Identifier: Apache-2.0
// Published scheduling results, from the same inputs, through the production core: Gavel's continuous trace over its loads, Sia's
// Philly workloads. twin_published gavel|sia TRACES_FOLDER [--policies a,b] [--rates 4.0,5.6] [--workloads 1,2]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include "fleet/catalogue.hpp"
#include "policy/table_estimator.hpp"
#include "simulate/gavel_table.hpp"
#include "simulate/goodput_model.hpp"
#include "simulate/trace.hpp"
#include "simulate/twin.hpp"

namespace fs = std::filesystem;
using namespace centrale;

namespace {

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  if (!in) {
    fmt::print(stderr, "{} cannot be read\n", file.string());
    std::exit(66);
  }
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class T>
T must(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "{}\n", result.error().message());
    std::exit(65);
  }
  return std::move(*result);
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::stringstream in(text);
  for (std::string part; std::getline(in, part, ',');) { parts.push_back(part); }
  return parts;
}

Machines machines(const std::vector<std::tuple<std::string, int, int>>& groups) {  // kind, nodes, chips each
  std::vector<TraceNode> nodes;
  for (const auto& [kind, count, chips] : groups) {
    for (int i = 0; i < count; ++i) {
      nodes.push_back({.name = fmt::format("{}-{}", kind, i), .kind = kind, .chips = chips, .cpu_milli = 0, .memory = {}});
    }
  }
  return must(machines_of(nodes, default_catalogue()));
}

std::vector<std::pair<std::string, double>> kept_figures;  // printed as JSON at the end

struct Figures {
  double mean_h = 0, p99_h = 0, makespan_h = 0, chip_h = 0, restarts = 0, wall_s = 0;
  std::size_t counted = 0;
};

Figures play(const Workload& workload, const Machines& fleet, const Estimator& estimator, const TwinOptions& options, std::size_t first,
             std::size_t last) {
  const auto began = std::chrono::steady_clock::now();
  const TwinResult result =
      must(run_twin({.workload = workload, .machines = fleet, .estimator = &estimator, .options = options, .progress = {}}));
  Figures f;
  f.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::vector<double> jct;
  Time end;
  for (std::size_t i = first; i < std::min(last, result.jobs.size()); ++i) {
    const JobOutcome& job = result.jobs[i];
    if (job.end != JobOutcome::End::done) { continue; }
    jct.push_back(job.jct_s() / 3600);
    f.chip_h += job.chip_seconds / 3600;
    f.restarts += job.starts - 1;
    end = std::max(end, job.finish);
  }
  std::ranges::sort(jct);
  f.counted = jct.size();
  for (const double h : jct) { f.mean_h += h / static_cast<double>(jct.size()); }
  f.p99_h = jct.empty() ? 0 : jct[static_cast<std::size_t>(std::ceil(0.99 * static_cast<double>(jct.size()))) - 1];
  f.makespan_h = to_seconds(end - result.began) / 3600;
  f.chip_h /= static_cast<double>(std::max<std::size_t>(1, jct.size()));
  f.restarts /= static_cast<double>(std::max<std::size_t>(1, jct.size()));
  for (const std::string& note : result.notes) { fmt::print("  note: {}\n", note); }
  return f;
}

void gavel(const fs::path& folder, const std::vector<std::string>& policies, const std::vector<std::string>& rates) {
  const GavelTable table = must(read_gavel(text_of(folder / "gavel/simulation_throughputs.json"), "simulation_throughputs.json"));
  const TableEstimator estimator(table.alone);
  const Machines fleet = machines({{"v100", 9, 4}, {"p100", 9, 4}, {"k80", 9, 4}});
  const std::string text = text_of(folder / "gavel/continuous_single_rate4.0_seed0.trace");
  fmt::print("Gavel, continuous-single, 36 V100 + 36 P100 + 36 K80, mean JCT of jobs 4000 to 5000, h\n");
  for (const std::string& rate : rates) {
    TraceOptions options;
    options.format = TraceFormat::gavel;
    options.gavel_jobs_per_hour = std::stod(rate);
    const Workload workload = must(read_trace(text, "continuous_single", options));
    for (const std::string& policy : policies) {
      TwinOptions twin;
      twin.scheduling.policy = policy;
      twin.scheduling.round = seconds(360);
      twin.restart_cost = {};
      const Figures f = play(workload, fleet, estimator, twin, 4000, 5000);
      fmt::print("{:>5} jobs/h  {:<20} mean {:7.2f}  p99 {:8.2f}  restarts {:6.1f}  counted {:4}  {:.1f} s\n", rate, policy, f.mean_h,
                 f.p99_h, f.restarts, f.counted, f.wall_s);
      std::fflush(stdout);
      kept_figures.emplace_back(fmt::format("gavel_{}_{}_h", rate, policy), f.mean_h);
    }
  }
}

void sia(const fs::path& folder, const std::vector<std::string>& policies, const std::vector<std::string>& workloads, bool homogeneous) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "sia/traces")) {
    if (entry.path().extension() == ".csv" && entry.path().parent_path() != folder / "sia/traces") {
      files.emplace_back(fs::relative(entry.path(), folder / "sia/traces").string(), text_of(entry.path()));
    }
  }
  std::ranges::sort(files);
  std::vector<GoodputFile> views;
  for (const auto& [name, text] : files) { views.push_back({name, text}); }
  const GoodputModel model = must(GoodputModel::read(views, sia_applications(), sia_kinds()));
  const Machines fleet = homogeneous ? machines({{"t4", 16, 4}}) : machines({{"t4", 6, 4}, {"rtx-2080-ti", 3, 8}, {"a100", 2, 8}});
  fmt::print("Sia, Philly, 64 GPUs, {}; published: Sia 0.6 h mean, 9.5 h p99, 14.2 h makespan, 4.0 GPU h a job\n",
             homogeneous ? "16 x 4 T4" : "6 x 4 T4 + 3 x 8 RTX 2080 Ti + 2 x 8 A100");
  for (const std::string& policy : policies) {
    Figures sum;
    for (const std::string& number : workloads) {
      Workload workload = must(read_trace(text_of(folder / fmt::format("sia/philly/workload-{}.csv", number)), "philly", {}));
      for (TraceJob& job : workload.jobs) {
        job.work = 0;
        job.run = seconds(1);
      }  // the model knows the work
      TwinOptions twin;
      twin.scheduling.policy = policy;
      twin.scheduling.round = seconds(60);
      twin.restart_cost = seconds(60);  // mean of the profiles' 25 to 250 s
      const Figures f = play(workload, fleet, model, twin, 0, SIZE_MAX);
      fmt::print(
          "  workload {}  {:<16} mean {:6.3f}  p99 {:7.2f}  makespan {:6.1f}  GPU h {:5.2f}  restarts {:5.2f}  counted {}  {:.1f} s\n",
          number, policy, f.mean_h, f.p99_h, f.makespan_h, f.chip_h, f.restarts, f.counted, f.wall_s);
      std::fflush(stdout);
      const double n = static_cast<double>(workloads.size());
      sum.mean_h += f.mean_h / n;
      sum.p99_h += f.p99_h / n;
      sum.makespan_h += f.makespan_h / n;
      sum.chip_h += f.chip_h / n;
      sum.restarts += f.restarts / n;
    }
    fmt::print("{:<16} mean {:6.3f}  p99 {:7.2f}  makespan {:6.1f}  GPU h {:5.2f}  restarts {:5.2f}\n", policy, sum.mean_h, sum.p99_h,
               sum.makespan_h, sum.chip_h, sum.restarts);
    const char* const fleet_name = homogeneous ? "sia_t4" : "sia";
    kept_figures.emplace_back(fmt::format("{}_{}_mean_h", fleet_name, policy), sum.mean_h);
    kept_figures.emplace_back(fmt::format("{}_{}_p99_h", fleet_name, policy), sum.p99_h);
    kept_figures.emplace_back(fmt::format("{}_{}_makespan_h", fleet_name, policy), sum.makespan_h);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: twin_published all|gavel|sia|sia-t4 TRACES_FOLDER [--policies a,b] [--rates 4.0] [--workloads 1,2]\n");
    return 64;
  }
  std::map<std::string, std::string> given;
  for (int i = 3; i + 1 < argc; i += 2) { given[argv[i]] = argv[i + 1]; }
  const auto option = [&](const char* name, const char* otherwise) { return split(given.contains(name) ? given[name] : otherwise); };
  const std::string what = argv[1];
  if (what == "gavel") { gavel(argv[2], option("--policies", "fifo"), option("--rates", "4.0")); }
  if (what == "sia" || what == "sia-t4") { sia(argv[2], option("--policies", "fifo"), option("--workloads", "1"), what == "sia-t4"); }
  if (what == "all") {
    gavel(argv[2], option("--policies", "fifo,las,effective-fifo,effective,goodput,adaptive"), option("--rates", "0.4,2.0,4.0,4.8,5.6"));
    sia(argv[2], option("--policies", "fifo,effective,goodput,adaptive"), option("--workloads", "1,2,3,4,5,6,7,8"), false);
    sia(argv[2], option("--policies", "goodput,adaptive"), option("--workloads", "1,2,3,4,5,6,7,8"), true);
  }
  std::string json;
  for (const auto& [name, value] : kept_figures) { json += fmt::format("{}\"{}\":{:.3f}", json.empty() ? "" : ",", name, value); }
  fmt::print("{{{}}}\n", json);
  return 0;
}
