// SPDX-License-Identifier: Apache-2.0
#include "formats/tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <queue>

#include "formats/pretokenise.hpp"

namespace centrale::trainer {
namespace {

constexpr std::size_t kTokensMax = 4'000'000;
// Merging is n log n in a piece, but memory is not free: longer pieces are cut.
constexpr std::size_t kPieceMax = 1 << 16;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
}

// GPT-2's bytes_to_unicode(): printable Latin-1 stands for itself, the rest is moved up to U+0100 and on.
std::array<char32_t, 256> make_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 256;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    alphabet[byte] = printable ? static_cast<char32_t>(byte) : next++;
  }
  return alphabet;
}
const std::array<char32_t, 256> kAlphabet = make_alphabet();

std::array<int, 512> make_reverse() {
  std::array<int, 512> reverse{};
  reverse.fill(-1);
  for (int byte = 0; byte < 256; ++byte) reverse[kAlphabet[static_cast<std::size_t>(byte)]] = byte;
  return reverse;
}
const std::array<int, 512> kReverse = make_reverse();

}  // namespace

std::string bytes_to_printable(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const char32_t point = kAlphabet[static_cast<unsigned char>(c)];
    if (point < 0x80) {
      text += static_cast<char>(point);
    } else {
      text += static_cast<char>(0xC0 | (point >> 6));
      text += static_cast<char>(0x80 | (point & 0x3F));
    }
  }
  return text;
}

std::optional<std::string> printable_to_bytes(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    std::uint32_t point = lead;
    std::size_t length = 1;
    if (lead >= 0x80) {
      if ((lead & 0xE0) != 0xC0 || i + 1 >= text.size()) return std::nullopt;
      point = (lead & 0x1FU) << 6 | (static_cast<unsigned char>(text[i + 1]) & 0x3FU);
      length = 2;
    }
    if (point >= kReverse.size() || kReverse[point] < 0) return std::nullopt;
    bytes += static_cast<char>(kReverse[point]);
    i += length;
  }
  return bytes;
}

struct Tokenizer::Splitter {
  PatternsPtr patterns;
};

