// SPDX-License-Identifier: Apache-2.0
// How the plan commands are spelled.
#include "cli/add_command.hpp"
#include "cli/command_line.hpp"
#include "cli/plan.hpp"

namespace centrale::cli {
namespace {

template <class Options>
CLI::App* add_offline(CLI::App& parent, Context& context, const std::string& name, const std::string& text,
                      std::shared_ptr<Options> options, int (*run)(Context&, const Options&)) {
  CLI::App* command = add(parent, context, name, text, std::move(options), run);
  command->preparse_callback([&context](std::size_t) { context.offline = true; });
  return command;
}

void add_catalogue(CLI::App* c, KnownFiles& known) {
  c->add_option("--catalogue", known.catalogue, "chips of your own, laid over those built in; `centrale calibrate` writes such a file")
      ->type_name("FILE");
}
void add_stacks(CLI::App* c, KnownFiles& known) {
  c->add_option("--stacks", known.stacks, "training software of your own, laid over what is built in")->type_name("FILE");
}
void add_engines(CLI::App* c, KnownFiles& known) {
  c->add_option("--engines", known.engines, "serving software of your own, laid over what is built in")->type_name("FILE");
}

void add_train(CLI::App& plan, Context& context) {
  auto o = std::make_shared<PlanTrainOptions>();
  CLI::App* c = add_offline(plan, context, "train",
                            "Find the layouts in which a model trains fastest on a fleet, with their memory, time, energy and cost.\n"
                            "Numbers may end in k, M, G, T: thousands, millions and so on.",
                            o, &plan_train_command);
  c->add_option("--model", o->model, "a config.json, a name (centrale plan models), or a Hugging Face id")->required()->type_name("MODEL");
  c->add_option("--fleet", o->fleet, "a fleet file, or such as h100x16384 or h100x512,mi300xx256")->required()->type_name("FLEET");
  c->add_option("--tokens", o->tokens, "tokens to train on; without them no days, energy and cost")->type_name("N");
  c->add_option("--batch", o->batch, "tokens of one step, such as 16M, or such as '2048 sequences'")->required()->type_name("N");
  c->add_option("--seq", o->sequence, "tokens of a sequence")->required()->type_name("N");
  c->add_option("--precision", o->precisions, "what may be multiplied in, such as bf16,fp8")->type_name("LIST")->capture_default_str();
  c->add_option("--schedule", o->schedules,
                "pipeline schedules that may be used: 1f1b,zero-bubble,dual-pipe; those of the stack if not given")
      ->type_name("LIST");
  c->add_option("--stack", o->stack, "the training software (centrale plan stacks); the chips' usual one if not given")->type_name("STACK");
  c->add_option("--layout", o->layout, "judge this layout instead, such as 'tp8 pp16 v2 mb1 sp zero1'")->type_name("LAYOUT");
  c->add_flag("--explain", o->explain, "every term of the best layout's estimate, with its source");
  c->add_option("--timeline", o->timeline, "write one step of the best layout for ui.perfetto.dev or chrome://tracing")->type_name("FILE");
  c->add_option("--top", o->top, "how many layouts are shown")->check(CLI::Range(1, 100))->type_name("N")->capture_default_str();
  c->add_option("--lora", o->lora_rank, "train adapters of this rank alone")->check(CLI::Range(1, 65536))->type_name("RANK");
  c->add_option("--margin", o->margin, "part of each chip's memory to leave free")
      ->check(CLI::Range(0.0, 0.95))
      ->type_name("PART")
      ->capture_default_str();
  c->add_option("--pue", o->pue, "what the site draws over what its computers draw")
      ->check(CLI::Range(1.0, 10.0))
      ->type_name("RATIO")
      ->capture_default_str();
  c->add_option("--chip-mtbf", o->chip_mtbf, "mean time between failures of one chip with its share of the host, such as 2000d")
      ->type_name("SPAN");
  c->add_option("--restart", o->restart, "from a failure to the first step after it")->type_name("SPAN");
  c->add_option("--checkpoint-every", o->checkpoint_every, "between checkpoints; the best interval if not given")->type_name("SPAN");
  add_catalogue(c, o->known);
  add_stacks(c, o->known);
  set_examples(*c, {"centrale plan train --model llama-3.1-405b --fleet h100x16384 --tokens 15.6T --batch 16M --seq 8192",
                    "centrale plan train --model deepseek-v3 --fleet h800x2048 --batch 61M --seq 4096 --precision bf16,fp8 --top 3",
                    "centrale plan train --model llama-3.1-70b --fleet h100x64 --batch 1M --seq 8192 --layout 'tp8 pp2 mb1 sp zero1'",
                    "centrale plan train --model mixtral-8x7b --fleet mi300xx64 --batch 4M --seq 4096 --explain --timeline step.json"});
}

void add_serve(CLI::App& plan, Context& context) {
  auto o = std::make_shared<PlanServeOptions>();
  CLI::App* c =
      add_offline(plan, context, "serve",
                  "Find the cheapest way to serve a model at a service level: layout, replicas, and what speed for a user costs.\n"
                  "Levels hold for 95 of 100 requests.",
                  o, &plan_serve_command);
  c->add_option("--model", o->model, "a config.json, a name (centrale plan models), or a Hugging Face id")->required()->type_name("MODEL");
  c->add_option("--fleet", o->fleet, "a fleet file, or such as h100x64")->required()->type_name("FLEET");
  c->add_option("--input", o->input, "tokens of a prompt, in the mean")->type_name("N")->capture_default_str();
  c->add_option("--output", o->output, "tokens of an answer, in the mean")->type_name("N")->capture_default_str();
  c->add_option("--ttft", o->ttft, "longest time to the first token, such as 500ms")->type_name("SPAN");
  c->add_option("--itl", o->itl, "longest time between tokens, such as 40ms")->type_name("SPAN");
  c->add_option("--rate", o->rate, "requests to serve, such as 200/s; what one replica can if not given")->type_name("RATE");
  c->add_option("--engine", o->engine, "the serving software (centrale plan stacks); the chip's usual one if not given")
      ->type_name("ENGINE");
  c->add_option("--weights", o->weights, "formats of the weights, such as bf16,fp8; bf16, and fp8 where the chip has it, if not given")
      ->type_name("LIST");
  c->add_option("--spread", o->spread, "standard deviation of both lengths over their mean")
      ->check(CLI::Range(0.0, 10.0))
      ->type_name("RATIO")
      ->capture_default_str();
  c->add_option("--reuse", o->reuse, "part of a prompt that is in the cache already")
      ->check(CLI::Range(0.0, 0.99))
      ->type_name("PART")
      ->capture_default_str();
  c->add_option("--draft", o->draft, "tokens guessed ahead (speculative decoding)")
      ->check(CLI::Range(0.0, 64.0))
      ->type_name("N")
      ->capture_default_str();
  c->add_option("--acceptance", o->acceptance, "how often a guess is right")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("PART")
      ->capture_default_str();
  c->add_option("--replica-chips", o->replica_chips_max, "at most so many chips a replica; 0: no limit")
      ->check(CLI::Range(0, 100'000))
      ->type_name("N")
      ->capture_default_str();
  c->add_option("--margin", o->margin, "part of each chip's memory to leave free")
      ->check(CLI::Range(0.0, 0.95))
      ->type_name("PART")
      ->capture_default_str();
  c->add_flag("--together", o->together, "prefill and decode on the same replicas only");
  c->add_option("--top", o->top, "how many plans are shown")->check(CLI::Range(1, 100))->type_name("N")->capture_default_str();
  c->add_flag("--explain", o->explain, "every term of the best plan, with its source");
  add_catalogue(c, o->known);
  add_engines(c, o->known);
  set_examples(*c, {"centrale plan serve --model llama-3.1-70b --fleet h100x64 --ttft 500ms --itl 40ms --rate 20/s",
                    "centrale plan serve --model deepseek-v3 --fleet h200x128 --input 4096 --output 1024 --rate 30/s --json"});
}

void add_fleet(CLI::App& plan, Context& context) {
  auto o = std::make_shared<PlanFleetOptions>();
  CLI::App* c =
      add_offline(plan, context, "fleet", "Find which chips train a model within so many days, how many of them, and at what cost.", o,
                  &plan_fleet_command);
  c->add_option("--model", o->model, "a config.json, a name (centrale plan models), or a Hugging Face id")->required()->type_name("MODEL");
  c->add_option("--tokens", o->tokens, "tokens to train on")->required()->type_name("N");
  c->add_option("--days", o->days, "at most so many days")->required()->check(CLI::PositiveNumber)->type_name("N");
  c->add_option("--chips", o->chips, "the chips to choose from, such as h100,mi300x,ascend-910b")->required()->type_name("LIST");
  c->add_option("--batch", o->batch, "tokens of one step; what published runs of so many tokens use if not given")->type_name("N");
  c->add_option("--seq", o->sequence, "tokens of a sequence")->type_name("N")->capture_default_str();
  c->add_option("--max", o->chips_max, "at most so many chips of one kind")
      ->check(CLI::Range(1, 10'000'000))
      ->type_name("N")
      ->capture_default_str();
  c->add_option("--precision", o->precisions, "what may be multiplied in, such as bf16,fp8")->type_name("LIST")->capture_default_str();
  c->add_option("--stack", o->stack, "the training software (centrale plan stacks); the chip's usual one if not given")->type_name("STACK");
  add_catalogue(c, o->known);
  add_stacks(c, o->known);
  set_examples(*c, {"centrale plan fleet --model llama-3.1-70b --tokens 15T --days 60 --chips h100,mi300x,ascend-910b",
                    "centrale plan fleet --model deepseek-v3 --tokens 14.8T --days 90 --chips h800,h200 --precision fp8 --json"});
}

void add_lists(CLI::App& plan, Context& context) {
  auto known = std::make_shared<KnownFiles>();
  CLI::App* c = add_offline(plan, context, "models", "List the models that are known by name.", known, &plan_models_command);
  set_examples(*c, {"centrale plan models", "centrale plan models --json"});
  known = std::make_shared<KnownFiles>();
  c = add_offline(plan, context, "chips", "List the chips that are known, with their numbers.", known, &plan_chips_command);
  add_catalogue(c, *known);
  set_examples(*c, {"centrale plan chips", "centrale plan chips --json"});
  known = std::make_shared<KnownFiles>();
  c = add_offline(plan, context, "stacks", "List the training and serving software whose constants are known.", known,
                  &plan_stacks_command);
  add_stacks(c, *known);
  add_engines(c, *known);
  set_examples(*c, {"centrale plan stacks", "centrale plan stacks --json"});
}

void add_predict(CLI::App& plan, Context& context) {
  auto o = std::make_shared<PlanPredictOptions>();
  CLI::App* c = add_offline(plan, context, "predict",
                            "Predict measured runs, row by row: the table goes to stdout with what was predicted beside each.\n"
                            "A row that cannot be predicted says why in its note. The columns are described in docs/planner.md.",
                            o, &plan_predict_command);
  c->add_option("FILE", o->file, "a table of training or serving runs; - is standard input")->required()->type_name("FILE");
  add_catalogue(c, o->known);
  add_stacks(c, o->known);
  add_engines(c, o->known);
  set_examples(*c, {"centrale plan predict runs.csv > predicted.csv", "centrale plan predict - < runs.csv"});
}

}  // namespace

void add_plan_commands(CLI::App& app, Context& context) {
  CLI::App* plan = app.add_subcommand("plan", "Plan training and serving on any fleet, without a chip of it.");
  plan->require_subcommand(1);
  add_train(*plan, context);
  add_serve(*plan, context);
  add_fleet(*plan, context);
  add_predict(*plan, context);
  add_lists(*plan, context);
  set_examples(*plan, {"centrale plan train --model llama-3.1-8b --fleet h100x64 --batch 4M --seq 8192", "centrale plan models"});
}

}  // namespace centrale::cli
