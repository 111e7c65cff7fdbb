// SPDX-License-Identifier: Apache-2.0
#include "base/csv.hpp"

#include <gtest/gtest.h>

#include <random>

namespace centrale {
namespace {

TEST(Csv, CellsAreFoundByColumnName) {
  const auto table = read_csv("id,Model , tp\r\na, llama ,8\nb,\"x, \"\"y\"\"\nz\",\n", "rows.csv");
  ASSERT_TRUE(table);
  ASSERT_EQ(table->rows.size(), 2U);
  EXPECT_EQ(table->cell(0, "model"), "llama");
  EXPECT_EQ(table->cell(0, "TP"), "8");
  EXPECT_EQ(table->cell(1, "model"), "x, \"y\"\nz");
  EXPECT_EQ(table->cell(1, "tp"), "");
  EXPECT_EQ(table->cell(1, "pp"), "") << "a column that is not there";
  EXPECT_EQ(table->rows[1].line, 3U);
}

TEST(Csv, WritingKeepsTheOriginalCells) {
  const auto table = read_csv("a,b\n1, \"2\n\"\"three\"\", 4\",5\n", "t");
  EXPECT_FALSE(table) << "a quote inside a plain cell is text, so its comma divides";
  const auto good = read_csv("a,b\n 1 ,\"x, \"\"y\"\"\"\n\n2,\"\"\n", "t");
  ASSERT_TRUE(good);
  const std::vector<std::string> names{"value", "note"};
  const std::vector<std::vector<std::string>> added{{"3.5", "one, two"}, {"", "said \"no\""}};
  EXPECT_EQ(write_csv(*good, names, added), "a,b,value,note\n 1 ,\"x, \"\"y\"\"\",3.5,\"one, two\"\n2,\"\",,\"said \"\"no\"\"\"\n");
}

TEST(Csv, ErrorsNameTheLine) {
  const auto message = [](std::string_view text) {
    const auto table = read_csv(text, "r.csv");
    return table ? std::string("read") : table.error().message();
  };
  EXPECT_EQ(message(""), "r.csv: an empty table: there is no header row");
  EXPECT_EQ(message("a,b\n1,2\n1\n"), "r.csv:3: 1 cells, but the header has 2 columns; quote a cell that holds a comma");
  EXPECT_EQ(message("a,b\n1,\"2\n\n"), "r.csv:2: a quote that is never closed");
  EXPECT_EQ(message("a,b\n1,\"2\"x\n"), "r.csv:2: text after a closing quote");
  EXPECT_EQ(message("a,A\n"), "r.csv:1: two columns are named 'A'");
  EXPECT_EQ(message("a\n" + std::string(kCsvCellMax + 1, 'x')), "r.csv:2: a cell of more than 65536 bytes");
  EXPECT_EQ(message(std::string(kCsvColumnsMax, ',')), "r.csv:1: more than 256 columns");
}

TEST(Csv, ByteOrderMarkAndMissingLastLineEnd) {
  const auto table = read_csv(
      "\xEF\xBB\xBF"
      "a,b\r\n1,2\r\n3,4",
      "t");
  ASSERT_TRUE(table);
  EXPECT_EQ(table->column("a"), 0U);
  EXPECT_EQ(table->cell(1, "b"), "4");
}

TEST(Csv, WhatIsWrittenReadsBackTheSame) {
  std::mt19937 random(7);
  const std::string_view letters = "ab ,\"\n\r;x";
  for (int round = 0; round < 300; ++round) {
    std::string text = "c1,c2,c3\n";
    std::vector<std::vector<std::string>> cells(4, std::vector<std::string>(3));
    for (auto& row : cells) {
      for (std::size_t i = 0; i < row.size(); ++i) {
        for (auto n = random() % 6; n > 0; --n) { row[i] += letters[random() % letters.size()]; }
        if (i == 0) { row[i] += 'q'; }  // an all-blank line would be skipped
        text += (i == 0 ? "" : ",") + csv_cell(row[i]);
      }
      text += '\n';
    }
    const auto table = read_csv(text, "t");
    ASSERT_TRUE(table) << round;
    ASSERT_EQ(table->rows.size(), cells.size()) << round;
    for (std::size_t i = 0; i < cells.size(); ++i) { ASSERT_EQ(table->rows[i].cells, cells[i]) << round; }
    ASSERT_EQ(write_csv(*table, {}, {}), text) << round;
  }
}

TEST(Csv, NoBytesCrashIt) {
  std::mt19937 random(11);
  const std::string_view letters = "a,\"\n\r\xEF\xBB";
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (auto n = random() % 24; n > 0; --n) { text += letters[random() % letters.size()]; }
    const auto table = read_csv(text, "t");
    if (!table) {
      ASSERT_FALSE(table.error().what.empty());
      continue;
    }
    for (const auto& row : table->rows) { ASSERT_EQ(row.cells.size(), table->header.size()); }
  }
}

}  // namespace
}  // namespace centrale