Tokenizer::Tokenizer() = default;
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Result<Tokenizer> make_tokenizer(Vocabulary vocabulary, const std::string& where) {
  const auto count = vocabulary.tokens.size();
  if (count == 0 || count > kTokensMax || vocabulary.kinds.size() != count) {
    return fail(ErrorKind::invalid, fmt::format("a vocabulary of {} tokens", count), where);
  }
  const auto valid = [&](std::int32_t id) { return id >= 0 && static_cast<std::size_t>(id) < count; };
  for (const auto& special : {vocabulary.bos, vocabulary.eos, vocabulary.unknown}) {
    if (special && !valid(*special)) return fail(ErrorKind::invalid, fmt::format("token id {} is not in the vocabulary", *special), where);
  }
  Tokenizer tokenizer;
  std::ranges::fill(tokenizer.byte_ids_, -1);
  for (std::size_t id = 0; id < count; ++id) {
    const auto& token = vocabulary.tokens[id];
    const auto kind = vocabulary.kinds[id];
    if (kind == TokenKind::unused) continue;
    if (kind != TokenKind::normal) {
      if (token.empty()) return fail(ErrorKind::invalid, fmt::format("added token {} is empty", id), where);
      tokenizer.whole_.emplace_back(token, static_cast<std::int32_t>(id));
      continue;
    }
    if (token.size() == 1) tokenizer.byte_ids_[static_cast<unsigned char>(token[0])] = static_cast<std::int32_t>(id);
    if (vocabulary.ignore_merges) tokenizer.pieces_.emplace(token, static_cast<std::int32_t>(id));
  }
  // Three quarters of the byte alphabet are enough: some published vocabularies lack bytes that UTF-8 never has.
  const auto known = std::ranges::count_if(tokenizer.byte_ids_, [](std::int32_t id) { return id >= 0; });
  if (known < 192) {
    return fail(ErrorKind::invalid, fmt::format("only {} of 256 bytes are tokens: not a byte-level BPE", known), where,
                "use a model with a byte-level tokenizer (GPT-2, Llama 3, Qwen, SmolLM)");
  }
  std::ranges::sort(tokenizer.whole_, [](const auto& a, const auto& b) {
    return a.first.size() != b.first.size() ? a.first.size() > b.first.size() : a.second < b.second;
  });
  for (std::size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    const auto& [left, right, result] = vocabulary.merges[rank];
    if (!valid(left) || !valid(right) || !valid(result)) {
      return fail(ErrorKind::invalid, fmt::format("merge {} names a token that is not in the vocabulary", rank), where);
    }
    tokenizer.ranks_.emplace(pair_key(left, right), Tokenizer::Ranked{static_cast<std::int32_t>(rank), result});
  }
  TRY_ASSIGN(auto patterns, compile_patterns(vocabulary.splits, where));
  tokenizer.splitter_ = std::make_unique<Tokenizer::Splitter>(std::move(patterns));
  tokenizer.vocabulary_ = std::move(vocabulary);
  return tokenizer;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, Specials specials) const {
  std::vector<std::int32_t> ids;
  // Added tokens are looked for at each character that one of them starts with.
  std::array<bool, 256> starts{};
  for (const auto& [token, id] : whole_) {
    if (specials == Specials::parse || vocabulary_.kinds[static_cast<std::size_t>(id)] == TokenKind::added) {
      starts[static_cast<unsigned char>(token[0])] = true;
    }
  }
  std::size_t plain = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (!starts[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const auto hit = std::ranges::find_if(whole_, [&](const auto& entry) {
      return (specials == Specials::parse || vocabulary_.kinds[static_cast<std::size_t>(entry.second)] == TokenKind::added) &&
             text.substr(at).starts_with(entry.first);
    });
    if (hit == whole_.end()) {
      ++at;
      continue;
    }
    encode_plain(text.substr(plain, at - plain), ids);
    ids.push_back(hit->second);
    at += hit->first.size();
    plain = at;
  }
  encode_plain(text.substr(plain), ids);
  return ids;
}

void Tokenizer::encode_plain(std::string_view text, std::vector<std::int32_t>& ids) const {
  if (text.empty()) return;
  std::string prefixed;
  if (vocabulary_.add_prefix_space && text[0] != ' ') {
    prefixed = " ";
    prefixed += text;
    text = prefixed;
  }
  std::vector<std::string_view> pieces;
  split_with(*splitter_->patterns, text, pieces);
  // Words repeat: a table of the last pieces saves most of the merging. It is local, so that encode() is const.
  constexpr std::size_t kMemoryMax = 1 << 16;
  std::unordered_map<std::string_view, std::pair<std::size_t, std::size_t>> memory;
  for (const auto piece : pieces) {
    if (const auto seen = memory.find(piece); seen != memory.end()) {
      const auto [start, length] = seen->second;
      for (std::size_t i = 0; i < length; ++i) ids.push_back(ids[start + i]);
      continue;
    }
    const auto start = ids.size();
    for (std::size_t at = 0; at < piece.size(); at += kPieceMax) encode_piece(piece.substr(at, kPieceMax), ids);
    if (memory.size() < kMemoryMax) memory.emplace(piece, std::pair{start, ids.size() - start});
  }
}

void Tokenizer::encode_piece(std::string_view piece, std::vector<std::int32_t>& ids) const {
  if (vocabulary_.ignore_merges) {
    if (const auto whole = pieces_.find(std::string(piece)); whole != pieces_.end()) {
      ids.push_back(whole->second);
      return;
    }
  }
  struct Symbol {
    std::int32_t id;
    std::int32_t previous;
    std::int32_t next;
  };
  std::vector<Symbol> symbols;
  symbols.reserve(piece.size());
  for (const char c : piece) {
    auto id = byte_ids_[static_cast<unsigned char>(c)];
    if (id < 0) {
      if (!vocabulary_.unknown) continue;
      id = *vocabulary_.unknown;
    }
    const auto at = static_cast<std::int32_t>(symbols.size());
    symbols.push_back({id, at - 1, at + 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = -1;

  struct Candidate {
    std::int32_t rank;
    std::int32_t left;
    std::int32_t left_id;
    std::int32_t right_id;
    std::int32_t result;
    bool operator>(const Candidate& other) const { return std::tie(rank, left) > std::tie(other.rank, other.left); }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto at = [&](std::int32_t i) -> Symbol& { return symbols[static_cast<std::size_t>(i)]; };
  const auto consider = [&](std::int32_t left) {
    if (left < 0 || at(left).next < 0) return;
    const auto left_id = at(left).id;
    const auto right_id = at(at(left).next).id;
    if (const auto found = ranks_.find(pair_key(left_id, right_id)); found != ranks_.end()) {
      queue.push({found->second.rank, left, left_id, right_id, found->second.result});
    }
  };
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(symbols.size()); ++i) consider(i);
  while (!queue.empty()) {
    const auto best = queue.top();
    queue.pop();
    auto& left = at(best.left);
    // An entry is stale when one of its two symbols has been merged away since.
    if (left.id != best.left_id || left.next < 0 || at(left.next).id != best.right_id) continue;
    auto& right = at(left.next);
    left.id = best.result;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) at(left.next).previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  for (std::int32_t i = 0; i >= 0; i = at(i).next) ids.push_back(at(i).id);
}

std::string Tokenizer::decode(const std::vector<std::int32_t>& ids) const {
  std::string text;
  for (const auto id : ids) {
    if (id < 0 || id >= size()) continue;
    const auto index = static_cast<std::size_t>(id);
    const auto kind = vocabulary_.kinds[index];
    if (kind == TokenKind::normal || kind == TokenKind::added) text += vocabulary_.tokens[index];
  }
  return text;
}

}  // namespace centrale::trainer
