// SPDX-License-Identifier: Apache-2.0
// Reads the cells of one published serving row.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "base/text.hpp"
#include "fleet/fleet.hpp"
#include "plan/infer_rows.hpp"
#include "plan/row_cells.hpp"

namespace centrale {
namespace {

using rows::contains;
using rows::lower;
using rows::number_after;

constexpr double kCountMax = 1e7;
// DeepSeek's 128 heads are cut over two nodes at most.
constexpr std::int64_t kWidestLatent = 16;
// Standard deviation over the mean of the lengths of real conversations, where a table gives only their mean (ShareGPT: about 0.9).
constexpr double kChatSpread = 0.9;
// A row's replica is put on an island that is larger than any.
constexpr std::int64_t kIslandChips = 4608;

/// The first number in `text`; nothing if there is none.
std::optional<double> first_number(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] < '0' || text[i] > '9') { continue; }
    double value = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + text.size(), value);
    if (error != std::errc{} || !std::isfinite(value)) { return std::nullopt; }
    return value;
  }
  return std::nullopt;
}

std::optional<double> bounded(std::optional<double> value) { return value && *value >= 0 && *value <= kCountMax ? value : std::nullopt; }

// What benchmark suites ask, where a table names only the suite: mean tokens of a prompt and of an answer, beams (MLPerf Inference rules
// and data sets: OpenOrca for Llama 2; OpenOrca, GSM8K and MBXP for Mixtral; CNN/DailyMail for GPT-J and Llama 3.1 8B).
struct Suite {
  std::string_view word;
  double input, output, beams;
};
constexpr std::array<Suite, 6> kSuites{{{"llama2-70b", 294, 294, 1},
                                        {"mixtral-8x7b", 275, 146, 1},
                                        {"gptj", 860, 69, 4},
                                        {"llama3.1-405b", 9428, 684, 1},
                                        {"llama3.1-8b", 778, 73, 1},
                                        {"deepseek-r1", 800, 3880, 1}}};

// InferenceX (formerly InferenceMAX) asks for 1k or 8k tokens in closed loops and draws each length evenly between 0.8 of that and all of
// it (RANDOM_RANGE_RATIO of its workflows). What is drawn does not end at once: the clients do not march in step.
constexpr double kDrawnMean = 0.9, kDrawnSpread = 0.064;
bool drawn_lengths(double input, double output) {
  const bool in = input == 1024 || input == 8192, out = output == 1024 || output == 8192;
  return in && out && input * output < 8192.0 * 8192;
}

struct Pools {
  std::int64_t prefill = 1, decode = 1;
  bool two = false;
};
/// "8", or "P4/D8".
std::optional<Pools> read_pools(std::string_view text) {
  const std::string low = lower(text);
  if (low.empty()) { return std::nullopt; }
  Pools pools;
  const auto p = number_after(low, "p"), d = number_after(low, "d");
  if (p && d && low.starts_with('p')) {
    pools = {.prefill = std::llround(*p), .decode = std::llround(*d), .two = true};
  } else if (const auto one = first_number(low); one && *one <= kCountMax) {
    pools.prefill = pools.decode = std::llround(*one);
  } else {
    return std::nullopt;
  }
  pools.prefill = std::clamp<std::int64_t>(pools.prefill, 1, 4096);
  pools.decode = std::clamp<std::int64_t>(pools.decode, 1, 4096);
  return pools;
}

