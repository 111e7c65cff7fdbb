// SPDX-License-Identifier: Apache-2.0
// How the constants of catalogue/engines.yaml were made: coordinate descent over published serving rows on the mean capped log error,
// every group (source, engine, chip, model) with the square root of its rows as weight. Deterministic.
//
//   plan_fit_infer ROWS.csv                      errors by kind, source and engine
//   plan_fit_infer ROWS.csv --rows               every row: predicted, measured, error
//   plan_fit_infer ROWS.csv [--only WORD] [--without WORD] NAME=LOW:HIGH …   fits on rows that hold the one and not the other word, then
//                                                prints errors of those left out too
//   plan_fit_infer ROWS.csv NAME=VALUE …         tries values
//
// NAME is ENGINE.FIELD; constants that are found are printed as NAME=VALUE, to be put into catalogue/engines.yaml. Rows that their table
// marks as doubtful are left out; pools of which the number of workers is not known are shown, not fitted.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "plan/infer_rows.hpp"

using namespace centrale;

namespace {

struct Field {
  const char* name;
  double& (*of)(Engine&);
};
constexpr Field kFields[] = {{"gemm", [](Engine& e) -> double& { return e.gemm; }},
                             {"gemm_fp4", [](Engine& e) -> double& { return e.gemm_fp4; }},
                             {"weights", [](Engine& e) -> double& { return e.weights; }},
                             {"expert_weights", [](Engine& e) -> double& { return e.expert_weights; }},
                             {"expert_gemm", [](Engine& e) -> double& { return e.expert_gemm; }},
                             {"attention", [](Engine& e) -> double& { return e.attention; }},
                             {"cache", [](Engine& e) -> double& { return e.cache; }},
                             {"kernel_seconds", [](Engine& e) -> double& { return e.kernel.value; }},
                             {"kernels", [](Engine& e) -> double& { return e.kernels; }},
                             {"routing_kernels", [](Engine& e) -> double& { return e.routing_kernels; }},
                             {"latent_kernels", [](Engine& e) -> double& { return e.latent_kernels; }},
                             {"recurrent_kernels", [](Engine& e) -> double& { return e.recurrent_kernels; }},
                             {"host_seconds", [](Engine& e) -> double& { return e.host.value; }},
                             {"step_seconds", [](Engine& e) -> double& { return e.step.value; }},
                             {"sequence_seconds", [](Engine& e) -> double& { return e.sequence.value; }},
                             {"request_seconds", [](Engine& e) -> double& { return e.request.value; }},
                             {"polling", [](Engine& e) -> double& { return e.polling; }},
                             {"balancing", [](Engine& e) -> double& { return e.balancing; }},
                             {"token_seconds", [](Engine& e) -> double& { return e.token.value; }},
                             {"reduce_seconds", [](Engine& e) -> double& { return e.reduce.value; }},
                             {"links", [](Engine& e) -> double& { return e.links; }},
                             {"overlap", [](Engine& e) -> double& { return e.overlap; }},
                             {"imbalance", [](Engine& e) -> double& { return e.imbalance; }},
                             {"skew", [](Engine& e) -> double& { return e.skew; }},
                             {"tokens_max", [](Engine& e) -> double& { return e.tokens_max; }},
                             {"sequences_max", [](Engine& e) -> double& { return e.sequences_max; }},
                             {"reserve", [](Engine& e) -> double& { return e.reserve; }},
                             {"memory", [](Engine& e) -> double& { return e.memory; }}};

struct Sample {
  std::size_t index = 0;
  double measured = 0, weight = 1;
  std::string kind;
};
/// Rows that one run answers.
struct Case {
  InferRow row;
  std::vector<Sample> samples;
  std::string source, group, engine;
  std::string all;  // the row's text, for --without
  bool held_out = false;
};

struct Knob {
  std::string name, engine;
  double low = 0, high = 0;
  double* at = nullptr;
};

constexpr double kCapped = 0.5;  // log error beyond which a row counts no more: what it measured is something else

std::string joined(const CsvTable& table, std::size_t row, std::initializer_list<const char*> columns) {
  std::string text;
  for (const char* c : columns) { text += std::string(table.cell(row, c)) + '|'; }
  return text;
}

struct Fit {
  CsvTable table;
  std::vector<Engine> engines = default_engines();
  std::vector<Case> cases;
  std::size_t unreadable = 0;

