// SPDX-License-Identifier: Apache-2.0
#include "plan/train_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/text.hpp"
#include "estimate/operators.hpp"
#include "fleet/fleet.hpp"
#include "plan/model_like.hpp"
#include "plan/row_cells.hpp"

namespace centrale {
namespace {

using rows::Cells;
using rows::contains;
using rows::lower;
using rows::number_after;

/// A degree, batch or depth; beyond this a cell is a mistake.
constexpr double kCellMax = 1e9;

/// The model of a row: the catalogue's where the name is known and the shape agrees, else from the cells.
Result<Model> model_of(const Cells& cells, std::string& inferred) {
  const std::string name(cells.text("model_name"));
  const auto layers = cells.count("layers"), hidden = cells.count("hidden");
  const auto likely = model_like(name, cells.real("params_B"));
  const Model* const known = likely && !likely->is_guess ? &likely->model : nullptr;
  const auto agrees = [&](const Model& m) { return (!layers || *layers == m.depth()) && (!hidden || *hidden == m.hidden); };
  if (likely && (known != nullptr ? agrees(*known) : !layers || !hidden)) {
    Model model = likely->model;
    if (const auto vocab = cells.count("vocab")) { model.vocab = *vocab; }
    if (!layers && !likely->taken.empty()) { inferred += likely->taken + "; "; }
    if (!layers && likely->taken.empty()) { inferred += fmt::format("shape of {} from the catalogue; ", model.name); }
    return model;
  }
  if (!layers || !hidden) {
    return fail(ErrorKind::invalid,
                fmt::format("model '{}' is not in the catalogue, and the row has no layers, hidden or params_B", shorten(name, 60)));
  }
  Model model;
  model.name = name;
  model.hidden = *hidden;
  Block block;
  block.mixer.kind = MixerKind::attention;
  block.mixer.heads = cells.count("heads").value_or(std::max<std::int64_t>(1, *hidden / 128));
  if (!cells.count("heads")) { inferred += fmt::format("heads {} (128 wide); ", block.mixer.heads); }
  block.mixer.kv_heads = cells.count("kv_heads").value_or(block.mixer.heads);
  block.mixer.head_dim = known != nullptr && known->hidden == *hidden ? known->kinds[0].mixer.head_dim
                                                                      : std::max<std::int64_t>(1, *hidden / block.mixer.heads);
  if (contains(lower(name), "maxtext")) { block.mixer.head_dim = 128; }
  model.vocab = cells.count("vocab").value_or(known != nullptr ? known->vocab : 51200);
  if (!cells.count("vocab")) { inferred += fmt::format("vocabulary {}; ", model.vocab); }
  const std::int64_t width = cells.count("ffn_hidden").value_or(4 * *hidden);
  const auto experts = cells.count("experts");
  FeedForward& ffn = block.ffn;
  if (experts && *experts > 1) {
    ffn.experts = *experts;
    ffn.active = cells.count("topk").value_or(2);
    ffn.expert_width = static_cast<std::int64_t>(number_after(cells.text("note"), "moe ffn ").value_or(static_cast<double>(width)));
    if (known != nullptr && known->kinds.back().ffn.experts > 0) { ffn.shared_width = known->kinds.back().ffn.shared_width; }
  } else {
    ffn.width = width;
  }
  const auto finish = [&](bool gated) {
    ffn.gated = gated;
    model.norm_bias = !gated;
    ffn.bias = block.mixer.bias = block.mixer.output_bias = !gated;
    model.kinds = {block};
    model.layers.assign(static_cast<std::size_t>(*layers), 0);
    model.tied = !gated;
  };
  // Two or three matrices: which comes nearer to the parameters that the row states; else by the shape.
  bool gated = width != 4 * *hidden;
  if (const auto stated = cells.real("params_B"); stated && *stated > 0) {
    finish(true);
    const double with = std::abs(std::log(static_cast<double>(parameters(model)) / (*stated * 1e9)));
    finish(false);
    gated = with < std::abs(std::log(static_cast<double>(parameters(model)) / (*stated * 1e9)));
  }
  finish(gated);
  model.layers.assign(static_cast<std::size_t>(*layers), 0);
  return model;
}

Precision precision_of(const Cells& cells, const ChipType& chip, std::string& inferred) {
  const std::string text = lower(cells.text("precision"));
  if (text.empty() && contains(lower(cells.text("note")), "implies fp8")) { return Precision::fp8; }
  if (text.empty()) {
    inferred += "precision bf16; ";
    return chip.peak_of(Precision::bf16).value > 0 ? Precision::bf16 : Precision::fp16;
  }
  if (contains(text, "fp8")) { return Precision::fp8; }
  if (contains(text, "fp4")) { return Precision::fp4; }
  if (contains(text, "int8")) { return Precision::int8; }
  if (contains(text, "fp16")) { return Precision::fp16; }
  if (contains(text, "tf32")) { return Precision::tf32; }
  if (contains(text, "fp32") && chip.peak_of(Precision::tf32).value > 0) {
    inferred += "fp32 products in tf32, as frameworks do; ";
    return Precision::tf32;
  }
  if (contains(text, "fp32")) { return Precision::fp32; }
  return Precision::bf16;
}

/// "FSDP", "ZeRO-1", "distributed optimizer", "sharding 4 stage 2".
Zero zero_of(std::string_view cell, const Stack& stack, std::string& inferred) {
  const std::string text = lower(cell);
  // "DDP" is said of Megatron's own data parallelism, which divides the optimizer by default, where it is not FSDP.
  if (text.empty() || text == "ddp") {
    if (stack.distributed_optimizer) { inferred += "distributed optimizer; "; }
    return stack.distributed_optimizer ? Zero::optimizer : Zero::none;
  }
  if (contains(text, "zero-2") || contains(text, "grad_op") || contains(text, "stage 2")) { return Zero::gradients; }
  if (contains(text, "zero-3") || contains(text, "fsdp") || contains(text, "stage 3")) { return Zero::weights; }
  if (contains(text, "zero-1") || contains(text, "distributed") || contains(text, "stage 1")) { return Zero::optimizer; }
  return Zero::none;
}

/// What the row says of its layout, and which parts it leaves open.
struct Given {
  std::optional<std::int64_t> tp, pp, micro_batch;
  std::optional<Recompute> recompute;
  std::optional<std::int64_t> tp_times_pp;
  bool interleave_open = false;
};

Given given_of(const Cells& cells) {
  Given given{cells.count("tp"), cells.count("pp"), cells.count("micro_batch"), std::nullopt, std::nullopt, false};
  if (const auto product = number_after(lower(cells.text("note")), "tpxpp=");
      product && !given.tp && !given.pp && *product >= 1 && *product < 1e6) {
    given.tp_times_pp = static_cast<std::int64_t>(*product);
  }
  const std::string text = lower(cells.text("recompute"));
  if (text == "none") { given.recompute = Recompute::none; }
  if (text == "selective") { given.recompute = Recompute::selective; }
  // XLA's policies by name: what saves the projections' inputs alone recomputes nearly everything.
  if (text == "full" || contains(lower(cells.text("note")), "remat qkv_proj")) { given.recompute = Recompute::full; }
  return given;
}

std::vector<std::int64_t> divisors(std::int64_t n) {
  std::vector<std::int64_t> all;
  for (std::int64_t d = 1; d <= n; ++d) {
    if (n % d == 0) { all.push_back(d); }
  }
  return all;
}

/// Fills in what is open with what trains fastest among what fits; what needs the least memory where nothing does.
void choose_rest(TrainRow& row, const Given& given, std::int64_t chips) {
  TrainEstimator estimator(row.model, row.island, *row.stack, row.run);
  // Tensor parallelism stays inside a domain; pipelines are as deep as the layers divide, as people build them.
  std::vector<std::int64_t> tps = given.tp ? std::vector<std::int64_t>{*given.tp} : divisors(std::min<std::int64_t>(row.island.domain, 16));
  std::vector<std::int64_t> pps = given.tp_times_pp ? divisors(*given.tp_times_pp)
                                  : given.pp        ? std::vector<std::int64_t>{*given.pp}
                                                    : divisors(row.model.depth());
  std::erase_if(pps, [&](std::int64_t pp) { return pp > chips; });
  const std::vector<std::int64_t> mbs =
      given.micro_batch ? std::vector<std::int64_t>{*given.micro_batch} : std::vector<std::int64_t>{1, 2, 4, 8, 16};
  // Where a table says nothing of recomputation, the run had what little made it fit: layers recomputed in quarters stand for what
  // frameworks recompute module by module.
  struct Recomputed {
    Recompute what;
    std::int64_t quarters;
  };
  std::vector<Recomputed> recomputes{{given.recompute.value_or(Recompute::none), 4}};
  if (!given.recompute) {
    recomputes.push_back({Recompute::selective, 4});
    for (std::int64_t q = 1; q <= 4; ++q) { recomputes.push_back({Recompute::full, q}); }
  }
  std::optional<Layout> best;
  double best_step = 0;
  bool best_fits = false;
  for (const std::int64_t tp : tps) {
    for (const std::int64_t pp : pps) {
      const std::vector<std::int64_t> chunks =
          given.interleave_open && pp > 1 ? divisors(row.model.depth() / pp) : std::vector<std::int64_t>{row.layout.interleave};
      for (const std::int64_t mb : mbs) {
        for (std::size_t choice = 0; choice < recomputes.size() * chunks.size(); ++choice) {
          const Recomputed& recompute = recomputes[choice / chunks.size()];
          Layout l = row.layout;
          l.interleave = chunks[choice % chunks.size()];
          l.tp = tp;
          l.pp = pp;
          l.micro_batch = mb;
          l.recompute = recompute.what;
          if (recompute.what == Recompute::full && recompute.quarters < 4) {
            l.layers_recomputed = (row.model.depth() / pp * recompute.quarters + 3) / 4;
          }
          if (given.tp_times_pp && tp * pp != *given.tp_times_pp) { continue; }
          if (chips % (tp * pp * l.cp) != 0) { continue; }
          l.dp = chips / (tp * pp * l.cp);
          l.sequence_parallel = l.sequence_parallel && tp > 1;
          if (l.pp == 1) { l.interleave = 1; }
          if (l.shard > 0 && (l.dp * l.cp) % l.shard != 0) { l.shard = 0; }
          if (!fault_of(l, row.model, row.run, row.island).empty()) { continue; }
          const StepEstimate e = estimator.estimate(l);
          // The run was made, so it did fit: our count is given some slack, and is left aside where it refuses every choice.
          constexpr double kSlack = 1.2;
          const bool fits = e.memory.total() <= kSlack * estimator.capacity();
          const bool better = !best || (fits && !best_fits) || (fits == best_fits && e.step.value < best_step);
          if (better) {
            best = l;
            best_step = e.step.value;
            best_fits = fits;
          }
        }
      }
    }
  }
  if (!best) { return; }
  if (!given.tp || !given.pp) { row.inferred += fmt::format("layout tp{} pp{}; ", best->tp, best->pp); }
  if (!given.micro_batch) { row.inferred += fmt::format("micro-batch {}; ", best->micro_batch); }
  if (given.interleave_open && best->interleave > 1) { row.inferred += fmt::format("interleave {}; ", best->interleave); }
  if (!given.recompute) {
    row.inferred += best->layers_recomputed < 0 ? fmt::format("recompute {}; ", enum_name(best->recompute))
                                                : fmt::format("{} layers of a stage recomputed; ", best->layers_recomputed);
  }
  row.layout = *best;
}

/// MLPerf Training says a quality, not a number of samples. What the published logs show (v3.1, v4.1): GPT-3 takes about 648,000 sequences,
/// a few more with larger batches, and 24 evaluations; Llama 2 70B LoRA about 3,300 at a batch of 8 and twice that at 128.
struct Benchmark {
  const char* words;
  double sequences, batch;  // to the target at that batch
  double growth;            // more of them a doubling of the batch
  double evaluations;       // their time over that of training
  double seconds;           // before and between
};
constexpr std::array<Benchmark, 2> kBenchmarks{
    {{"gpt-3 175b (mlperf)", 648e3, 2048, 0.015, 0.01, 8}, {"lora (mlperf)", 3300, 8, 0.25, 0.06, 42}}};

double flop_by_rule(const TrainRow& row, std::string_view text) {
  const double batch = static_cast<double>(row.run.global_batch), s = static_cast<double>(row.run.sequence);
  const double l = static_cast<double>(row.model.depth()), h = static_cast<double>(row.model.hidden),
               v = static_cast<double>(row.model.vocab);
  if (contains(text, "includes recompute") || contains(text, "hfu")) {
    return 96 * batch * s * l * h * h * (1 + s / (6 * h) + v / (16 * l * h));  // arXiv:2104.04473, section 3.2
  }
  // 6P and attention without the causal half: what Megatron-LM and MaxText print.
  double attention = 0;
  for (std::size_t i = 0; i < row.model.layers.size(); ++i) { attention += attention_flop(row.model.block(i).mixer, s / 2).value; }
  return 3 * batch * (forward_flop(row.model, row.run.sequence).value + s * attention);
}

}  // namespace

const Stack& stack_spoken_of(std::string_view text, std::string_view vendor, const std::vector<Stack>& stacks) {
  const std::string said = lower(text);
  for (const Stack& s : stacks) {
    for (const std::string& words : s.match) {
      if (contains(said, words)) { return s; }
    }
  }
  for (const Stack& s : stacks) {
    if (!s.vendor.empty() && s.vendor == vendor) { return s; }
  }
  return stacks.back();
}

Result<TrainRow> read_train_row(const CsvTable& table, std::size_t index, const Catalogue& catalogue, const std::vector<Stack>& stacks) {
  const Cells cells(table, index);
  TRY(cells.check_counts({"layers", "hidden", "ffn_hidden", "heads", "kv_heads", "vocab", "seq_len", "num_chips", "chips_per_node", "tp",
                          "pp", "dp", "cp", "ep", "vp_interleave", "micro_batch", "global_batch"},
                         kCellMax));
  TrainRow row;
  const std::string note = lower(cells.text("note"));
  TRY_ASSIGN(row.model, model_of(cells, row.inferred));
  const ChipType* chip = catalogue.chip_like(cells.text("chip"));
  if (chip == nullptr || chip->peak_of(Precision::fp32).value + best_peak(*chip, Precision::bf16).value <= 0) {
    return fail(ErrorKind::invalid, fmt::format("chip '{}' is not in the catalogue", shorten(cells.text("chip"), 60)));
  }
  const auto chips = cells.count("num_chips"), sequence = cells.count("seq_len");
  if (!chips || !sequence) { return fail(ErrorKind::invalid, fmt::format("the row has no {}", chips ? "seq_len" : "num_chips")); }
  row.stack = &stack_spoken_of(
      std::string(cells.text("source")) + " | " + std::string(cells.text("note")) + " | " + std::string(cells.text("precision")),
      chip->vendor, stacks);
  row.island = fleet_of(*chip, *chips, catalogue).islands.front();
  if (const auto per_node = cells.count("chips_per_node")) { row.island.chips_per_node = *per_node; }
  if (const BytesPerSecond said = network_spoken_of(cells.text("interconnect"), row.island.chips_per_node); said.value > 0) {
    row.island.network.bandwidth = said;
  }
  row.run.sequence = *sequence;
  if (contains(lower(cells.text("model_name")), "lora") || contains(note, "lora")) { row.run.lora_rank = 16; }
  row.run.balanced = contains(lower(cells.text("model_name")), "tokendrop") || contains(note, "token drop");

  Layout& l = row.layout;
  l.precision = precision_of(cells, *chip, row.inferred);
  l.cp = cells.count("cp").value_or(1);
  l.ep = cells.count("ep").value_or(1);
  l.tp = cells.count("tp").value_or(1);
  l.pp = cells.count("pp").value_or(1);
  l.interleave = cells.count("vp_interleave").value_or(1);
  l.zero = zero_of(cells.text("zero_stage/distributed_optimizer"), *row.stack, row.inferred);
  if (l.zero == Zero::weights && l.pp > 1) {
    // Nobody gathers for every micro-batch of a pipeline: the weights stay whole from the first to the last (arXiv:2407.21783,
    // section 3.3.2).
    l.zero = Zero::optimizer;
    row.inferred += "FSDP that keeps the weights over a pipeline's micro-batches; ";
  }
  const std::string sp = lower(cells.text("sequence_parallel"));
  l.sequence_parallel = sp.empty() ? row.stack->sequence_parallel : sp == "y";
  // Tables of Trainium count NeuronCores, two a chip.
  std::int64_t ranks = *chips;
  if (const auto dp = cells.count("dp"); dp && l.tp * l.pp * l.cp * *dp == 2 * *chips && l.tp % 2 == 0) {
    l.tp /= 2;
    row.inferred += "degrees count half chips; ";
  }
  if (ranks % (l.tp * l.pp * l.cp) != 0) {
    return fail(ErrorKind::invalid, fmt::format("tp {} x pp {} x cp {} does not divide {} chips", l.tp, l.pp, l.cp, ranks));
  }
  l.dp = ranks / (l.tp * l.pp * l.cp);
  l.sequence_parallel = l.sequence_parallel && l.tp > 1;
  if (l.pp == 1) { l.interleave = 1; }
  // Chunks that the layers do not fill: a preset written for another depth.
  while (l.interleave > 1 && l.pp * l.interleave > row.model.depth()) { --l.interleave; }
  // Expert degrees beyond what a stage has are counted over its ranks.
  bool moe = false;
  for (const Block& b : row.model.kinds) { moe = moe || b.ffn.experts > 0; }
  if (!moe) { l.ep = 1; }
  l.etp = moe && l.tp > 1 && (l.tp * l.cp * l.dp) % (l.ep * l.tp) == 0 && contains(note, "etp") ? l.tp : 1;
  if (const auto inside = number_after(note, "fsdp "); inside && contains(note, "inside a slice")) {
    l.shard = static_cast<std::int64_t>(*inside);
  }
  if (const std::string zero = lower(cells.text("zero_stage/distributed_optimizer")); contains(zero, "fsdp 8 inside node")) {
    l.shard = row.island.chips_per_node;
  }
  if (l.shard > 0 && (l.dp * l.cp) % l.shard != 0) { l.shard = 0; }

  Given given = given_of(cells);
  if (given.tp) { given.tp = l.tp; }
  given.interleave_open = row.stack->interleaves && !cells.count("vp_interleave") && (l.pp > 1 || !given.pp);
  const std::int64_t mb = given.micro_batch.value_or(1);
  const auto accumulate = number_after(note, "grad-accum ");
  const auto batch = cells.count("global_batch");
  row.run.global_batch =
      batch.value_or(l.dp * mb * static_cast<std::int64_t>(accumulate.value_or(l.pp > 1 ? 8.0 * static_cast<double>(l.pp) : 8.0)));
  if (!batch) { row.inferred += fmt::format("batch {}; ", row.run.global_batch); }
  l.micro_batch = mb;
  l.recompute = given.recompute.value_or(Recompute::none);
  row.layout_is_whole = given.tp && given.pp && given.micro_batch && given.recompute && !given.interleave_open;
  if (!row.layout_is_whole) { choose_rest(row, given, ranks); }
  // A batch that the layout does not divide was padded or rounded by its owners.
  if (row.run.global_batch % (l.dp * l.micro_batch) != 0) {
    const std::int64_t unit = l.dp * l.micro_batch;
    row.run.global_batch = std::max<std::int64_t>(1, (row.run.global_batch + unit / 2) / unit) * unit;
    row.inferred += fmt::format("batch taken as {}; ", row.run.global_batch);
  }
  if (l.interleave > 1 && (row.run.global_batch / (l.dp * l.micro_batch)) % l.pp != 0) { l.interleave = 1; }
  const bool dual = row.stack->dual_pipe || contains(note, "dualpipe");
  if (dual && l.interleave == 1 && feeds(Schedule::dual_pipe, l.pp, row.run.global_batch / (l.dp * l.micro_batch))) {
    l.schedule = Schedule::dual_pipe;
  }
  if (const std::string fault = fault_of(l, row.model, row.run, row.island); !fault.empty()) { return fail(ErrorKind::invalid, fault); }
  return row;
}

RowPrediction predict_train_row(const CsvTable& table, std::size_t index, const Catalogue& catalogue, const std::vector<Stack>& stacks) {
  const auto row = read_train_row(table, index, catalogue, stacks);
  if (!row) { return {.kind = std::string(table.cell(index, "measured_kind")), .value = 0, .note = row.error().message(), .ok = false}; }
  return predict_train_row(table, index, *row);
}

RowPrediction predict_train_row(const CsvTable& table, std::size_t index, const TrainRow& row) {
  const Cells cells(table, index);
  RowPrediction out;
  out.kind = std::string(cells.text("measured_kind"));
  TrainEstimator estimator(row.model, row.island, *row.stack, row.run);
  const StepEstimate e = estimator.estimate(row.layout);
  const double chips = static_cast<double>(row.layout.chips());
  const std::string said = lower(cells.text("source")) + " " + lower(cells.text("note"));
  out.ok = true;
  if (out.kind == "iter_s") {
    out.value = e.step.value;
  } else if (out.kind == "tokens_per_s_per_gpu") {
    out.value = e.tokens.value / chips;
  } else if (out.kind == "tflops_per_gpu") {
    out.value = flop_by_rule(row, said) / e.step.value / chips * 1e-12;
  } else if (out.kind == "mfu_pct") {
    out.value = 100 * flop_by_rule(row, said) / e.step.value / chips / best_peak(row.island.chip, Precision::bf16).value;
  } else if (out.kind == "minutes_to_train") {
    out.ok = false;
    for (const Benchmark& b : kBenchmarks) {
      if (!contains(lower(cells.text("model_name")), b.words)) { continue; }
      const double batch = static_cast<double>(row.run.global_batch);
      const double sequences = b.sequences * (1 + b.growth * std::max(0.0, std::log2(batch / b.batch)));
      out.value = (sequences / batch * (1 + b.evaluations) * e.step.value + b.seconds) / 60;
      out.ok = true;
      out.note = fmt::format("{:.0f} sequences to the target; ", sequences);
    }
    if (!out.ok) { out.note = "how many samples the run took is not known; "; }
  } else {
    out.ok = false;
    out.note = fmt::format("'{}' is not a figure of training that can be predicted; ", shorten(out.kind, 40));
  }
  if (!row.inferred.empty()) { out.note += "inferred: " + row.inferred; }
  if (e.memory.total() > estimator.capacity()) {
    out.note += fmt::format("by our count it needs {:.1f} GiB of {:.1f}; ", e.memory.total().value / 1073741824,
                            estimator.capacity().value / 1073741824);
  }
  while (out.note.ends_with(' ') || out.note.ends_with(';')) { out.note.pop_back(); }
  return out;
}

}  // namespace centrale