Result<void> read_model_and_chip(InferRow& out, const rows::Cells& cells, const Catalogue& catalogue, const std::vector<Engine>& engines) {
  TRY_ASSIGN(LikelyModel likely, model_like(cells.text("model"), cells.real("params_B")));
  if (!likely.taken.empty()) { out.inferred += likely.taken + "; "; }
  out.model = std::move(likely.model);
  // Mistral 7B's first release has a window; those since, and engines that keep all of the cache, do not.
  const std::string name = lower(cells.text("model"));
  if (contains(name, "mistral") && !contains(name, "v0.1") && !contains(name, "mixtral")) {
    for (Block& block : out.model.kinds) { block.mixer.window = 0; }
  }
  const std::string_view chip_text = cells.text("chip");
  const ChipType* chip = catalogue.chip_like(chip_text);
  if (chip == nullptr && contains(lower(chip_text), "ascend")) {
    chip = catalogue.chip_like("Ascend 910B");
    out.inferred += "chip taken as Ascend 910B; ";
  }
  if (chip == nullptr) { return fail(ErrorKind::not_found, fmt::format("chip '{}' is not in the catalogue", shorten(chip_text, 60))); }
  const std::string engine = fmt::format("{} {}", cells.text("engine+version"), cells.text("engine"));
  out.engine = &engine_like(engine, engines);
  // The same engine on another vendor's chip is another engine.
  if (out.engine->key == "vllm" && chip->vendor == "ascend") { out.engine = &engine_like("vllm-ascend", engines); }
  if (out.engine->key == "vllm" && chip->vendor == "amd") { out.engine = &engine_like("vllm-rocm", engines); }
  if (out.engine->key == "generic" && chip->vendor == "gaudi") { out.engine = &engine_like("gaudi", engines); }
  if (out.engine->key == "generic" && chip->vendor == "nvidia" && contains(lower(engine), "cuda")) {
    out.engine = &engine_like("tensorrt", engines);
  }
  out.island = fleet_of(*chip, kIslandChips, catalogue).islands.front();
  return {};
}

void read_formats(InferRow& out, const rows::Cells& cells, bool mlperf) {
  const std::string_view text = cells.text("precision");
  const WeightFormat* format = weight_format_like(text);
  if (format == nullptr) {
    out.inferred += "precision taken as bf16; ";
    format = weight_format_like("bf16");
  }
  // MLPerf's column is the precision of the submitted weights before the engine quantises them; what every NVIDIA and AMD submission ran
  // is the chip's narrowest.
  if (mlperf && format->bits >= 16 && out.island.chip.peak_of(Precision::fp8).value > 0) {
    const bool four = out.island.chip.peak_of(Precision::fp4).value > 0;
    format = weight_format_like(four ? "nvfp4" : "fp8");
    out.inferred += fmt::format("weights taken as {}, as submissions on this chip quantise them; ", format->name);
  }
  out.layout.weights = format;
  const WeightFormat* cache = weight_format_like(cells.text("kv_precision"));
  if (cache != nullptr) {
    out.layout.cache_bytes = std::clamp(cache->bits / 8, 0.5, 4.0);
  } else {
    const bool narrow = format->multiply == Precision::fp8 || format->multiply == Precision::fp4;
    const bool has = out.island.chip.peak_of(Precision::fp8).value > 0, four = out.island.chip.peak_of(Precision::fp4).value > 0;
    const bool narrows = out.engine->narrow_cache || (out.engine->narrow_on_fp4 && four);
    out.layout.cache_bytes = narrow && has && narrows ? 1 : 2;
    if (out.layout.cache_bytes < 2) { out.inferred += "cache taken as 8 bit; "; }
  }
}

void read_layout(InferRow& out, const rows::Cells& cells) {
  const std::string note = lower(cells.text("note"));
  const auto tp = read_pools(cells.text("tp")), pp = read_pools(cells.text("pp")), ep = read_pools(cells.text("ep"));
  out.chips = static_cast<double>(cells.count("num_chips").value_or(0));
  out.prefill = out.layout;
  out.layout_stated = tp.has_value();
  if (tp) {
    out.disaggregated = tp->two;
    out.layout.tp = tp->decode;
    out.prefill.tp = tp->prefill;
  }
  if (pp) {
    out.layout.pp = pp->decode;
    out.prefill.pp = pp->prefill;
  }
  if (ep) {
    out.layout.ep = ep->decode;
    out.prefill.ep = ep->prefill;
  }
  if (const auto dp = number_after(note, "attention_dp="); dp && *dp >= 1 && *dp <= 4096) { out.layout.dp = std::llround(*dp); }
  if (!out.disaggregated) { return; }
  // "prefill 2w x tp4 adp1 bs1; decode 5w x tp8 adp1 bs1"
  const auto pool = [&](std::string_view word, ServeLayout& layout, double& workers) {
    const auto at = note.find(word);
    if (at == std::string::npos) { return; }
    const std::string_view rest = std::string_view(note).substr(at, note.find(';', at) - at);
    if (const auto adp = number_after(rest, "adp"); adp && *adp >= 1 && *adp <= 4096) { layout.dp = std::llround(*adp); }
    const auto w = number_after(rest, word);
    if (w && *w >= 1 && *w <= 4096) { workers = *w; }
  };
  out.prefill_workers = out.decode_workers = 0;
  pool("prefill ", out.prefill, out.prefill_workers);
  pool("decode ", out.layout, out.decode_workers);
}

