// SPDX-License-Identifier: Apache-2.0
#include "formats/tokenizer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "formats/json.hpp"

namespace centrale::trainer {
namespace {

Tokenizer learn(std::string_view text, std::int32_t size) {
  auto vocabulary = train_vocabulary(text, size);
  EXPECT_TRUE(vocabulary);
  auto tokenizer = make_tokenizer(std::move(*vocabulary), "test");
  EXPECT_TRUE(tokenizer);
  return std::move(*tokenizer);
}

std::string sample_text() {
  std::string text;
  for (int i = 0; i < 50; ++i) text += "the light of the sun's rays; 12 colours the lights\n\n naïve über\t";
  return text;
}

using Pieces = std::vector<std::string_view>;

TEST(Split, CutsAsGpt2Does) {
  EXPECT_EQ(*split_text({kGpt2Split}, "Hello  world's 12a! "), (Pieces{"Hello", " ", " world", "'s", " 12", "a", "!", " "}));
  EXPECT_EQ(*split_text({kGpt2Split}, "été Ωμ\n\n x"), (Pieces{"été", " Ωμ", "\n\n", " x"}));
  EXPECT_EQ(*split_text({"\\p{N}", kGpt2Split}, "a 12"), (Pieces{"a", " ", "1", "2"}));
  EXPECT_EQ(*split_text({kLlama3Split}, "I'LL pay 12345.\n\n ok"), (Pieces{"I", "'LL", " pay", " ", "123", "45", ".\n\n", " ok"}));
  EXPECT_EQ(*split_text({}, "all of it"), (Pieces{"all of it"}));
  EXPECT_FALSE(split_text({"(unclosed"}, "x"));
}

TEST(Split, AnyBytesComeBackWhole) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    std::string text(random() % 60, ' ');
    for (auto& c : text) c = static_cast<char>(random());
    for (const auto& splits : {std::vector<std::string>{kGpt2Split}, {kLlama3Split}, {"\\p{N}", kGpt2Split}}) {
      std::string joined;
      const auto pieces = split_text(splits, text);
      ASSERT_TRUE(pieces);
      for (const auto piece : *pieces) joined += piece;
      ASSERT_EQ(joined, text);
    }
  }
}

TEST(Split, AHostilePatternEnds) {
  // Backtracks exponentially without a limit.
  const auto pieces = split_text({"(a+)+$"}, std::string(5000, 'a') + "b");
  ASSERT_TRUE(pieces);
  std::size_t total = 0;
  for (const auto piece : *pieces) total += piece.size();
  EXPECT_EQ(total, 5001U);
}

TEST(Alphabet, IsGpt2s) {
  EXPECT_EQ(bytes_to_printable(" a\n"), "ĠaĊ");
  EXPECT_EQ(bytes_to_printable("é"), "Ã©");
  EXPECT_EQ(printable_to_bytes("ĠaĊ"), " a\n");
  EXPECT_EQ(printable_to_bytes("日"), std::nullopt);
  for (int byte = 0; byte < 256; ++byte) {
    const std::string one(1, static_cast<char>(byte));
    EXPECT_EQ(printable_to_bytes(bytes_to_printable(one)), one);
  }
}

TEST(Train, LearnsTheMostFrequentPairFirst) {
  // "ab" occurs 4 times, "abc" 3 times after the first merge.
  const auto vocabulary = train_vocabulary("abc abc abc ab", 256 + 3 + 2);
  ASSERT_TRUE(vocabulary);
  ASSERT_EQ(vocabulary->merges.size(), 2U);
  EXPECT_EQ(vocabulary->tokens[256], "ab");
  EXPECT_EQ(vocabulary->tokens[257], " ab");
  EXPECT_EQ(vocabulary->tokens.back(), "<|im_end|>");
  EXPECT_EQ(vocabulary->bos, 258);
}

TEST(Train, StopsWhenNothingRepeatsAndRefusesTheImpossible) {
  const auto tokenizer = learn("abcdef", 1000);
  EXPECT_EQ(tokenizer.size(), 259);
  EXPECT_FALSE(train_vocabulary("x", 258));
}

