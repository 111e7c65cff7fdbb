// SPDX-License-Identifier: Apache-2.0
#include "estimate/layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "estimate/train.hpp"

namespace centrale {

std::string to_text(const Layout& l) {
  std::string text = fmt::format("tp{}", l.tp);
  const auto add = [&](const char* name, std::int64_t value, std::int64_t usual) {
    if (value != usual) { text += fmt::format(" {}{}", name, value); }
  };
  add("pp", l.pp, 1);
  add("dp", l.dp, 1);
  add("cp", l.cp, 1);
  add("ep", l.ep, 1);
  add("etp", l.etp, 1);
  add("v", l.interleave, 1);
  add("mb", l.micro_batch, 0);
  if (l.sequence_parallel) { text += " sp"; }
  if (l.zero != Zero::none) { text += fmt::format(" zero{}", static_cast<int>(l.zero)); }
  if (l.zero != Zero::none && l.shard > 0) { text += fmt::format("/{}", l.shard); }
  if (l.schedule != Schedule::one_f_one_b) { text += fmt::format(" {}", enum_name(l.schedule)); }
  if (l.recompute == Recompute::selective) { text += " recompute=selective"; }
  if (l.recompute == Recompute::full) {
    text += l.layers_recomputed < 0 ? std::string(" recompute=full") : fmt::format(" recompute={}", l.layers_recomputed);
  }
  if (l.offload != Offload::none) { text += fmt::format(" offload={}", enum_name(l.offload)); }
  return text + fmt::format(" {}", enum_name(l.precision));
}

std::string fault_of(const Layout& l, const Model& model, const TrainRun& run, const Island& island) {
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, std::int64_t>>{{"tp", l.tp},
                                                                                               {"cp", l.cp},
                                                                                               {"dp", l.dp},
                                                                                               {"pp", l.pp},
                                                                                               {"ep", l.ep},
                                                                                               {"etp", l.etp},
                                                                                               {"interleave", l.interleave},
                                                                                               {"micro-batch", l.micro_batch}}) {
    if (value < 1 || value > kFleetChipsMax) { return fmt::format("{} is {}", name, value); }
  }
  if (l.chips() > island.chips) { return fmt::format("needs {} chips, there are {}", l.chips(), island.chips); }
  std::int64_t heads_least = 0, experts = 0;
  for (const Block& b : model.kinds) {
    if (b.mixer.kind != MixerKind::none) { heads_least = heads_least == 0 ? b.mixer.heads : std::min(heads_least, b.mixer.heads); }
    experts = std::max(experts, b.ffn.experts);
  }
  if (heads_least > 0 && heads_least % l.tp != 0) { return fmt::format("tp {} does not divide {} heads", l.tp, heads_least); }
  if (run.sequence % (l.cp * (l.cp > 1 ? 2 : 1)) != 0) { return fmt::format("cp {} does not divide a sequence of {}", l.cp, run.sequence); }
  if (model.depth() < l.pp * l.interleave) {
    return fmt::format("{} layers do not fill {} chunks of a pipeline", model.depth(), l.pp * l.interleave);
  }
  if (l.interleave > 1 && l.pp == 1) { return "interleave without a pipeline"; }
  if (l.schedule != Schedule::one_f_one_b && (l.interleave > 1 || l.pp == 1)) {
    return fmt::format("{} wants a pipeline that is not interleaved", enum_name(l.schedule));
  }
  if (l.ep > 1 && (experts == 0 || experts % l.ep != 0)) { return fmt::format("ep {} does not divide {} experts", l.ep, experts); }
  const std::int64_t ranks = l.tp * l.cp * l.dp;
  if (l.etp > l.tp || ranks % (l.ep * l.etp) != 0) {
    return fmt::format("ep {} x etp {} does not divide a stage's {} ranks", l.ep, l.etp, ranks);
  }
  if (l.sequence_parallel && l.tp == 1) { return "sequence-parallel without tensor-parallel"; }
  if (run.global_batch % (l.dp * l.micro_batch) != 0) {
    return fmt::format("dp {} x micro-batch {} does not divide a batch of {}", l.dp, l.micro_batch, run.global_batch);
  }
  if (l.shard > 0 && (l.dp * l.cp) % l.shard != 0) { return fmt::format("shard {} does not divide dp x cp {}", l.shard, l.dp * l.cp); }
  if (l.zero >= Zero::gradients && l.pp > 1 && l.zero != Zero::weights) { return "ZeRO-2 reduces every micro-batch: not with a pipeline"; }
  const std::int64_t microbatches = run.global_batch / (l.dp * l.micro_batch);
  if (!feeds(l.schedule, l.pp, microbatches)) {
    return l.schedule == Schedule::dual_pipe
               ? fmt::format("dual-pipe wants an even pipeline and an even number of at least {} micro-batches, there are {}", 2 * l.pp,
                             microbatches)
               : fmt::format("zero-bubble wants at least {} micro-batches, there are {}", l.pp, microbatches);
  }
  if (l.interleave > 1 && microbatches % l.pp != 0) {
    return fmt::format("interleaved pipelines want micro-batches ({}) in multiples of pp {}", microbatches, l.pp);
  }
  return {};
}

}  // namespace centrale
