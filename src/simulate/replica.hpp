// SPDX-License-Identifier: Apache-2.0
// One replica of a service, iteration by iteration: continuous batching with chunked prompts, first come first served, a cache of limited
// size shared by running sequences and prefixes, preemption by recomputation, as vLLM's scheduler does it (Kwon et al., "Efficient memory
// management for large language model serving with PagedAttention", SOSP 2023; chunked prompts: Agrawal et al., "Sarathi-Serve", OSDI
// 2024).
//
// Runs of decoding in which nothing joins or leaves are taken in one step, with the same result as one iteration after another: times are
// integers, and an iteration's is constant while the mean context stays within a step of kContextStep tokens.
#pragma once
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <queue>
#include <vector>

#include "base/dimension.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "estimate/serve.hpp"
#include "simulate/replica_cache.hpp"
#include "simulate/requests.hpp"

namespace centrale {

inline constexpr Time kNever{std::numeric_limits<std::int64_t>::max()};
inline constexpr std::int64_t kContextStep = 16;  // tokens: vLLM's block; 16 tokens of cache are below 0.1% of an iteration

struct ReplicaLimits {
  std::int64_t cache_tokens = 0;     // of all sequences and of the prefix cache
  std::int64_t sequence_tokens = 0;  // of the cache that a sequence takes beside its tokens: states, the last block's rest
  std::int64_t tokens_max = 8192;    // of one iteration
  std::int64_t sequences_max = 256;  // inside at once
  Batching batching = Batching::mixed;
  bool prefix_cache = true;
  Seconds request{0};  // a request's way in and out
  Seconds token{0};    // the same for each token of its prompt
  double waits = 0;    // iterations that a first answer waits beside its prompt's own
};

/// What a replica is made of: how long an iteration takes, and what fits.
class ReplicaModel {
 public:
  virtual ~ReplicaModel() = default;
  [[nodiscard]] virtual Seconds iteration(const IterationWork& work) const = 0;
  [[nodiscard]] virtual ReplicaLimits limits() const = 0;
};

/// The planner's estimate as a replica. Without speculation: a token an iteration.
class EstimatedReplica final : public ReplicaModel {
 public:
  /// An error where the weights leave no room for a cache, or where it speculates.
  [[nodiscard]] static Result<std::shared_ptr<const ReplicaModel>> make(const ServeEstimator& estimator);
  explicit EstimatedReplica(const ServeEstimator& estimator) : estimator_(estimator) {}
  [[nodiscard]] Seconds iteration(const IterationWork& work) const override { return estimator_.iteration(work).total(); }
  [[nodiscard]] ReplicaLimits limits() const override;

 private:
  ServeEstimator estimator_;
};

struct ServedRequest {
  std::uint32_t request = 0;  // index into the trace
  Time arrival, first, end;   // of its first and last token at the caller
  Nanos itl_mean, itl_max;    // between its tokens; 0: it had one token
  std::int64_t cached = 0;    // tokens of its prompt that were in the cache when it was let in first
  std::uint32_t preemptions = 0;
};

struct ReplicaCounts {
  std::int64_t prompt_tokens = 0;  // prefilled, those again after a preemption included
  std::int64_t cached_tokens = 0;  // found in the cache
  std::int64_t output_tokens = 0;
  std::int64_t iterations = 0;
  std::int64_t preemptions = 0;
  Nanos busy;
};

/// Callers move it forward: advance(now), then submit(…, now); next_event() says when it has to be looked at again.
class Replica {
 public:
  enum class Steps : unsigned char { many, single };  // single: one iteration an event, for tests
  Replica(std::shared_ptr<const ReplicaModel> model, const RequestTrace& trace, Steps steps = Steps::many);

  /// Whether the cache can hold it to its end, alone.
  [[nodiscard]] bool fits(const TraceRequest& request) const;
  /// Takes a request that fits. `arrival` is what its times count from.
  void submit(std::uint32_t request, Time arrival, Time now);
  [[nodiscard]] Time next_event() const { return event_; }
  /// Plays all iterations that end by `now`, and appends who ended to `out`.
  void advance(Time now, std::vector<ServedRequest>& out);

  struct Taken {
    std::uint32_t request = 0;
    Time arrival;
    bool begun = false;  // had tokens already
  };
  /// Takes back requests that wait and have not been let in yet.
  [[nodiscard]] std::vector<Taken> take_waiting();
  /// Takes everything: the replica is lost.
  [[nodiscard]] std::vector<Taken> take_all();

  [[nodiscard]] std::size_t requests() const { return running_.size() + waiting_.size(); }
  /// Tokens of all prompts inside or waiting and of what they were answered: what a gateway can count.
  [[nodiscard]] std::int64_t tokens_in_flight() const;
  /// Tokens of prompts that are not prefilled yet.
  [[nodiscard]] std::int64_t prompt_tokens_left() const { return prompt_left_; }
  /// Tokens of the prompt that the cache has now.
  [[nodiscard]] std::int64_t cached_prefix(const TraceRequest& request) const;
  [[nodiscard]] const ReplicaCounts& counts() const { return counts_; }
  [[nodiscard]] const ReplicaLimits& limits() const { return limits_; }

