// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "formats/file.hpp"

namespace centrale::trainer {
namespace {

namespace fs = std::filesystem;

class Checkpoints : public ::testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("trainer-checkpoint-" + std::to_string(::getpid()));
    fs::remove_all(folder);
    vocabulary = *train_vocabulary("a text to learn from, a text", 270);
    const ModelConfig config{.vocab_size = 270,
                             .hidden_size = 8,
                             .intermediate_size = 12,
                             .layers = 2,
                             .heads = 2,
                             .kv_heads = 1,
                             .head_dim = 4,
                             .context = 16,
                             .tied = true,
                             .bos = {},
                             .eos = {}};
    model = make_llama(config, {}, 4);
    optimizer = make_adamw(model, 0.1);
    at::NoGradGuard no_grad;
    optimizer.mean.normal_();
    optimizer.variance.uniform_();
  }
  void TearDown() override { fs::remove_all(folder); }

  void save(std::int64_t step, int keep = 2) {
    RunState state;
    state.step = step;
    state.sequences = step * 8;
    state.tokens = step * 80;
    state.seed = ~0ULL;
    state.batch = 8;
    state.sequence_length = 10;
    state.loss_history = 0x123456789abcdef0ULL;
    state.precision = "fp32";
    state.workers = 1;
    const auto name = save_checkpoint(folder, state, model, optimizer, vocabulary, keep);
    ASSERT_TRUE(name) << name.error().message();
    EXPECT_EQ(*name, checkpoint_name(step));
  }
  std::optional<Checkpoint> newest() {
    auto found = newest_checkpoint(folder, [this](const std::string& text) { warnings.push_back(text); });
    if (!found) {
      refusal = found.error().message();
      return std::nullopt;
    }
    return std::move(*found);
  }

  fs::path folder;
  Vocabulary vocabulary;
  Llama model;
  AdamW optimizer;
  std::vector<std::string> warnings;
  std::string refusal;
};

TEST_F(Checkpoints, BringBackEveryBit) {
  EXPECT_FALSE(newest());
  save(120);
  const auto found = newest();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state.step, 120);
  EXPECT_EQ(found->state.seed, ~0ULL);
  EXPECT_EQ(found->state.loss_history, 0x123456789abcdef0ULL);
  EXPECT_EQ(found->files.config, model.config);
  auto again = make_llama(found->files.config, {}, 99);
  auto moments = make_adamw(again, 0.1);
  ASSERT_TRUE(load_checkpoint(*found, again, moments));
  EXPECT_TRUE(at::equal(again.flat, model.flat));
  EXPECT_TRUE(at::equal(moments.mean, optimizer.mean));
  EXPECT_TRUE(at::equal(moments.variance, optimizer.variance));
  EXPECT_EQ(moments.updates, 120);
}

TEST_F(Checkpoints, KeepTheNewest) {
  for (const std::int64_t step : {10, 20, 30, 40}) save(step, 2);
  EXPECT_FALSE(fs::exists(folder / "step-000010"));
  EXPECT_FALSE(fs::exists(folder / "step-000020"));
  EXPECT_TRUE(fs::exists(folder / "step-000030"));
  EXPECT_EQ(newest()->state.step, 40);
}

TEST_F(Checkpoints, AHalfWrittenFolderIsPassedOverAndRemoved) {
  save(10);
  fs::create_directories(folder / ".partial-step-000020");
  std::ofstream(folder / ".partial-step-000020" / "model.safetensors") << "half";
  EXPECT_EQ(newest()->state.step, 10);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("never finished"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder / ".partial-step-000020"));
}

TEST_F(Checkpoints, DamageInAnyFileIsFound) {
  const std::vector<std::string> files{"model.safetensors", "optimizer.safetensors", "config.json", "tokenizer.json", "state.json"};
  for (const auto& name : files) {
    SCOPED_TRACE(name);
    fs::remove_all(folder);
    warnings.clear();
    save(10);
    save(20);
    const auto path = folder / "step-000020" / name;
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(fs::file_size(path) / 2));
    file.put('\x01');
    file.close();
    const auto found = newest();
    ASSERT_TRUE(found);
    EXPECT_EQ(found->state.step, 10);
    ASSERT_EQ(warnings.size(), 1U);
    EXPECT_NE(warnings[0].find("step-000020 is passed over"), std::string::npos) << warnings[0];
    fs::remove(folder / "step-000010" / name);
    EXPECT_FALSE(newest());
    EXPECT_NE(refusal.find("none of the 2 checkpoints is whole"), std::string::npos) << refusal;
  }
}

TEST_F(Checkpoints, ANewerFormatIsNotMistakenForDamage) {
  save(10);
  const auto path = folder / "step-000010" / "state.json";
  auto text = *read_text(path, 1 << 20);
  text.replace(text.find("\"format\": 1"), 11, "\"format\": 2");
  ASSERT_TRUE(replace_text(path, text));
  const auto opened = open_checkpoint(folder / "step-000010");
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message().find("checkpoint format 2; this trainer knows 1"), std::string::npos);
}

TEST_F(Checkpoints, AFolderThatCannotBeWrittenIsAnError) {
  std::ofstream(folder) << "a file where the folder should be";
  RunState state;
  const auto saved = save_checkpoint(folder, state, model, optimizer, vocabulary, 2);
  ASSERT_FALSE(saved);
  EXPECT_NE(saved.error().message().find("cannot create the folder"), std::string::npos);
}

}  // namespace
}  // namespace centrale::trainer
