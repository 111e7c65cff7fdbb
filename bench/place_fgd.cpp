// SPDX-License-Identifier: Apache-2.0
// The experiment of Weng et al., "Beware of Fragmentation", USENIX ATC 2023, section 6, played through our pool: tasks of Alibaba's
// trace arrive one after the other on its 1,213 nodes with 6,212 GPUs, and none leaves. The figure is how much of all GPUs is given out
// when 100% of them have been asked for. Orders are made as the authors' simulator makes them: the list, filled up with tasks drawn from
// it until 130% is asked for, shuffled. A table goes to stderr with what they published beside; a flat JSON object to stdout.
//
//   place_fgd [--traces DIR] [--seeds N] [--list NAME]... [--rule NAME]...
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "base/csv.hpp"
#include "base/ensure.hpp"
#include "base/random.hpp"
#include "fleet/pool.hpp"

namespace centrale {
namespace {

struct Node {
  std::int64_t cpu = 0, chips = 0;
  Bytes memory;
  KindIndex kind = 0;
};
struct Task {
  Gang gang;
  KindMask kinds = kAnyKind;
  [[nodiscard]] std::int64_t milli() const { return gang.chips * gang.share_milli; }
};

struct Options {
  std::string traces = "../shared/traces";
  std::uint64_t seeds = 10;
  std::vector<std::string> lists, rules;
};

[[noreturn]] void stop(const std::string& what) {
  fmt::print(stderr, "place_fgd: {}\n", what);
  std::exit(2);
}

CsvTable table_of(const std::string& path) {
  std::ifstream file(path);
  if (!file) { stop(path + " cannot be read; --traces names the folder that holds alibaba-gpu-2023/ and fgd/"); }
  std::stringstream text;
  text << file.rdbuf();
  auto table = read_csv(text.str(), path);
  if (!table) { stop(table.error().what); }
  return std::move(*table);
}

std::int64_t number(const CsvTable& table, std::size_t row, std::string_view column) {
  const std::string text(table.cell(row, column));
  std::size_t end = 0;
  const std::int64_t value = text.empty() ? -1 : std::stoll(text, &end);
  if (value < 0 || end != text.size()) { stop(fmt::format("{}:{}: {} is '{}'", table.file, table.rows[row].line, column, text)); }
  return value;
}

using Kinds = std::map<std::string, KindIndex, std::less<>>;

std::vector<Node> read_nodes(const std::string& path, Kinds& kinds) {
  const CsvTable table = table_of(path);
  std::vector<Node> nodes;
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    const auto kind = kinds.try_emplace(std::string(table.cell(row, "model")), static_cast<KindIndex>(kinds.size())).first->second;
    nodes.push_back({.cpu = number(table, row, "cpu_milli"),
                     .chips = number(table, row, "gpu"),
                     .memory = mebibytes(number(table, row, "memory_mib")),
                     .kind = kind});
  }
  return nodes;
}

std::vector<Task> read_tasks(const std::string& path, const Kinds& kinds) {
  const CsvTable table = table_of(path);
  std::vector<Task> tasks;
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    Task task;
    task.gang.chips = number(table, row, "num_gpu");
    task.gang.memory = mebibytes(number(table, row, "memory_mib"));
    task.gang.cpu_milli = number(table, row, "cpu_milli");
    if (task.gang.chips == 1) { task.gang.share_milli = number(table, row, "gpu_milli"); }
    if (const std::string spec(table.cell(row, "gpu_spec")); !spec.empty() && task.gang.chips > 0) {
      task.kinds = 0;
      std::stringstream names(spec);
      for (std::string name; std::getline(names, name, '|');) {
        if (const auto kind = kinds.find(name); kind != kinds.end()) { task.kinds |= KindMask{1} << kind->second; }
      }
    }
    tasks.push_back(task);
  }
  return tasks;
}

