// SPDX-License-Identifier: Apache-2.0
// The program itself on this machine, quickly.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "fleet/catalogue.hpp"

namespace centrale::calibrate {
namespace {

namespace fs = std::filesystem;

struct Ran {
  int code = -1;
  std::string out;
};

Ran run(const std::string& arguments, const std::string& program = CALIBRATE_PROGRAM) {
  Ran ran;
  FILE* const pipe = ::popen((program + " " + arguments + " 2>&1").c_str(), "r");
  if (pipe == nullptr) { return ran; }
  std::array<char, 4096> buffer{};
  for (std::size_t got = 0; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) { ran.out.append(buffer.data(), got); }
  const int status = ::pclose(pipe);
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ran;
}

class Calibrate : public testing::Test {
 protected:
  Calibrate() : folder_(fs::temp_directory_path() / ("calibrate-test-" + std::to_string(::getpid()))) { fs::create_directories(folder_); }
  ~Calibrate() override { fs::remove_all(folder_); }
  [[nodiscard]] std::string file() const { return (folder_ / "chip.yaml").string(); }

 private:
  fs::path folder_;
};

TEST_F(Calibrate, WritesAChipThatTheCatalogueReads) {
  const Ran ran = run("--quick --threads 2 --output " + file());
  ASSERT_EQ(ran.code, 0) << ran.out;
  EXPECT_THAT(ran.out, testing::HasSubstr("peak fp32"));
  std::ifstream in(file());
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto read = read_catalogue(text, file());
  ASSERT_TRUE(read.has_value()) << read.error().message();
  const ChipType* const chip = read->chip("cpu-2t");
  ASSERT_NE(chip, nullptr);
  EXPECT_EQ(chip->units.value, 2);
  // Far wider than any processor: a slip of a unit is outside.
  EXPECT_GT(chip->peak_of(Precision::fp32).value, 1e9);
  EXPECT_LT(chip->peak_of(Precision::fp32).value, 1e14);
  EXPECT_GT(chip->memory_bandwidth.value.value, 1e8);
  EXPECT_LT(chip->memory_bandwidth.value.value, 1e13);
  EXPECT_GT(chip->scale_out.bandwidth.value.value, 1e6);
  EXPECT_GT(chip->memory.value.value, 0);
  EXPECT_GT(chip->efficiency.launch.value, 0);
  EXPECT_THAT(chip->efficiency.source, testing::StartsWith("measured by centrale calibrate on "));
}

TEST_F(Calibrate, NamesADeviceThatIsNotThere) {
  const Ran ran = run("--device gpu7 --output " + file());
  EXPECT_EQ(ran.code, 65);
  EXPECT_THAT(ran.out, testing::HasSubstr("'gpu7' is no device"));
  EXPECT_FALSE(fs::exists(file()));
}

TEST_F(Calibrate, RefusesAKeyThatNoCatalogueTakes) {
  const Ran ran = run("--key 'My Chip' --output " + file());
  EXPECT_EQ(ran.code, 65);
  EXPECT_THAT(ran.out, testing::HasSubstr("--key"));
}

TEST_F(Calibrate, IsReachedThroughCentrale) {
  const Ran ran = run("calibrate --device gpu7 --output " + file(), CENTRALE_PROGRAM);
  EXPECT_EQ(ran.code, 65);
  EXPECT_THAT(ran.out, testing::HasSubstr("centrale-calibrate: --device: 'gpu7' is no device"));
}

TEST_F(Calibrate, UnknownOptionsAreAUsageError) { EXPECT_EQ(run("--qick").code, 2); }

}  // namespace
}  // namespace centrale::calibrate
