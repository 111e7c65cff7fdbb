// SPDX-License-Identifier: Apache-2.0
// The plan commands as people type them, on real models and chips.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>
#include <cstdlib>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/csv.hpp"
#include "base/json.hpp"
#include "cli/cli_testing.hpp"
#include "fleet/catalogue.hpp"
#include "model/read.hpp"

namespace centrale::cli {
namespace {

using centrale::cli::testing::FakeApi;
using centrale::cli::testing::Ran;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;

/// Runs a command; no plan command asks a centre.
Ran plan(const Words& words, std::size_t width = 0) {
  FakeApi api;
  Words all{"plan"};
  all.insert(all.end(), words.begin(), words.end());
  Ran ran = testing::run(api, all, false, width);
  EXPECT_TRUE(api.asked.empty());
  return ran;
}

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// A small thing to plan: takes milliseconds.
const Words kTrain{"train", "--model", "llama-3.1-8b", "--fleet", "h100x16", "--batch", "1M", "--seq", "8192"};
const Words kServe{"serve", "--model", "llama-3.1-8b", "--fleet", "h100x8", "--ttft", "500ms", "--itl", "40ms", "--rate", "5/s"};

/// The words with the value of one option replaced.
Words having(Words words, const std::string& option, const std::string& value) {
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == option) { words[i + 1] = value; }
  }
  return words;
}

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("plan_test." + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const std::string& name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return (path_ / name).string();
  }
  [[nodiscard]] std::string path(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

bool is_json_text(const std::string& text) {
  JsonReader reader;
  return reader.parse(text, JsonStrictness::lenient).has_value();
}

std::size_t widest_line(const std::string& text) {
  std::size_t widest = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) { widest = std::max(widest, display_width(line)); }
  return widest;
}

TEST(PlanTrainCommand, ShowsTheBestLayoutsTheirTimeMemoryAndReasons) {
  const Ran ran = plan(with(kTrain, {"--tokens", "1T", "--top", "3"}));
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.err, "");
  for (const char* text :
       {"Llama-3.1-8B (8.03B parameters): 128 sequences of 8,192 tokens a step\n16 x NVIDIA H100 SXM5 80GB; Megatron-Core", "LAYOUT", "MFU",
        "TOKENS/S", "DAYS", "MWH", "COST USD", "COMPUTATION", "WEIGHTS", "ACTIVATIONS", "80.0 GiB", "bound by", "goodput", "searched",
        "a batch of 1M was taken as 128 sequences, 1,048,576 tokens a step"}) {
    EXPECT_THAT(ran.out, HasSubstr(text));
  }
  EXPECT_THAT(ran.out, AllOf(HasSubstr("\n1  tp"), HasSubstr("\n3  tp"), Not(HasSubstr("\n4  tp"))));
}

TEST(PlanTrainCommand, TablesFitATerminalOf120Columns) {
  const Ran ran = plan({"train", "--model", "deepseek-v3", "--fleet", "h800x2048", "--batch", "61M", "--seq", "4096", "--tokens", "14.8T",
                        "--precision", "bf16,fp8", "--stack", "hai-llm"},
                       120);
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_LE(widest_line(ran.out), 120U) << ran.out;
}

TEST(PlanTrainCommand, JsonHasTheSameNumbers) {
  const Ran ran = plan(with(kTrain, {"--tokens", "1T", "--json", "--explain"}));
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(is_json_text(ran.out));
  for (const char* text : {R"("global_batch":128)", R"("plans":[{"joined":"alone","parts":[{"island":"h100-sxm")", R"("step_s":)",
                           R"("mwh":)", R"("memory_bytes":{"weights":)", R"("fits":true)", R"("bound_by":"computation)",
                           R"("explanation":[[{"name":)", R"("evaluated":)", R"("currency":"USD")"}) {
    EXPECT_THAT(ran.out, HasSubstr(text));
  }
}

TEST(PlanTrainCommand, TheSameQuestionHasTheSameAnswer) {
  const auto without_time = [](std::string text) { return text.substr(0, text.find("searched")); };
  EXPECT_EQ(without_time(plan(kTrain).out), without_time(plan(kTrain).out));
}

