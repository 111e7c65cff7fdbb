// SPDX-License-Identifier: Apache-2.0
// How the constants of catalogue/chips.yaml (efficiency) and catalogue/stacks.yaml were made: coordinate descent over all published rows
// on the mean capped log error, every source and chip with the square root of its rows as weight, each constant held lightly to what it
// was. Deterministic.
//
//   plan_fit ROWS.csv                          errors by source and chip
//   plan_fit ROWS.csv --rows                   every row
//   plan_fit ROWS.csv NAME=LOW:HIGH …          fits; prints NAME=VALUE lines for bench/plan_constants.py
//
// NAME is chip.KEY.FIELD or stack.KEY.FIELD; KEY may be several with | between and end in * (all chips of one family move together).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "plan/train_rows.hpp"

using namespace centrale;

namespace {

using Field = std::pair<const char*, double ChipEfficiency::*>;
constexpr Field kChipFields[] = {{"gemm", &ChipEfficiency::gemm},         {"gemm_fp8", &ChipEfficiency::gemm_fp8},
                                 {"gemm_fp4", &ChipEfficiency::gemm_fp4}, {"attention", &ChipEfficiency::attention},
                                 {"memory", &ChipEfficiency::memory},     {"links", &ChipEfficiency::links},
                                 {"network", &ChipEfficiency::network},   {"inner", &ChipEfficiency::inner},
                                 {"tile_m", &ChipEfficiency::tile_m},     {"tile_n", &ChipEfficiency::tile_n}};
using StackField = std::pair<const char*, double Stack::*>;
constexpr StackField kStackFields[] = {{"score_passes", &Stack::score_passes},
                                       {"gemm", &Stack::gemm},
                                       {"attention", &Stack::attention},
                                       {"elementwise", &Stack::elementwise},
                                       {"kernels", &Stack::kernels},
                                       {"tp_overlap", &Stack::tp_overlap},
                                       {"cp_overlap", &Stack::cp_overlap},
                                       {"ep_overlap", &Stack::ep_overlap},
                                       {"pp_overlap", &Stack::pp_overlap},
                                       {"dp_overlap", &Stack::dp_overlap},
                                       {"overlap_drag", &Stack::overlap_drag},
                                       {"imbalance", &Stack::imbalance},
                                       {"jitter", &Stack::jitter}};

struct Sample {
  std::size_t index;
  TrainRow row;
  std::string chip, stack, source;
  double measured, weight;
};

struct Knob {
  std::string name;
  double low, high;
  std::vector<double*> at;
};

struct Fit {
  CsvTable table;
  Catalogue catalogue = default_catalogue();
  std::vector<Stack> stacks = default_stacks();
  std::vector<Sample> samples;
  std::vector<std::string> refused;

