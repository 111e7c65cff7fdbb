// SPDX-License-Identifier: Apache-2.0
#include "estimate/stack.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "base/yaml.hpp"

namespace centrale {

template <class V>
void describe(V& v, Transport& t) {
  v("links", t.links, "factor on the chip's rate inside a domain");
  v("network", t.network, "factor on the chip's rate outside it");
  v("latency", t.latency, "factor on latencies");
  v("levels", t.levels, "whether collectives go level by level; NCCL's pass through all ranks");
}

template <class V>
void describe(V& v, Stack& s) {
  v("key", s.key);
  v("name", s.name);
  v("source", s.source);
  v("match", s.match);
  v("vendor", s.vendor);
  v("sequence_parallel", s.sequence_parallel);
  v("distributed_optimizer", s.distributed_optimizer);
  v("interleaves", s.interleaves);
  v("flash", s.flash);
  v("score_passes", s.score_passes);
  v("gemm", s.gemm);
  v("attention", s.attention);
  v("attention_newer", s.attention_newer);
  v("scan", s.scan);
  v("elementwise", s.elementwise);
  v("kernels", s.kernels);
  v("tp_overlap", s.tp_overlap);
  v("cp_overlap", s.cp_overlap);
  v("ep_overlap", s.ep_overlap);
  v("pp_overlap", s.pp_overlap);
  v("dp_overlap", s.dp_overlap);
  v("overlap_drag", s.overlap_drag);
  v("dual_pipe", s.dual_pipe);
  v("deduplicates", s.deduplicates);
  v("narrow_dispatch", s.narrow_dispatch);
  v("imbalance", s.imbalance);
  v("routing_seconds", s.routing.value);
  v("step_seconds", s.step.value);
  v("jitter", s.jitter);
  v("transport", s.transport);
  v("gradient_bytes", s.gradient_bytes);
  v("optimizer_bytes", s.optimizer_bytes);
  v("activation_factor", s.activation_factor);
}

namespace {

struct StacksFile {
  std::vector<Stack> stacks;
};
template <class V>
void describe(V& v, StacksFile& f) {
  v("stacks", f.stacks);
}

struct Bound {
  const char* name;
  double value, least, most;
};

/// What is wrong with one entry; empty if nothing is.
std::string fault_of(const Stack& s) {
  if (!is_valid_name(s.key)) { return fmt::format("key '{}' is not a-z, 0-9 and '-'", shorten(s.key, 60)); }
  if (s.name.empty() || s.source.empty()) { return fmt::format("stack '{}' has no {}", s.key, s.name.empty() ? "name" : "source"); }
  const std::array<Bound, 23> bounds{{{"scan", s.scan, 0.001, 100},
                                      {"attention_newer", s.attention_newer, 0.01, 10},
                                      {"routing_seconds", s.routing.value, 0, 1},
                                      {"score_passes", s.score_passes, 0, 100},
                                      {"gemm", s.gemm, 0.01, 10},
                                      {"attention", s.attention, 0.01, 10},
                                      {"elementwise", s.elementwise, 0.01, 100},
                                      {"kernels", s.kernels, 0, 100},
                                      {"tp_overlap", s.tp_overlap, 0, 1},
                                      {"cp_overlap", s.cp_overlap, 0, 1},
                                      {"ep_overlap", s.ep_overlap, 0, 1},
                                      {"pp_overlap", s.pp_overlap, 0, 1},
                                      {"dp_overlap", s.dp_overlap, 0, 1},
                                      {"overlap_drag", s.overlap_drag, 0, 1},
                                      {"imbalance", s.imbalance, 1, 100},
                                      {"step_seconds", s.step.value, 0, 100},
                                      {"jitter", s.jitter, 0, 1},
                                      {"transport.links", s.transport.links, 0.001, 10},
                                      {"transport.network", s.transport.network, 0.001, 10},
                                      {"transport.latency", s.transport.latency, 0.001, 1000},
                                      {"gradient_bytes", s.gradient_bytes, 0.5, 8},
                                      {"optimizer_bytes", s.optimizer_bytes, 0, 32},
                                      {"activation_factor", s.activation_factor, 0.1, 10}}};
  for (const Bound& b : bounds) {
    if (!(b.value >= b.least && b.value <= b.most)) {
      return fmt::format("stack '{}': {} is {}, wants {} to {}", s.key, b.name, b.value, b.least, b.most);
    }
  }
  return {};
}

}  // namespace

Result<std::vector<Stack>> read_stacks(std::string_view yaml, std::string_view file) {
  TRY_ASSIGN(const YamlFile parsed, YamlFile::parse(yaml, file));
  if (parsed.documents() != 1) {
    return fail(ErrorKind::invalid, fmt::format("holds {} documents, wants one list of stacks", parsed.documents()), std::string(file));
  }
  StacksFile read;
  TRY(parsed.read(0, read));
  for (std::size_t i = 0; i < read.stacks.size(); ++i) {
    std::string fault = fault_of(read.stacks[i]);
    for (std::size_t j = 0; fault.empty() && j < i; ++j) {
      if (read.stacks[j].key == read.stacks[i].key) { fault = fmt::format("stack '{}' is there already", read.stacks[i].key); }
    }
    if (!fault.empty()) { return fail(ErrorKind::invalid, std::move(fault), parsed.where(0, "stacks", i)); }
  }
  return std::move(read.stacks);
}

std::string_view default_stacks_text();  // stacks_text.cpp.in

const std::vector<Stack>& default_stacks() {
  static const std::vector<Stack> stacks = [] {
    auto read = read_stacks(default_stacks_text(), "catalogue/stacks.yaml");
    ensure(read.has_value());  // built in, and tested
    return *std::move(read);
  }();
  return stacks;
}

Result<Stack> stack_named(std::string_view key, const std::vector<Stack>& stacks) {
  const auto found = std::find_if(stacks.begin(), stacks.end(), [&](const Stack& s) { return s.key == key; });
  if (found != stacks.end()) { return *found; }
  std::vector<std::string> keys;
  for (const Stack& s : stacks) { keys.push_back(s.key); }
  return fail(ErrorKind::not_found, fmt::format("stack '{}' is not in the catalogue", shorten(key, 60)), {}, nearest_remedy(key, keys));
}

}  // namespace centrale
