// SPDX-License-Identifier: Apache-2.0
#include "formats/gguf.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "formats/file.hpp"

namespace centrale::trainer {
namespace {

struct Vector {
  GgmlType type;
  const char* hex;
  std::vector<std::pair<std::size_t, float>> values;
  double sum;
};

// One random block a type, unpacked by gguf-py 0.19's quants.dequantize (the reference of llama.cpp's converters).
const std::vector<Vector>& vectors() {
  static const std::vector<Vector> list{
      {GgmlType::q4_0,
       "2c27e5f1a94106a0956a26afbccdafe562f9",
       {{0, -0.08404541015625F}, {1, -0.19610595703125F}, {15, 0.02801513671875F}, {16, 0.1680908203125F}, {31, 0.19610595703125F}},
       0.1680908203125},
      {GgmlType::q4_1,
       "5621d82c4551370e99b2d74c3427fa48d732a1df",
       {{0, 0.1277923583984375F}, {1, 0.0861053466796875F}, {15, 0.2320098876953125F}, {16, 0.11737060546875F}, {31, 0.2111663818359375F}},
       4.7459259033203125},
      {GgmlType::q5_0,
       "2228a621f9bd0ccc21397c1ec795ca7748dc03d17a88",
       {{0, -0.129150390625F}, {1, 0.387451171875F}, {15, -0.25830078125F}, {16, 0.0F}, {31, 0.25830078125F}},
       0.54888916015625},
      {GgmlType::q5_1,
       "f32abd2d1f223f4192c58efd5185f0711ef7677a1f132a81",
       {{0, 1.06689453125F}, {1, 1.229766845703125F}, {15, 0.143951416015625F}, {16, 1.446929931640625F}, {31, 0.52398681640625F}},
       28.2772216796875},
      {GgmlType::q8_0,
       "8d2bc3ce3be4ebcab72f45b35223479f6e794d57037e2cfde9e15a7789781e3721a5",
       {{0, -3.598419189453125F}, {1, -2.94952392578125F}, {15, 7.137847900390625F}, {16, 4.542266845703125F}, {31, -5.368133544921875F}},
       38.34381103515625},
      {GgmlType::q4_k,
       "262d802a1bdc5d1d8fc83f0b0bb4db71be572209851d3d24f4c0cf83fe4363f82f4759778955f6ced681cbea7179ced2"
       "c8f814a13472ff70ce369d8385452a44f318337f08cd1e614f235d3f83bc45fee9ee0403a79be118544441317c9311f8"
       "5e0429b19f7ec0e156f65a3322e791b880ee995e3f0d307d2fbaf400693a179e0d027ed4e58be7a9ebc28a271d43a788",
       {{0, 29.646240234375F},
        {1, 14.4422607421875F},
        {15, 16.6142578125F},
        {16, 31.8182373046875F},
        {31, 3.582275390625F},
        {63, 28.87548828125F},
        {64, 15.4638671875F},
        {100, 6.4400634765625F},
        {129, 10.763427734375F},
        {200, 31.9197998046875F},
        {255, 0.2880859375F}},
       3624.1248779296875},
      {GgmlType::q5_k,
       "77276729869793f0aad6ded8116e3ab51681c4a374fec70a68b3e4bdc92b387987416c17ec90963ec766888ab4b80eba"
       "7c5cfd81121bea9cee1810dfd5169faf26cd7b5c30c8aba44d972299e8c7b41b9a1d2b0f180600a974d63b6332202c99"
       "8e82b2522c49c4394c7d73265b6aaf61b288fbd0aecfa766616223611e764c93aa388ffabd0a6a6412b209971e2d8270"
       "76f7e49ab8fa197271be53a3442b128cdad72bad0f8aeef42a0b9a26d74fc78f",
       {{0, 0.32684326171875F},
        {1, 3.12615966796875F},
        {15, 3.651031494140625F},
        {16, 2.076416015625F},
        {31, 0.151885986328125F},
        {63, 10.472854614257812F},
        {64, 13.138641357421875F},
        {100, 0.38671875F},
        {129, 6.305328369140625F},
        {200, 18.66741943359375F},
        {255, 34.600799560546875F}},
       3423.887924194336},
      {GgmlType::q6_k,
       "2562b87049307fd37899c118819af6674394c3f7aa5f93f32c810a37ca7bf1013ccdf8ab8ab4a6039954e84cbe3b3f7f"
       "1183c3df8375c517b4e786a9aadf7488f892b12191387ad86aca56d8531c927b931fe8f16e795b9b331767e712dbe8f5"
       "331dd9917f01e64710dd3c25f4d21690a049453135550ec0193a8bed1783d53ec944658d1d28960c44b0382e93438e60"
       "788d51e279a131f8130b3ea4bd2f5d95e57bd791436d840f4e6654608135bbfb885d346959a49b36402a4f3dcc489fb6"
       "511fbe09e5d72bf834e04fe028ca4991e32a",
       {{0, -47.938018798828125F},
        {1, -130.74005126953125F},
        {15, -108.95004272460938F},
        {16, -48.368438720703125F},
        {31, -25.018157958984375F},
        {63, -3.873779296875F},
        {64, 43.58001708984375F},
        {100, -55.524169921875F},
        {129, 50.359130859375F},
        {200, -55.95458984375F},
        {255, -17.916229248046875F}},
       -873.322021484375},
  };
  return list;
}

std::vector<std::byte> from_hex(std::string_view hex) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

TEST(Dequantise, UnpacksAsTheReferenceDoes) {
  for (const auto& vector : vectors()) {
    const auto* block = ggml_block(static_cast<std::uint32_t>(vector.type));
    ASSERT_NE(block, nullptr);
    const auto bytes = from_hex(vector.hex);
    ASSERT_EQ(bytes.size(), block->bytes);
    std::vector<float> out(block->values);
    dequantise(vector.type, bytes, out);
    for (const auto& [at, value] : vector.values) EXPECT_FLOAT_EQ(out[at], value) << block->name << " " << at;
    double sum = 0;
    for (const float value : out) sum += static_cast<double>(value);
    EXPECT_NEAR(sum, vector.sum, 1e-4) << block->name;
  }
}

TEST(Dequantise, HalfPrecisionHasItsSpecialValues) {
  EXPECT_EQ(half_to_float(0x3C00), 1.0F);
  EXPECT_EQ(half_to_float(0xC000), -2.0F);
  EXPECT_EQ(half_to_float(0x7BFF), 65504.0F);
  EXPECT_EQ(half_to_float(0x0001), std::ldexp(1.0F, -24));
  EXPECT_EQ(std::bit_cast<std::uint32_t>(half_to_float(0x8000)), 0x80000000U);
  EXPECT_TRUE(std::isinf(half_to_float(0x7C00)));
  EXPECT_TRUE(std::isnan(half_to_float(0x7C01)));
  EXPECT_EQ(bfloat_to_float(0x3F80), 1.0F);
}

class GgufFile : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() / ("gguf-" + std::to_string(::getpid()) + ".gguf");
    const std::vector<float> numbers{1, 2, 3, 4, 5, 6};
    const auto bytes = [numbers] {
      std::vector<std::byte> out(numbers.size() * sizeof(float));
      std::memcpy(out.data(), numbers.data(), out.size());
      return out;
    };
    ASSERT_TRUE(write_gguf(path_,
                           {{"general.architecture", std::string("llama")},
                            {"llama.block_count", U32{7}},
                            {"llama.rope.freq_base", F32{10000}},
                            {"flag", true},
                            {"words", std::vector<std::string>{"a", "", "Ġb"}},
                            {"numbers", std::vector<std::int32_t>{-1, 5}}},
                           {{"first", {2, 3}, GgmlType::f32, bytes}, {"second", {6}, GgmlType::f32, bytes}}));
    auto text = read_text(path_, 1 << 20);
    ASSERT_TRUE(text);
    file_ = *text;
  }
  void TearDown() override { std::filesystem::remove(path_); }
  [[nodiscard]] Result<Gguf> parse(const std::string& file) const { return parse_gguf(std::as_bytes(std::span(file)), "test.gguf"); }