void check_layout(InferRow& out, ServeLayout& layout) {
  bool sparse = false;
  for (const Block& block : out.model.kinds) { sparse = sparse || block.ffn.experts > 0; }
  if (!sparse) { layout.ep = 1; }
  // Latent attention has one cache that cannot be cut: a wide pool repeats attention, whatever the table calls its degree.
  const Mixer& mixer = out.model.kinds.front().mixer;
  const bool wide = layout.tp > kWidestLatent || (layout.tp > 8 && layout.ep > 1);
  if (mixer.kind == MixerKind::latent && layout.dp == 1 && (wide || mixer.heads % layout.tp != 0)) {
    layout.dp = std::exchange(layout.tp, 1);
    layout.ep = layout.dp;
    out.inferred += fmt::format("{} ranks taken as attention in parallel copies with experts over all; ", layout.dp);
  }
  // Experts cannot be spread over more ranks than there are: then the ranks' degree was given for experts alone.
  if (layout.ep > layout.ranks()) {
    layout.dp = layout.ep / layout.tp;
    out.inferred += fmt::format("attention taken as {} ranks of tp {}, for ep {}; ", layout.dp, layout.tp, layout.ep);
  }
  if (layout.ranks() % layout.ep != 0) {
    out.inferred += fmt::format("ep {} does not divide {} ranks: taken as 1; ", layout.ep, layout.ranks());
    layout.ep = 1;
  }
}

// How disaggregated deployments are set up, as their published recipes show (InferenceX configurations, dynamo with TensorRT-LLM and
// SGLang, over a thousand): few clients a chip get tensor-parallel decoders, several of them, fed by one prefill worker; many get one or
// two wide ones with attention in parallel copies.
constexpr double kCopiesFrom = 32;  // clients a rank
constexpr std::int64_t kWideDecoder = 16;
double usual_decoders(std::int64_t ranks, bool copies) {
  if (copies) { return ranks >= kWideDecoder ? 1 : 2; }
  return ranks >= kWideDecoder ? 3 : 5;
}

bool is_sparse(const Model& model) {
  return std::ranges::any_of(model.kinds, [](const Block& b) { return b.ffn.experts > 0; });
}

void spread_attention(ServeLayout& layout) {
  layout.dp *= std::exchange(layout.tp, 1);
  layout.ep = layout.dp;
}

/// A degree that no tensor-parallel group has is the number of chips of a whole deployment.
void read_deployment(InferRow& out) {
  const std::int64_t chips = out.layout.tp;
  const bool whole = chips > kWidestLatent || (chips & (chips - 1)) != 0;
  if (!out.layout_stated || !whole || chips < 12 || chips > 1024 || out.prefill.tp != chips || out.layout.dp > 1 ||
      out.load.concurrency <= 0 || !is_sparse(out.model)) {
    return;
  }
  out.whole = chips;
  out.inferred += fmt::format("{} chips taken as a deployment of prefill and decoding workers, split for most tokens a second; ", chips);
}

/// Workers and attention of pools of which only the width is known.
void guess_pools(InferRow& out, double clients) {
  if (!out.disaggregated || out.whole > 0 || out.decode_workers > 0 || clients <= 0) { return; }
  const auto ranks = out.layout.ranks();
  const double each = clients / static_cast<double>(ranks);
  const bool sparse = is_sparse(out.model);
  const bool wide = ranks > kWidestLatent || (ranks >= kWideDecoder && (each >= kWideCopiesFrom || out.island.domain >= kWideDecoder));
  const bool copies = out.layout.dp > 1 || (sparse && (wide || each >= kCopiesFrom));
  out.workers_guessed = true;
  out.decode_workers = std::clamp(usual_decoders(ranks, copies), 1.0, std::max(1.0, clients));
  if (sparse && out.layout.dp == 1) {
    if (copies) { spread_attention(out.layout); }
    if (out.prefill.dp == 1) { spread_attention(out.prefill); }
  }
  out.inferred += fmt::format("{:g} decoding workers{}, and as many for prefill as keep up; ", out.decode_workers,
                              copies ? " with attention in parallel copies" : "");
}

