// SPDX-License-Identifier: Apache-2.0
// The tokenizer inside a GGUF file. llama.cpp names the way a text is cut ("pre") instead of giving the pattern.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "formats/tokenizer.hpp"

namespace centrale::trainer {
namespace {

struct Scheme {
  const char* pre;
  std::vector<std::string> splits;
  bool ignore_merges;
};

const std::vector<Scheme>& schemes() {
  static const std::vector<Scheme> list{{"gpt-2", {kGpt2Split}, false},
                                        {"smollm", {"\\p{N}", kGpt2Split}, false},
                                        {"llama-bpe", {kLlama3Split}, true},
                                        {"qwen2", {kQwen2Split}, false}};
  return list;
}

// llama.cpp's enum llama_token_type.
constexpr std::int64_t kNormal = 1;
constexpr std::int64_t kControl = 3;
constexpr std::int64_t kUserDefined = 4;
constexpr std::int64_t kUnused = 5;

TokenKind kind_of(std::int64_t type) {
  switch (type) {
    case kControl: return TokenKind::control;
    case kUserDefined: return TokenKind::added;
    case kUnused: return TokenKind::unused;
    default: return TokenKind::normal;
  }
}

std::optional<std::int32_t> id_of(const Gguf& gguf, const std::string& key) {
  const auto id = gguf.integer(key, 0, INT32_MAX);
  return id ? std::optional(static_cast<std::int32_t>(*id)) : std::nullopt;
}

}  // namespace

Result<Vocabulary> vocabulary_from_gguf(const Gguf& gguf) {
  TRY_ASSIGN(const auto model, gguf.text("tokenizer.ggml.model"));
  if (model != "gpt2") {
    return fail(ErrorKind::invalid, fmt::format("tokenizer.ggml.model '{}' is not supported", model), gguf.where,
                "use a model with a byte-level BPE tokenizer, or give --tokenizer");
  }
  const auto* tokens = gguf.array<std::string>("tokenizer.ggml.tokens");
  const auto* merges = gguf.array<std::string>("tokenizer.ggml.merges");
  const auto* types = gguf.array<std::int64_t>("tokenizer.ggml.token_type");
  if (tokens == nullptr || merges == nullptr) return fail(ErrorKind::invalid, "the tokenizer has no tokens or no merges", gguf.where);
  if (types != nullptr && types->size() != tokens->size()) {
    return fail(ErrorKind::invalid, "tokenizer.ggml.token_type and tokens differ in length", gguf.where);
  }
  Vocabulary vocabulary;
  const auto pre = gguf.text("tokenizer.ggml.pre");
  const auto name = pre ? *pre : std::string("gpt-2");
  const auto scheme = std::ranges::find(schemes(), name, &Scheme::pre);
  if (scheme == schemes().end()) {
    return fail(ErrorKind::invalid, fmt::format("tokenizer.ggml.pre '{}' is not supported", name), gguf.where,
                "give the model's tokenizer.json with --tokenizer");
  }
  vocabulary.splits = scheme->splits;
  vocabulary.ignore_merges = scheme->ignore_merges;
  std::unordered_map<std::string, std::int32_t> index;
  for (std::size_t id = 0; id < tokens->size(); ++id) {
    const auto kind = types == nullptr ? TokenKind::normal : kind_of((*types)[id]);
    const auto& text = (*tokens)[id];
    vocabulary.tokens.push_back(kind == TokenKind::normal ? printable_to_bytes(text).value_or(text) : text);
    vocabulary.kinds.push_back(kind);
    index.emplace(text, static_cast<std::int32_t>(id));
  }
  for (const auto& text : *merges) {
    const auto space = text.find(' ', 1);
    if (space == std::string::npos) return fail(ErrorKind::invalid, fmt::format("merge '{}' is no pair", text), gguf.where);
    const auto left = index.find(text.substr(0, space));
    const auto right = index.find(text.substr(space + 1));
    if (left == index.end() || right == index.end()) {
      return fail(ErrorKind::invalid, fmt::format("merge '{}' names a token that is not in the vocabulary", text), gguf.where);
    }
    const auto joined = index.find(left->first + right->first);
    if (joined == index.end()) {
      return fail(ErrorKind::invalid, fmt::format("merge '{}' makes a token that is not in the vocabulary", text), gguf.where);
    }
    vocabulary.merges.push_back({left->second, right->second, joined->second});
  }
  vocabulary.bos = id_of(gguf, "tokenizer.ggml.bos_token_id");
  vocabulary.eos = id_of(gguf, "tokenizer.ggml.eos_token_id");
  vocabulary.unknown = id_of(gguf, "tokenizer.ggml.unknown_token_id");
  if (const auto found = gguf.metadata.find("tokenizer.ggml.add_bos_token"); found != gguf.metadata.end()) {
    if (const auto* flag = std::get_if<bool>(&found->second)) vocabulary.add_bos = *flag;
  }
  if (gguf.has("tokenizer.chat_template")) { TRY_ASSIGN(vocabulary.chat_template, gguf.text("tokenizer.chat_template")); }
  return vocabulary;
}

Result<std::vector<std::pair<std::string, GgufField>>> vocabulary_to_gguf(const Vocabulary& vocabulary, std::int64_t size) {
  const auto scheme = std::ranges::find_if(
      schemes(), [&](const Scheme& each) { return each.splits == vocabulary.splits && each.ignore_merges == vocabulary.ignore_merges; });
  if (scheme == schemes().end() || vocabulary.add_prefix_space) {
    return fail(ErrorKind::invalid, "llama.cpp has no name for this tokenizer's pre_tokenizer", "tokenizer.json",
                "export without GGUF, and convert with llama.cpp's own converter");
  }
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  const auto text_of = [&](std::int32_t id) {
    const auto at = static_cast<std::size_t>(id);
    return vocabulary.kinds[at] == TokenKind::normal ? bytes_to_printable(vocabulary.tokens[at]) : vocabulary.tokens[at];
  };
  for (std::size_t id = 0; id < static_cast<std::size_t>(size); ++id) {
    const bool filler = id >= vocabulary.tokens.size() || vocabulary.kinds[id] == TokenKind::unused;
    tokens.push_back(filler ? fmt::format("[PAD{}]", id) : text_of(static_cast<std::int32_t>(id)));
    std::int64_t type = kUnused;
    if (!filler) {
      type = vocabulary.kinds[id] == TokenKind::normal ? kNormal : vocabulary.kinds[id] == TokenKind::control ? kControl : kUserDefined;
    }
    types.push_back(static_cast<std::int32_t>(type));
  }
  std::vector<std::string> merges;
  for (const auto& merge : vocabulary.merges) merges.push_back(text_of(merge.left) + " " + text_of(merge.right));

  std::vector<std::pair<std::string, GgufField>> fields{
      {"tokenizer.ggml.model", std::string("gpt2")}, {"tokenizer.ggml.pre", std::string(scheme->pre)},
      {"tokenizer.ggml.tokens", std::move(tokens)},  {"tokenizer.ggml.token_type", std::move(types)},
      {"tokenizer.ggml.merges", std::move(merges)},  {"tokenizer.ggml.add_bos_token", vocabulary.add_bos},
      {"tokenizer.ggml.add_space_prefix", false}};
  const auto put_id = [&](const char* key, std::optional<std::int32_t> id) {
    if (id) fields.emplace_back(key, U32{static_cast<std::uint32_t>(*id)});
  };
  put_id("tokenizer.ggml.bos_token_id", vocabulary.bos);
  put_id("tokenizer.ggml.eos_token_id", vocabulary.eos);
  put_id("tokenizer.ggml.unknown_token_id", vocabulary.unknown);
  if (!vocabulary.chat_template.empty()) fields.emplace_back("tokenizer.chat_template", vocabulary.chat_template);
  return fields;
}

}  // namespace centrale::trainer
