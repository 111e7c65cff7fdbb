// SPDX-License-Identifier: Apache-2.0
#include "formats/pretokenise.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include "formats/tokenizer.hpp"

namespace centrale::trainer {

// Spelt as Hugging Face spells them: a tokenizer.json that we write is read there, and one from there names a GGUF scheme.
const char* const kGpt2Split = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const char* const kLlama3Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const kQwen2Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {
constexpr std::size_t kPatternMax = 4096;
constexpr std::size_t kPatternsMax = 8;
// A pattern from a file must not hang the trainer: past these limits the rest of the text is one piece.
constexpr std::uint32_t kMatchLimit = 1'000'000;
constexpr std::uint32_t kDepthLimit = 10'000;
// Looking at a whole text at once makes a hostile pattern quadratic; no real piece is longer.
constexpr std::size_t kWindow = std::size_t{1} << 20;
}  // namespace

struct Patterns {
  std::vector<pcre2_code*> codes;
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  Patterns() {
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_set_depth_limit(context, kDepthLimit);
  }
  Patterns(const Patterns&) = delete;
  Patterns& operator=(const Patterns&) = delete;
  ~Patterns() {
    for (auto* code : codes) pcre2_code_free(code);
    pcre2_match_context_free(context);
  }
};

void PatternsDeleter::operator()(Patterns* patterns) const { delete patterns; }

Result<PatternsPtr> compile_patterns(const std::vector<std::string>& splits, const std::string& where) {
  if (splits.size() > kPatternsMax) return fail(ErrorKind::invalid, "more than 8 split patterns", where);
  PatternsPtr patterns(new Patterns);
  for (const auto& split : splits) {
    if (split.size() > kPatternMax) return fail(ErrorKind::invalid, "a split pattern is over 4096 bytes", where);
    int code = 0;
    std::size_t offset = 0;
    auto* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(split.data()), split.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr);
    if (compiled == nullptr) {
      PCRE2_UCHAR text[128];
      pcre2_get_error_message(code, text, sizeof text);
      return fail(ErrorKind::invalid, fmt::format("split pattern '{}' is not valid: {}", split, reinterpret_cast<const char*>(text)),
                  where);
    }
    patterns->codes.push_back(compiled);
    pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);  // only faster; without it the interpreter runs
  }
  return patterns;
}

namespace {

void split_once(pcre2_code* code, pcre2_match_context* context, pcre2_match_data* match, std::string_view text,
                std::vector<std::string_view>& pieces) {
  std::size_t gap = 0;  // start of what no match has covered
  std::size_t at = 0;
  while (at < text.size()) {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    if (pcre2_match(code, subject, text.size(), at, 0, match, context) <= 0) break;
    const auto* ends = pcre2_get_ovector_pointer(match);
    if (ends[1] <= ends[0]) {  // an empty match separates nothing
      at = std::max(at, ends[1]) + 1;
      continue;
    }
    if (ends[0] > gap) pieces.push_back(text.substr(gap, ends[0] - gap));
    pieces.push_back(text.substr(ends[0], ends[1] - ends[0]));
    at = gap = ends[1];
  }
  if (gap < text.size()) pieces.push_back(text.substr(gap));
}

}  // namespace

void split_with(const Patterns& patterns, std::string_view text, std::vector<std::string_view>& pieces) {
  if (text.empty()) return;
  std::vector<std::string_view> parts;
  // A window ends behind a line break that a word follows: no common pattern joins across it.
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = std::min(text.size(), at + kWindow);
    while (end < text.size() && end > at + kWindow / 2 && !(text[end - 1] == '\n' && text[end] > ' ')) --end;
    parts.push_back(text.substr(at, end - at));
    at = end;
  }
  auto* match = pcre2_match_data_create(1, nullptr);
  for (auto* code : patterns.codes) {
    std::vector<std::string_view> finer;
    finer.reserve(parts.size());
    for (const auto part : parts) split_once(code, patterns.context, match, part, finer);
    parts = std::move(finer);
  }
  pcre2_match_data_free(match);
  pieces.insert(pieces.end(), parts.begin(), parts.end());
}

Result<std::vector<std::string_view>> split_text(const std::vector<std::string>& splits, std::string_view text) {
  TRY_ASSIGN(const auto patterns, compile_patterns(splits, "split patterns"));
  std::vector<std::string_view> pieces;
  split_with(*patterns, text, pieces);
  return pieces;
}

}  // namespace centrale::trainer