/// What a row says of speculative decoding. Acceptance is what published reports give: 0.85 for DeepSeek-V3's first module
/// (arXiv:2412.19437, section 5.4.3), less where one module guesses several tokens in turn, about 0.7 a token for EAGLE (arXiv:2401.15077).
constexpr double kFirstModule = 0.85, kRepeatedModule = 0.72, kUsualDraft = 3, kFullBatch = 64;
void read_speculation(InferRow& out, const rows::Cells& cells) {
  std::string text;
  for (const char* column : {"note", "engine+version", "precision", "model"}) { text += lower(cells.text(column)) + ' '; }
  const auto has = [&](std::string_view word) { return contains(text, word); };
  const bool off = has("no mtp") || has("without mtp") || has("mtp off") || has("mtp=0") || has("no spec") || has("mtp disabled");
  const bool modules = has("mtp"), drafts = has("eagle") || has("speculative") || has("medusa");
  if (off) { return; }
  if (!(modules || drafts)) {
    // Of disaggregated deployments of models that come with such modules, half of those published use them, and tables lose which.
    const Mixer& mixer = out.model.kinds.front().mixer;
    if (out.disaggregated && out.workers_guessed && mixer.kind == MixerKind::latent && out.engine->key == "trtllm") {
      // Full batches leave no room for many guesses: recipes guess one token from about 64 clients a copy of attention on.
      const double each = out.load.concurrency / (out.decode_workers * static_cast<double>(out.layout.dp));
      const bool full = out.layout.dp > 1 && each >= kFullBatch;
      out.speculation = {.draft = full ? 1 : kUsualDraft, .acceptance = full ? kFirstModule : kRepeatedModule};
      out.perhaps_speculative = true;
      out.inferred += "between guessing tokens and not, as half of such deployments do; ";
    }
    return;
  }
  const double said = number_after(text, modules ? "mtp" : "eagle").value_or(0);
  out.speculation.draft = said >= 1 && said <= 8 ? std::floor(said) : (modules ? 1 : 3);
  out.speculation.acceptance = modules ? (out.speculation.draft > 1 ? kRepeatedModule : kFirstModule) : 0.7;
  out.inferred += fmt::format("{:g} tokens guessed an iteration, {:g} of them right; ", out.speculation.draft, out.speculation.acceptance);
}

}  // namespace

Result<RowLoad> read_load(std::string_view cell) {
  const std::string text = lower(cell);
  RowLoad load;
  if (const auto n = number_after(text, "concurrency="); n) { load.concurrency = *n; }
  if (const auto n = number_after(text, "batch="); n) { load.batch = *n; }
  if (const auto n = number_after(text, "target_qps="); n) { load.target = *n; }
  if (contains(text, "rate=") && !contains(text, "rate=inf")) {
    if (const auto n = number_after(text, "rate="); n) { load.rate = *n; }
  }
  if (contains(text, "tpot <") || contains(text, "itl <")) {
    load.itl_limit = first_number(std::string_view(text).substr(text.find('<'))).value_or(0) * 1e-3;
  }
  load.single = contains(text, "single stream");
  load.server = contains(text, "server");
  const bool all = contains(text, "at once") || contains(text, "inf") || contains(text, "offline") || contains(text, "max load");
  if (all && load.concurrency <= 0) { load.queued = contains(text, "prompts at once") ? first_number(text).value_or(0) : -1; }
  if (text.empty()) { return load; }
  if (load.concurrency <= 0 && load.rate <= 0 && load.batch <= 0 && load.queued == 0 && !load.server && load.itl_limit <= 0) {
    // "64", or "64 users".
    if (const auto n = bounded(first_number(text)); n && *n >= 1) { load.concurrency = *n; }
    if (load.concurrency <= 0) {
      return fail(ErrorKind::invalid, fmt::format("load '{}' is not understood", shorten(cell, 60)), {},
                  "\"concurrency=64\", \"rate=4 req/s\", \"batch=16\" or \"all at once\"");
    }
  }
  for (const double v : {load.concurrency, load.rate, load.batch, load.target, load.queued}) {
    if (!(v >= -1 && v <= kCountMax)) { return fail(ErrorKind::invalid, "the load is beyond all bounds"); }
  }
  return load;
}