TEST(PlanTrainCommand, ExplainsEveryTerm) {
  const Ran ran = plan(with(kTrain, {"--explain"}), 120);
  for (const char* text : {"Where it comes from: tp", "NVIDIA H100", "step: computation, forward", "step: total", "memory: total",
                           "arXiv:2204.02311", "GEMM efficiency", "stack megatron-core"}) {
    EXPECT_THAT(ran.out, HasSubstr(text));
  }
  EXPECT_LE(widest_line(ran.out.substr(ran.out.find("Where it comes from:"))), 120U);
}

TEST(PlanTrainCommand, ALayoutOfOnesOwnIsJudged) {
  Ran ran = plan(with(kTrain, {"--layout", "tp2 pp2 mb1 sp zero1"}));
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("tp2 pp2 dp4 mb1 sp zero1 bf16"), Not(HasSubstr("searched"))));
  ran = plan({"train", "--model", "llama-3.1-405b", "--fleet", "h100x8", "--batch", "1M", "--seq", "8192", "--layout", "tp8"});
  EXPECT_EQ(ran.code, kExitInput);
  EXPECT_THAT(ran.out, HasSubstr("it does not fit"));
  EXPECT_THAT(ran.err, HasSubstr("the layout needs 1.02 TiB a chip, h100-sxm has 77.6 GiB after the margin"));
  ran = plan(with(kTrain, {"--layout", "tp3"}));
  EXPECT_EQ(ran.code, kExitInput);
  EXPECT_EQ(ran.out, "");
  ran = plan(with(kTrain, {"--layout", "tp3 what"}));
  EXPECT_EQ(ran.code, kExitUsage);
  EXPECT_THAT(ran.err, HasSubstr("--layout: 'what' is no part of a layout"));
}

TEST(PlanTrainCommand, DrawsATimeline) {
  const Folder folder;
  const std::string file = folder.path("step.json");
  const Ran ran = plan(with(kTrain, {"--layout", "tp2 pp4 mb1 zero1", "--timeline", file}));
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("ui.perfetto.dev"));
  std::ifstream in(file);
  const std::string json((std::istreambuf_iterator<char>(in)), {});
  EXPECT_TRUE(is_json_text(json));
  EXPECT_THAT(json, AllOf(HasSubstr("stage 3, layers 24 to 31"), HasSubstr("\"bubble\""), HasSubstr("forward 63")));
  const Ran refused = plan(with(kTrain, {"--timeline", folder.path("no/such/folder.json")}));
  EXPECT_EQ(refused.code, kExitFailed);
  EXPECT_THAT(refused.err, HasSubstr("cannot be written"));
}

TEST(PlanTrainCommand, IslandsOfUnlikeChipsHaveARowEach) {
  const Folder folder;
  const Words question{"train", "--model", "llama-3.1-8b", "--fleet", "h100x8,a100-sxm-80gbx8", "--batch", "64 sequences",
                       "--seq", "4096",    "--top",        "2"};
  const Ran ran = plan(with(question, {"--explain", "--timeline", folder.path("step.json")}), 120);
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out,
              AllOf(HasSubstr("8 x NVIDIA H100 SXM5 80GB + 8 x NVIDIA A100 SXM4 80GB"), HasSubstr("1  h100-sxm: tp"),
                    HasSubstr("\n   a100-sxm-80gb: tp"), HasSubstr("links       "), HasSubstr("Where it comes from: a100-sxm-80gb: tp")));
  EXPECT_LE(widest_line(ran.out), 120U);
  EXPECT_TRUE(std::filesystem::exists(folder.path("step.json")));
  const Ran one = plan(with(question, {"--layout", "a100-sxm-80gb: tp2 mb1 zero1"}));
  EXPECT_EQ(one.code, 0) << one.err;
  EXPECT_THAT(one.out, HasSubstr("a100-sxm-80gb: tp2 dp4 mb1 zero1 bf16"));
}

TEST(PlanTrainCommand, WhatFitsNowhereSaysByHowMuchAndTheWaysOut) {
  const Ran ran = plan({"train", "--model", "llama-3.1-405b", "--fleet", "h100x8", "--batch", "1M", "--seq", "8192"});
  EXPECT_EQ(ran.code, kExitInput);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err,
              AllOf(HasSubstr("GiB a chip at best"), HasSubstr("h100-sxm has 77.6 GiB after the margin"), HasSubstr("to make it fit")));
  EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1);
}