  void gather(const std::string& without) {
    std::map<std::string, std::size_t> by_key;
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
      const std::string note(table.cell(i, "note"));
      if (note.find("CONFLICT") != std::string::npos || note.find("QUIRK") != std::string::npos) { continue; }
      auto row = read_infer_row(table, i, default_catalogue(), engines);
      if (!row) {
        ++unreadable;
        continue;
      }
      const std::string id(table.cell(i, "id")), source = id.substr(0, id.rfind('-'));
      const std::string key = source +
                              joined(table, i,
                                     {"model", "precision", "kv_precision", "chip", "num_chips", "tp", "pp", "ep", "isl", "osl",
                                      "concurrency_or_rate", "engine+version"}) +
                              note.substr(0, note.find("; tpot"));
      const auto [at, fresh] = by_key.emplace(key, cases.size());
      if (fresh) {
        cases.push_back({});
        Case& c = cases.back();
        c.row = *std::move(row);
        c.engine = c.row.engine->key;
        const bool guessed = c.row.workers_guessed || c.row.whole > 0;
        c.source = source + (guessed ? "-pools?" : (c.row.disaggregated ? "-pools" : ""));
        c.group = joined(table, i, {"model", "chip"}) + c.engine + c.source;
        c.all = table.rows[i].raw;
        c.held_out = !without.empty() && c.all.find(without) != std::string::npos;
      }
      Sample s{.index = i, .kind = std::string(table.cell(i, "measured_kind"))};
      s.measured = std::strtod(std::string(table.cell(i, "measured_value")).c_str(), nullptr);
      cases[at->second].samples.push_back(s);
    }
    std::map<std::string, double> rows;
    for (const Case& c : cases) { rows[c.group] += static_cast<double>(c.samples.size()); }
    for (Case& c : cases) {
      for (Sample& s : c.samples) { s.weight = 1 / std::sqrt(rows[c.group]); }
    }
  }

  std::vector<double> errors(Case& c) {
    c.row.engine = &*std::ranges::find(engines, c.engine, &Engine::key);
    const auto run = run_infer_row(c.row);
    std::vector<double> all;
    for (const Sample& s : c.samples) {
      c.row.kind = s.kind;
      const RowPrediction p = prediction_of(c.row, run);
      all.push_back(p.ok && s.measured > 0 ? std::log(p.value / s.measured) : 9);
    }
    return all;
  }

  double loss_of(Case& c) {
    double sum = 0;
    const auto all = errors(c);
    for (std::size_t i = 0; i < all.size(); ++i) {
      // First tokens are noisier than tokens: half the weight.
      sum += c.samples[i].weight * (c.samples[i].kind == "ttft_ms" ? 0.5 : 1) * std::min(std::abs(all[i]), kCapped);
    }
    return sum;
  }

  void fit(std::vector<Knob>& knobs) {
    std::vector<double> terms(cases.size());
    std::vector<bool> used(cases.size());
    const auto affects = [](const Knob& k, const Case& c) { return k.engine == c.engine || k.engine == "*"; };
    for (std::size_t i = 0; i < cases.size(); ++i) {
      used[i] = !cases[i].held_out && !cases[i].source.ends_with('?') &&
                std::ranges::any_of(knobs, [&](const Knob& k) { return affects(k, cases[i]); });
      if (used[i]) { terms[i] = loss_of(cases[i]); }
    }
    std::vector<double> steps(knobs.size(), 0.25);
    for (int round = 0; round < 7; ++round) {
      for (std::size_t k = 0; k < knobs.size(); ++k) {
        Knob& knob = knobs[k];
        bool moved = false;
        for (const double direction : {1.0, -1.0}) {
          const double before = *knob.at;
          // Small constants move by factors; those at zero start at a hundredth of their range.
          const double after = std::clamp((before > 0 ? before : knob.high * 0.01) * std::exp(direction * steps[k]), knob.low, knob.high);
          if (after == before) { continue; }
          *knob.at = after;
          double old_sum = 0, new_sum = 0;
          std::vector<std::pair<std::size_t, double>> fresh;
          for (std::size_t i = 0; i < cases.size(); ++i) {
            if (!used[i] || !affects(knob, cases[i])) { continue; }
            old_sum += terms[i];
            fresh.emplace_back(i, loss_of(cases[i]));
            new_sum += fresh.back().second;
          }
          if (new_sum < old_sum * (1 - 1e-5)) {
            for (const auto& [i, v] : fresh) { terms[i] = v; }
            moved = true;
            break;
          }
          *knob.at = before;
        }
        steps[k] *= moved ? 1.2 : 0.5;
      }
      double sum = 0;
      for (std::size_t i = 0; i < cases.size(); ++i) { sum += used[i] ? terms[i] : 0; }
      fmt::print("round {}: {:.3f}\n", round, sum);
      std::fflush(stdout);
    }
  }
};

