// SPDX-License-Identifier: Apache-2.0
#include "estimate/engine.hpp"

#include <gtest/gtest.h>

namespace centrale {
namespace {

TEST(Engine, TheBuiltInOnesRead) {
  const auto& engines = default_engines();
  ASSERT_GE(engines.size(), 8U);
  EXPECT_EQ(engine_like("TensorRT-LLM 0.17", engines).key, "tensorrt-llm");
  EXPECT_EQ(engine_like("trtllm 1.2.0rc6", engines).key, "trtllm");
  EXPECT_EQ(engine_like("TensorRT-LLM 1.0", engines).key, "trtllm");
  EXPECT_EQ(engine_like("vLLM 0.12.0", engines).key, "vllm");
  EXPECT_EQ(engine_like("vLLM-Ascend 0.9.1", engines).key, "vllm-ascend");
  EXPECT_EQ(engine_like("vLLM 0.5.2", engines).key, "vllm-early");
  EXPECT_EQ(engine_like("SGLang", engines).batching, Batching::prompts);
  EXPECT_EQ(engine_like("llama.cpp (May 2024)", engines).key, "llama-cpp");
  EXPECT_EQ(engine_like("somebody's own", engines).key, "generic");
}

TEST(Engine, ErrorsNameTheNearest) {
  EXPECT_EQ(engine_named("vlm", default_engines()).error().message(), "engine 'vlm' is not in the catalogue; nearest: vllm");
}

TEST(Engine, AFileIsChecked) {
  const auto message = [](std::string_view yaml) {
    const auto read = read_engines(yaml, "e.yaml");
    return read ? std::string("read") : read.error().message();
  };
  EXPECT_EQ(message("engines:\n  - {key: generic, name: G, source: s, weights: 0}\n"),
            "e.yaml:2: engine 'generic': weights is 0, wants 0.01 to 10");
  EXPECT_EQ(message("engines:\n  - {key: vllm, name: V, source: s}\n"), "e.yaml: there is no engine 'generic' for what is not listed");
  EXPECT_EQ(message("engines:\n  - {key: generic, name: G, source: s}\n  - {key: generic, name: G, source: s}\n"),
            "e.yaml:3: engine 'generic' is there already");
  EXPECT_NE(message("engines:\n  - {key: generic, name: G, source: s, wieghts: 1}\n").find("weights"), std::string::npos);
}

TEST(WeightFormat, IsReadFromWhatTablesSay) {
  const auto name = [](std::string_view text) {
    const WeightFormat* format = weight_format_like(text);
    return format == nullptr ? std::string_view("none") : format->name;
  };
  EXPECT_EQ(name("FP8"), "fp8");
  EXPECT_EQ(name("fp4 (gemm=nvfp4,moe=nvfp4)"), "nvfp4");
  EXPECT_EQ(name("fp8 (gemm=fp8,moe=fp8_block)"), "fp8");
  EXPECT_EQ(name("int4 (gemm=int4_wo,moe=int4_wo)"), "int4");
  EXPECT_EQ(name("W8A8 INT8"), "int8");
  EXPECT_EQ(name("Q4_K_M"), "q4_k_m");
  EXPECT_EQ(name("F16"), "fp16");
  EXPECT_EQ(name("BF16 (unquantised)"), "bf16");
  EXPECT_EQ(name(""), "none");
}

}  // namespace
}  // namespace centrale
