// SPDX-License-Identifier: Apache-2.0
// The pure halves: JSON that is looked at but not rebuilt, requests, events.
#include <gtest/gtest.h>
#include <simdjson.h>

#include "gateway/event_meter.hpp"
#include "gateway/json_scan.hpp"
#include "gateway/request_text.hpp"

namespace centrale::gateway {
namespace {

bool scans(std::string_view text) {
  const auto end = end_of_value(text, 0);
  return end && *end == text.size();
}

TEST(JsonScan, AcceptsAndRefusesLikeSimdjson) {
  const std::vector<std::string> texts{"{}",
                                       "[]",
                                       "null",
                                       "true",
                                       "false",
                                       "0",
                                       "-0",
                                       "1.5e-3",
                                       "\"\"",
                                       R"({"a":[1,{"b":"c\n\u00e9"}],"d":null})",
                                       "[1,2,3]",
                                       "[[[]]]",
                                       R"(["\ud83d\ude00"])",
                                       "[ 1 , 2 ]",
                                       "{\"a\" : 1}",
                                       "{",
                                       "}",
                                       "[1,]",
                                       "[,1]",
                                       "{\"a\"}",
                                       "{\"a\":}",
                                       "{\"a\":1,}",
                                       "{a:1}",
                                       "{'a':1}",
                                       "01",
                                       "-",
                                       "1.",
                                       ".5",
                                       "1e",
                                       "+1",
                                       "tru",
                                       "nul",
                                       "truex",
                                       "\"",
                                       "\"\\x\"",
                                       "\"\\u12\"",
                                       "\"\\u12g4\"",
                                       "\"\n\"",
                                       "\"\t\"",
                                       "[1 2]",
                                       "[1}",
                                       "{\"a\":1]",
                                       "1 2",
                                       "\"a\"b",
                                       "NaN",
                                       "Infinity",
                                       "--1",
                                       "0x1"};
  simdjson::dom::parser parser;
  for (const auto& text : texts) {
    const simdjson::padded_string padded{text};
    EXPECT_EQ(scans(text), parser.parse(padded).error() == simdjson::SUCCESS) << text;
  }
}

TEST(JsonScan, DepthIsLimited) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_TRUE(scans(nested(kJsonDepthMax)));
  EXPECT_FALSE(scans(nested(kJsonDepthMax + 1)));
  EXPECT_FALSE(scans(std::string(1'000'000, '[')));
}

TEST(JsonScan, TellsMembersAsTheyStand) {
  std::string told;
  EXPECT_TRUE(each_member(R"( { "a" : [1, 2] ,"\u0062\"":"x" } )", [&](std::string_view key, std::string_view value) {
    told += std::string{key} + "=" + std::string{value} + ";";
  }));
  EXPECT_EQ(told, R"(a=[1, 2];b"="x";)");
  EXPECT_FALSE(each_member("{} x", [](std::string_view, std::string_view) {}));
  EXPECT_FALSE(each_member("[1]", [](std::string_view, std::string_view) {}));
}