TEST(PlanTrainCommand, EveryBadValueIsALineOnStderr) {
  struct Bad {
    const char *option, *value, *says;
    int code;
  };
  for (const Bad& bad :
       {Bad{"--model", "lama-3.1-8b", "nearest: llama-3.1-8b", kExitInput},
        Bad{"--model", "llama-3.1-8b-of-mine.json", "cannot be read", kExitInput},
        Bad{"--fleet", "h1000x16", "not in the catalogue", kExitInput}, Bad{"--fleet", "h100", "does not say how many chips", kExitInput},
        Bad{"--fleet", "h100x0", "wants 1 to", kExitInput}, Bad{"--fleet", "h100x16.yaml", "without a file: --fleet h100x16", kExitInput},
        Bad{"--batch", "much", "--batch 'much' is not understood", kExitUsage}, Bad{"--batch", "1k", "less than one sequence", kExitInput},
        Bad{"--seq", "0", "--seq '0' is not understood", kExitUsage},
        Bad{"--seq", "2e9", "less than one sequence of 2,000,000,000", kExitInput}}) {
    const Ran ran = plan(having(kTrain, bad.option, bad.value));
    EXPECT_EQ(ran.code, bad.code) << bad.option << ' ' << bad.value << ": " << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(bad.says)) << bad.option << ' ' << bad.value;
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1);
  }
  for (const Bad& bad :
       {Bad{"--tokens", "-3", "--tokens '-3'", kExitUsage}, Bad{"--precision", "fp7", "--precision 'fp7'", kExitUsage},
        Bad{"--schedule", "gpipe", "--schedule 'gpipe'", kExitUsage}, Bad{"--stack", "megatron-cor", "nearest: megatron-core", kExitInput},
        Bad{"--top", "0", "--top", kExitUsage}, Bad{"--lora", "0", "--lora", kExitUsage}, Bad{"--margin", "1", "--margin", kExitUsage},
        Bad{"--pue", "0.9", "--pue", kExitUsage}, Bad{"--chip-mtbf", "never", "--chip-mtbf 'never'", kExitUsage},
        Bad{"--restart", "x", "--restart 'x'", kExitUsage}, Bad{"--checkpoint-every", "x", "--checkpoint-every 'x'", kExitUsage},
        Bad{"--catalogue", "/no/such.yaml", "cannot be read", kExitInput},
        Bad{"--stacks", "/no/such.yaml", "cannot be read", kExitInput}}) {
    const Ran ran = plan(with(kTrain, {std::string(bad.option) + "=" + bad.value}));
    EXPECT_EQ(ran.code, bad.code) << bad.option << ' ' << bad.value << ": " << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(bad.says)) << bad.option;
  }
  const Ran json = plan(with(having(kTrain, "--fleet", "h1000x16"), {"--json"}));
  EXPECT_EQ(json.code, kExitInput);
  EXPECT_TRUE(is_json_text(json.err));
  for (const char* needed : {"--model", "--fleet", "--batch", "--seq"}) {
    Words words;
    for (std::size_t i = 0; i < kTrain.size(); ++i) {
      if (kTrain[i] == needed) {
        ++i;
      } else {
        words.push_back(kTrain[i]);
      }
    }
    const Ran ran = plan(words);
    EXPECT_EQ(ran.code, kExitUsage) << needed;
    EXPECT_THAT(ran.err, HasSubstr(needed));
  }
}