  double predict(Sample& s) {
    s.row.island.chip.efficiency = catalogue.chip(s.chip)->efficiency;
    s.row.stack = &*std::find_if(stacks.begin(), stacks.end(), [&](const Stack& k) { return k.key == s.stack; });
    return predict_train_row(table, s.index, s.row).value;
  }
  double error(Sample& s) { return std::log(predict(s) / s.measured); }
  /// The mean weighted error; only samples that `touched` names are computed again.
  double loss(const std::vector<bool>* touched, std::vector<double>& terms) {
    double sum = 0, weights = 0;
    terms.resize(samples.size());
    for (std::size_t i = 0; i < samples.size(); ++i) {
      if (touched == nullptr || (*touched)[i]) {
        // Capped: a row that nothing explains must not move what explains the others.
        const double e = std::abs(error(samples[i]));
        terms[i] = std::min(e, 0.3) + 0.05 * std::min(e, 2.0);
      }
      sum += samples[i].weight * terms[i];
      weights += samples[i].weight;
    }
    return sum / weights;
  }
};

double* chip_field(ChipType& chip, const std::string& field) {
  if (field == "launch") { return &chip.efficiency.launch.value; }
  if (field == "host") { return &chip.efficiency.host.value; }
  for (const auto& [name, member] : kChipFields) {
    if (field == name) { return &(chip.efficiency.*member); }
  }
  return nullptr;
}
double* stack_field(Stack& stack, const std::string& field) {
  if (field == "step_seconds") { return &stack.step.value; }
  if (field == "scan") { return &stack.scan; }
  if (field == "attention_newer") { return &stack.attention_newer; }
  if (field == "routing_seconds") { return &stack.routing.value; }
  if (field == "links") { return &stack.transport.links; }
  if (field == "network") { return &stack.transport.network; }
  if (field == "latency") { return &stack.transport.latency; }
  for (const auto& [name, member] : kStackFields) {
    if (field == name) { return &(stack.*member); }
  }
  return nullptr;
}

bool matches(const std::string& key, std::string_view patterns) {
  while (!patterns.empty()) {
    const std::string_view one = patterns.substr(0, patterns.find('|'));
    if (one.ends_with('*') ? key.starts_with(one.substr(0, one.size() - 1)) : key == one) { return true; }
    patterns.remove_prefix(std::min(patterns.size(), one.size() + 1));
  }
  return false;
}

Knob knob_of(Fit& fit, const std::string& text) {
  Knob knob;
  const std::size_t equals = text.find('=');
  knob.name = text.substr(0, equals);
  const std::string kind = knob.name.substr(0, knob.name.find('.'));
  const std::string rest = knob.name.substr(kind.size() + 1);
  const std::string key = rest.substr(0, rest.rfind('.')), field = rest.substr(rest.rfind('.') + 1);
  if (kind == "chip") {
    for (ChipType& c : fit.catalogue.chips) {
      if (matches(c.key, key)) { knob.at.push_back(chip_field(c, field)); }
    }
  } else {
    for (Stack& s : fit.stacks) {
      if (matches(s.key, key)) { knob.at.push_back(stack_field(s, field)); }
    }
  }
  const std::string range = text.substr(equals + 1);
  knob.low = std::atof(range.c_str());
  knob.high = std::atof(range.substr(range.find(':') + 1).c_str());
  if (knob.at.empty() || knob.at.front() == nullptr) {
    fmt::print(stderr, "{}: no such constant\n", knob.name);
    std::exit(64);
  }
  for (double* at : knob.at) { *at = std::clamp(*knob.at.front(), knob.low, knob.high); }
  return knob;
}

void report(Fit& fit, bool every) {
  std::map<std::string, std::vector<double>> groups;
  std::vector<double> all;
  for (Sample& s : fit.samples) {
    const double e = 100 * (std::exp(fit.error(s)) - 1);
    groups[s.source + " | " + s.chip + " | " + s.stack + " | " + std::string(fit.table.cell(s.index, "measured_kind"))].push_back(e);
    all.push_back(e);
    if (every) {
      fmt::print("{:14} {:+7.1f}%  {:10.4g} for {:10.4g}  {} {} {}\n", fit.table.cell(s.index, "id"), e, fit.predict(s), s.measured,
                 fit.table.cell(s.index, "model_name"), to_text(s.row.layout), s.stack);
      TrainEstimator estimator(s.row.model, s.row.island, *s.row.stack, s.row.run);
      const StepEstimate step = estimator.estimate(s.row.layout);
      const StepParts& p = step.parts;
      const auto share = [&](Seconds part) { return 100 * part.value / step.step.value; };
      fmt::print(
          "               step {:.4g} s: forward {:.1f}% backward {:.1f}% recompute {:.1f}% head {:.1f}% tp {:.1f}% cp {:.1f}% ep {:.1f}% "
          "pp {:.1f}% "
          "dp {:.1f}% bubble {:.1f}% optimizer {:.1f}% other {:.1f}%; memory {:.1f} GiB\n",
          step.step.value, share(p.forward), share(p.backward), share(p.recompute), share(p.head), share(p.tp), share(p.cp), share(p.ep),
          share(p.pp), share(p.dp), share(p.bubble), share(p.optimizer), share(p.other), step.memory.total().value / 1073741824);
    }
  }
  const auto line = [](const std::string& name, std::vector<double> e) {
    std::vector<double> size = e;
    for (double& v : size) { v = std::abs(v); }
    std::sort(size.begin(), size.end());
    std::sort(e.begin(), e.end());
    fmt::print("{:75} {:4}  median |e| {:6.1f}%  p90 {:6.1f}%  bias {:+6.1f}%\n", name.substr(0, 75), e.size(), size[size.size() / 2],
               size[std::min(size.size() - 1, size.size() * 9 / 10)], e[e.size() / 2]);
  };
  for (const auto& [name, e] : groups) { line(name, e); }
  line("all", all);
  for (const std::string& r : fit.refused) { fmt::print("refused: {}\n", r); }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.empty()) { return 64; }
  std::ifstream in(args[0], std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  auto table = read_csv(text, args[0]);
  if (!table) {
    fmt::print(stderr, "{}\n", table.error().message());
    return 65;
  }
  Fit fit;
  fit.table = std::move(*table);
  std::map<std::string, double> count;
  for (std::size_t i = 0; i < fit.table.rows.size(); ++i) {
    auto row = read_train_row(fit.table, i, fit.catalogue, fit.stacks);
    const std::string id(fit.table.cell(i, "id"));
    if (!row || !predict_train_row(fit.table, i, *row).ok) {
      fit.refused.push_back(id + " " + std::string(fit.table.cell(i, "model_name")) + ": " + (row ? "kind" : row.error().message()));
      continue;
    }
    const std::string source = id.substr(0, id.find('-'));
    fit.samples.push_back(
        {i, *row, row->island.chip.key, row->stack->key, source, std::atof(std::string(fit.table.cell(i, "measured_value")).c_str()), 1});
    ++count[source + fit.samples.back().chip];
  }
  for (Sample& s : fit.samples) { s.weight = 1 / std::sqrt(count[s.source + s.chip]); }

  std::vector<Knob> knobs;
  bool every = false;
  for (std::size_t i = 1; i < args.size(); ++i) {
    if (args[i] == "--rows") {
      every = true;
    } else {
      knobs.push_back(knob_of(fit, args[i]));
    }
  }
  if (!knobs.empty()) {
    // A constant that few rows speak of stays near what it was.
    constexpr double kPull = 0.0015;
    std::vector<double> terms, tried_terms, start_of, penalty(knobs.size(), 0);
    std::vector<std::vector<bool>> touched(knobs.size());
    const auto pull = [&](std::size_t k, double value) {
      const double scale = std::max(start_of[k], 0.05 * (knobs[k].high - knobs[k].low));
      const double away = std::log((value + 0.2 * scale) / (start_of[k] + 0.2 * scale));
      return kPull * away * away;
    };
    double best = fit.loss(nullptr, terms);
    for (std::size_t k = 0; k < knobs.size(); ++k) {
      start_of.push_back(*knobs[k].at.front());
      const double kept = start_of[k];
      tried_terms = terms;
      for (double* at : knobs[k].at) { *at = kept * 1.1 + 1e-3 * (knobs[k].high - knobs[k].low); }
      (void)fit.loss(nullptr, tried_terms);
      for (double* at : knobs[k].at) { *at = kept; }
      touched[k].resize(terms.size());
      for (std::size_t i = 0; i < terms.size(); ++i) { touched[k][i] = terms[i] != tried_terms[i]; }
    }
    // Samples that a constant does not move now may be moved when others have changed: all of its chip or stack are tried again each round.
    fmt::print(stderr, "loss {:.5f}\n", best);
    std::vector<double> step(knobs.size(), 0.15);
    for (int round = 0; round < 80; ++round) {
      const double before = best;
      best = fit.loss(nullptr, terms);
      for (std::size_t k = 0; k < knobs.size(); ++k) { best += penalty[k]; }
      for (std::size_t k = 0; k < knobs.size(); ++k) {
        Knob& knob = knobs[k];
        const double start = *knob.at.front();
        double value = start;
        for (const double direction : {1.0, -1.0}) {
          // Small values move by steps of the range, others in proportion.
          const double by = std::max(std::abs(start), 0.1 * (knob.high - knob.low)) * step[k] * direction;
          const double tried = std::clamp(start + by, knob.low, knob.high);
          for (double* at : knob.at) { *at = tried; }
          tried_terms = terms;
          double loss = fit.loss(&touched[k], tried_terms);
          for (std::size_t j = 0; j < knobs.size(); ++j) { loss += j == k ? pull(k, tried) : penalty[j]; }
          if (loss < best - 1e-8) {
            best = loss;
            value = tried;
            terms = tried_terms;
            penalty[k] = pull(k, tried);
            break;
          }
        }
        for (double* at : knob.at) { *at = value; }
        step[k] *= value == start ? 0.6 : 1.3;
      }
      if (round % 10 == 0) {
        fmt::print(stderr, "round {} loss {:.5f}\n", round, best);
        for (double& s : step) { s = std::max(s, 0.04); }
      }
      if (before - best < 1e-6 && *std::max_element(step.begin(), step.end()) < 0.005) { break; }
    }
    for (const Knob& knob : knobs) { fmt::print("{}={:.4g}\n", knob.name, *knob.at.front()); }
  }
  report(fit, every);
  return 0;
}
