// SPDX-License-Identifier: Apache-2.0
#include "formats/safetensors.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "formats/file.hpp"

namespace centrale::trainer {
namespace {

std::string with_header(const std::string& header, const std::string& data) {
  std::string file(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(file.data(), &length, sizeof length);
  return file + header + data;
}

Result<SafetensorsHeader> parse(const std::string& file) { return parse_safetensors(std::as_bytes(std::span(file)), "x.safetensors"); }

std::string refusal(const std::string& header, const std::string& data) {
  const auto parsed = parse(with_header(header, data));
  return parsed ? "accepted" : parsed.error().message();
}

TEST(Safetensors, ReadsWhatItWrote) {
  const auto path = std::filesystem::temp_directory_path() / ("st-" + std::to_string(::getpid()) + ".safetensors");
  const std::vector<float> a{1, 2, 3, 4, 5, 6};
  const std::vector<std::uint16_t> b{0x3F80};
  ASSERT_TRUE(write_safetensors(
      path, {{"a", Dtype::f32, {2, 3}, std::as_bytes(std::span(a))}, {"b\"é", Dtype::bf16, {}, std::as_bytes(std::span(b))}},
      {{"format", "pt"}}));
  const auto file = MappedFile::open(path);
  ASSERT_TRUE(file);
  const auto header = parse_safetensors(file->bytes(), path.string());
  ASSERT_TRUE(header) << header.error().message();
  EXPECT_EQ(header->metadata.at("format"), "pt");
  ASSERT_EQ(header->tensors.size(), 2U);
  EXPECT_EQ(header->tensors[0].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(header->tensors[0].begin % 8, 0U);
  EXPECT_EQ(std::memcmp(file->bytes().data() + header->tensors[0].begin, a.data(), 24), 0);
  EXPECT_EQ(header->tensors[1].name, "b\"é");
  std::filesystem::remove(path);
}

TEST(Safetensors, EachLieIsNamed) {
  const std::string data(8, 'x');
  const auto tensor = [](const char* type, const char* shape, const char* offsets) {
    return std::string(R"({"t":{"dtype":")") + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  EXPECT_EQ(refusal(tensor("F32", "[2]", "[0,8]"), data), "accepted");
  EXPECT_NE(refusal(tensor("F32", "[2]", "[0,12]"), data).find("outside the file"), std::string::npos);
  EXPECT_NE(refusal(tensor("F32", "[2]", "[8,0]"), data).find("outside the file"), std::string::npos);
  EXPECT_NE(refusal(tensor("F32", "[2]", "[-8,0]"), data).find("outside the file"), std::string::npos);
  EXPECT_NE(refusal(tensor("F32", "[3]", "[0,8]"), data).find("need 12"), std::string::npos);
  EXPECT_NE(refusal(tensor("F33", "[2]", "[0,8]"), data).find("unknown type 'F33'"), std::string::npos);
  EXPECT_NE(refusal(tensor("F32", "[-2]", "[0,8]"), data).find("no valid shape"), std::string::npos);
  EXPECT_NE(refusal(tensor("F32", "[4294967296,4294967296,4]", "[0,0]"), data).find("too large"), std::string::npos);
  EXPECT_NE(refusal(tensor("F32", "[1]", "[4,8]"), data).find("hole"), std::string::npos);
  EXPECT_NE(refusal(tensor("F32", "[1]", "[0,4]"), data).find("follow the last"), std::string::npos);
  EXPECT_NE(refusal(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", data)
                .find("overlaps"),
            std::string::npos);
  EXPECT_NE(refusal("[]", data).find("object"), std::string::npos);
  EXPECT_NE(refusal("{", data).find("JSON"), std::string::npos);
  EXPECT_NE(refusal("{} x", data).find("JSON"), std::string::npos);
}

TEST(Safetensors, ALengthThatCannotBeTrueIsRefused) {
  std::string file(64, ' ');
  const std::uint64_t length = ~0ULL;
  std::memcpy(file.data(), &length, sizeof length);
  EXPECT_FALSE(parse(file));
  EXPECT_FALSE(parse(""));
  EXPECT_FALSE(parse("1234567"));
}

TEST(Safetensors, DamageIsRefusedOrHarmless) {
  const auto good =
      with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})",
                  std::string(11, 'x'));
  ASSERT_TRUE(parse(good));
  std::mt19937 random(5);
  for (int round = 0; round < 20000; ++round) {
    auto damaged = good;
    for (int i = 0; i < 1 + round % 3; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    const auto header = parse(damaged);
    if (!header) continue;
    for (const auto& tensor : header->tensors) {
      ASSERT_LE(tensor.begin, tensor.end);
      ASSERT_LE(tensor.end, damaged.size());
    }
  }
}

TEST(DurableFile, NothingIsLeftOfAFileThatWasNotFinished) {
  const auto path = std::filesystem::temp_directory_path() / ("durable-" + std::to_string(::getpid()));
  {
    auto file = DurableFile::create(path);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->write("half"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_EQ(DurableFile::create("/nowhere/at/all").error().kind, ErrorKind::not_found);
}

TEST(DurableFile, AFullDiskIsAnErrorWithARemedy) {
  auto file = DurableFile::create("/dev/full");
  ASSERT_TRUE(file);
  auto outcome = file->write(std::string(1 << 20, 'x'));
  if (outcome) outcome = file->finish();
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().message().find("No space left"), std::string::npos);
  EXPECT_NE(outcome.error().remedy.find("free some space"), std::string::npos);
}

}  // namespace
}  // namespace centrale::trainer
