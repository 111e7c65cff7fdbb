// SPDX-License-Identifier: Apache-2.0
// centrale-trainer: trains, exports, evaluates. See docs/training.md.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <iterator>

#include "checkpoint.hpp"
#include "collective.hpp"
#include "evaluate.hpp"
#include "formats/file.hpp"
#include "formats/json.hpp"
#include "generate.hpp"
#include "train.hpp"

namespace {

using namespace centrale;
using namespace centrale::trainer;
namespace fs = std::filesystem;

// sysexits.h; 64, 65 and 78 tell the centre that a retry cannot help.
enum ExitCode : int { kDone = 0, kFailed = 1, kUsage = 64, kData = 65, kIo = 74, kSaved = 75, kConfiguration = 78 };

int exit_code(const Error& error) {
  if (error.where.starts_with("--")) return kUsage;
  switch (error.kind) {
    case ErrorKind::invalid:
    case ErrorKind::not_found: return kData;
    case ErrorKind::conflict:
    case ErrorKind::unauthorized:
    case ErrorKind::forbidden: return kConfiguration;
    case ErrorKind::io:
    case ErrorKind::exhausted: return kIo;
    case ErrorKind::unavailable: return kFailed;
  }
  return kFailed;
}

int complain(const Error& error) {
  fmt::print(stderr, "centrale-trainer: {}\n", error.message());
  return exit_code(error);
}

struct Opened {
  Llama model;
  Tokenizer tokenizer;
};

Result<Opened> open(const fs::path& path, const std::string& dtype, int threads) {
  TRY_ASSIGN(auto files, open_model(path));
  if (!files.vocabulary) return fail(ErrorKind::invalid, "the model has no tokenizer.json", path.string());
  TRY_ASSIGN(const auto compute, open_compute(dtype, 0, threads));
  TRY_ASSIGN(auto tokenizer, make_tokenizer(*files.vocabulary, path.string()));
  auto model = make_llama(files.config, compute, 0);
  TRY(load_weights(files, model));
  return Opened{std::move(model), std::move(tokenizer)};
}

struct EvalCommand {
  fs::path model;
  fs::path data;
  std::int64_t sequence_length = 256;
  std::int64_t sequences_max = 0;
  std::string dtype = "fp32";
  int threads = 0;
};

Result<void> run_eval(const EvalCommand& command) {
  TRY_ASSIGN(auto opened, open(command.model, command.dtype, command.threads));
  TRY_ASSIGN(const auto documents, read_documents(command.data));
  const auto corpus = tokenise(documents, opened.tokenizer);
  TRY_ASSIGN(const auto sequences, cut(corpus, command.sequence_length, 0, command.data.string()));
  TRY_ASSIGN(auto alone, Collective::join(Ranks{}, at::kCPU));
  auto count = sequences.training;
  if (command.sequences_max > 0) count = std::min(count, command.sequences_max);
  TRY_ASSIGN(const auto result, evaluate(opened.model, corpus, sequences, 0, count, 1, alone));
  const double bits = result.loss / std::log(2.0) * static_cast<double>(corpus.tokens.size()) / static_cast<double>(corpus.bytes);
  fmt::print(R"({{"loss":{:.9g},"perplexity":{:.6g},"bits_per_byte":{:.6g},"tokens":{}}})"
             "\n",
             result.loss, std::exp(result.loss), bits, result.tokens);
  return {};
}

struct GenerateCommand {
  fs::path model;
  std::string prompt;
  std::string dtype = "fp32";
  int threads = 0;
  bool as_json = false;
  GenerateOptions options;
};

Result<void> run_generate(const GenerateCommand& command) {
  TRY_ASSIGN(auto opened, open(command.model, command.dtype, command.threads));
  const auto& vocabulary = opened.tokenizer.vocabulary();
  auto ids = opened.tokenizer.encode(command.prompt, Specials::parse);
  if (ids.empty() || vocabulary.add_bos) {
    if (vocabulary.bos) ids.insert(ids.begin(), *vocabulary.bos);
  }
  if (ids.empty()) return fail(ErrorKind::invalid, "the prompt is empty", "--prompt", "give some text");
  if (!command.as_json) fmt::print("{}", command.prompt);
  generate(opened.model, vocabulary, std::move(ids), command.options, [&](const Choice& choice) {
    if (!command.as_json) {
      fmt::print("{}", opened.tokenizer.decode({choice.id}));
      std::fflush(stdout);
      return;
    }
    std::string top;
    for (const auto& candidate : choice.top) {
      top += fmt::format(R"({}{{"id":{},"logprob":{:.6f}}})", top.empty() ? "" : ",", candidate.id, candidate.log_probability);
    }
    fmt::print(R"({{"id":{},"top":[{}]}})"
               "\n",
               choice.id, top);
  });
  if (!command.as_json) fmt::print("\n");
  return {};
}

struct ExportCommand {
  fs::path checkpoint;
  fs::path out;
  std::string gguf = "f16";
};

const std::map<std::string, ExportGguf> kGgufTypes{{"none", ExportGguf::none}, {"f16", ExportGguf::f16}, {"f32", ExportGguf::f32}};

Result<void> run_export(const ExportCommand& command) {
  auto source = command.checkpoint;
  std::error_code code;
  if (fs::is_directory(source, code) && !fs::exists(source / "config.json", code)) {
    // The folder of all checkpoints stands for its newest one.
    TRY_ASSIGN(const auto newest,
               newest_checkpoint(source, [](const std::string& text) { fmt::print(stderr, "centrale-trainer: {}\n", text); }));
    if (newest) source = newest->folder;
  }
  TRY_ASSIGN(auto opened, open(source, "fp32", 0));
  TRY(export_model(opened.model, opened.tokenizer.vocabulary(), kGgufTypes.at(command.gguf), command.out));
  fmt::print("{}\n", json::serialize(json::object{{"export", fs::absolute(command.out).string()}}));
  return {};
}

struct TokenizerCommand {
  fs::path data;
  fs::path file;
  std::int32_t vocab = 8192;
  bool specials = false;
};

Result<Tokenizer> open_any_tokenizer(const fs::path& path) {
  if (path.extension() == ".gguf") {
    TRY_ASSIGN(auto files, open_model(path));
    if (!files.vocabulary) return fail(ErrorKind::invalid, "the file has no tokenizer", path.string());
    return make_tokenizer(std::move(*files.vocabulary), path.string());
  }
  TRY_ASSIGN(auto vocabulary, open_tokenizer(path));
  return make_tokenizer(std::move(vocabulary), path.string());
}

Result<void> run_tokenizer_train(const TokenizerCommand& command) {
  TRY_ASSIGN(const auto documents, read_documents(command.data));
  std::string text;
  for (const auto& document : documents) text += document;
  TRY_ASSIGN(const auto vocabulary, train_vocabulary(text, command.vocab));
  TRY(make_folder(command.file));
  TRY(replace_text(command.file / "tokenizer.json", vocabulary_to_json(vocabulary)));
  TRY(replace_text(command.file / "tokenizer_config.json", tokenizer_config_json(vocabulary, 1 << 20)));
  fmt::print("{}\n", json::serialize(
                         json::object{{"tokenizer", (command.file / "tokenizer.json").string()}, {"tokens", vocabulary.tokens.size()}}));
  return {};
}

Result<void> run_tokenizer_encode(const TokenizerCommand& command) {
  TRY_ASSIGN(const auto tokenizer, open_any_tokenizer(command.file));
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  const auto ids = tokenizer.encode(text, command.specials ? Specials::parse : Specials::plain);
  fmt::print("{}\n", fmt::join(ids, " "));
  return {};
}

Result<void> run_tokenizer_decode(const TokenizerCommand& command) {
  TRY_ASSIGN(const auto tokenizer, open_any_tokenizer(command.file));
  std::vector<std::int32_t> ids;
  for (std::int32_t id = 0; std::cin >> id;) ids.push_back(id);
  std::cout << tokenizer.decode(ids);
  return {};
}

void add_train(CLI::App& app, TrainOptions& options, std::string& gguf) {
  auto* command = app.add_subcommand("train", "Train a model, or go on from the newest checkpoint");
  command->footer(
      "Example:\n  centrale-trainer train --model examples/models/llama-small.json --data examples/data/opticks.txt \\\n"
      "      --steps 300 --batch 8 --seq 256 --lr 3e-3 --checkpoints run --export model");
  const auto positive = CLI::Range(std::int64_t{1}, std::int64_t{1} << 40);
  const auto count = CLI::Range(std::int64_t{0}, std::int64_t{1} << 40);
  command->add_option("--model", options.model, "config.json of a Llama model, as Hugging Face writes it");
  command->add_option("--data", options.data, "A text file, or a folder with *.txt")->required();
  command->add_option("--tokenizer", options.tokenizer, "tokenizer.json, or its folder; without it one is learnt from the data");
  command->add_option("--vocab", options.vocab, "Size of a tokenizer to learn (default: vocab_size of the model)")
      ->check(CLI::Range(0, 4'000'000));
  command->add_option("--init", options.init, "Weights to go on from: a Hugging Face folder, .safetensors or .gguf");
  command->add_option("--checkpoints", options.checkpoints, "Folder of the checkpoints")->envname("CENTRALE_CHECKPOINT_DIR")->required();
  command->add_option("--checkpoint-every", options.checkpoint_every, "Steps between checkpoints; 0: only at the end and when stopped")
      ->check(count)
      ->capture_default_str();
  command->add_option("--keep", options.keep, "Checkpoints to keep")->check(CLI::Range(1, 1000))->capture_default_str();
  command->add_option("--export", options.export_to, "Folder for the finished model (safetensors and GGUF)")
      ->envname("CENTRALE_EXPORT_DIR");
  command->add_option("--gguf", gguf, "Weights in the exported GGUF file")
      ->check(CLI::IsMember({"none", "f16", "f32"}))
      ->capture_default_str();
  command->add_option("--steps", options.schedule.steps, "Optimizer steps of the whole run")->required()->check(positive);
  command->add_option("--batch", options.batch, "Sequences a step, over all workers")->check(positive)->capture_default_str();
  command->add_option("--micro-batch", options.micro_batch, "Sequences at once in one worker")->check(positive)->capture_default_str();
  command->add_option("--seq", options.sequence_length, "Tokens of a sequence")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  command->add_option("--lr", options.schedule.rate, "Learning rate after the warm-up")
      ->check(CLI::Range(0.0, 10.0))
      ->capture_default_str();
  command->add_option("--min-lr", options.schedule.rate_min, "Learning rate at the last step")
      ->check(CLI::Range(0.0, 10.0))
      ->capture_default_str();
  command->add_option("--warmup", options.schedule.warmup_steps, "Steps of warm-up")->check(count)->capture_default_str();
  command->add_option("--weight-decay", options.weight_decay, "Decay of matrices; norms do not decay")
      ->check(CLI::Range(0.0, 10.0))
      ->capture_default_str();
  command->add_option("--clip", options.clip, "Longest gradient; 0: no clipping")->check(CLI::Range(0.0, 1e9))->capture_default_str();
  command->add_option("--seed", options.seed, "Seed of the weights and the order of the data")->capture_default_str();
  command->add_option("--dtype", options.dtype, "Precision of matrix products")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  command->add_option("--eval-fraction", options.eval_fraction, "Part of the text that is held out and evaluated at the end")
      ->check(CLI::Range(0.0, 0.9))
      ->capture_default_str();
  command->add_option("--threads", options.threads, "CPU threads (default: OMP_NUM_THREADS)")->check(CLI::Range(0, 4096));
}

CLI::App* add_tokenizer(CLI::App& app, TokenizerCommand& options) {
  auto* tokenizer = app.add_subcommand("tokenizer", "Learn a byte-level BPE, or use one on stdin")->require_subcommand(1);
  auto* learn = tokenizer->add_subcommand("train", "Learn a tokenizer from a text");
  learn->add_option("--data", options.data, "A text file, or a folder with *.txt")->required();
  learn->add_option("--vocab", options.vocab, "Size of the vocabulary")->check(CLI::Range(259, 4'000'000))->capture_default_str();
  learn->add_option("--out", options.file, "Folder for tokenizer.json")->required();
  auto* encode = tokenizer->add_subcommand("encode", "Text on stdin to ids on stdout");
  encode->add_option("--tokenizer", options.file, "tokenizer.json, its folder, or a .gguf")->required();
  encode->add_flag("--special", options.specials, "Look for control tokens in the text");
  auto* decode = tokenizer->add_subcommand("decode", "Ids on stdin to text on stdout");
  decode->add_option("--tokenizer", options.file, "tokenizer.json, its folder, or a .gguf")->required();
  return tokenizer;
}

void add_eval(CLI::App& app, EvalCommand& eval) {
  auto* command = app.add_subcommand("eval", "Loss of a model on a text");
  command->add_option("--model", eval.model, "Folder, .safetensors or .gguf")->required();
  command->add_option("--data", eval.data, "A text file, or a folder with *.txt")->required();
  command->add_option("--seq", eval.sequence_length, "Tokens of a sequence")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  command->add_option("--max-sequences", eval.sequences_max, "Only so many sequences; 0: all")->capture_default_str();
  command->add_option("--dtype", eval.dtype, "auto, fp32 or bf16")->capture_default_str();
  command->add_option("--threads", eval.threads, "CPU threads");
}

void add_generate(CLI::App& app, GenerateCommand& generate) {
  auto* command = app.add_subcommand("generate", "A few tokens from a model, to look at it; serving is llama.cpp's work");
  command->add_option("--model", generate.model, "Folder, .safetensors or .gguf")->required();
  command->add_option("--prompt", generate.prompt, "Text to go on with");
  command->add_option("--tokens", generate.options.tokens_max, "At most so many")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  command->add_option("--temperature", generate.options.temperature, "0: the most likely token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--seed", generate.options.seed, "Seed of the choice")->capture_default_str();
  command->add_option("--top", generate.options.top, "Alternatives to list with --json")->check(CLI::Range(1, 1000))->capture_default_str();
  command->add_flag("--json", generate.as_json, "One line of JSON a token");
  command->add_option("--dtype", generate.dtype, "auto, fp32 or bf16")->capture_default_str();
  command->add_option("--threads", generate.threads, "CPU threads");
}

void add_export(CLI::App& app, ExportCommand& exported) {
  auto* command = app.add_subcommand("export", "A checkpoint as a Hugging Face folder and GGUF");
  command->add_option("--checkpoint", exported.checkpoint, "step-… folder, the folder of all checkpoints, or any model")->required();
  command->add_option("--out", exported.out, "Folder to write")->required();
  command->add_option("--gguf", exported.gguf, "Weights in the GGUF file")
      ->check(CLI::IsMember({"none", "f16", "f32"}))
      ->capture_default_str();
}

int finish(const Result<void>& result) { return result ? kDone : complain(result.error()); }

int run(int argc, char** argv) {
  CLI::App app{"Centrale's reference trainer: Llama models on libtorch"};
  app.set_version_flag("--version", "centrale-trainer 0.1.0");
  app.require_subcommand(1);
  TrainOptions train_options;
  std::string gguf = "f16";
  EvalCommand eval;
  GenerateCommand generate_command;
  ExportCommand export_command;
  TokenizerCommand tokenizer_command;
  add_train(app, train_options, gguf);
  auto* tokenizer = add_tokenizer(app, tokenizer_command);
  add_eval(app, eval);
  add_generate(app, generate_command);
  add_export(app, export_command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) { return app.exit(error) == 0 ? kDone : kUsage; }
  if (app.got_subcommand("train")) {
    train_options.export_gguf = kGgufTypes.at(gguf);
    const auto ending = train(train_options);
    if (!ending) return complain(ending.error());
    return *ending == Ending::finished ? kDone : kSaved;
  }
  if (app.got_subcommand("eval")) return finish(run_eval(eval));
  if (app.got_subcommand("generate")) return finish(run_generate(generate_command));
  if (app.got_subcommand("export")) return finish(run_export(export_command));
  if (tokenizer->got_subcommand("train")) return finish(run_tokenizer_train(tokenizer_command));
  if (tokenizer->got_subcommand("encode")) return finish(run_tokenizer_encode(tokenizer_command));
  return finish(run_tokenizer_decode(tokenizer_command));
}

}  // namespace

int main(int argc, char** argv) {
  // libgomp's threads spin for milliseconds between two operations. On cores that others use too, that makes training several times
  // slower; the library reads the variable before main(), so that it must be set for a second start.
  if (std::getenv("GOMP_SPINCOUNT") == nullptr && std::getenv("OMP_WAIT_POLICY") == nullptr) {
    setenv("GOMP_SPINCOUNT", "2000", 0);
    execv("/proc/self/exe", argv);  // if it fails, we are only slower
  }
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "centrale-trainer: out of memory; use a smaller --micro-batch, --seq or model\n");
    return kFailed;
  } catch (const std::exception& error) {
    fmt::print(stderr, "centrale-trainer: {}\n", error.what());
    return kFailed;
  }
}
