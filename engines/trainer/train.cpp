// SPDX-License-Identifier: Apache-2.0
#include "train.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <csignal>

#include "checkpoint.hpp"
#include "collective.hpp"
#include "corpus.hpp"
#include "evaluate.hpp"
#include "formats/file.hpp"
#include "formats/json.hpp"
#include "optimizer.hpp"

namespace centrale::trainer {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kSavedNotFinished = 75;  // EX_TEMPFAIL
constexpr std::size_t kConfigMax = 1 << 20;

std::atomic<bool> stop_requested{false};
std::atomic<bool> has_something_to_save{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the signal handler may use it");

void on_stop(int) {
  // Before the first step there is nothing to save, and the wait for other workers cannot be broken off.
  if (!has_something_to_save) ::_exit(kSavedNotFinished);
  stop_requested = true;
}

void listen_for_stop() {
  struct sigaction action {};
  action.sa_handler = on_stop;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // whoever reads the progress may leave; the training goes on
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit shall be an error with a message, as a full disk is
}

void say(const std::string& text) { fmt::print(stderr, "centrale-trainer: {}\n", text); }

/// One progress line of the task contract; `fields` is the inside of a JSON object.
void report(const std::string& fields) {
  fmt::print("@centrale {{{}}}\n", fields);
  std::fflush(stdout);
}

std::string quoted(const std::string& text) { return json::serialize(json::string(text)); }

/// What all ranks must agree on; rank 0 finds it and shares it.
struct Start {
  ModelConfig config;
  Vocabulary vocabulary;
  RunState state;
  std::optional<Checkpoint> checkpoint;  // rank 0 only
  std::optional<ModelFiles> init;        // rank 0 only
};

Result<void> check_options(const TrainOptions& options, int workers) {
  if (options.batch % workers != 0) {
    return fail(ErrorKind::conflict, fmt::format("a batch of {} sequences cannot be shared out among {} workers", options.batch, workers),
                "--batch", fmt::format("use a multiple of {}", workers));
  }
  if (options.schedule.rate_min > options.schedule.rate) {
    return fail(ErrorKind::conflict, "the least learning rate is above the learning rate", "--min-lr", "use a smaller one");
  }
  return {};
}

Error as_configuration(Error error) {
  error.kind = ErrorKind::conflict;
  return error;
}

Result<Vocabulary> choose_vocabulary(const TrainOptions& options, const Start& start, const std::vector<std::string>& documents) {
  if (start.checkpoint) return *start.checkpoint->files.vocabulary;
  if (!options.tokenizer.empty()) return open_tokenizer(options.tokenizer);
  if (start.init && start.init->vocabulary) return *start.init->vocabulary;
  if (start.init) {
    return fail(ErrorKind::conflict, "the weights come without a tokenizer", options.init.string(), "give it with --tokenizer");
  }
  const auto size = options.vocab > 0 ? options.vocab : start.config.vocab_size;
  say(fmt::format("learning a tokenizer of {} tokens", size));
  std::string text;
  for (const auto& document : documents) text += document;
  return train_vocabulary(text, static_cast<std::int32_t>(size));
}

/// A resumed run must go on as it began, or its loss curve means nothing.
Result<void> check_same_run(const RunState& now, const Checkpoint& checkpoint, const ModelConfig& config) {
  const auto& then = checkpoint.state;
  const auto where = checkpoint.folder.string();
  const auto differ = [&](std::string_view what, const auto& was, const auto& is) {
    return fail(ErrorKind::conflict, fmt::format("the checkpoint was trained with {} {}, this command says {}", what, was, is), where,
                "use the same, choose another checkpoint folder, or start a new run from its weights with --init");
  };
  if (then.sequence_length != now.sequence_length) return differ("--seq", then.sequence_length, now.sequence_length);
  if (then.batch != now.batch) return differ("--batch", then.batch, now.batch);
  if (then.seed != now.seed) return differ("--seed", then.seed, now.seed);
  if (then.eval_fraction != now.eval_fraction) return differ("--eval-fraction", then.eval_fraction, now.eval_fraction);
  if (then.precision != now.precision) return differ("precision", then.precision, now.precision);
  if (then.corpus_mark != now.corpus_mark) return differ("a text marked", hex64(then.corpus_mark), hex64(now.corpus_mark));
  if (!(checkpoint.files.config == config)) {
    return fail(ErrorKind::conflict, "the checkpoint holds a model of another shape than --model", where,
                "use its own config.json, or another checkpoint folder");
  }
  return {};
}

/// Reads everything that decides the run. Only rank 0 looks at checkpoints: the others may not even see the folder.
Result<Start> prepare(const TrainOptions& options, const Compute& compute, const std::vector<std::string>& documents, int workers) {
  Start start;
  if (!options.init.empty()) {
    TRY_ASSIGN(start.init, open_model(options.init));
    start.config = start.init->config;
  }
  if (!options.model.empty()) {
    auto text = read_text(options.model, kConfigMax);
    if (!text) return std::unexpected(as_configuration(text.error()));
    auto config = config_from_json(*text, options.model.string());
    if (!config) return std::unexpected(as_configuration(config.error()));
    start.config = *config;
  } else if (!start.init) {
    return fail(ErrorKind::conflict, "neither a model's config.json nor weights to go on from are given", "--model",
                "give --model config.json or --init FOLDER");
  }
  TRY_ASSIGN(start.checkpoint, newest_checkpoint(options.checkpoints, say));
  TRY_ASSIGN(start.vocabulary, choose_vocabulary(options, start, documents));
  if (static_cast<std::int64_t>(start.vocabulary.tokens.size()) > start.config.vocab_size) {
    return fail(ErrorKind::conflict,
                fmt::format("vocab_size is {} but the tokenizer has {} tokens", start.config.vocab_size, start.vocabulary.tokens.size()),
                options.model.empty() ? options.init.string() : options.model.string(), "make vocab_size larger, or --vocab smaller");
  }
  if (!start.checkpoint) {
    if (start.vocabulary.bos) start.config.bos = *start.vocabulary.bos;
    if (start.vocabulary.eos) start.config.eos = *start.vocabulary.eos;
  } else {
    start.config.bos = start.checkpoint->files.config.bos;
    start.config.eos = start.checkpoint->files.config.eos;
  }
  TRY_ASSIGN(const auto tokenizer, make_tokenizer(start.vocabulary, "tokenizer"));
  const auto corpus = tokenise(documents, tokenizer);
  RunState now;
  now.seed = options.seed;
  now.batch = options.batch;
  now.sequence_length = options.sequence_length;
  now.eval_fraction = options.eval_fraction;
  now.corpus_mark = corpus.mark;
  now.precision = compute.precision == Precision::bf16 ? "bf16" : "fp32";
  // A fleet is mixed: "auto" was decided when the run began, wherever it goes on.
  if (options.dtype == "auto" && start.checkpoint) now.precision = start.checkpoint->state.precision;
  now.threads = at::get_num_threads();
  now.workers = workers;
  if (start.checkpoint) {
    TRY(check_same_run(now, *start.checkpoint, start.config));
    const auto& then = start.checkpoint->state;
    if (then.threads != now.threads || then.workers != now.workers) {
      say(fmt::format("note: {} workers of {} threads before, {} of {} now: losses will agree in about 6 digits, not in every bit",
                      then.workers, then.threads, now.workers, now.threads));
    }
    now.step = then.step;
    now.sequences = then.sequences;
    now.tokens = then.tokens;
    now.loss_history = then.loss_history;
  }
  start.state = now;
  return start;
}

std::string start_to_text(const Result<Start>& start) {
  if (!start) {
    const auto& error = start.error();
    return json::serialize(
        json::object{{"kind", static_cast<int>(error.kind)}, {"what", error.what}, {"where", error.where}, {"remedy", error.remedy}});
  }
  const auto& s = start->state;
  return json::serialize(json::object{{"config", config_to_json(start->config)},
                                      {"tokenizer", vocabulary_to_json(start->vocabulary)},
                                      {"tokenizer_config", tokenizer_config_json(start->vocabulary, 0)},
                                      {"step", s.step},
                                      {"sequences", s.sequences},
                                      {"tokens", s.tokens},
                                      {"corpus", hex64(s.corpus_mark)},
                                      {"precision", s.precision},
                                      {"loss_history", hex64(s.loss_history)}});
}

Result<Start> start_from_text(const std::string& text, const TrainOptions& options) {
  TRY_ASSIGN(const auto value, parse_json(text, "rank 0"));
  TRY_ASSIGN(const auto fields, as_fields(value, "rank 0"));
  if (fields.has("what")) {
    TRY_ASSIGN(const auto kind, fields.integer("kind", 0, 255));
    TRY_ASSIGN(auto what, fields.text("what"));
    TRY_ASSIGN(auto where, fields.text("where"));
    TRY_ASSIGN(auto remedy, fields.text("remedy"));
    return fail(static_cast<ErrorKind>(kind), std::move(what), std::move(where), std::move(remedy));
  }
  Start start;
  TRY_ASSIGN(const auto config, fields.text("config"));
  TRY_ASSIGN(start.config, config_from_json(config, "rank 0"));
  TRY_ASSIGN(const auto tokenizer, fields.text("tokenizer"));
  TRY_ASSIGN(const auto tokenizer_config, fields.text("tokenizer_config"));
  TRY_ASSIGN(start.vocabulary, vocabulary_from_json(tokenizer, tokenizer_config, "rank 0"));
  constexpr auto kMax = std::int64_t{1} << 60;
  TRY_ASSIGN(start.state.step, fields.integer("step", 0, kMax));
  TRY_ASSIGN(start.state.sequences, fields.integer("sequences", 0, kMax));
  TRY_ASSIGN(start.state.tokens, fields.integer("tokens", 0, kMax));
  TRY_ASSIGN(const auto corpus, fields.text("corpus"));
  start.state.corpus_mark = std::stoull(corpus, nullptr, 16);
  TRY_ASSIGN(start.state.precision, fields.text("precision"));
  TRY_ASSIGN(const auto history, fields.text("loss_history"));
  start.state.loss_history = std::stoull(history, nullptr, 16);
  start.state.batch = options.batch;
  start.state.sequence_length = options.sequence_length;
  return start;
}

/// The parts of a run that is under way.
struct Run {
  const TrainOptions& options;
  Collective collective;
  Start start;
  Corpus corpus;
  Sequences sequences;
  Llama model;
  AdamW optimizer;
  DataOrder order;
  RunState state;
  std::int64_t saved_step = -1;
};

struct StepOutcome {
  float loss = 0;
  bool stop = false;
};

/// Gradient of this rank's share of the batch, averaged over all ranks; then one update.
Result<StepOutcome> take_step(Run& run) {
  const auto& options = run.options;
  const auto share = options.batch / run.collective.count();
  const auto first = run.state.sequences + share * run.collective.rank();
  const auto tokens = static_cast<double>(options.batch * options.sequence_length);
  run.model.flat_gradient.zero_();
  auto sums = at::zeros({2}, at::TensorOptions().dtype(at::kFloat).device(run.model.compute.device));  // loss, stop flags
  for (std::int64_t done = 0; done < share; done += options.micro_batch) {
    std::vector<std::int64_t> indices;
    for (std::int64_t i = done; i < std::min(share, done + options.micro_batch); ++i) indices.push_back(run.order.at(first + i));
    const auto batch = make_batch(run.corpus, run.sequences, indices, run.model.compute.device);
    const auto loss = loss_sum(run.model, batch.ids, batch.targets) / tokens;
    loss.backward();
    sums[0] += loss.detach();
  }
  if (stop_requested) sums[1] += 1;
  TRY(run.collective.sum(sums));
  TRY(run.collective.sum(run.model.flat_gradient));
  StepOutcome outcome{sums[0].item<float>(), sums[1].item<float>() > 0};
  if (!std::isfinite(outcome.loss)) {
    return fail(ErrorKind::conflict, fmt::format("the loss at step {} is not a number any more", run.state.step + 1), "training",
                "lower --lr, raise --warmup, or use --dtype fp32");
  }
  clip_gradient(run.model, options.clip);
  update(run.model, run.optimizer, learning_rate(options.schedule, run.state.step));
  run.state.step += 1;
  run.state.sequences += options.batch;
  run.state.tokens += options.batch * options.sequence_length;
  run.state.loss_history = fingerprint(std::as_bytes(std::span(&outcome.loss, 1)), run.state.loss_history);
  return outcome;
}

Result<void> save(Run& run) {
  if (run.collective.rank() != 0 || run.saved_step == run.state.step) return {};
  TRY_ASSIGN(const auto name,
             save_checkpoint(run.options.checkpoints, run.state, run.model, run.optimizer, run.start.vocabulary, run.options.keep));
  run.saved_step = run.state.step;
  report(fmt::format(R"("checkpoint":{},"step":{})", quoted(name), run.state.step));
  return {};
}

/// Tokens a second over the last steps; steps differ, and a bar that jumps is no use.
class Pace {
 public:
  double after(double tokens) {
    const auto now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    const double weight = seconds_ == 0 ? 1 : 0.1;
    seconds_ += weight * (seconds - seconds_);
    return tokens / seconds_;
  }

 private:
  Clock::time_point last_ = Clock::now();
  double seconds_ = 0;
};

Result<Ending> run_steps(Run& run) {
  const auto& options = run.options;
  const auto step_tokens = options.batch * options.sequence_length;
  Pace pace;
  while (run.state.step < options.schedule.steps) {
    const double rate = learning_rate(options.schedule, run.state.step);
    auto outcome = take_step(run);
    if (!outcome) {
      // The others were told to stop too and have left already: the last checkpoint holds.
      if (outcome.error().kind == ErrorKind::unavailable && stop_requested) return Ending::stopped;
      return std::unexpected(outcome.error());
    }
    if (run.collective.rank() == 0) {
      const double tokens_per_s = pace.after(static_cast<double>(step_tokens));
      const auto left = options.schedule.steps - run.state.step;
      // Nine digits are all of a float.
      report(fmt::format(
          R"("step":{},"steps":{},"loss":{:.9g},"loss_hex":"{:08x}","lr":{:.6g},"tokens":{},"tokens_per_s":{:.0f},"eta_s":{:.0f})",
          run.state.step, options.schedule.steps, outcome->loss, std::bit_cast<std::uint32_t>(outcome->loss), rate, run.state.tokens,
          tokens_per_s, static_cast<double>(left * step_tokens) / tokens_per_s));
    }
    if (outcome->stop) {
      TRY(save(run));
      return run.state.step < options.schedule.steps ? Ending::stopped : Ending::finished;
    }
    if (options.checkpoint_every > 0 && run.state.step % options.checkpoint_every == 0) TRY(save(run));
  }
  TRY(save(run));
  return Ending::finished;
}

Result<void> finish(Run& run) {
  const auto rank0 = run.collective.rank() == 0;
  if (run.sequences.held_out > 0) {
    TRY_ASSIGN(const auto held_out, evaluate(run.model, run.corpus, run.sequences, run.sequences.training, run.sequences.held_out,
                                             run.options.micro_batch, run.collective));
    if (rank0) report(fmt::format(R"("step":{},"eval_loss":{:.9g},"eval_tokens":{})", run.state.step, held_out.loss, held_out.tokens));
  }
  if (rank0 && !run.options.export_to.empty()) {
    TRY(export_model(run.model, run.start.vocabulary, run.options.export_gguf, run.options.export_to));
    report(fmt::format(R"("export":{},"step":{})", quoted(std::filesystem::absolute(run.options.export_to).string()), run.state.step));
  }
  return {};
}

}  // namespace

Result<Ending> train(const TrainOptions& options) {
  listen_for_stop();
  TRY_ASSIGN(const auto ranks, ranks_from_environment());
  TRY(check_options(options, ranks.count));
  TRY_ASSIGN(auto compute, open_compute(options.dtype, ranks.local_rank, options.threads));
  TRY_ASSIGN(const auto documents, read_documents(options.data));
  TRY_ASSIGN(auto collective, Collective::join(ranks, compute.device));

  Result<Start> start = Start{};
  if (ranks.rank == 0) start = prepare(options, compute, documents, ranks.count);
  TRY_ASSIGN(const auto shared, collective.share("centrale/start", ranks.rank == 0 ? start_to_text(start) : std::string{}));
  if (ranks.rank != 0) start = start_from_text(shared, options);
  if (!start) return std::unexpected(start.error());
  compute.precision = start->state.precision == "bf16" ? Precision::bf16 : Precision::fp32;

  TRY_ASSIGN(const auto tokenizer, make_tokenizer(start->vocabulary, "tokenizer"));
  auto corpus = tokenise(documents, tokenizer);
  if (corpus.mark != start->state.corpus_mark) {
    return fail(ErrorKind::conflict, fmt::format("rank {} reads another text than rank 0", ranks.rank), options.data.string());
  }
  TRY_ASSIGN(const auto sequences, cut(corpus, options.sequence_length, options.eval_fraction, options.data.string()));
  auto model = make_llama(start->config, compute, options.seed);
  auto optimizer = make_adamw(model, options.weight_decay);
  if (start->checkpoint) {
    TRY(load_checkpoint(*start->checkpoint, model, optimizer));
  } else if (start->init) {
    TRY(load_weights(*start->init, model));
  }
  optimizer.updates = start->state.step;
  for (auto* values : {&model.flat, &optimizer.mean, &optimizer.variance}) TRY(collective.broadcast(*values));

  if (ranks.rank == 0) {
    say(fmt::format("{} parameters, {} sequences of {} tokens ({} held out), {} workers; {}", parameter_count(model.config),
                    sequences.training, sequences.length, sequences.held_out, ranks.count, describe(compute)));
    if (start->checkpoint) say(fmt::format("going on from {}", start->checkpoint->folder.string()));
  }
  const auto state = start->state;
  Run run{options,
          std::move(collective),
          std::move(*start),
          std::move(corpus),
          sequences,
          std::move(model),
          std::move(optimizer),
          DataOrder(sequences.training, options.seed),
          state,
          -1};
  if (run.start.checkpoint) run.saved_step = state.step;
  has_something_to_save = true;
  TRY_ASSIGN(const auto ending, run_steps(run));
  if (ending == Ending::finished) TRY(finish(run));
  return ending;
}

}  // namespace centrale::trainer