TEST(PlanTrainCommand, FilesOfOnesOwnAreLaidOverWhatIsBuiltIn) {
  const Folder folder;
  // A model, a fleet, a chip and a stack of one's own: half as much memory changes the answer.
  const auto known = catalogue_models();
  const auto small = std::ranges::find(known, std::string_view("qwen2.5-0.5b"), &CatalogueModel::name);
  ASSERT_NE(small, known.end());
  const std::string model = folder.file("config.json", small->config_json);
  const std::string fleet = folder.file("fleet.yaml", "name: lab\nislands:\n  - {name: rack, chip: my-chip, chips: 8}\n");
  std::string chips(default_catalogue_text());
  const std::size_t from = chips.find("  - key: h100-sxm\n"), to = chips.find("  - key: ", from + 5);
  std::string chip = chips.substr(from, to - from);
  chip.replace(chip.find("h100-sxm"), 8, "my-chip");
  const std::size_t aliases = chip.find("    aliases:");
  chip.erase(aliases, chip.find('\n', aliases) + 1 - aliases);
  const std::string catalogue = folder.file("chips.yaml", chips.substr(0, chips.find("chips:")) + "chips:\n" + chip);
  const std::string stacks = folder.file("stacks.yaml", "stacks:\n  - {key: mine, name: Our own, source: measured here, gemm: 0.5}\n");
  const Words question{"train",    "--model", model,     "--fleet", fleet,   "--catalogue", catalogue,
                       "--stacks", stacks,    "--batch", "1M",      "--seq", "4096"};
  const Ran usual = plan(question);
  EXPECT_EQ(usual.code, 0) << usual.err;
  EXPECT_THAT(usual.out, HasSubstr("8 x NVIDIA H100 SXM5 80GB"));
  const Ran mine = plan(with(question, {"--stack", "mine"}));
  EXPECT_EQ(mine.code, 0) << mine.err;
  EXPECT_THAT(mine.out, HasSubstr("Our own"));
  EXPECT_NE(mine.out, usual.out);
  EXPECT_EQ(plan(having(question, "--model", std::filesystem::path(model).parent_path().string())).out.substr(0, 20),
            usual.out.substr(0, 20));
  const std::string broken = folder.file("broken.yaml", "stacks:\n  - {key: mine, nam: x}\n");
  const Ran ran = plan(having(question, "--stacks", broken));
  EXPECT_EQ(ran.code, kExitInput);
  EXPECT_THAT(ran.err, HasSubstr("broken.yaml:2"));
  const std::string contradiction = folder.file("bad.json", R"({"model_type":"llama","hidden_size":0})");
  EXPECT_EQ(plan(having(question, "--model", contradiction)).code, kExitInput);
}

TEST(PlanServeCommand, ShowsPlansTheFrontAndWhatBinds) {
  const Ran ran = plan(with(kServe, {"--explain"}));
  EXPECT_EQ(ran.code, 0) << ran.err;
  for (const char* text :
       {"1,024 tokens in, 512 out, 5.00 requests a second, first token within 500 ms", "REPLICAS AND LAYOUT", "TTFT P95", "TOK/S/CHIP",
        "USD/M TOK", "ITERATION", "CACHE OF A TOKEN", "Speed of one user", "bound by", "searched", "Where it comes from"}) {
    EXPECT_THAT(ran.out, HasSubstr(text));
  }
  const Ran json = plan(with(kServe, {"--json", "--explain"}));
  EXPECT_TRUE(is_json_text(json.out));
  for (const char* text :
       {R"("plans":[{"island":"h100-sxm")", R"("ttft_s":{"mean":)", R"("front":[{)", R"("element_wise":)", R"("explanation":[)"}) {
    EXPECT_THAT(json.out, HasSubstr(text));
  }
}

TEST(PlanServeCommand, WhatCannotBeIsSaidInOneLine) {
  struct Bad {
    Words words;
    const char* says;
    int code;
  };
  for (const Bad& bad :
       {Bad{having(kServe, "--ttft", "soon"), "--ttft 'soon'", kExitUsage}, Bad{having(kServe, "--itl", "0s"), "--itl '0s'", kExitUsage},
        Bad{having(kServe, "--rate", "many"), "--rate 'many'", kExitUsage}, Bad{with(kServe, {"--input", "0"}), "--input '0'", kExitUsage},
        Bad{with(kServe, {"--output", "-1"}), "--output '-1'", kExitUsage},
        Bad{with(kServe, {"--engine", "vlm"}), "nearest: vllm", kExitInput},
        Bad{with(kServe, {"--weights", "fp7"}), "--weights 'fp7'", kExitUsage}, Bad{with(kServe, {"--reuse", "1"}), "--reuse", kExitUsage},
        Bad{with(kServe, {"--spread", "-1"}), "--spread", kExitUsage},
        Bad{with(kServe, {"--engines", "/no/such.yaml"}), "cannot be read", kExitInput},
        Bad{having(kServe, "--model", "llama-3.1-405b"), "", kExitInput}, Bad{having(kServe, "--ttft", "1ms"), "", kExitInput}}) {
    const Ran ran = plan(bad.words);
    EXPECT_EQ(ran.code, bad.code) << bad.says << ": " << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(bad.says));
    EXPECT_EQ(ran.out, "") << bad.says;
    EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1) << ran.err;
  }
}

