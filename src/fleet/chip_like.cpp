// SPDX-License-Identifier: Apache-2.0
// Chips by what people write in papers and tables.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "fleet/catalogue.hpp"

namespace centrale {
namespace {

using Words = std::vector<std::string>;

// Words that say nothing of the model: vendors, families, boxes, memory kinds.
constexpr std::array<std::string_view, 47> kNoise{
    "nvidia",    "amd",      "intel",       "huawei",  "google", "aws", "amazon", "apple",  "baidu",  "cambricon", "hygon",  "moore",
    "threads",   "instinct", "tesla",       "geforce", "rtx",    "gtx", "quadro", "ascend", "habana", "jetson",    "agx",    "kunlun",
    "kunlunxin", "xeon",     "platinum",    "gold",    "mtt",    "dcu", "mlu",    "hgx",    "dgx",    "grace",     "hopper", "superchip",
    "gpu",       "npu",      "accelerator", "tensor",  "r",      "oam", "hbm2",   "hbm2e",  "hbm3",   "hbm3e",     "cloud"};
// Words that make another chip of the model whose name they follow.
constexpr std::array<std::string_view, 11> kModifiers{"ti", "super", "max", "ultra", "pro", "d", "lite", "laptop", "mobile", "nano", "nx"};
constexpr std::array<std::string_view, 3> kForms{"sxm", "pcie", "nvl"};  // the usual one first

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_number(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_digit); }

/// The gigabytes of "80gb", "80g", "80gib".
std::optional<int> gigabytes(std::string_view word) {
  for (const std::string_view unit : {"gib", "gb", "g"}) {
    if (!word.ends_with(unit)) { continue; }
    word.remove_suffix(unit.size());
    if (!is_number(word) || word.size() > 5) { return std::nullopt; }
    int value = 0;
    for (const char c : word) { value = value * 10 + (c - '0'); }
    return value;
  }
  return std::nullopt;
}

/// "sxm4" is sxm, "pcie" itself; empty if the word is no form.
std::string_view form_of(std::string_view word) {
  for (const std::string_view form : kForms) {
    const std::string_view rest = word.starts_with(form) ? word.substr(form.size()) : "no";
    // "nvl72" is a rack, not a card.
    if (rest.empty() || (form == "sxm" && is_number(rest))) { return form; }
  }
  return {};
}

/// A word as it stands, with what is glued to it taken apart: "8xh100", "h100sxm5", "tpuv4".
void add_word(Words& words, std::string_view word) {
  const std::size_t digits = word.find_first_not_of("0123456789");
  if (digits != std::string_view::npos && digits > 0 && word[digits] == 'x' && word.size() > digits + 2 && !is_digit(word[digits + 1])) {
    word.remove_prefix(digits + 1);
  }
  if (word.starts_with("tpu") && word.size() > 3) {
    words.emplace_back("tpu");
    word.remove_prefix(3);
  }
  for (const std::string_view form : kForms) {
    const std::size_t at = word.find(form);
    if (at == std::string_view::npos || at == 0 || form_of(word.substr(at)).empty()) { continue; }
    words.emplace_back(word.substr(0, at));
    word.remove_prefix(at);
    break;
  }
  words.emplace_back(word);
}

/// Names that a family has beside its numbers.
void add_synonyms(Words& words) {
  const auto has = [&](std::string_view word) { return std::find(words.begin(), words.end(), word) != words.end(); };
  const auto any_starts = [&](std::string_view start) {
    return std::any_of(words.begin(), words.end(), [&](const std::string& word) { return word.starts_with(start); });
  };
  Words more;
  if (any_starts("v5lite") || (has("v5") && has("lite"))) { more = {"tpu", "v5e"}; }
  if (has("trillium")) { more = {"tpu", "v6e"}; }
  if (has("tpu") && has("v6")) { more = {"v6e"}; }
  if (has("ironwood")) { more = {"tpu", "v7"}; }
  if (has("v5e") || has("v5p") || has("v6e")) { more = {"tpu"}; }
  if (any_starts("trn1")) { more = {"trainium1"}; }
  if (any_starts("trn2")) { more = {"trainium2"}; }
  words.insert(words.end(), more.begin(), more.end());
  if (has("v5e")) { std::erase(words, "lite"); }
}

/// Lower case, split where letters and digits end, "gaudi 2" and "80 gb" joined.
Words words_of(std::string_view text) {
  Words split;
  std::string word;
  for (const char c : std::string(text) + " ") {
    const char low = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if ((low >= 'a' && low <= 'z') || is_digit(low)) {
      word += low;
    } else if (!word.empty()) {
      const bool joins =
          !split.empty() && ((is_number(word) && word.size() == 1 && (split.back() == "gaudi" || split.back() == "trainium")) ||
                             (is_number(split.back()) && (word == "gb" || word == "gib")));
      if (joins) {
        split.back() += word;
      } else {
        split.push_back(word);
      }
      word.clear();
    }
  }
  Words words;
  for (const std::string& one : split) { add_word(words, one); }
  add_synonyms(words);
  return words;
}

/// What must stand in a text for it to mean a chip of this name.
Words model_words(std::string_view name) {
  Words words = words_of(name);
  std::erase_if(words, [](const std::string& word) { return is_one_of(kNoise, word) || gigabytes(word) || !form_of(word).empty(); });
  return words;
}

struct Wanted {
  Words words;
  std::string form;           // empty: not said
  std::vector<int> memories;  // gigabytes
};

Wanted wanted_of(std::string_view text) {
  Wanted wanted;
  wanted.words = words_of(text);
  for (const std::string& word : wanted.words) {
    if (const std::string_view form = form_of(word); !form.empty()) { wanted.form = form; }
    if (const auto memory = gigabytes(word)) { wanted.memories.push_back(*memory); }
  }
  return wanted;
}

/// How many words of the name the text has: none unless all, or if the text has a modifier that the name has not.
std::size_t matched(const Wanted& wanted, const Words& name) {
  const auto has = [](const Words& words, const std::string& word) { return std::find(words.begin(), words.end(), word) != words.end(); };
  for (const std::string& word : name) {
    if (!has(wanted.words, word)) { return 0; }
  }
  for (const std::string& word : wanted.words) {
    if (is_one_of(kModifiers, word) && !has(name, word)) { return 0; }
  }
  return name.size();
}

std::string form_of_chip(const ChipType& chip) {
  for (const std::string& word : words_of(chip.key)) {
    if (const std::string_view form = form_of(word); !form.empty()) { return std::string(form); }
  }
  return {};
}

/// 2: it has one of these sizes as printed; 1: about that, as datasheets mix 1000 and 1024 and tools print what is left of it.
int holds(const ChipType& chip, const std::vector<int>& memories) {
  const auto bytes = static_cast<double>(chip.memory.value.value);
  int best = 0;
  for (const int gb : memories) {
    const double away = std::min(std::abs(bytes / 1e9 / gb - 1), std::abs(bytes / 1073741824.0 / gb - 1));
    best = std::max(best, away < 0.005 ? 2 : away < 0.04 ? 1 : 0);
  }
  return best;
}

/// The greater is the better answer.
using Score = std::tuple<std::size_t, int, int, int, int, int, std::int64_t>;

Score score_of(const Wanted& wanted, const ChipType& chip) {
  std::size_t words = matched(wanted, model_words(chip.key));
  for (const std::string& alias : chip.aliases) {
    if (const Words name = model_words(alias); !name.empty()) { words = std::max(words, matched(wanted, name)); }
  }
  const std::string form = form_of_chip(chip);
  const int form_fits = wanted.form.empty() || form.empty() ? 0 : (wanted.form == form ? 1 : -1);
  const auto usual = std::find(kForms.begin(), kForms.end(), form) - kForms.begin();
  const Words key = words_of(chip.key);
  const bool bare = form.empty() && key.size() <= 1;
  // A size in the key marks the unusual one, unless all of them have one (V100, A100): then the largest is meant.
  const bool sized = std::any_of(key.begin(), key.end(), [](const std::string& word) { return gigabytes(word).has_value(); });
  return {words, form_fits, holds(chip, wanted.memories), bare ? 1 : 0, -static_cast<int>(usual), sized ? 0 : 1, chip.memory.value.value};
}

}  // namespace

const ChipType* Catalogue::chip_like(std::string_view text) const {
  if (text.size() > 200) { return nullptr; }  // no name of a chip
  if (const ChipType* named = chip_printed_as(text)) { return named; }
  const Wanted wanted = wanted_of(text);
  const ChipType* best = nullptr;
  Score best_score{};
  for (const ChipType& chip : chips) {
    const Score score = score_of(wanted, chip);
    if (std::get<0>(score) > 0 && (best == nullptr || score > best_score)) {
      best = &chip;
      best_score = score;
    }
  }
  return best;
}

}  // namespace centrale
