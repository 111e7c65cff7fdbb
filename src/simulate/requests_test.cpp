// SPDX-License-Identifier: Apache-2.0
#include "simulate/requests.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace centrale {
namespace {

std::string sample(const std::string& name) {
  const auto root = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
  std::ifstream in(root / "tests/data/requests" / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string error_of(std::string_view text, const RequestOptions& options = {}) {
  const auto trace = read_requests(text, "t", options);
  return trace ? "no error" : trace.error().message();
}

TEST(Requests, Azure) {
  const auto trace = read_requests(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,3180,8\r\n", "a.csv");
  ASSERT_TRUE(trace) << trace.error().message();
  ASSERT_EQ(trace->requests.size(), 2U);
  EXPECT_EQ(trace->requests[0].arrival, Time{});
  EXPECT_EQ(trace->requests[1].arrival, Time{52'000'000});
  EXPECT_EQ(trace->requests[0].prompt, 4808);
  EXPECT_EQ(trace->requests[1].output, 8);
}

TEST(Requests, AzureOfLaterYearsHasAnOffset) {
  const auto trace = read_requests("TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n", "a.csv");
  ASSERT_TRUE(trace) << trace.error().message();
  EXPECT_EQ(trace->requests.size(), 1U);
}

TEST(Requests, BurstGptNamesModelsAndLeavesFailedOnesOutInWords) {
  const auto trace = read_requests(
      "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n"
      "45.5,GPT-4,1087,230,1317,API log\n50,ChatGPT,9,0,9,API log\n",
      "b.csv");
  ASSERT_TRUE(trace) << trace.error().message();
  ASSERT_EQ(trace->requests.size(), 2U);
  EXPECT_EQ(trace->requests[1].arrival, Time{40'500'000'000});
  EXPECT_EQ(trace->tenants, (std::vector<std::string>{"ChatGPT", "GPT-4"}));
  EXPECT_EQ(trace->requests[1].tenant, 1U);
  ASSERT_EQ(trace->notes.size(), 1U);
  EXPECT_EQ(trace->notes[0], "1 requests without a prompt or an answer are left out");
}

TEST(Requests, MooncakeSharesBlocks) {
  const auto trace = read_requests(sample("mooncake_conversation_sample.jsonl"), "m.jsonl");
  ASSERT_TRUE(trace) << trace.error().message();
  EXPECT_EQ(trace->requests.size(), 150U);
  const TraceRequest& first = trace->requests[0];
  EXPECT_EQ(first.prompt, 6758);
  EXPECT_EQ(trace->blocks_of(first).size(), 14U);
  EXPECT_GT(reusable_blocks(*trace), 0.0);
  EXPECT_LT(reusable_blocks(*trace), 0.5);
}

TEST(Requests, ReusableBlocksCountPrefixesOnly) {
  const auto trace = read_requests(
      "{\"timestamp\":0,\"input_length\":1024,\"output_length\":1,\"hash_ids\":[1,2]}\n"
      "{\"timestamp\":0,\"input_length\":1536,\"output_length\":1,\"hash_ids\":[1,9,2]}\n",
      "m");
  ASSERT_TRUE(trace) << trace.error().message();
  EXPECT_DOUBLE_EQ(reusable_blocks(*trace), 1.0 / 5);  // the 2 behind the 9 is no prefix
}

TEST(Requests, LengthsNeedARateAndASeedRepeats) {
  const std::string_view text = "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n3772,54,3826,69.8\n2015,156,2171,12.9\n";
  EXPECT_EQ(error_of(text), "t:1: the file has lengths but no arrivals; give a rate in requests a second, such as rate=2");
  RequestOptions options;
  options.rate = 2;
  const auto one = read_requests(text, "v", options), two = read_requests(text, "v", options);
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one->requests[1].arrival, two->requests[1].arrival);
  options.seed = 2;
  EXPECT_NE(read_requests(text, "v", options)->requests[1].arrival, one->requests[1].arrival);
}

TEST(Requests, WindowScaleAndLimit) {
  std::string text = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n";
  for (int i = 0; i < 100; ++i) { text += std::to_string(1000 + i) + ",m,10,10,20,x\n"; }
  RequestOptions options;
  options.from = seconds(10);
  options.until = seconds(20);
  options.rate_scale = 2;
  auto trace = read_requests(text, "b", options);
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->requests.size(), 10U);
  EXPECT_EQ(trace->requests.back().arrival, Time{4'500'000'000});
  options.limit = 3;
  trace = read_requests(text, "b", options);
  EXPECT_EQ(trace->requests.size(), 3U);
  EXPECT_EQ(trace->notes.back(), "3 of 100 requests are in the window");
}

TEST(Requests, ErrorsSayWhere) {
  EXPECT_EQ(error_of(""), "t: there are no requests");
  EXPECT_NE(error_of("a,b\n1,2\n").find("t:1: no known columns in 'a,b'"), std::string::npos);
  const std::string azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  EXPECT_EQ(error_of(azure + "2023-11-16 18:17:03,1,x\n"), "t:2: GeneratedTokens: 'x' is not a count");
  EXPECT_EQ(error_of(azure + "2023-11-16 18:17:03,-1,1\n"), "t:2: ContextTokens: '-1' is not a count");
  EXPECT_NE(error_of(azure + "\nyesterday,1,1\n").find("t:3: TIMESTAMP: 'yesterday' is not a time"), std::string::npos);
  EXPECT_EQ(error_of(azure + "2023-11-16 18:17:03,1\n"), "t:2: 2 cells, but the header has 3 columns");
  EXPECT_EQ(error_of("{\"timestamp\":0,\"input_length\":513,\"output_length\":1,\"hash_ids\":[1]}"),
            "t:1: hash_ids: 1 blocks, but 513 tokens are 2 blocks of 512");
  EXPECT_NE(error_of("{\"timestamp\":0,\"input_length\":5,\"output_length\":1}\n{nonsense\n").find("t:2: "), std::string::npos);
  EXPECT_EQ(error_of("{\"timestamp\":0,\"output_length\":1}"), "t:1: input_length: missing or negative");
  RequestOptions options;
  options.rate_scale = 0;
  EXPECT_EQ(error_of(azure, options), "t: rate_scale must be above 0");
}

RequestTrace lengths() { return *read_requests(sample("azure_conv_2023_sample.csv"), "azure"); }

TEST(Generate, RatesAndVariationAreWhatWasAsked) {
  for (const auto arrivals : {Arrivals::poisson, Arrivals::gamma, Arrivals::diurnal}) {
    GenerateOptions options;
    options.arrivals = arrivals;
    options.rate = 10;
    options.variation = 3;
    options.day = seconds(1800);
    const auto trace = generate_requests(lengths(), options);
    ASSERT_TRUE(trace);
    const auto count = static_cast<double>(trace->requests.size());
    EXPECT_NEAR(count, 36'000, arrivals == Arrivals::gamma ? 2500 : 700);
    double sum = 0, squares = 0;
    for (std::size_t i = 1; i < trace->requests.size(); ++i) {
      const double gap = to_seconds(trace->requests[i].arrival - trace->requests[i - 1].arrival);
      ASSERT_GE(gap, 0);
      sum += gap;
      squares += gap * gap;
    }
    const double mean = sum / count, variation = std::sqrt(squares / count - mean * mean) / mean;
    if (arrivals == Arrivals::poisson) { EXPECT_NEAR(variation, 1, 0.03); }
    if (arrivals == Arrivals::gamma) { EXPECT_NEAR(variation, 3, 0.3); }
  }
}

TEST(Generate, ADaySwings) {
  GenerateOptions options;
  options.arrivals = Arrivals::diurnal;
  options.rate = 10;
  options.swing = 0.8;
  options.day = seconds(3600);
  const auto trace = generate_requests(lengths(), options);
  ASSERT_TRUE(trace);
  std::array<double, 4> quarters{};
  for (const TraceRequest& r : trace->requests) { quarters.at(static_cast<std::size_t>(r.arrival.ns / 900'000'000'000)) += 1; }
  // A quarter around the valley's edge: 1 - 0.8 * 2 / pi of the mean, then as much above.
  EXPECT_NEAR(quarters[0] / 9000, 1 - 0.8 * 2 / 3.14159, 0.05);
  EXPECT_NEAR(quarters[1] / 9000, 1 + 0.8 * 2 / 3.14159, 0.05);
}

TEST(Generate, SaysWhatCannotBe) {
  GenerateOptions options;
  options.rate = 0;
  EXPECT_FALSE(generate_requests(lengths(), options));
  options.rate = 1e9;
  EXPECT_EQ(generate_requests(lengths(), options).error().remedy, "a lower rate or duration");
  EXPECT_FALSE(generate_requests(RequestTrace{}, GenerateOptions{}));
}

}  // namespace
}  // namespace centrale