TEST(PlanFleetCommand, SaysWhichChipsAndHowMany) {
  const Words question{"fleet", "--model", "llama-3.1-8b",          "--tokens", "100G", "--days",
                       "10",    "--chips", "h100,v100-sxm-32gb,t4", "--seq",    "2048"};
  const Ran ran = plan(with(question, {"--max", "256"}));
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("100G tokens within 10.0 days"), HasSubstr("COST USD"), HasSubstr("h100-sxm"), HasSubstr("t4")));
  const Ran json = plan(with(question, {"--json"}));
  EXPECT_TRUE(is_json_text(json.out));
  EXPECT_THAT(json.out, HasSubstr(R"("choices":[{"chip":)"));
  const Ran never = plan(with(having(question, "--days", "0.001"), {"--max", "64"}));
  EXPECT_EQ(never.code, kExitInput);
  EXPECT_THAT(never.out, AllOf(HasSubstr("t4 "), HasSubstr("h100-sxm "), Not(HasSubstr("LAYOUT"))));
  EXPECT_THAT(never.err, HasSubstr("no chip asked about trains this within 0.001 days"));
  EXPECT_EQ(plan(having(question, "--days", "0")).code, kExitUsage);
  EXPECT_EQ(plan(having(question, "--tokens", "lots")).code, kExitUsage);
  EXPECT_EQ(plan(having(question, "--chips", "h1000")).code, kExitInput);
  EXPECT_EQ(plan(having(question, "--chips", "h100,")).code, kExitInput);
  EXPECT_EQ(plan(with(question, {"--stack", "nothing"})).code, kExitInput);
  EXPECT_EQ(plan(with(question, {"--max", "0"})).code, kExitUsage);
}

TEST(PlanLists, NameWhatIsKnownWithNumbers) {
  const Ran models = plan({"models"});
  EXPECT_EQ(models.code, 0);
  EXPECT_THAT(models.out, AllOf(HasSubstr("deepseek-v3 "), HasSubstr("671B"), HasSubstr("8 of 256"), HasSubstr("MLA"), HasSubstr("GQA")));
  const Ran chips = plan({"chips"});
  EXPECT_THAT(chips.out, AllOf(HasSubstr("h100-sxm"), HasSubstr("ascend-910b"), HasSubstr("USD/H")));
  const Ran stacks = plan({"stacks"});
  EXPECT_THAT(stacks.out, AllOf(HasSubstr("megatron-core"), HasSubstr("vllm"), HasSubstr("training"), HasSubstr("serving")));
  for (const char* list : {"models", "chips", "stacks"}) {
    const Ran json = plan({list, "--json"});
    EXPECT_EQ(json.code, 0);
    EXPECT_TRUE(is_json_text(json.out)) << list;
  }
  EXPECT_THAT(plan({"chips", "--json"}).out, HasSubstr(R"("source":)"));
  EXPECT_EQ(plan({"chips", "--catalogue", "/no/such.yaml"}).code, kExitInput);
}

constexpr const char* kTrainRows =
    "id,source,model_name,params_B,layers,hidden,ffn_hidden,heads,kv_heads,vocab,seq_len,chip,num_chips,tp,pp,dp,micro_batch,global_batch,"
    "recompute,precision,measured_kind,measured_value,note\n"
    "a,Megatron-LM 2021,GPT 3.6B,3.6,30,3072,12288,32,32,51200,2048,A100-80GB-SXM,64,2,1,32,16,512,full,fp16,tflops_per_gpu,138,\"a "
    "\"\"quoted\"\" note, kept\"\n"
    "b,Megatron-LM 2021,GPT 3.6B,3.6,30,3072,12288,32,32,51200,2048,A100-80GB-SXM,64,2,1,32,16,512,full,fp16,iter_s,,\n"
    "c,nobody,GPT 3.6B,3.6,30,3072,12288,32,32,51200,2048,Abacus,64,2,1,32,16,512,full,fp16,iter_s,1,\n"
    "d,nobody,GPT 3.6B,3.6,30,3072,12288,32,32,51200,2048,A100-80GB-SXM,64,7,1,32,16,512,full,fp16,iter_s,1,\n";

