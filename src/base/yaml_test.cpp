// SPDX-License-Identifier: Apache-2.0
#include "base/yaml.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"

namespace centrale {
namespace {

enum class Shape : unsigned char { round, square };
struct Leg {
  std::string wood;
  std::int64_t length = 70;
};
struct Table {
  std::string name;
  std::int64_t seats = 4;
  double height = 0.7;
  bool folds = false;
  Shape shape = Shape::round;
  std::vector<std::string> words;
  std::vector<Leg> legs;
  TextMap labels;
  std::optional<std::int64_t> year;
  Nanos dries;
  Bytes plan;
};
template <class V>
void describe(V& v, Leg& l) {
  v("wood", l.wood);
  v("length", l.length);
}
template <class V>
void describe(V& v, Table& t) {
  v("name", t.name);
  v("seats", t.seats);
  v("height", t.height);
  v("folds", t.folds);
  v("shape", t.shape);
  v("words", t.words);
  v("legs", t.legs);
  v("labels", t.labels);
  v("year", t.year);
  v("dries", t.dries);
  v("plan", t.plan);
}
}  // namespace
template <>
inline constexpr std::array<std::string_view, 2> kEnumNames<Shape>{"round", "square"};
namespace {

std::string json_of(std::string_view yaml) {
  const auto file = YamlFile::parse(yaml, "t.yaml");
  if (!file) { return file.error().message(); }
  std::string out;
  for (std::size_t i = 0; i < file->documents(); ++i) {
    Table table;
    if (const auto read = file->read(i, table); !read) { return read.error().message(); }
    write_json(out, table);
  }
  return out;
}

TEST(Yaml, ReadsEveryKindOfField) {
  EXPECT_EQ(json_of("# a comment\nname: desk\nseats: +2\nheight: 1.5e-1\nfolds: true\nshape: square\nwords: [sleep, 1, yes, 1.50, \"\"]\n"
                    "legs:\n  - wood: oak\n  - {length: 60}\nlabels: {a: 12, b: no, c: 'x'}\nyear: 1999\ndries: 1h30m\nplan: 2KiB\n"),
            R"({"name":"desk","seats":2,"height":0.15,"folds":true,"shape":"square","words":["sleep","1","yes","1.50",""],)"
            R"("legs":[{"wood":"oak","length":70},{"wood":"","length":60}],"labels":{"a":"12","b":"no","c":"x"},)"
            R"("year":1999,"dries":5400000000000,"plan":2048})");
}

TEST(Yaml, NothingMeansNotGiven) { EXPECT_EQ(json_of("name: a\nseats:\nlegs:\nlabels: ~\nyear: null\n"), json_of("name: a")); }

TEST(Yaml, ReadsSeveralDocumentsAndSkipsEmptyOnes) {
  const auto file = YamlFile::parse("---\nname: a\n---\n---\nname: b\nseats: x\n", "t.yaml");
  ASSERT_TRUE(file);
  ASSERT_EQ(file->documents(), 2u);
  EXPECT_EQ(file->scalar(1, "name"), "b");
  EXPECT_EQ(file->where(1, "seats"), "t.yaml:6");
  EXPECT_EQ(file->where(1, "absent"), "t.yaml:5");
  Table table;
  EXPECT_EQ(file->read(1, table).error().message(), "t.yaml:6: seats: wants a whole number, found 'x'");
  for (const char* empty : {"", "# only a comment\n", "---\n", "---\n...\n"}) {
    const auto nothing = YamlFile::parse(empty, "t.yaml");
    ASSERT_TRUE(nothing) << empty;
    EXPECT_EQ(nothing->documents(), 0u) << empty;
  }
}

TEST(Yaml, ErrorsNameTheLineAndWhatIsRight) {
  EXPECT_EQ(json_of("name: a\nseat: 3\n"), "t.yaml:2: unknown key 'seat'; nearest: seats");
  EXPECT_EQ(json_of("name: a\nlegs:\n- wood: oak\n- legnth: 3\n"), "t.yaml:4: legs[1]: unknown key 'legnth'; nearest: length");
  EXPECT_EQ(json_of("seats: \"4\""), "t.yaml:1: seats: wants a whole number, found text \"4\"");
  EXPECT_EQ(json_of("seats: 4.5"), "t.yaml:1: seats: wants a whole number, found '4.5'");
  EXPECT_EQ(json_of("seats: [4]"), "t.yaml:1: seats: wants a whole number, found a list");
  EXPECT_EQ(json_of("seats: 99999999999999999999"), "t.yaml:1: seats: wants a whole number, found '99999999999999999999'");
  EXPECT_EQ(json_of("height: .nan"), "t.yaml:1: height: wants a number, found '.nan'");
  EXPECT_EQ(json_of("height: inf"), "t.yaml:1: height: wants a number, found 'inf'");
  EXPECT_EQ(json_of("folds: yes"), "t.yaml:1: folds: wants true or false, found 'yes'");
  EXPECT_EQ(json_of("shape: sqare"), "t.yaml:1: shape: unknown value 'sqare'; nearest: square");
  EXPECT_EQ(json_of("words: sleep 1"), "t.yaml:1: words: wants a list, found 'sleep 1'");
  EXPECT_EQ(json_of("words:\n- a\n- ~\n"), "t.yaml:3: words[1]: wants a value, found nothing");
  EXPECT_EQ(json_of("labels:\n  a:\n"), "t.yaml:2: labels.a: wants text, found nothing");
  EXPECT_EQ(json_of("labels: [a]"), "t.yaml:1: labels: wants keys and values, found a list");
  EXPECT_EQ(json_of("dries: soon"), "t.yaml:1: dries: wants a span such as 30s or 1h30m, or seconds, found 'soon'");
  EXPECT_EQ(json_of("dries: -5"), "t.yaml:1: dries: wants a span such as 30s or 1h30m, or seconds, found '-5'");
  EXPECT_EQ(json_of("- a"), "t.yaml:1: wants keys and values, found a list");
  EXPECT_EQ(json_of("name: a\n\nseats: 1\nname: b\n"), "t.yaml:4: key 'name' is given twice; keep one; the other is in line 1");
  EXPECT_EQ(json_of("labels: {a: 1, b: 2, a: 3}"), "t.yaml:1: key 'a' is given twice; keep one; the other is in line 1");
  EXPECT_EQ(json_of("? [a]\n: b\n"), "t.yaml:1: a key must be text");
  EXPECT_EQ(json_of("name: !!python/object:f x"), "t.yaml:1: tag 'tag:yaml.org,2002:python/object:f' is not supported; leave it out");
  EXPECT_EQ(json_of("name: [a\nseats: 3"), json_of("name: [a\nseats: 3"));
  EXPECT_TRUE(json_of("name: a\n  bad: b\n").starts_with("t.yaml:2: is not YAML: ")) << json_of("name: a\n  bad: b\n");
  EXPECT_TRUE(json_of("name: [a\nseats: 3").starts_with("t.yaml:")) << json_of("name: [a\nseats: 3");
  EXPECT_EQ(json_of(std::string_view("name: a\nx: \0\n", 13)), "t.yaml:2: is not UTF-8 text; save the file as UTF-8");
  EXPECT_EQ(json_of("name: a\nx: \xFF\n"), "t.yaml:2: is not UTF-8 text; save the file as UTF-8");
}

TEST(Yaml, AnchorsWorkWithinLimits) {
  EXPECT_EQ(json_of("name: &n desk\nlabels: {a: *n}\n"), json_of("name: desk\nlabels: {a: desk}\n"));
  EXPECT_TRUE(json_of("labels: &a {b: *a}").find("alias") != std::string::npos) << json_of("labels: &a {b: *a}");
  std::string laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) { laughs += (j > 0 ? ",*a" : "*a") + std::to_string(i - 1); }
    laughs += "]\n";
  }
  EXPECT_EQ(json_of(laughs), "t.yaml:5: too much for one file, aliases counted as what they stand for; at most 100,000 values");
  std::string wide = "words: [&a " + std::string(500'000, 'x');
  for (int i = 0; i < 100; ++i) { wide += ", *a"; }
  EXPECT_TRUE(json_of(wide + "]").find("too much") != std::string::npos);
}

TEST(Yaml, LimitsSizeAndDepth) {
  EXPECT_EQ(json_of("# " + std::string(kYamlSizeMax, 'x')), "t.yaml: is larger than 1.0 MiB");
  EXPECT_EQ(json_of(std::string(100'000, '[')), "t.yaml:1: nested too deeply; at most 32 levels");
  for (const char* piece : {"- ", "? ", "{a: ", "!!a ", "&a ", "a: ", "*a ", "'", "%", "|\n", ": ", "[a,", "}"}) {
    std::string text;
    while (text.size() < 20'000) { text += piece; }
    static_cast<void>(json_of(text));  // must come back, with whatever answer
  }
}

}  // namespace
}  // namespace centrale