/// The most frequent tasks that make up 95% of the list, as the authors' runs have it. Memory is not looked at.
std::vector<Demand> typical(const std::vector<Task>& tasks) {
  std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t, KindMask>, std::int64_t> counts;
  for (const Task& task : tasks) {
    ++counts[{task.gang.cpu_milli, task.gang.chips > 0 ? task.gang.share_milli : 0, task.gang.chips, task.kinds}];
  }
  std::vector<Demand> demand;
  for (const auto& [shape, count] : counts) {
    Demand one;
    std::tie(one.gang.cpu_milli, one.gang.share_milli, one.gang.chips, one.kinds) = shape;
    one.weight = static_cast<double>(count);
    demand.push_back(one);
  }
  std::ranges::stable_sort(demand, std::greater{}, &Demand::weight);
  double seen = 0;
  std::size_t i = 0;
  for (; i < demand.size() && seen < 0.95 * static_cast<double>(tasks.size()); ++i) { seen += demand[i].weight; }
  demand.resize(i);
  return demand;
}

std::vector<Task> order_of(const std::vector<Task>& tasks, std::int64_t capacity, std::uint64_t seed) {
  Random random(seed);
  std::vector<Task> order = tasks;
  std::int64_t asked = 0;
  for (const Task& task : tasks) { asked += task.milli(); }
  for (;;) {
    const Task& drawn = tasks[random.below(tasks.size())];
    if (asked + drawn.milli() > capacity * 13 / 10) { break; }
    asked += drawn.milli();
    order.push_back(drawn);
  }
  for (std::size_t i = order.size() - 1; i > 0; --i) { std::swap(order[i], order[random.below(i + 1)]); }
  return order;
}

struct Played {
  double allocated = 0;  // % of all GPUs, at 100% asked for
  double fragments = 0;  // % of what is left, as typical tasks see it
  double placements_s = 0;
};

Played play(const std::vector<Node>& nodes, const std::vector<Task>& order, const std::vector<Demand>& demand, PlaceRule rule,
            std::uint64_t seed) {
  Pool pool;
  std::int64_t capacity = 0;
  for (const Node& node : nodes) {
    const std::size_t index = pool.add_node(node.memory);
    pool.set_cpu(index, node.cpu);
    for (std::int64_t i = 0; i < node.chips; ++i) { pool.set_usable(pool.add_chip(index, node.kind), true); }
    pool.set_schedulable(index, true);
    capacity += node.chips * kWholeChip;
  }
  pool.set_rule(rule);
  pool.set_demand(demand);
  pool.set_random(seed);
  std::vector<ChipId> chips;
  std::int64_t asked = 0, given = 0, tried = 0;
  const auto start = std::clock();
  for (const Task& task : order) {
    if (asked + task.milli() > capacity) { break; }
    asked += task.milli();
    ++tried;
    if (task.gang.chips == 0) {
      static_cast<void>(pool.place_without_chips(task.kinds, task.gang));
    } else if (pool.place({}, task.kinds, task.gang, chips)) {
      given += task.milli();
    }
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  const auto left = static_cast<double>(capacity - given);
  return {.allocated = 100 * static_cast<double>(given) / static_cast<double>(capacity),
          .fragments = 100 * pool.fragmentation(kAnyKind) * static_cast<double>(kWholeChip) / left,
          .placements_s = static_cast<double>(tried) / seconds};
}

/// Allocation at 100% asked for, mean of the authors' ten seeds (their expected_results/analysis_allo_discrete.csv), and the column of
/// PlaceRule; 0: none.
const std::map<std::string, std::map<std::string, double>> kPublished = {
    {"default",
     {{"fgd", 95.23}, {"best_fit", 92.86}, {"dot_product", 90.62}, {"gpu_packing", 91.78}, {"gpu_clustering", 91.65}, {"random", 86.30}}},
    {"gpushare40",
     {{"fgd", 93.96}, {"best_fit", 91.44}, {"dot_product", 89.30}, {"gpu_packing", 89.77}, {"gpu_clustering", 89.76}, {"random", 84.86}}},
    {"gpushare60",
     {{"fgd", 91.25}, {"best_fit", 89.06}, {"dot_product", 86.82}, {"gpu_packing", 87.15}, {"gpu_clustering", 86.90}, {"random", 82.81}}},
    {"gpushare80",
     {{"fgd", 89.08}, {"best_fit", 86.66}, {"dot_product", 84.14}, {"gpu_packing", 84.65}, {"gpu_clustering", 84.50}, {"random", 80.62}}},
    {"gpushare100",
     {{"fgd", 86.64}, {"best_fit", 84.62}, {"dot_product", 81.98}, {"gpu_packing", 82.13}, {"gpu_clustering", 82.22}, {"random", 78.90}}},
};
constexpr double kPublishedSeed42 = 95.14;  // FGD on the default list in the order of fgd/pod_order_default_seed42.csv

Options read_options(int count, char** words) {
  Options options;
  for (int i = 1; i < count; i += 2) {
    const std::string word = words[i];
    if (i + 1 == count) { stop(word + " needs a value"); }
    const std::string value = words[i + 1];
    if (word == "--traces") {
      options.traces = value;
    } else if (word == "--seeds") {
      options.seeds = std::stoull(value);
    } else if (word == "--list") {
      options.lists.push_back(value);
    } else if (word == "--rule") {
      options.rules.push_back(value);
    } else {
      stop(word + ": options are --traces --seeds --list --rule");
    }
  }
  if (options.lists.empty()) { options.lists = {"default", "gpushare40", "gpushare60", "gpushare80", "gpushare100"}; }
  if (options.rules.empty()) { options.rules.assign(kEnumNames<PlaceRule>.begin(), kEnumNames<PlaceRule>.end()); }
  return options;
}

PlaceRule rule_named(std::string_view name) {
  const auto& names = kEnumNames<PlaceRule>;
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) { stop(fmt::format("there is no rule '{}'", name)); }
  return static_cast<PlaceRule>(found - names.begin());
}