Result<InferRow> read_infer_row(const CsvTable& table, std::size_t row, const Catalogue& catalogue, const std::vector<Engine>& engines) {
  const rows::Cells cells(table, row);
  InferRow out;
  out.kind = lower(cells.text("measured_kind"));
  TRY(read_model_and_chip(out, cells, catalogue, engines));
  const bool mlperf = contains(lower(cells.text("source")), "mlcommons") || contains(lower(cells.text("id")), "mlperf");
  read_formats(out, cells, mlperf);
  read_layout(out, cells);
  TRY_ASSIGN(out.load, read_load(cells.text("concurrency_or_rate")));
  if (!out.disaggregated || out.decode_workers <= 0) { read_deployment(out); }
  guess_pools(out, out.load.concurrency);
  if (out.whole <= 0) {
    check_layout(out, out.layout);
    check_layout(out, out.prefill);
  }
  read_speculation(out, cells);
  if (out.load.single) { out.load.concurrency = 1; }
  if (cells.text("concurrency_or_rate").empty()) {
    // Some tables give the batch that an engine was held to instead.
    const auto batch = bounded(number_after(lower(cells.text("note")), "batch_size="));
    if (batch && *batch >= 1) {
      out.load.concurrency = *batch * static_cast<double>(out.layout.dp);
      out.inferred += fmt::format("{:g} clients, as many as the batch size that the note gives; ", out.load.concurrency);
    }
  }

  // "500 requests", "100 random prompts": how many there were in all.
  const std::string note = lower(cells.text("note"));
  for (const std::string_view word : {" requests", " prompts", " random prompts"}) {
    if (const auto at = note.find(word); at != std::string::npos && at > 0) {
      std::size_t start = at;
      while (start > 0 && note[start - 1] >= '0' && note[start - 1] <= '9') { --start; }
      if (const auto n = bounded(first_number(std::string_view(note).substr(start, at - start))); n && *n >= 1) { out.load.requests = *n; }
    }
  }

  const std::string input = lower(cells.text("isl")), output = lower(cells.text("osl"));
  const auto in = bounded(first_number(input)), answer = bounded(first_number(output));
  if (contains(input, "mean") || contains(output, "mean")) { out.spread = kChatSpread; }
  out.input = in.value_or(0);
  out.output = answer.value_or(0);
  const std::string name = lower(cells.text("model"));
  for (const Suite& suite : kSuites) {
    if (!mlperf || (in && answer) || !name.starts_with(suite.word)) { continue; }
    if (!in) { out.input = suite.input; }
    if (!answer) { out.output = suite.output; }
    out.beams = suite.beams;
    out.spread = kChatSpread;
    out.inferred += fmt::format("lengths {:g} and {:g} tokens, the means of the suite's data set; ", out.input, out.output);
  }
  if (!in && out.input <= 0 && out.kind != "itl_ms") {
    out.input = 1024;
    out.inferred += "input taken as 1024 tokens; ";
  }
  if (out.output <= 0) {
    out.output = out.kind == "ttft_ms" ? 1 : 1024;
    if (out.output > 1) { out.inferred += "output taken as 1024 tokens; "; }
  }
  if (out.load.concurrency > 0 && out.spread <= 0 && drawn_lengths(out.input, out.output)) {
    out.input = std::round(out.input * kDrawnMean);
    out.output = std::round(out.output * kDrawnMean);
    out.spread = kDrawnSpread;
    out.inferred += fmt::format("lengths drawn between 0.8 and 1 of those, {:g} and {:g} in the mean; ", out.input, out.output);
  }
  if (out.input > 4e6 || out.output > 1e6) { return fail(ErrorKind::invalid, "lengths are beyond all bounds"); }
  out.input = std::max(1.0, out.input);
  return out;
}

}  // namespace centrale