void print_table(const char* title, std::map<std::string, std::vector<double>>& groups) {
  fmt::print("\n{:<64} rows  median |error|  p90  bias (median), %\n", title);
  for (auto& [name, all] : groups) {
    std::vector<double> absolute, percent;
    std::size_t failed = 0;
    for (const double e : all) {
      if (e > 8) {
        ++failed;
        continue;
      }
      percent.push_back(100 * std::expm1(e));
      absolute.push_back(std::abs(percent.back()));
    }
    if (absolute.empty()) {
      fmt::print("{:<64} {:4}  none predicted\n", name.substr(0, 64), all.size());
      continue;
    }
    std::ranges::sort(absolute);
    std::ranges::sort(percent);
    fmt::print("{:<64} {:4}  {:6.1f} {:6.1f} {:+6.1f}{}\n", name.substr(0, 64), all.size(), absolute[absolute.size() / 2],
               absolute[absolute.size() * 9 / 10], percent[percent.size() / 2],
               failed > 0 ? fmt::format("  ({} not predicted)", failed) : "");
  }
}

void report(Fit& fit, bool rows) {
  std::map<std::string, std::vector<double>> kinds, sources, engines, groups, held;
  for (Case& c : fit.cases) {
    const auto all = fit.errors(c);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Sample& s = c.samples[i];
      if (rows) {
        fmt::print("{:+7.1f}% {:12.4g} {:12.4g} {}\n", 100 * std::expm1(all[i]), s.measured * std::exp(all[i]), s.measured,
                   fit.table.rows[s.index].raw.substr(0, 240));
        continue;
      }
      if (c.held_out) {
        held[c.source + " " + s.kind].push_back(all[i]);
        continue;
      }
      kinds[s.kind].push_back(all[i]);
      sources[c.source + " " + s.kind].push_back(all[i]);
      engines[c.engine + " " + s.kind].push_back(all[i]);
      groups[c.group + " " + s.kind].push_back(all[i]);
    }
  }
  if (rows) { return; }
  print_table("measured kind", kinds);
  print_table("source", sources);
  print_table("engine", engines);
  print_table("model, chip, engine, source", groups);
  if (!held.empty()) { print_table("held out", held); }
  fmt::print("\n{} rows could not be read\n", fit.unreadable);
}

int run(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: plan_fit_infer ROWS.csv [--rows] [--only WORD] [--without WORD] [NAME=LOW:HIGH …]\n");
    return 64;
  }
  std::ifstream in(argv[1], std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  auto table = read_csv(text, argv[1]);
  if (!table) {
    fmt::print(stderr, "{}\n", table.error().message());
    return 65;
  }
  Fit fit;
  fit.table = *std::move(table);
  bool rows = false;
  std::string without, only;
  std::vector<Knob> knobs;
  for (int i = 2; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--rows") {
      rows = true;
    } else if (argument == "--without" && i + 1 < argc) {
      without = argv[++i];
    } else if (argument == "--only" && i + 1 < argc) {
      only = argv[++i];
    } else {
      const auto dot = argument.find('.'), equals = argument.find('='), colon = argument.find(':');
      if (dot == std::string::npos || equals == std::string::npos) { return 64; }
      Knob knob{.name = argument.substr(0, equals), .engine = argument.substr(0, dot)};
      const std::string field = argument.substr(dot + 1, equals - dot - 1);
      const auto engine = std::ranges::find(fit.engines, knob.engine, &Engine::key);
      const auto known = std::ranges::find_if(kFields, [&](const Field& f) { return f.name == field; });
      if (engine == fit.engines.end() || known == std::end(kFields)) {
        fmt::print(stderr, "{}: no such constant\n", argument);
        return 64;
      }
      knob.at = &known->of(*engine);
      if (colon == std::string::npos) {  // a trial value
        *knob.at = std::stod(argument.substr(equals + 1));
        continue;
      }
      knob.low = std::stod(argument.substr(equals + 1, colon - equals - 1));
      knob.high = std::stod(argument.substr(colon + 1));
      knobs.push_back(knob);
    }
  }
  if (!only.empty()) {
    std::erase_if(fit.table.rows, [&](const CsvRow& r) { return r.raw.find(only) == std::string::npos; });
  }
  fit.gather(without);
  if (!knobs.empty()) { fit.fit(knobs); }
  report(fit, rows);
  for (const Knob& k : knobs) { fmt::print("{}={:.6g}\n", k.name, *k.at); }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "plan_fit_infer: {}\n", e.what());
    return 70;
  }
}
