// SPDX-License-Identifier: Apache-2.0
#include "base/json.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace centrale {
namespace {

enum class Colour : unsigned char { red, green };
struct Part {
  std::string label;
  std::int64_t count = 7;
};
struct Whole {
  bool flag = false;
  std::uint8_t small = 1;
  std::int64_t number = -5;
  std::uint64_t large = 0;
  double ratio = 0.5;
  std::string text = "default";
  Colour colour = Colour::red;
  std::vector<Part> parts;
  std::vector<bool> bits;
  std::optional<std::int64_t> maybe;
  TextMap env;
  JobId job;
  Nanos span;
  Bytes size;
  Milliwatts power;
  Time at;
  Part inner;
};
struct Started {
  JobId job;
};
struct Ended {
  JobId job;
  std::int64_t code = 0;
  std::string message;
};
using Happening = std::variant<Started, Ended>;

template <class V>
void describe(V& v, Part& p) {
  v("label", p.label);
  v("count", p.count);
}
template <class V>
void describe(V& v, Whole& w) {
  v("flag", w.flag);
  v("small", w.small);
  v("number", w.number);
  v("large", w.large);
  v("ratio", w.ratio);
  v("text", w.text);
  v("colour", w.colour);
  v("parts", w.parts);
  v("bits", w.bits);
  v("maybe", w.maybe);
  v("env", w.env);
  v("job", w.job);
  v("span", w.span);
  v("size", w.size);
  v("power", w.power);
  v("at", w.at);
  v("inner", w.inner);
}
template <class V>
void describe(V& v, Started& e) {
  v("job", e.job);
}
template <class V>
void describe(V& v, Ended& e) {
  v("job", e.job);
  v("code", e.code);
  v("message", e.message);
}

}  // namespace
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<Colour>{"red", "green"};
template <>
inline constexpr std::array<std::string_view, 2> kVariantNames<Happening>{"started", "ended"};
namespace {

template <class T>
std::string json(const T& value) {
  std::string out;
  write_json(out, value);
  return out;
}

template <class T>
std::string error_of(std::string_view text, JsonStrictness strictness = JsonStrictness::strict) {
  T out;
  const auto result = read_json(text, out, strictness);
  return result ? "no error" : result.error().message();
}

TEST(JsonWriter, PutsCommasWhereTheyBelong) {
  std::string out = "data: ";
  JsonWriter writer(out);
  writer.begin_object().key("a").begin_array().number(1).number(-2.5).text("x{").begin_object().end_object().null().end_array();
  writer.key("b:").boolean(true).key("c").raw("[1]").key("d").begin_array().end_array().key("e").number(std::uint64_t{1} << 63);
  writer.end_object();
  EXPECT_EQ(out, R"(data: {"a":[1,-2.5,"x{",{},null],"b:":true,"c":[1],"d":[],"e":9223372036854775808})");
}

TEST(JsonWriter, EscapesAndRepairsText) {
  EXPECT_EQ(json(std::string("a\"b\\c\n\t\r\x01\x1f/")), R"("a\"b\\c\n\t\r\u0001\u001f/")");
  EXPECT_EQ(json(std::string("é中😀")), "\"é中😀\"");
  EXPECT_EQ(json(std::string("a\xFFz\xC3")), "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\"");
  EXPECT_EQ(json(std::string("\xED\xA0\x80")), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");  // a surrogate
  EXPECT_EQ(json(std::string("\xF0\x9F\x98 ok")), "\"\xEF\xBF\xBD ok\"");
}

TEST(JsonWriter, WritesDoublesThatReadBack) {
  EXPECT_EQ(json(0.1), "0.1");
  EXPECT_EQ(json(std::nan("")), "null");
  EXPECT_EQ(json(std::numeric_limits<double>::infinity()), "null");
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    const double value = std::bit_cast<double>(random());
    double back = 0;
    if (std::isfinite(value)) {
      ASSERT_TRUE(read_json(json(value), back, JsonStrictness::strict)) << json(value);
      ASSERT_EQ(std::bit_cast<std::uint64_t>(back), std::bit_cast<std::uint64_t>(value));
    }
  }
}

TEST(Json, WritesEveryKindOfField) {
  Whole w;
  w.flag = true;
  w.colour = Colour::green;
  w.parts = {{"x", 1}, {"y", 2}};
  w.bits = {true, false};
  w.env = {{"Z", "1"}, {"A", "q\"q"}};
  w.job = {12};
  w.span = seconds(3);
  w.at = {99};
  const std::string text = json(w);
  EXPECT_EQ(text, R"({"flag":true,"small":1,"number":-5,"large":0,"ratio":0.5,"text":"default","colour":"green",)"
                  R"("parts":[{"label":"x","count":1},{"label":"y","count":2}],"bits":[true,false],"maybe":null,)"
                  R"("env":{"Z":"1","A":"q\"q"},"job":12,"span":3000000000,"size":0,"power":0,"at":99,)"
                  R"("inner":{"label":"","count":7}})");
  Whole back;
  back.text = "overwritten";
  ASSERT_TRUE(read_json(text, back, JsonStrictness::lenient));
  EXPECT_EQ(json(back), text);
}