 private:
  enum class Mode : unsigned char { idle, prompts, decode };
  struct Sequence {
    std::uint32_t request = 0, life = 0;    // life: tells a later holder of this place apart
    std::int64_t prompt = 0;                // tokens to prefill: the prompt, and what was generated before a preemption
    std::int64_t computed = 0;              // of those
    std::int64_t generated = 0;             // when it joined those that decode, or was preempted
    std::int64_t joined = 0, leaves = 0;    // counts of decoding iterations
    std::int64_t own = 0;                   // tokens of the cache that are its own, when it joined
    std::int64_t cached = -1;               // -1: never let in
    std::size_t next_block = 0;             // of its prompt, to be put into the prefix cache
    std::vector<PrefixCache::Slot> shared;  // blocks that it holds
    Time arrival, first, last;              // last: of its newest token, up to when it joined
    Nanos itl_max;
    std::uint32_t preemptions = 0;
    bool decoding = false;
  };
  struct Leaving {
    std::int64_t count = 0;
    std::uint32_t sequence = 0, life = 0;
    bool operator>(const Leaving& o) const { return count != o.count ? count > o.count : sequence > o.sequence; }
  };
  struct Chunk {
    std::uint32_t sequence = 0;
    std::int64_t tokens = 0;
  };
  struct Gap {
    std::int64_t count = 0;  // of the decoding iteration that ended it
    std::int64_t ns = 0;
  };
  struct Known {
    std::int64_t key = -1, ns = 0;
  };

  void begin();
  [[nodiscard]] bool make_room();
  void preempt(std::uint32_t s);
  void admit();
  [[nodiscard]] bool admit_first();
  void plan_prompts();
  void plan_decoding();
  void end_prompts(std::vector<ServedRequest>& out);
  void decode_until(Time now);
  void decode(std::int64_t steps, std::int64_t each);
  void note_gap(std::int64_t count, std::int64_t ns);
  [[nodiscard]] Nanos longest_gap(const Sequence& s) const;
  void keep_blocks(Sequence& s);
  void first_token(std::uint32_t s, std::vector<ServedRequest>& out);
  void end_leaving(std::vector<ServedRequest>& out);
  void finish(std::uint32_t s, std::vector<ServedRequest>& out);
  void free_memory(Sequence& s);
  void leave(std::uint32_t s);
  void trim();
  [[nodiscard]] std::int64_t room() const { return limits_.cache_tokens - own_ - cache_.held(); }
  [[nodiscard]] std::int64_t decoding_ns(std::int64_t context_step);
  [[nodiscard]] Time end_of_stride();
  [[nodiscard]] std::int64_t generated(const Sequence& s) const;
  [[nodiscard]] const TraceRequest& asked(const Sequence& s) const { return trace_->requests[s.request]; }

  std::shared_ptr<const ReplicaModel> model_;
  const RequestTrace* trace_;
  Steps steps_;
  ReplicaLimits limits_;
  PrefixCache cache_;
  std::vector<Sequence> sequences_;
  std::vector<std::uint32_t> spare_;    // places in sequences_
  std::deque<std::uint32_t> waiting_;   // first to be let in first
  std::vector<std::uint32_t> running_;  // as they were let in
  std::deque<std::uint32_t> prefilling_;
  std::priority_queue<Leaving, std::vector<Leaving>, std::greater<>> leaving_;
  std::vector<std::uint32_t> fresh_;  // joined those that decode since the last decoding iteration
  std::vector<Chunk> chunks_;         // of the iteration that runs
  std::vector<Gap> gaps_;             // by count, each longer than all after it
  std::size_t gaps_max_ = 1024;       // when the front is looked through for those that nobody needs
  std::vector<Known> known_;          // times of decoding iterations, by batch and context
  Mode mode_ = Mode::idle;
  bool beside_ = false;                    // those that decode take part in the iteration that runs
  bool preempted_ = false;                 // just now: nobody is let in before the next iteration
  Time at_, event_ = kNever, decoded_at_;  // start of the iteration that runs, end of the stride, of the last decoding iteration
  std::int64_t batch_ = 0, context_ = 0;   // that decode: sequences, their tokens in the cache
  std::int64_t count_ = 0, stop_ = 0;      // of decoding iterations: so far, at the stride's end
  std::int64_t own_ = 0;                   // tokens of the cache that sequences have to themselves
  std::int64_t prompt_left_ = 0, waiting_tokens_ = 0, prefill_tokens_ = 0;
  ReplicaCounts counts_;
};

}  // namespace centrale
