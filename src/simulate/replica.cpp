// SPDX-License-Identifier: Apache-2.0
#include "simulate/replica.hpp"

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"

namespace centrale {

namespace {

// Part of the cache that stays free when a sequence joins others, so that it is not preempted at once: the watermark of vLLM's block
// manager.
constexpr std::int64_t kWatermarkPercent = 1;

constexpr std::size_t kKnown = 4096;  // times of decoding iterations that are kept: 64 KiB

std::int64_t to_ns(Seconds s) { return std::max<std::int64_t>(1, std::llround(s.value * 1e9)); }

}  // namespace

Result<std::shared_ptr<const ReplicaModel>> EstimatedReplica::make(const ServeEstimator& estimator) {
  if (estimator.speculation().draft > 0) {
    return fail(ErrorKind::invalid, "a replica that speculates cannot be played", {}, "leave speculation out");
  }
  auto model = std::make_shared<const EstimatedReplica>(estimator);
  if (model->limits().cache_tokens < 1) {
    return fail(ErrorKind::invalid, "the weights leave no memory for a cache", {}, "cut the replica over more chips");
  }
  return model;
}

ReplicaLimits EstimatedReplica::limits() const {
  const Engine& engine = estimator_.engine();
  const ServeLayout& layout = estimator_.layout();
  const ServeMemory& memory = estimator_.memory();
  const auto copies = static_cast<double>(layout.dp);
  ReplicaLimits limits;
  // A chip holds its part of each sequence; copies of attention hold sequences of their own.
  const double per_token = std::max(1e-9, memory.cache_per_token.value);
  limits.cache_tokens = static_cast<std::int64_t>(std::clamp(memory.free.value / per_token * copies, 0.0, 1e15));
  limits.sequence_tokens = kContextStep - 1 + static_cast<std::int64_t>(std::ceil(memory.cache_fixed.value / per_token));
  const double ranks = copies * static_cast<double>(layout.pp);
  limits.tokens_max = std::max<std::int64_t>(1, std::llround(engine.tokens_max * ranks));
  limits.sequences_max = std::max<std::int64_t>(1, std::llround(engine.sequences_max * ranks));
  limits.batching = engine.batching;
  limits.request = engine.request;
  limits.token = engine.token;
  limits.waits = engine.waits(copies);
  return limits;
}

Replica::Replica(std::shared_ptr<const ReplicaModel> model, const RequestTrace& trace, Steps steps)
    : model_(std::move(model)), trace_(&trace), steps_(steps), limits_(model_->limits()), known_(kKnown) {
  ensure(limits_.tokens_max > 0 && limits_.sequences_max > 0);
}

bool Replica::fits(const TraceRequest& request) const {
  return request.prompt + request.output + limits_.sequence_tokens <= limits_.cache_tokens;
}

std::int64_t Replica::cached_prefix(const TraceRequest& request) const {
  return limits_.prefix_cache ? cache_.match(trace_->blocks_of(request), request.prompt).tokens : 0;
}

std::int64_t Replica::tokens_in_flight() const { return waiting_tokens_ + prefill_tokens_ + context_ + batch_; }

std::int64_t Replica::generated(const Sequence& s) const { return s.generated + (s.decoding ? count_ - s.joined : 0); }

void Replica::submit(std::uint32_t request, Time arrival, Time now) {
  const TraceRequest& r = trace_->requests[request];
  ensure(fits(r) && r.prompt > 0 && r.output > 0);
  std::uint32_t s = static_cast<std::uint32_t>(sequences_.size());
  if (spare_.empty()) {
    sequences_.emplace_back();
  } else {
    s = spare_.back();
    spare_.pop_back();
  }
  Sequence& sequence = sequences_[s];
  const std::uint32_t life = sequence.life + 1;
  sequence = Sequence{};
  sequence.life = life;
  sequence.request = request;
  sequence.prompt = r.prompt;
  sequence.arrival = arrival;
  waiting_.push_back(s);
  waiting_tokens_ += r.prompt;
  prompt_left_ += r.prompt;
  if (mode_ == Mode::idle) {
    at_ = now;
    return begin();
  }
  // Who waits behind another cannot be let in before it; the first in line is tried when the iteration that runs ends.
  if (mode_ == Mode::decode && waiting_.size() == 1 && stop_ > count_ + 1) {
    stop_ = count_ + 1;
    event_ = end_of_stride();
  }
}

void Replica::advance(Time now, std::vector<ServedRequest>& out) {
  while (mode_ != Mode::idle) {
    if (mode_ == Mode::prompts) {
      if (event_ > now) { return; }
      end_prompts(out);
    } else {
      decode_until(now);
      if (count_ < stop_) { return; }
      end_leaving(out);
    }
    begin();
  }
}

/// Decides what the iteration, or the run of them, that starts at at_ does.
void Replica::begin() {
  preempted_ = make_room();
  if (!preempted_) { admit(); }
  if (!prefilling_.empty()) { return plan_prompts(); }
  if (batch_ > 0) { return plan_decoding(); }
  ensure(waiting_.empty());  // alone, the first in line fits
  mode_ = Mode::idle;
  event_ = kNever;
}

/// Each sequence that decodes needs room for a token. Who came last is preempted first; says whether anyone was.
bool Replica::make_room() {
  bool preempted = false;
  while (batch_ > room()) {
    ensure(running_.size() > 1);  // one alone fits to its end
    preempt(running_.back());
    preempted = true;
  }
  return preempted;
}

void Replica::preempt(std::uint32_t s) {
  Sequence& sequence = sequences_[s];
  const std::int64_t context = sequence.prompt + (sequence.decoding ? count_ - sequence.joined : 0);
  const std::int64_t tokens = generated(sequence);
  if (sequence.decoding) {
    if (count_ > sequence.joined) {
      sequence.itl_max = longest_gap(sequence);
      sequence.last = decoded_at_;
    }
    batch_ -= 1;
    context_ -= context;
  } else {
    std::erase(prefilling_, s);
    prefill_tokens_ -= sequence.prompt;
    prompt_left_ -= sequence.prompt - sequence.computed;
  }
  std::erase(fresh_, s);
  free_memory(sequence);
  running_.pop_back();
  sequence.life += 1;  // its place among those that leave is void
  sequence.decoding = false;
  sequence.generated = tokens;
  sequence.prompt = asked(sequence).prompt + tokens;
  sequence.computed = 0;
  sequence.preemptions += 1;
  counts_.preemptions += 1;
  waiting_.push_front(s);
  waiting_tokens_ += sequence.prompt;
  prompt_left_ += sequence.prompt;
}

void Replica::admit() {
  if (limits_.batching == Batching::fixed && batch_ > 0) { return; }
  while (!waiting_.empty() && static_cast<std::int64_t>(running_.size()) < limits_.sequences_max && admit_first()) {}
}

/// Lets the first in line in if its whole prompt has room.
bool Replica::admit_first() {
  const std::uint32_t s = waiting_.front();
  Sequence& sequence = sequences_[s];
  const auto blocks = trace_->blocks_of(asked(sequence));
  PrefixCache::Match match;
  if (limits_.prefix_cache) { match = cache_.match(blocks, asked(sequence).prompt); }
  const std::int64_t own = sequence.prompt - match.tokens + limits_.sequence_tokens;
  const std::int64_t kept_free = running_.empty() ? 0 : batch_ + limits_.cache_tokens * kWatermarkPercent / 100;
  if (own + match.idle + kept_free > room()) { return false; }
  for (std::size_t i = 0; i < match.blocks; ++i) { sequence.shared.push_back(cache_.hold(blocks[i])); }
  sequence.next_block = match.blocks;
  sequence.own = own;
  sequence.computed = std::min(match.tokens, sequence.prompt - 1);  // the last token's scores are needed
  if (sequence.cached < 0) {
    sequence.cached = sequence.computed;
    counts_.cached_tokens += sequence.computed;
  }
  own_ += own;
  waiting_tokens_ -= sequence.prompt;
  prefill_tokens_ += sequence.prompt;
  prompt_left_ -= sequence.computed;
  waiting_.pop_front();
  running_.push_back(s);
  prefilling_.push_back(s);
  trim();
  return true;
}

void Replica::plan_prompts() {
  mode_ = Mode::prompts;
  beside_ = limits_.batching == Batching::mixed && batch_ > 0;
  std::int64_t budget = std::max<std::int64_t>(1, limits_.tokens_max - (beside_ ? batch_ : 0));
  IterationWork work;
  double before = 0;
  chunks_.clear();
  for (auto it = prefilling_.begin(); it != prefilling_.end() && budget > 0; ++it) {
    const Sequence& s = sequences_[*it];
    const std::int64_t tokens = std::min(budget, s.prompt - s.computed);
    chunks_.push_back({*it, tokens});
    budget -= tokens;
    before += static_cast<double>(s.computed);
    work.prompts += 1;
    work.prompt_tokens += static_cast<double>(tokens);
  }
  work.prompt_context = before / work.prompts;
  if (beside_) {
    work.decoding = static_cast<double>(batch_);
    work.context = static_cast<double>(context_) / work.decoding;
  }
  event_ = {at_.ns + to_ns(model_->iteration(work))};
}

void Replica::end_prompts(std::vector<ServedRequest>& out) {
  const Nanos took = event_ - at_;
  if (beside_) {
    decode(1, took.value);
  } else {
    at_ = event_;
    counts_.iterations += 1;
    counts_.busy += took;
  }
  for (const Chunk& chunk : chunks_) {
    Sequence& s = sequences_[chunk.sequence];
    s.computed += chunk.tokens;
    prompt_left_ -= chunk.tokens;
    counts_.prompt_tokens += chunk.tokens;
    keep_blocks(s);
  }
  end_leaving(out);
  for (const Chunk& chunk : chunks_) {
    if (sequences_[chunk.sequence].computed == sequences_[chunk.sequence].prompt) { first_token(chunk.sequence, out); }
  }
  trim();
}

/// Blocks of the prompt that are computed now are there for others. One that another computed meanwhile stays the sequence's own.
void Replica::keep_blocks(Sequence& s) {
  if (!limits_.prefix_cache) { return; }
  const auto blocks = trace_->blocks_of(asked(s));
  const std::int64_t prompt = asked(s).prompt;
  for (; s.next_block < blocks.size(); ++s.next_block) {
    const std::int64_t start = static_cast<std::int64_t>(s.next_block) * kPrefixBlock;
    const std::int64_t end = std::min(prompt, start + kPrefixBlock);
    if (s.computed < end) { return; }
    const PrefixCache::Slot slot = cache_.add(blocks[s.next_block], end - start);
    if (slot == PrefixCache::kNone) { continue; }
    s.shared.push_back(slot);
    s.own -= end - start;
    own_ -= end - start;
  }
}

/// The prompt is done: its iteration gave a token.
void Replica::first_token(std::uint32_t i, std::vector<ServedRequest>& out) {
  Sequence& s = sequences_[i];
  std::erase(prefilling_, i);
  prefill_tokens_ -= s.prompt;
  if (s.generated == 0) {
    s.first = at_;
  } else {
    s.itl_max = std::max(s.itl_max, at_ - s.last);
  }
  s.last = at_;
  s.generated += 1;
  counts_.output_tokens += 1;
  const std::int64_t left = asked(s).output - s.generated;
  if (left == 0) { return finish(i, out); }
  s.decoding = true;
  s.joined = count_;
  s.leaves = count_ + left;
  leaving_.push({s.leaves, i, s.life});
  fresh_.push_back(i);
  batch_ += 1;
  context_ += s.prompt;
}

void Replica::plan_decoding() {
  mode_ = Mode::decode;
  while (sequences_[leaving_.top().sequence].life != leaving_.top().life) { leaving_.pop(); }
  stop_ = std::min(leaving_.top().count, count_ + room() / batch_);
  if (steps_ == Steps::single || preempted_) { stop_ = count_ + 1; }
  event_ = end_of_stride();
}

Time Replica::end_of_stride() {
  std::int64_t left = stop_ - count_, context = context_, ns = at_.ns;
  while (left > 0) {
    const std::int64_t step = context / (kContextStep * batch_);
    const std::int64_t inside = ((step + 1) * kContextStep * batch_ - context + batch_ - 1) / batch_;
    const std::int64_t steps = std::min(left, inside);
    ns += steps * decoding_ns(step);
    context += steps * batch_;
    left -= steps;
  }
  return {ns};
}

void Replica::decode_until(Time now) {
  while (count_ < stop_) {
    const std::int64_t step = context_ / (kContextStep * batch_);
    const std::int64_t inside = ((step + 1) * kContextStep * batch_ - context_ + batch_ - 1) / batch_;
    const std::int64_t each = decoding_ns(step);
    const std::int64_t done = std::min({inside, stop_ - count_, (now - at_).value / each});
    if (done <= 0) { return; }
    decode(done, each);
  }
}

/// `steps` decoding iterations of `each` ns.
void Replica::decode(std::int64_t steps, std::int64_t each) {
  const std::int64_t first_end = at_.ns + each;
  for (const std::uint32_t i : fresh_) {
    Sequence& s = sequences_[i];
    s.itl_max = std::max(s.itl_max, Nanos{first_end - s.last.ns});
  }
  if (static_cast<std::int64_t>(fresh_.size()) < batch_) { note_gap(count_ + 1, first_end - decoded_at_.ns); }
  fresh_.clear();
  if (steps > 1) { note_gap(count_ + steps, each); }
  at_.ns += steps * each;
  decoded_at_ = at_;
  count_ += steps;
  context_ += steps * batch_;
  own_ += steps * batch_;
  counts_.output_tokens += steps * batch_;
  counts_.iterations += steps;
  counts_.busy += Nanos{steps * each};
  trim();
}

void Replica::note_gap(std::int64_t count, std::int64_t ns) {
  while (!gaps_.empty() && gaps_.back().ns <= ns) { gaps_.pop_back(); }
  gaps_.push_back({count, ns});
  if (gaps_.size() < gaps_max_) { return; }
  std::int64_t oldest = count;
  for (const std::uint32_t s : running_) {
    if (sequences_[s].decoding) { oldest = std::min(oldest, sequences_[s].joined); }
  }
  std::erase_if(gaps_, [&](const Gap& gap) { return gap.count <= oldest; });
  gaps_max_ = std::max<std::size_t>(1024, 2 * gaps_.size());
}

/// Between tokens of a sequence that decodes, up to now. Its first gap, from before it joined, is in itl_max already.
Nanos Replica::longest_gap(const Sequence& s) const {
  const auto at = std::ranges::upper_bound(gaps_, s.joined + 1, {}, &Gap::count);
  return at == gaps_.end() ? s.itl_max : std::max(s.itl_max, Nanos{at->ns});
}

void Replica::end_leaving(std::vector<ServedRequest>& out) {
  while (!leaving_.empty() && leaving_.top().count <= count_) {
    const Leaving top = leaving_.top();
    leaving_.pop();
    if (sequences_[top.sequence].life != top.life) { continue; }
    batch_ -= 1;
    context_ -= sequences_[top.sequence].prompt + count_ - sequences_[top.sequence].joined;
    finish(top.sequence, out);
  }
}

void Replica::finish(std::uint32_t i, std::vector<ServedRequest>& out) {
  Sequence& s = sequences_[i];
  const TraceRequest& r = asked(s);
  ensure(generated(s) == r.output);
  const Nanos way{std::llround((limits_.request.value + limits_.token.value * static_cast<double>(r.prompt)) * 1e9)};
  ServedRequest served{.request = s.request,
                       .arrival = s.arrival,
                       .first = s.first + way,
                       .end = at_ + way,
                       .itl_mean = {0},
                       .itl_max = s.decoding ? longest_gap(s) : s.itl_max,
                       .cached = s.cached,
                       .preemptions = s.preemptions};
  if (r.output > 1) { served.itl_mean = {(at_ - s.first).value / (r.output - 1)}; }
  const Nanos waits{std::llround(limits_.waits * static_cast<double>(served.itl_mean.value))};
  served.first = std::min(served.end, served.first + waits);
  out.push_back(served);
  free_memory(s);
  std::erase(running_, i);
  leave(i);
}

/// Its own tokens are free; its blocks stay for others, while there is room.
void Replica::free_memory(Sequence& s) {
  own_ -= s.own + (s.decoding ? count_ - s.joined : 0);
  s.own = 0;
  cache_.release(s.shared);
  s.shared.clear();
  s.next_block = 0;
}

void Replica::leave(std::uint32_t i) {
  sequences_[i].life += 1;
  sequences_[i].decoding = false;
  spare_.push_back(i);
}

void Replica::trim() {
  const std::int64_t over = own_ + cache_.held() + cache_.idle() - limits_.cache_tokens;
  if (over > 0) { cache_.drop(over); }
}

std::int64_t Replica::decoding_ns(std::int64_t step) {
  const std::int64_t key = step * limits_.sequences_max + batch_ - 1;
  Known& known = known_[static_cast<std::size_t>(key) % known_.size()];
  if (known.key != key) {
    const double context = static_cast<double>(step * kContextStep) + 0.5 * static_cast<double>(kContextStep);
    known = {key, to_ns(model_->iteration({.decoding = static_cast<double>(batch_), .context = context}))};
  }
  return known.ns;
}

std::vector<Replica::Taken> Replica::take_waiting() {
  std::vector<Taken> taken;
  std::deque<std::uint32_t> kept;
  for (const std::uint32_t i : waiting_) {
    const Sequence& s = sequences_[i];
    if (s.cached >= 0) {
      kept.push_back(i);
      continue;
    }
    taken.push_back({s.request, s.arrival, false});
    waiting_tokens_ -= s.prompt;
    prompt_left_ -= s.prompt;
    leave(i);
  }
  waiting_ = std::move(kept);
  return taken;
}

std::vector<Replica::Taken> Replica::take_all() {
  std::vector<Taken> taken;
  const auto take = [&](std::uint32_t i) { taken.push_back({sequences_[i].request, sequences_[i].arrival, generated(sequences_[i]) > 0}); };
  for (const std::uint32_t i : running_) { take(i); }
  for (const std::uint32_t i : waiting_) { take(i); }
  std::ranges::stable_sort(taken, {}, &Taken::arrival);
  const ReplicaCounts counts = counts_;
  *this = Replica(model_, *trace_, steps_);
  counts_ = counts;
  return taken;
}

}  // namespace centrale