TEST(Json, LenientIgnoresUnknownKeysAndKeepsDefaults) {
  Part part;
  ASSERT_TRUE(read_json(R"({"new":{"a":[1,{"label":"no"}]},"label":"yes","label2":3})", part, JsonStrictness::lenient));
  EXPECT_EQ(part.label, "yes");
  EXPECT_EQ(part.count, 7);
}

TEST(Json, ReadsKeysInAnyOrder) {
  for (const auto strictness : {JsonStrictness::lenient, JsonStrictness::strict}) {
    Ended e;
    ASSERT_TRUE(read_json(R"({"message":"m","code":3,"job":9})", e, strictness));
    EXPECT_EQ(json(e), R"({"job":9,"code":3,"message":"m"})");
  }
}

TEST(Json, ErrorsNameThePathAndTheNearestKey) {
  EXPECT_EQ(error_of<Whole>(R"({"env":{"FOO":12}})"), "env.FOO: wants text, found 12");
  EXPECT_EQ(error_of<Whole>(R"({"parts":[{},{"label":"a","cuont":1}]})"), "parts[1]: unknown key 'cuont'; nearest: count");
  EXPECT_EQ(error_of<Whole>(R"({"parts":[{"count":"many"}]})"), "parts[0].count: wants a whole number, found text \"many\"");
  EXPECT_EQ(error_of<Whole>(R"({"colour":"gren"})"), "colour: unknown value 'gren'; nearest: green");
  EXPECT_EQ(error_of<Whole>(R"({"number":1,"number":2})"), "key 'number' is given twice; keep one");
  EXPECT_EQ(error_of<Whole>(R"({"env":{"A":"1","B":"2","A":"3"}})"), "env: key 'A' is given twice; keep one");
  EXPECT_EQ(error_of<Whole>(R"({"env":{"A":"1","A":"3"}})", JsonStrictness::lenient), "env: key 'A' is given twice; keep one");
  EXPECT_EQ(error_of<Whole>(R"({"inner":[]})"), "inner: wants an object, found a list");
  EXPECT_EQ(error_of<Whole>(R"({"small":256})"), "small: wants a smaller number, found 256");
  EXPECT_EQ(error_of<Whole>(R"({"large":-1})"), "large: wants a whole number, not negative, found -1");
  EXPECT_EQ(error_of<Whole>(R"({"number":1.5})"), "number: wants a whole number, found 1.5");
  EXPECT_EQ(error_of<Whole>(R"({"number":9223372036854775808})"), "number: wants a whole number, found 9223372036854775808");
  EXPECT_EQ(error_of<Whole>(R"({"flag":null})"), "flag: wants true or false, found null");
  EXPECT_EQ(error_of<Whole>(R"({"zzzzzz":null})"), "unknown key 'zzzzzz'");
  EXPECT_EQ(error_of<Whole>("[]"), "wants an object, found a list");
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text :
       {"", "{", "{\"flag\":tru}", "nul", "{} {}", "{\"a\":\"\xFF\"}", "{'a':1}", "{\"text\":\"\\ud800\"}", "{\"text\":\"\n\"}"}) {
    EXPECT_NE(error_of<Whole>(text), "no error") << text;
    EXPECT_NE(error_of<Whole>(text, JsonStrictness::lenient), "no error") << text;
  }
  const std::string deep = std::string(10'000, '[') + std::string(10'000, ']');
  EXPECT_EQ(error_of<std::vector<Part>>(deep), "is nested too deeply");
  EXPECT_EQ(error_of<Part>(std::string(kStrictJsonMax + 1, ' ')), "is larger than 8.0 MiB");
}

