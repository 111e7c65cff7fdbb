// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <queue>

#include "formats/tokenizer.hpp"

namespace centrale::trainer {
namespace {

struct Word {
  std::vector<std::int32_t> symbols;
  std::int64_t count = 0;
};
using Pair = std::pair<std::int32_t, std::int32_t>;

struct PairStats {
  std::int64_t count = 0;
  std::vector<std::size_t> words;  // where it occurs or occurred; may name a word twice
};

struct Best {
  std::int64_t count;
  Pair pair;
  // Ties go to the pair with the smaller ids, so that the result is the same everywhere.
  bool operator<(const Best& other) const { return count != other.count ? count < other.count : pair > other.pair; }
};

std::vector<Word> count_words(const std::vector<std::string_view>& pieces) {
  std::map<std::string_view, std::int64_t> counts;  // ordered: word indices do not depend on a hash
  for (const auto piece : pieces) ++counts[piece];
  std::vector<Word> words;
  words.reserve(counts.size());
  for (const auto& [piece, count] : counts) {
    Word word;
    word.count = count;
    for (const char c : piece) word.symbols.push_back(static_cast<unsigned char>(c));
    words.push_back(std::move(word));
  }
  return words;
}

/// Replaces the pair in one word and says which pair counts change, by how much.
void merge_in_word(Word& word, Pair pair, std::int32_t id, std::map<Pair, std::int64_t>& changes) {
  auto& s = word.symbols;
  std::vector<std::int32_t> merged;
  merged.reserve(s.size());
  bool found = false;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (i + 1 < s.size() && s[i] == pair.first && s[i + 1] == pair.second) {
      merged.push_back(id);
      ++i;
      found = true;
    } else {
      merged.push_back(s[i]);
    }
  }
  if (!found) return;
  for (std::size_t i = 0; i + 1 < s.size(); ++i) changes[{s[i], s[i + 1]}] -= word.count;
  for (std::size_t i = 0; i + 1 < merged.size(); ++i) changes[{merged[i], merged[i + 1]}] += word.count;
  s = std::move(merged);
}

}  // namespace

Result<Vocabulary> train_vocabulary(std::string_view text, std::int32_t size) {
  // The first special token ends a document; the other two make chats.
  const std::vector<std::string> specials{"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  const auto learnt_max = size - static_cast<std::int32_t>(specials.size());
  if (learnt_max < 256) {
    return fail(ErrorKind::invalid,
                fmt::format("a vocabulary of {} has no room for 256 bytes and {} special tokens", size, specials.size()), "--vocab",
                fmt::format("use at least {}", 256 + specials.size()));
  }
  Vocabulary vocabulary;
  vocabulary.splits = {kGpt2Split};
  for (int byte = 0; byte < 256; ++byte) vocabulary.tokens.emplace_back(1, static_cast<char>(byte));

  TRY_ASSIGN(const auto pieces, split_text(vocabulary.splits, text));
  auto words = count_words(pieces);
  std::map<Pair, PairStats> stats;
  for (std::size_t w = 0; w < words.size(); ++w) {
    const auto& s = words[w].symbols;
    for (std::size_t i = 0; i + 1 < s.size(); ++i) {
      auto& entry = stats[{s[i], s[i + 1]}];
      entry.count += words[w].count;
      if (entry.words.empty() || entry.words.back() != w) entry.words.push_back(w);
    }
  }
  std::map<std::string, std::int32_t> by_text;
  std::priority_queue<Best> queue;
  for (const auto& [pair, entry] : stats) queue.push({entry.count, pair});

  while (static_cast<std::int32_t>(vocabulary.tokens.size()) < learnt_max && !queue.empty()) {
    const auto best = queue.top();
    queue.pop();
    const auto& entry = stats[best.pair];
    if (entry.count != best.count) continue;  // stale; the current count was queued when it changed
    if (entry.count < 2) break;
    const auto joined =
        vocabulary.tokens[static_cast<std::size_t>(best.pair.first)] + vocabulary.tokens[static_cast<std::size_t>(best.pair.second)];
    // "ab"+"c" and "a"+"bc" are one token: a vocabulary file maps texts to ids.
    const auto [known, is_new] = by_text.emplace(joined, static_cast<std::int32_t>(vocabulary.tokens.size()));
    const auto id = known->second;
    if (is_new) vocabulary.tokens.push_back(joined);
    vocabulary.merges.push_back({best.pair.first, best.pair.second, id});
    std::map<Pair, std::int64_t> touched;
    const auto where = std::move(stats[best.pair].words);
    for (const auto w : where) {
      std::map<Pair, std::int64_t> changes;
      merge_in_word(words[w], best.pair, id, changes);
      for (const auto& [pair, change] : changes) {
        touched[pair] += change;
        if (change > 0) stats[pair].words.push_back(w);
      }
    }
    for (const auto& [pair, change] : touched) {
      if (change == 0) continue;
      auto& changed = stats[pair];
      changed.count += change;
      if (changed.count > 0) queue.push({changed.count, pair});
    }
    stats.erase(best.pair);
  }
  vocabulary.kinds.assign(vocabulary.tokens.size(), TokenKind::normal);
  for (const auto& special : specials) {
    vocabulary.tokens.push_back(special);
    vocabulary.kinds.push_back(TokenKind::control);
  }
  const auto first_special = static_cast<std::int32_t>(vocabulary.tokens.size() - specials.size());
  vocabulary.bos = first_special;
  vocabulary.eos = first_special;
  // A model trained on running text goes on with a text; roles mean nothing to it.
  vocabulary.chat_template =
      "{% for message in messages %}{{ message['content'] }}{% if not loop.last %}{{ '\\n\\n' }}{% endif %}{% endfor %}";
  return vocabulary;
}

}  // namespace centrale::trainer
