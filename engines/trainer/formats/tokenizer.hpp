// SPDX-License-Identifier: Apache-2.0
// Byte-level byte-pair encoding (Sennrich et al. 2016; the byte alphabet of GPT-2). Any bytes go in, the same bytes come out.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "formats/gguf.hpp"

namespace centrale::trainer {

enum class TokenKind : unsigned char {
  normal,   // bytes that merges make
  control,  // <|im_end|> and its like: found in a prompt, never in plain text, not shown
  added,    // taken whole from the text, and shown
  unused,   // fills the vocabulary up to the size of the model's table
};

struct Merge {
  std::int32_t left = 0;
  std::int32_t right = 0;
  std::int32_t result = 0;
};

/// What a tokenizer file says. Plain; make_tokenizer() checks it.
struct Vocabulary {
  std::vector<std::string> tokens;  // by id; the raw bytes
  std::vector<TokenKind> kinds;
  std::vector<Merge> merges;        // by rank
  std::vector<std::string> splits;  // regular expressions, applied one after another; matches and gaps are pieces
  bool add_prefix_space = false;
  bool ignore_merges = false;  // a piece that is a token is taken whole (Llama 3)
  bool add_bos = false;
  std::optional<std::int32_t> bos;
  std::optional<std::int32_t> eos;
  std::optional<std::int32_t> unknown;
  std::string chat_template;  // Jinja; empty if there is none
};

enum class Specials : unsigned char {
  parse,  // <|im_end|> in the text is the control token: prompts
  plain,  // it is eleven characters: training text from outside
};

class Tokenizer {
 public:
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  [[nodiscard]] const Vocabulary& vocabulary() const { return vocabulary_; }
  [[nodiscard]] std::int32_t size() const { return static_cast<std::int32_t>(vocabulary_.tokens.size()); }
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text, Specials specials) const;
  /// Control tokens show as nothing; ids out of range too.
  [[nodiscard]] std::string decode(const std::vector<std::int32_t>& ids) const;

 private:
  friend Result<Tokenizer> make_tokenizer(Vocabulary vocabulary, const std::string& where);
  struct Splitter;
  Tokenizer();
  void encode_plain(std::string_view text, std::vector<std::int32_t>& ids) const;
  void encode_piece(std::string_view piece, std::vector<std::int32_t>& ids) const;

  Vocabulary vocabulary_;
  std::unique_ptr<Splitter> splitter_;
  std::int32_t byte_ids_[256];
  std::unordered_map<std::string, std::int32_t> pieces_;  // for ignore_merges
  struct Ranked {
    std::int32_t rank;
    std::int32_t result;
  };
  std::unordered_map<std::uint64_t, Ranked> ranks_;
  std::vector<std::pair<std::string, std::int32_t>> whole_;  // control and added tokens, the longest first
};

/// Checks that ids, merges and patterns hold together.
Result<Tokenizer> make_tokenizer(Vocabulary vocabulary, const std::string& where);

/// Learns merges from a text until the vocabulary, its special tokens included, has `size` entries, or nothing occurs
/// twice any more. The same text gives the same vocabulary on every machine.
Result<Vocabulary> train_vocabulary(std::string_view text, std::int32_t size);

/// Hugging Face: tokenizer.json, and tokenizer_config.json if it is not empty.
Result<Vocabulary> vocabulary_from_json(std::string_view tokenizer_json, std::string_view tokenizer_config, const std::string& where);
std::string vocabulary_to_json(const Vocabulary& vocabulary);
std::string tokenizer_config_json(const Vocabulary& vocabulary, std::int64_t context);

Result<Vocabulary> vocabulary_from_gguf(const Gguf& gguf);
/// The fields of tokenizer.ggml.*, filled up to `size` entries. Refuses a pre-tokeniser that llama.cpp has no name for.
Result<std::vector<std::pair<std::string, GgufField>>> vocabulary_to_gguf(const Vocabulary& vocabulary, std::int64_t size);

/// GPT-2's printable alphabet for bytes: " " is "Ġ".
std::string bytes_to_printable(std::string_view bytes);
/// Empty if a character is outside the alphabet.
std::optional<std::string> printable_to_bytes(std::string_view text);

extern const char* const kGpt2Split;
extern const char* const kLlama3Split;
extern const char* const kQwen2Split;

/// The pieces that BPE works in; their concatenation is the text.
Result<std::vector<std::string_view>> split_text(const std::vector<std::string>& splits, std::string_view text);

}  // namespace centrale::trainer