TEST(Train, TokensAreDistinctTexts) {
  const auto vocabulary = train_vocabulary(sample_text() + "aaaaaaaa aaaa aaa aaaaaa abab ababab", 400);
  ASSERT_TRUE(vocabulary);
  const std::set<std::string> distinct(vocabulary->tokens.begin(), vocabulary->tokens.end());
  EXPECT_EQ(distinct.size(), vocabulary->tokens.size());
}

/// The definition of BPE, word for word: merge the pair of the lowest rank, the leftmost first, until there is none.
std::vector<std::int32_t> naive_bpe(const Vocabulary& vocabulary, std::string_view piece) {
  std::vector<std::int32_t> ids;
  for (const char c : piece) ids.push_back(static_cast<unsigned char>(c));
  for (;;) {
    std::size_t best = vocabulary.merges.size();
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      for (std::size_t rank = 0; rank < best; ++rank) {
        if (vocabulary.merges[rank].left == ids[i] && vocabulary.merges[rank].right == ids[i + 1]) {
          best = rank;
          at = i;
        }
      }
    }
    if (best == vocabulary.merges.size()) return ids;
    ids[at] = vocabulary.merges[best].result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(Encode, IsTheDefinitionOfBpe) {
  const auto tokenizer = learn(sample_text(), 340);
  std::mt19937 random(2);
  const std::string letters = "thelightofsunray ' \n12é";
  for (int round = 0; round < 400; ++round) {
    std::string text;
    for (std::size_t i = 0; i < 1 + random() % 40; ++i) text += letters[random() % letters.size()];
    std::vector<std::int32_t> expected;
    const auto pieces = split_text(tokenizer.vocabulary().splits, text);
    ASSERT_TRUE(pieces);
    for (const auto piece : *pieces) {
      const auto ids = naive_bpe(tokenizer.vocabulary(), piece);
      expected.insert(expected.end(), ids.begin(), ids.end());
    }
    ASSERT_EQ(tokenizer.encode(text, Specials::plain), expected) << text;
  }
}

TEST(Encode, AnyBytesComeBack) {
  const auto tokenizer = learn(sample_text(), 400);
  std::mt19937 random(4);
  for (int round = 0; round < 1000; ++round) {
    std::string text(random() % 100, '\0');
    for (auto& c : text) c = round % 2 == 0 ? static_cast<char>(random()) : "the light' 12é\n"[random() % 15];
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text, Specials::plain)), text);
  }
  const std::string longer(300'000, 'a');
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(longer, Specials::plain)), longer);
}

TEST(Encode, ControlTokensAreFoundOnlyInPrompts) {
  const auto tokenizer = learn(sample_text(), 300);
  const auto end = *tokenizer.vocabulary().eos;
  const auto prompt = tokenizer.encode("sun<|endoftext|>light", Specials::parse);
  EXPECT_EQ(std::ranges::count(prompt, end), 1);
  const auto text = tokenizer.encode("sun<|endoftext|>light", Specials::plain);
  EXPECT_EQ(std::ranges::count(text, end), 0);
  EXPECT_EQ(tokenizer.decode(prompt), "sunlight");
  EXPECT_EQ(tokenizer.decode({-1, 1'000'000}), "");
}

TEST(Files, AVocabularySurvivesJson) {
  const auto tokenizer = learn(sample_text(), 350);
  const auto& v = tokenizer.vocabulary();
  const auto again = vocabulary_from_json(vocabulary_to_json(v), tokenizer_config_json(v, 512), "tokenizer.json");
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->tokens, v.tokens);
  EXPECT_EQ(again->kinds, v.kinds);
  EXPECT_EQ(again->splits, v.splits);
  EXPECT_EQ(again->eos, v.eos);
  EXPECT_EQ(again->chat_template, v.chat_template);
  ASSERT_EQ(again->merges.size(), v.merges.size());
  EXPECT_EQ(vocabulary_to_json(*again), vocabulary_to_json(v));
}

std::string small_json(const std::string& merges, const std::string& extra = "") {
  json::object vocab;
  for (int byte = 0; byte < 256; ++byte) vocab[bytes_to_printable(std::string(1, static_cast<char>(byte)))] = byte;
  vocab["ab"] = 256;
  vocab["Ġab"] = 257;
  return R"({"added_tokens":[{"id":258,"content":"<|end|>","special":true},{"id":259,"content":"<tool>","special":false}],)" + extra +
         R"("pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"model":{"type":"BPE","vocab":)" + json::serialize(vocab) +
         R"(,"merges":)" + merges + "}}";
}