  std::filesystem::path path_;
  std::string file_;
};

TEST_F(GgufFile, ReadsWhatItWrote) {
  const auto gguf = parse(file_);
  ASSERT_TRUE(gguf) << gguf.error().message();
  EXPECT_EQ(*gguf->text("general.architecture"), "llama");
  EXPECT_EQ(*gguf->integer("llama.block_count", 0, 100), 7);
  EXPECT_EQ(*gguf->number("llama.rope.freq_base"), 10000);
  EXPECT_EQ(std::get<bool>(gguf->metadata.at("flag")), true);
  EXPECT_EQ(*gguf->array<std::string>("words"), (std::vector<std::string>{"a", "", "Ġb"}));
  EXPECT_EQ(*gguf->array<std::int64_t>("numbers"), (std::vector<std::int64_t>{-1, 5}));
  ASSERT_EQ(gguf->tensors.size(), 2U);
  EXPECT_EQ(gguf->tensors[0].shape, (std::vector<std::int64_t>{2, 3}));
  std::vector<float> out(6);
  dequantise(GgmlType::f32, gguf->tensors[1].bytes, out);
  EXPECT_EQ(out[5], 6);
}

TEST_F(GgufFile, SaysWhichFieldIsWrong) {
  const auto gguf = parse(file_);
  ASSERT_TRUE(gguf);
  EXPECT_NE(gguf->integer("llama.block_count", 0, 5).error().message().find("llama.block_count"), std::string::npos);
  EXPECT_FALSE(gguf->text("llama.block_count"));
  EXPECT_FALSE(gguf->integer("absent", 0, 5));
}

TEST_F(GgufFile, EveryShorterFileIsRefused) {
  for (std::size_t length = 0; length + 32 <= file_.size(); ++length) { EXPECT_FALSE(parse(file_.substr(0, length))) << length; }
}

TEST_F(GgufFile, DamageNeverReadsOutsideTheFile) {
  // Any answer is right but a crash or a tensor that points outside.
  std::mt19937 random(3);
  for (int round = 0; round < 20000; ++round) {
    auto damaged = file_;
    for (int i = 0; i < 1 + round % 4; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    const auto gguf = parse(damaged);
    if (!gguf) continue;
    for (const auto& tensor : gguf->tensors) {
      if (tensor.bytes.empty()) continue;
      const auto* begin = reinterpret_cast<const std::byte*>(damaged.data());
      ASSERT_GE(tensor.bytes.data(), begin);
      ASSERT_LE(tensor.bytes.data() + tensor.bytes.size(), begin + damaged.size());
    }
  }
}

TEST_F(GgufFile, ACountThatCannotBeTrueIsRefusedAtOnce) {
  auto huge = file_;
  const std::uint64_t count = 1ULL << 60;
  std::memcpy(huge.data() + 8, &count, sizeof count);
  EXPECT_FALSE(parse(huge));
  auto version = file_;
  version[4] = 9;
  EXPECT_NE(parse(version).error().message().find("version 9"), std::string::npos);
}

}  // namespace
}  // namespace centrale::trainer