TEST(Json, SpansAndSizesAreForPeopleWhenStrict) {
  const auto read = [](std::string_view text) {
    Whole w;
    EXPECT_TRUE(read_json(text, w, JsonStrictness::strict)) << text;
    return std::pair(w.span, w.size);
  };
  EXPECT_EQ(read(R"({"span":90,"size":1024})"), std::pair(seconds(90), Bytes{1024}));
  EXPECT_EQ(read(R"({"span":0.25,"size":"2GiB"})"), std::pair(milliseconds(250), mebibytes(2048)));
  EXPECT_EQ(read(R"({"span":"1h30m","size":"1.5GB"})"), std::pair(seconds(5400), Bytes{1'500'000'000}));
  EXPECT_EQ(error_of<Whole>(R"({"span":-1})"), "span: wants a span such as \"30s\" or \"1h30m\", or seconds, found -1");
  EXPECT_EQ(error_of<Whole>(R"({"size":"2 flops"})"), "size: wants a size such as \"2GiB\", or bytes, found text \"2 flops\"");
  Whole w;
  ASSERT_TRUE(read_json(R"({"span":90})", w, JsonStrictness::lenient));
  EXPECT_EQ(w.span, Nanos{90});
  EXPECT_NE(error_of<Whole>(R"({"span":"90s"})", JsonStrictness::lenient), "no error");
  w.span = milliseconds(90'500);
  w.size = mebibytes(1536);
  std::string out;
  write_spec_json(out, w);
  EXPECT_NE(out.find(R"("span":"1m30s500ms","size":"1536MiB")"), std::string::npos) << out;
  Whole back;
  ASSERT_TRUE(read_json(out, back, JsonStrictness::strict));
  EXPECT_EQ(json(back), json(w));
}

TEST(Json, VariantsAreTagged) {
  const Happening ended = Ended{{4}, 137, "killed"};
  EXPECT_EQ(json(ended), R"({"ended":{"job":4,"code":137,"message":"killed"}})");
  Happening back;
  ASSERT_TRUE(read_json(json(ended), back, JsonStrictness::lenient));
  EXPECT_EQ(json(back), json(ended));
  EXPECT_EQ(error_of<Happening>(R"({"endet":{}})", JsonStrictness::lenient), "unknown key 'endet'; nearest: ended");
  EXPECT_EQ(error_of<Happening>(R"({"ended":{"code":"x"}})", JsonStrictness::lenient),
            "ended.code: wants a whole number, found text \"x\"");
  EXPECT_EQ(error_of<Happening>("{}"), "wants an object with one key, found an object");
  EXPECT_EQ(error_of<Happening>(R"({"ended":{},"started":{}})"), "wants an object with one key, found an object");
}

TEST(JsonReader, IsReusableAfterErrorsAndGrows) {
  JsonReader reader;
  Ended e;
  EXPECT_FALSE(reader.read("{", e, JsonStrictness::lenient));
  for (const std::size_t size : {10u, 100'000u, 20u, 3'000'000u}) {
    e = {};
    ASSERT_TRUE(reader.read(json(Ended{{1}, 2, std::string(size, 'x')}), e, JsonStrictness::lenient));
    EXPECT_EQ(e.message.size(), size);
  }
}

}  // namespace
}  // namespace centrale