TEST(Files, MergesAreTextsOrPairs) {
  for (const char* merges : {R"(["a b","Ġ ab"])", R"([["a","b"],["Ġ","ab"]])"}) {
    const auto vocabulary = vocabulary_from_json(small_json(merges), "", "t");
    ASSERT_TRUE(vocabulary) << vocabulary.error().message();
    const auto tokenizer = make_tokenizer(*vocabulary, "t");
    ASSERT_TRUE(tokenizer);
    EXPECT_EQ(tokenizer->encode("ab ab<tool>ab", Specials::plain), (std::vector<std::int32_t>{256, 257, 259, 256}));
    EXPECT_EQ(tokenizer->encode("ab<|end|>", Specials::parse), (std::vector<std::int32_t>{256, 258}));
    EXPECT_EQ(tokenizer->decode({256, 259, 258}), "ab<tool>");
  }
}

TEST(Files, WhatIsNotUnderstoodIsRefusedByName) {
  const auto refusal = [](const std::string& text) {
    const auto vocabulary = vocabulary_from_json(text, "", "tokenizer.json");
    return vocabulary ? "accepted" : vocabulary.error().message();
  };
  EXPECT_NE(refusal(small_json(R"(["a q"])")).find("merge 'a q'"), std::string::npos);
  EXPECT_NE(refusal(small_json(R"([1])")).find("no pair"), std::string::npos);
  EXPECT_NE(refusal(small_json("[]", R"("normalizer":{"type":"Lowercase"},)")).find("normalizer 'Lowercase'"), std::string::npos);
  EXPECT_NE(refusal(R"({"model":{"type":"WordPiece"}})").find("WordPiece"), std::string::npos);
  EXPECT_NE(refusal("{}").find("'model' is missing"), std::string::npos);
  EXPECT_NE(refusal(R"({"model":{"vocab":{"a":9000000000},"merges":[]}})").find("no valid id"), std::string::npos);
  EXPECT_NE(refusal(R"({"model":{"vocab":{"a":0,"b":0},"merges":[]}})").find("twice"), std::string::npos);
  auto tiny = vocabulary_from_json(R"({"model":{"vocab":{"a":0},"merges":[]}})", "", "t");
  ASSERT_TRUE(tiny);
  EXPECT_NE(make_tokenizer(std::move(*tiny), "t").error().message().find("not a byte-level BPE"), std::string::npos);
}

TEST(Files, GgufKeepsTheTokenizer) {
  const auto tokenizer = learn(sample_text(), 300);
  const auto fields = vocabulary_to_gguf(tokenizer.vocabulary(), 320);
  ASSERT_TRUE(fields);
  Gguf gguf;
  gguf.where = "g";
  for (const auto& [key, field] : *fields) {
    if (const auto* text = std::get_if<std::string>(&field)) gguf.metadata[key] = *text;
    if (const auto* list = std::get_if<std::vector<std::string>>(&field)) gguf.metadata[key] = GgufArray(*list);
    if (const auto* list = std::get_if<std::vector<std::int32_t>>(&field)) {
      gguf.metadata[key] = GgufArray(std::vector<std::int64_t>(list->begin(), list->end()));
    }
    if (const auto* number = std::get_if<U32>(&field)) gguf.metadata[key] = static_cast<std::int64_t>(number->value);
  }
  const auto again = vocabulary_from_gguf(gguf);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->tokens.size(), 320U);
  EXPECT_EQ(again->kinds[319], TokenKind::unused);
  const auto reread = make_tokenizer(*again, "g");
  ASSERT_TRUE(reread);
  EXPECT_EQ(reread->encode("the light of 12 suns\n", Specials::plain), tokenizer.encode("the light of 12 suns\n", Specials::plain));
  auto strange = tokenizer.vocabulary();
  strange.splits = {"\\w+"};
  EXPECT_FALSE(vocabulary_to_gguf(strange, 320));
}

}  // namespace
}  // namespace centrale::trainer