void run(const Options& options) {
  Kinds kinds;
  const std::string trace = options.traces + "/alibaba-gpu-2023/";
  const std::vector<Node> nodes = read_nodes(trace + "openb_node_list_gpu_node.csv", kinds);
  std::int64_t capacity = 0;
  for (const Node& node : nodes) { capacity += node.chips * kWholeChip; }
  std::vector<std::pair<std::string, double>> figures;
  fmt::print(stderr, "{:<12} {:<15} {:>9} {:>6} {:>10} {:>10} {:>13}\n", "tasks", "rule", "allocated", "sd", "published", "fragments",
             "placements/s");
  const auto print = [&](const std::string& list, const std::string& rule, const std::vector<Played>& runs, double published) {
    double mean = 0, square = 0, fragments = 0, rate = 0;
    const auto n = static_cast<double>(runs.size());
    for (const Played& one : runs) {
      mean += one.allocated / n;
      fragments += one.fragments / n;
      rate += one.placements_s / n;
    }
    for (const Played& one : runs) { square += (one.allocated - mean) * (one.allocated - mean); }
    const double sd = runs.size() > 1 ? std::sqrt(square / (n - 1)) : 0;
    fmt::print(stderr, "{:<12} {:<15} {:>8.2f}% {:>6.2f} {:>10} {:>9.1f}% {:>13.0f}\n", list, rule, mean, sd,
               published > 0 ? fmt::format("{:.2f}", published) : "-", fragments, rate);
    figures.emplace_back(list + "_" + rule + "_pct", mean);
    figures.emplace_back(list + "_" + rule + "_placements_s", rate);
  };
  for (const std::string& list : options.lists) {
    const std::vector<Task> tasks = read_tasks(fmt::format("{}openb_pod_list_{}.csv", trace, list), kinds);
    const std::vector<Demand> demand = typical(tasks);
    if (list == "default") {
      const std::vector<Task> order = read_tasks(options.traces + "/fgd/pod_order_default_seed42.csv", kinds);
      for (const std::string& rule : options.rules) {
        print("seed42", rule, {play(nodes, order, demand, rule_named(rule), 42)}, rule == "fgd" ? kPublishedSeed42 : 0);
      }
    }
    for (const std::string& rule : options.rules) {
      std::vector<Played> runs;
      for (std::uint64_t seed = 1; seed <= options.seeds; ++seed) {
        runs.push_back(play(nodes, order_of(tasks, capacity, seed), demand, rule_named(rule), seed << 32U));
      }
      const auto published = kPublished.find(list);
      const bool known = published != kPublished.end() && published->second.contains(rule);
      if (!runs.empty()) { print(list, rule, runs, known ? published->second.at(rule) : 0); }
    }
  }
  for (std::size_t i = 0; i < figures.size(); ++i) {
    fmt::print("{}\"{}\": {:.3f}{}", i == 0 ? "{" : " ", figures[i].first, figures[i].second, i + 1 == figures.size() ? "}\n" : ",");
  }
}

}  // namespace
}  // namespace centrale

int main(int count, char** words) {
  centrale::run(centrale::read_options(count, words));
  return 0;
}