TEST(JsonScan, UnescapesAndReadsNumbers) {
  EXPECT_EQ(unescape(R"("a\"\\\/\b\f\n\r\tz")"), "a\"\\/\b\f\n\r\tz");
  EXPECT_EQ(unescape(R"("\u00e9\u20ac\ud83d\ude00")"), "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  EXPECT_EQ(unescape(R"("\ud83d")"), "\xEF\xBF\xBD");
  EXPECT_EQ(unescape(R"("\ud83d\u0041")"),
            "\xEF\xBF\xBD"
            "A");
  EXPECT_EQ(unescape("x"), std::nullopt);
  EXPECT_EQ(whole_number("12"), 12);
  EXPECT_EQ(whole_number("-1"), -1);
  EXPECT_EQ(whole_number("3.0"), 3);
  EXPECT_EQ(whole_number("1e3"), 1000);
  EXPECT_EQ(whole_number("1.5"), std::nullopt);
  EXPECT_EQ(whole_number("1e300"), std::nullopt);
  EXPECT_EQ(whole_number("\"1\""), std::nullopt);
}

Ask ask(std::string_view body, Operation operation = Operation::chat) {
  const auto result = read_ask(operation, body);
  EXPECT_TRUE(result) << body << ": " << result.error().message();
  return result.value_or(Ask{});
}

TEST(RequestText, ReadsWhatIsNeeded) {
  const auto a = ask(R"({"messages":[{"role":"user","content":"12345678"}],"model":"m","max_tokens":10,"n":3,"stream":true})");
  EXPECT_EQ(a.model, "m");
  EXPECT_TRUE(a.stream);
  EXPECT_FALSE(a.usage_wanted);
  EXPECT_EQ(a.completion_tokens_max, 30);
  EXPECT_EQ(a.prompt_tokens, 6);  // role, user, content, 12345678: 23 bytes
  EXPECT_EQ(ask(R"({"model":"m"})").completion_tokens_max, 512);
  EXPECT_EQ(ask(R"({"model":"m","max_tokens":5,"max_completion_tokens":7})").completion_tokens_max, 7);
  EXPECT_EQ(ask(R"({"model":"m","max_tokens":null,"n":null,"stream":null,"stream_options":null})").completion_tokens_max, 512);
  EXPECT_EQ(ask(R"({"model":"m","prompt":["a","b"],"max_tokens":5})", Operation::completion).completion_tokens_max, 10);
  EXPECT_EQ(ask(R"({"model":"m","input":[1,22,333]})", Operation::embedding).prompt_tokens, 3);
  EXPECT_EQ(ask(R"({"model":"m","input":"x"})", Operation::embedding).completion_tokens_max, 0);
  EXPECT_TRUE(ask(R"({"model":"m","stream_options":{"include_usage":true}})").usage_wanted);
  EXPECT_EQ(ask(R"({"\u006dodel":"\u006d"})").model, "m");
}

TEST(RequestText, AnImageIsNotCountedByItsBytes) {
  const std::string image = "data:image/png;base64," + std::string(4'000'000, 'A');
  const auto a =
      ask(R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":")" + image + R"("}}]}]})");
  EXPECT_GT(a.prompt_tokens, 100);
  EXPECT_LT(a.prompt_tokens, 5000);
  const auto text =
      ask(R"({"model":"m","messages":[{"role":"user","content":")" + std::string(2000, 'a') + std::string(2000, ' ') + R"("}]})");
  EXPECT_GE(text.prompt_tokens, 1000);
}

TEST(RequestText, RefusesWithTheFieldsName) {
  const auto field = [](std::string_view body) {
    const auto result = read_ask(Operation::chat, body);
    EXPECT_FALSE(result) << body;
    return result ? "accepted" : result.error().where;
  };
  EXPECT_EQ(field("{"), "");
  EXPECT_EQ(field("[]"), "");
  EXPECT_EQ(field("{\"model\":\"\xFF\"}"), "");
  EXPECT_EQ(field("{}"), "model");
  EXPECT_EQ(field(R"({"model":7})"), "model");
  EXPECT_EQ(field(R"({"model":""})"), "model");
  EXPECT_EQ(field(R"({"model":"a","model":"b"})"), "model");
  EXPECT_EQ(field(R"({"model":"a","mod\u0065l":"b"})"), "model");
  EXPECT_EQ(field(R"({"model":"a","stream":"yes"})"), "stream");
  EXPECT_EQ(field(R"({"model":"a","max_tokens":-5})"), "max_tokens");
  EXPECT_EQ(field(R"({"model":"a","max_tokens":1e18})"), "max_tokens");
  EXPECT_EQ(field(R"({"model":"a","n":0})"), "n");
  EXPECT_EQ(field(R"({"model":"a","n":1000})"), "n");
  EXPECT_EQ(field(R"({"model":"a","stream_options":1})"), "stream_options");
}

std::string rewritten(std::string_view body, std::string_view engine_model = "m") { return body_for_engine(ask(body), body, engine_model); }

TEST(RequestText, ChangesNothingButModelAndUsage) {
  const std::string odd = "{ \"x\": 1.0,\t\"model\" : \"m\", \"messages\":[ ],\n\"y\":\"\\u00e9\", \"seed\": 12345678901234567890 }";
  EXPECT_EQ(rewritten(odd), odd);
  EXPECT_EQ(rewritten(odd, "eng\"ine"),
            "{ \"x\": 1.0,\t\"model\" : \"eng\\\"ine\", \"messages\":[ ],\n\"y\":\"\\u00e9\", \"seed\": 12345678901234567890 }");
  EXPECT_EQ(rewritten(R"({"model":"m","stream":true})"), R"({"stream_options":{"include_usage":true},"model":"m","stream":true})");
  EXPECT_EQ(rewritten(R"({"model":"m","stream":true,"stream_options":{"include_usage":true}})"),
            R"({"model":"m","stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_EQ(rewritten(R"({"model":"m","stream":true,"stream_options":{"include_usage":false}})"),
            R"({"model":"m","stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_EQ(rewritten(R"({"model":"m","stream":true,"stream_options":null})"),
            R"({"model":"m","stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_EQ(rewritten(R"({"model":"m","stream":true,"stream_options":{ }})"),
            R"({"model":"m","stream":true,"stream_options":{"include_usage":true }})");
  EXPECT_EQ(rewritten(R"({"stream_options":{"x":1},"stream":true,"model":"m"})", "e"),
            R"({"stream_options":{"include_usage":true,"x":1},"stream":true,"model":"e"})");
  EXPECT_EQ(rewritten(R"({"model":"m","stream":false,"stream_options":{"x":1}})"),
            R"({"model":"m","stream":false,"stream_options":{"x":1}})");
}

TEST(RequestText, ReadsUsage) {
  const auto usage = usage_of_answer(R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}})");
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->prompt_tokens, 3);
  EXPECT_EQ(usage->completion_tokens, 4);
  EXPECT_FALSE(usage_of_answer(R"({"usage":null})"));
  EXPECT_FALSE(usage_of_answer(R"({"usage":{}})"));
  EXPECT_FALSE(usage_of_answer(R"({"usage":{"prompt_tokens":-3}})"));
  EXPECT_FALSE(usage_of_answer("not json"));
}

const std::string kStream =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n"
    ": keep-alive\n\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}],\"usage\":null}\r\n\r\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"lo \xE2\x82\xAC\"}}]}\n\n"
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const std::string kUsageEvent = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
const std::string kDone = "data: [DONE]\n\n";

TEST(EventMeter, IsTheSameHoweverTheBytesAreCut) {
  const std::string all = kStream + kUsageEvent + kDone;
  for (std::size_t step = 1; step <= all.size(); ++step) {
    for (const bool wanted : {false, true}) {
      EventMeter meter{wanted};
      std::string out;
      for (std::size_t at = 0; at < all.size(); at += step) { out += meter.feed(std::string_view{all}.substr(at, step)); }
      out += meter.finish();
      EXPECT_EQ(out, wanted ? all : kStream + kDone) << step;
      EXPECT_EQ(meter.chunks(), 2);
      EXPECT_TRUE(meter.done());
      EXPECT_FALSE(meter.failed());
      ASSERT_TRUE(meter.usage());
      EXPECT_EQ(meter.usage()->completion_tokens, 2);
    }
  }
}

TEST(EventMeter, AnEndWithoutABlankLineStillCounts) {
  EventMeter meter{false};
  std::string out = meter.feed(kStream + "data: [DONE]");
  out += meter.finish();
  EXPECT_EQ(out, kStream + "data: [DONE]");
  EXPECT_TRUE(meter.done());
}

TEST(EventMeter, KeepsUsageThatComesWithText) {
  const std::string both = "data: {\"choices\":[{\"text\":\"x\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
  EventMeter meter{false};
  EXPECT_EQ(meter.feed(both), both);
  EXPECT_EQ(meter.usage()->prompt_tokens, 5);
}

TEST(EventMeter, SeesErrorsAndIgnoresNonsense) {
  for (const std::string text : {"data: {\"error\":{\"message\":\"x\"}}\n\n", "error: {\"code\":500}\n\n", "event: error\ndata: x\n\n"}) {
    EventMeter meter{false};
    EXPECT_EQ(meter.feed(text), text);
    EXPECT_TRUE(meter.failed()) << text;
  }
  for (const std::string text :
       {"data: {broken\n\n", "hello\n\n", "data:\ndata:\n\n", "\n\n\n\n", "data: {\"choices\":7,\"usage\":\"x\"}\n\n"}) {
    EventMeter meter{false};
    EXPECT_EQ(meter.feed(text) + meter.finish(), text);
    EXPECT_FALSE(meter.failed()) << text;
    EXPECT_EQ(meter.chunks(), 0) << text;
  }
}

TEST(EventMeter, AnEndlessEventDoesNotPileUp) {
  EventMeter meter{false};
  std::size_t out = 0;
  for (int i = 0; i < 100; ++i) { out += meter.feed(std::string(100'000, 'x')).size(); }
  EXPECT_GT(out, 5'000'000U);
}

}  // namespace
}  // namespace centrale::gateway
