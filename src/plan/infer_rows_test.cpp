// SPDX-License-Identifier: Apache-2.0
#include "plan/infer_rows.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/csv.hpp"

namespace centrale {
namespace {

constexpr std::string_view kHeader =
    "id,source,model,params_B,precision,kv_precision,chip,num_chips,tp,pp,ep,isl,osl,concurrency_or_rate,engine+version,measured_kind,"
    "measured_value,note\n";

std::vector<RowPrediction> predicted(std::string_view rows, std::string_view header = kHeader) {
  const auto table = read_csv(std::string(header) + std::string(rows), "rows.csv");
  EXPECT_TRUE(table) << (table ? "" : table.error().message());
  return table ? predict_infer_rows(*table, default_catalogue(), default_engines()) : std::vector<RowPrediction>{};
}

TEST(InferRows, PublishedFiguresAreMet) {
  // Facts copied from published tables; the band is wide, so that it holds when constants are moved.
  const std::string rows =
      "trt017-00002,,LLaMA v3.1 8B,8.03,FP8,FP8,H100-SXM-80GB,1,1,1,,128,128,inf (all requests queued at once),TensorRT-LLM "
      "0.17,output_tok_s_total,28836.77,\n"
      "trt017-00012,,LLaMA v3.1 8B,8.03,FP8,FP8,H100-SXM-80GB,1,1,1,,128,4096,inf (all requests queued at once),TensorRT-LLM "
      "0.17,output_tok_s_total,13593.65,\n"
      "trt017-00096,,LLaMA v3.1 70B,70.6,FP8,FP8,H100-SXM-80GB,4,4,1,,128,128,inf (all requests queued at once),TensorRT-LLM "
      "0.17,output_tok_s_total,11127.53,\n"
      "trt017-00119,,LLaMA v3.1 70B,70.6,FP8,FP8,H200-SXM-141GB,4,4,1,,2048,2048,inf (all requests queued at once),TensorRT-LLM "
      "0.17,output_tok_s_total,7130.44,\n"
      "trt017-00214,,Mistral 7B,7.24,FP8,FP8,L40S,1,1,1,,5000,500,inf (all requests queued at once),TensorRT-LLM "
      "0.17,output_tok_s_total,1001.02,\n"
      "trt014-00171,,LLaMA 3.1 70B,70.6,BF16,,H200-SXM-141GB,4,4,1,,467,16,rate=2 req/s,TensorRT-LLM 0.14 + Triton,itl_ms,15,500 "
      "requests; mean ISL/OSL\n"
      "trt014-00152,,LLaMA 3.1 70B,70.6,BF16,,H200-SXM-141GB,4,4,1,,467,256,rate=4 req/s,TensorRT-LLM 0.14 + "
      "Triton,output_tok_s_total,980,500 requests; mean ISL/OSL\n"
      "aic-03154,,Qwen/Qwen3-32B,32.8,BF16,,h100_sxm,2,2,1,1,4096,1024,concurrency=64,vllm 0.12.0,itl_ms,52.5696,\n"
      "aic-03061,,Qwen/Qwen3-32B,32.8,BF16,,h100_sxm,8,8,1,1,1024,1024,concurrency=32,vllm 0.12.0,ttft_ms,124.4742,\n"
      "aic-00018,,MiniMaxAI/MiniMax-M2.5,,fp8,,b300_sxm,4,4,1,1,8192,1024,concurrency=4,vllm 0.19.0,itl_ms,8.3748,\n"
      "lcpp-00034,,LLaMA 3 8B,8.03,Q4_K_M,F16,RTX 4090 24GB,1,,,,0,4096,batch=1 single stream,llama.cpp (May "
      "2024),output_tok_s_total,119.4,\n"
      "gaudi-00014,,LLaMA 3.1 70B,70.6,FP8,,Intel Gaudi 3,2,,,,128,2048,batch=450,SynapseAI 1.18.0,output_tok_s_total,5776,\n";
  const auto table = read_csv(std::string(kHeader) + rows, "rows.csv");
  ASSERT_TRUE(table);
  const auto predictions = predict_infer_rows(*table, default_catalogue(), default_engines());
  ASSERT_EQ(predictions.size(), 12U);
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    ASSERT_TRUE(predictions[i].ok) << predictions[i].note;
    const double measured = std::stod(std::string(table->cell(i, "measured_value")));
    EXPECT_LT(std::abs(std::log(predictions[i].value / measured)), std::log(1.4)) << table->cell(i, "id") << ": " << predictions[i].value;
  }
}

TEST(InferRows, ColumnsComeInAnyOrderAndMayBeMissing) {
  const auto a = predicted("itl_ms,16,h100_sxm,fp8,Qwen/Qwen3-32B,1024,512,concurrency=16,2,vllm\n",
                           "measured_kind,num_chips,chip,precision,model,isl,osl,concurrency_or_rate,tp,engine+version\n");
  ASSERT_EQ(a.size(), 1U);
  EXPECT_TRUE(a[0].ok) << a[0].note;
  EXPECT_EQ(a[0].kind, "itl_ms");
}

TEST(InferRows, WhatIsInferredIsSaid) {
  const auto row = [](std::string_view model, std::string_view precision) {
    return predicted(std::string("x,,") + std::string(model) + ",13," + std::string(precision) +
                     ",,h100_sxm,1,1,1,,1024,128,concurrency=8,vllm,itl_ms,1,\n")[0];
  };
  EXPECT_NE(row("Some/Unheard-Of-13B", "bf16").note.find("not in the catalogue"), std::string::npos);
  EXPECT_TRUE(row("Some/Unheard-Of-13B", "bf16").ok);
  EXPECT_NE(row("meta-llama/Llama-3.1-8B-Instruct", "").note.find("precision taken as bf16"), std::string::npos);
  const RowPrediction known = row("mistralai/Mixtral-8x7B-Instruct-v0.1", "int4");
  EXPECT_TRUE(known.ok) << known.note;
}

TEST(InferRows, ModelsAreKnownByTheNamesOfCheckpoints) {
  const auto shape = [](std::string_view name) {
    const auto model = model_like(name, std::nullopt);
    return model && !model->is_guess ? model->model.hidden * 1000 + model->model.depth() : 0;
  };
  EXPECT_EQ(shape("mistralai/Mixtral-8x7B-Instruct-v0.1"), 4096032);
  EXPECT_EQ(shape("mistralai/Mistral-7B-Instruct-v0.3"), 4096032);
  EXPECT_EQ(shape("nvidia/Llama-3.1-405B-Instruct-FP4"), 16384126);
  EXPECT_EQ(shape("amd/Llama-3.3-70B-Instruct-FP8-KV"), 8192080);
  EXPECT_EQ(shape("Qwen3-235B-A22B-FP8"), 4096094);
  EXPECT_EQ(shape("deepseek-ai/DeepSeek-R1-0528"), 7168061);
  EXPECT_EQ(shape("deepseek-ai/DeepSeek-V3-0324"), 7168061);
  EXPECT_EQ(shape("DeepSeek-R1-Distill-Llama-70B"), 8192080);
  EXPECT_EQ(shape("llama2-70b-99.9"), 8192080);
  EXPECT_EQ(shape("Some-Unheard-Of-Model"), 0);
}

TEST(InferRows, SpeculationThatARowSpeaksOfIsTakenIn) {
  const auto itl = [](std::string_view note) {
    return predicted(std::string("x,,deepseek-r1,671,fp8,,h200_sxm,8,8,1,,1024,1024,concurrency=4,sglang,itl_ms,1,") + std::string(note) +
                     "\n")[0];
  };
  EXPECT_LT(itl("MTP 2").value, 0.8 * itl("").value);
  EXPECT_EQ(itl("no MTP").value, itl("").value);
  EXPECT_NE(itl("mtp2").note.find("2 tokens guessed"), std::string::npos) << itl("mtp2").note;
}

TEST(InferRows, DrawnLengthsKeepClientsOutOfStep) {
  // The suite that asks for 1024 tokens draws 0.8 to 1 of them; a table with 1000 means 1000, and its clients send new prompts all at once.
  const auto ttft = [](int tokens) {
    return predicted(fmt::format("x,,qwen3-32b,32.8,fp8,,h100_sxm,2,2,1,,{0},{0},concurrency=64,sglang,ttft_ms,1,\n", tokens))[0];
  };
  EXPECT_LT(ttft(1024).value, 0.8 * ttft(1000).value);
  EXPECT_NE(ttft(1024).note.find("922 and 922 in the mean"), std::string::npos) << ttft(1024).note;
  EXPECT_EQ(ttft(1000).note.find("drawn"), std::string::npos);
}

TEST(InferRows, PoolsOfUnknownSizeAreSetUpAsRecipesAre) {
  const auto row = [](std::string_view width, int clients, std::string_view engine) {
    return predicted(
        fmt::format("x,,deepseek-r1,671,nvfp4,,gb200,,{0},P1/D1,P1/D1,1024,1024,concurrency={1},{2},itl_ms,1,disagg; prefill w x "
                    "tp4; decode w x tp8; worker counts not given\n",
                    width, clients, engine))[0];
  };
  // Few clients: several tensor-parallel decoders; many: attention in copies.
  EXPECT_NE(row("P4/D8", 16, "sglang").note.find("5 decoding workers"), std::string::npos) << row("P4/D8", 16, "sglang").note;
  EXPECT_NE(row("P4/D8", 4096, "sglang").note.find("2 decoding workers with attention in parallel copies"), std::string::npos);
  EXPECT_LT(row("P4/D8", 16, "sglang").value, row("P4/D8", 4096, "sglang").value);
  // Whether tokens are guessed is not told: between the two.
  EXPECT_LT(row("P4/D8", 16, "trtllm").value, row("P4/D8", 16, "trtllm no mtp").value);
  EXPECT_NE(row("P4/D8", 16, "trtllm").note.find("between guessing tokens and not"), std::string::npos);
  // No tensor-parallel group has 36 ranks: those are all chips.
  const RowPrediction whole = row("P36/D36", 64, "sglang");
  EXPECT_TRUE(whole.ok) << whole.note;
  EXPECT_NE(whole.note.find("36 chips taken as a deployment"), std::string::npos) << whole.note;
  // Too narrow to hold the model: the width must mean something else.
  EXPECT_TRUE(row("P1/D1", 512, "sglang").ok);
}

TEST(InferRows, LoadsAreReadAsTheyAreWritten) {
  EXPECT_EQ(read_load("concurrency=64")->concurrency, 64);
  EXPECT_EQ(read_load("64 users")->concurrency, 64);
  EXPECT_EQ(read_load("rate=2 req/s")->rate, 2);
  EXPECT_EQ(read_load("rate=INF req/s")->queued, -1);
  EXPECT_EQ(read_load("inf (all requests queued at once)")->queued, -1);
  EXPECT_EQ(read_load("100 prompts at once")->queued, 100);
  EXPECT_EQ(read_load("batch=44")->batch, 44);
  EXPECT_TRUE(read_load("batch=1 single stream")->single);
  EXPECT_EQ(read_load("server (Poisson, latency-constrained); target_qps=75.0")->target, 75);
  EXPECT_NEAR(read_load("decode, TPOT < 50 ms")->itl_limit, 0.05, 1e-12);
  EXPECT_FALSE(read_load("as many as it takes"));
  EXPECT_FALSE(read_load("concurrency=1e99"));
}

TEST(InferRows, WhatCannotBePredictedSaysWhy) {
  const auto note = [](std::string_view row) {
    const auto p = predicted(row)[0];
    EXPECT_FALSE(p.ok);
    return p.note;
  };
  EXPECT_NE(note("x,,llama-3.1-8b,8,bf16,,(CPU/none listed),,,,,128,128,concurrency=1,vllm,itl_ms,1,\n").find("chip"), std::string::npos);
  EXPECT_NE(note("x,,nobody-knows,,bf16,,h100_sxm,1,1,1,,128,128,concurrency=1,vllm,itl_ms,1,\n").find("model"), std::string::npos);
  EXPECT_NE(note("x,,llama-3.1-8b,8,bf16,,h100_sxm,1,1,1,,128,128,concurrency=1,vllm,joules,1,\n").find("measured_kind"),
            std::string::npos);
  EXPECT_NE(note("x,,llama-3.1-405b,405,bf16,,h100_sxm,1,1,1,,128,128,concurrency=1,vllm,itl_ms,1,\n").find("fit"), std::string::npos);
}

TEST(InferRows, NoRowCrashesIt) {
  std::mt19937 random(13);
  const std::vector<std::string> cells{"",
                                       "0",
                                       "-1",
                                       "8",
                                       "P4/D8",
                                       "nan",
                                       "1e308",
                                       "h100_sxm",
                                       "llama-3.1-8b",
                                       "mixtral-8x7b",
                                       "fp8",
                                       "vllm",
                                       "inf",
                                       "ttft_ms",
                                       "req_s",
                                       "64",
                                       "x",
                                       "rate=2",
                                       "batch=9",
                                       "P0/D0",
                                       "P/D",
                                       "tp=8",
                                       "999999999999",
                                       "attention_dp=8;",
                                       "prefill 2w x tp4 adp1; decode 1w x tp8 adp2;"};
  std::string rows;
  for (int i = 0; i < 300; ++i) {
    for (int c = 0; c < 18; ++c) { rows += (c > 0 ? "," : "") + cells[random() % cells.size()]; }
    rows += '\n';
  }
  // Some rows that are nearly right.
  for (int i = 0; i < 100; ++i) {
    const auto any = [&] { return cells[random() % cells.size()]; };
    rows += "x,,mixtral-8x7b,47,fp8,,h100_sxm," + any() + "," + any() + "," + any() + "," + any() + ",128,64," + any() + ",vllm,itl_ms,1," +
            any() + "\n";
  }
  for (const RowPrediction& p : predicted(rows)) {
    if (p.ok) {
      ASSERT_TRUE(std::isfinite(p.value) && p.value > 0) << p.value;
    } else {
      ASSERT_FALSE(p.note.empty());
    }
  }
}

}  // namespace
}  // namespace centrale