TEST(PlanPredict, AddsItsColumnsAndKeepsTheRest) {
  const Folder folder;
  const Ran ran = plan({"predict", folder.file("train.csv", kTrainRows)});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("measured_value,note,predicted_kind,predicted_value,error_pct,note\n"));
  EXPECT_THAT(ran.out, HasSubstr("138,\"a \"\"quoted\"\" note, kept\",tflops_per_gpu,"));
  std::istringstream lines(ran.out);
  Words rows;
  for (std::string line; std::getline(lines, line);) { rows.push_back(line); }
  ASSERT_EQ(rows.size(), 5U);
  EXPECT_THAT(rows[2], ::testing::MatchesRegex("b,.*,iter_s,,,iter_s,[0-9.]+,,.*"));    // nothing measured: no error
  EXPECT_THAT(rows[3], ::testing::MatchesRegex("c,.*,iter_s,1,,iter_s,,,.*Abacus.*"));  // a chip nobody knows
  EXPECT_THAT(rows[4], ::testing::MatchesRegex("d,.*,iter_s,1,,iter_s,,,.*does not divide.*"));
}

TEST(PlanPredict, TellsTheFormatsApartByTheirColumns) {
  const Folder folder;
  const std::string infer =
      folder.file("infer.csv",
                  "model,params_B,precision,chip,num_chips,tp,isl,osl,concurrency_or_rate,engine+version,measured_kind,measured_value\n"
                  "Llama 3.1 8B,8.03,FP8,H100-SXM-80GB,1,1,1024,1024,64,vllm 0.12,output_tok_s_total,4000\n"
                  "Llama 3.1 8B,8.03,FP8,H100-SXM-80GB,1,1,1024,1024,64,vllm 0.12,itl_ms,10\n");
  const Ran ran = plan({"predict", infer});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr(",output_tok_s_total,4000,output_tok_s_total,"), HasSubstr(",itl_ms,10,itl_ms,")));
  const Ran other = plan({"predict", folder.file("other.csv", "a,b\n1,2\n")});
  EXPECT_EQ(other.code, kExitInput);
  EXPECT_THAT(other.err, HasSubstr("neither a table of training runs"));
  EXPECT_EQ(other.out, "");
  for (const auto& [name, text] :
       {std::pair("empty.csv", ""), std::pair("ragged.csv", "seq_len,chip\n1\n"), std::pair("quote.csv", "seq_len\n\"1\n")}) {
    const Ran bad = plan({"predict", folder.file(name, text)});
    EXPECT_EQ(bad.code, kExitInput) << name;
    EXPECT_THAT(bad.err, HasSubstr(name));
  }
  EXPECT_EQ(plan({"predict", "/no/such.csv"}).code, kExitInput);
  EXPECT_EQ(plan({"predict"}).code, kExitUsage);
}

TEST(Plan, NeedsNoCentreAndNoKey) {
  // What asks a centre refuses such an address; plan commands do not look at it.
  ::setenv("CENTRALE_URL", "not an address", 1);
  std::ostringstream out;
  std::ostringstream err;
  Context context(out, err);
  EXPECT_EQ(run_command_line({"plan", "stacks"}, context, nullptr), 0) << err.str();
  Context asks(out, err);
  EXPECT_EQ(run_command_line({"ps"}, asks, nullptr), kExitUsage);
  ::unsetenv("CENTRALE_URL");
}

TEST(Plan, WantsToKnowWhat) {
  EXPECT_EQ(plan({}).code, kExitUsage);
  EXPECT_THAT(plan({"trian"}).err, HasSubstr("train"));
  const Ran help = plan({"train", "--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, AllOf(HasSubstr("--timeline FILE"), HasSubstr("centrale plan train --model llama-3.1-405b --fleet h100x16384")));
}

}  // namespace
}  // namespace centrale::cli
