// SPDX-License-Identifier: Apache-2.0
// tokenizer.json and tokenizer_config.json of Hugging Face, as far as byte-level BPE goes. What we do not understand is
// refused by name: a tokenizer that differs a little trains a model that is wrong a little.
#include <fmt/format.h>

#include <algorithm>

#include "formats/json.hpp"
#include "formats/tokenizer.hpp"

namespace centrale::trainer {
namespace {

constexpr std::int64_t kTokensMax = 4'000'000;

using Index = std::unordered_map<std::string, std::int32_t>;

Result<std::string> pattern_of(const Fields& split) {
  const auto* pattern = split.object->if_contains("pattern");
  if (pattern == nullptr || !pattern->is_object()) return fail(ErrorKind::invalid, "a Split without pattern", split.where);
  TRY_ASSIGN(const auto fields, as_fields(*pattern, split.where));
  if (fields.has("Regex")) return fields.text("Regex");
  TRY_ASSIGN(const auto literal, fields.text("String"));
  // A literal is a pattern with its own meaning taken away.
  std::string quoted;
  for (const char c : literal) {
    if (std::string_view("\\^$.[]|()?*+{}-#& ").find(c) != std::string_view::npos) quoted += '\\';
    quoted += c;
  }
  return quoted;
}

Result<void> read_pre_tokenizer(const Fields& fields, Vocabulary& vocabulary, int depth) {
  TRY_ASSIGN(const auto type, fields.text("type"));
  if (type == "Sequence" && depth == 0) {
    const auto* list = fields.object->if_contains("pretokenizers");
    if (list == nullptr || !list->is_array()) return fail(ErrorKind::invalid, "pre_tokenizer has no 'pretokenizers'", fields.where);
    for (const auto& item : list->get_array()) {
      TRY_ASSIGN(const auto inner, as_fields(item, fields.where));
      TRY(read_pre_tokenizer(inner, vocabulary, depth + 1));
    }
    return {};
  }
  if (type == "ByteLevel") {
    TRY_ASSIGN(vocabulary.add_prefix_space, fields.boolean_or("add_prefix_space", false));
    TRY_ASSIGN(const bool use_regex, fields.boolean_or("use_regex", true));
    if (use_regex) vocabulary.splits.emplace_back(kGpt2Split);
    return {};
  }
  if (type == "Digits") {
    TRY_ASSIGN(const bool individual, fields.boolean_or("individual_digits", false));
    vocabulary.splits.emplace_back(individual ? "\\p{N}" : "\\p{N}+");
    return {};
  }
  if (type == "Split") {
    TRY_ASSIGN(const auto behaviour, fields.text_or("behavior", "Isolated"));
    TRY_ASSIGN(const bool invert, fields.boolean_or("invert", false));
    // "Removed" and inverted is how some files say "Isolated" of the matches of a pattern that covers everything.
    if (!(behaviour == "Isolated" && !invert) && !(behaviour == "Removed" && invert)) {
      return fail(ErrorKind::invalid, fmt::format("pre_tokenizer Split with behavior '{}'", behaviour), fields.where,
                  "only 'Isolated' is supported");
    }
    TRY_ASSIGN(auto pattern, pattern_of(fields));
    vocabulary.splits.push_back(std::move(pattern));
    return {};
  }
  return fail(ErrorKind::invalid, fmt::format("pre_tokenizer '{}' is not supported", type), fields.where,
              "supported are ByteLevel, Digits, Split and a Sequence of them");
}

Result<void> read_normalizer(const Fields& root) {
  if (!root.has("normalizer")) return {};
  TRY_ASSIGN(const auto fields, as_fields(root.object->at("normalizer"), root.where));
  TRY_ASSIGN(const auto type, fields.text("type"));
  // NFC changes nothing in text that is composed already, as nearly all text is; docs/training.md says so.
  if (type == "NFC") return {};
  if (type == "Sequence") {
    const auto* list = fields.object->if_contains("normalizers");
    if (list != nullptr && list->is_array() && list->get_array().empty()) return {};
  }
  return fail(ErrorKind::invalid, fmt::format("normalizer '{}' is not supported", type), root.where);
}

/// Ids must be 0…n-1 with nothing left out; added tokens may lie inside or behind the BPE vocabulary.
Result<void> place(Vocabulary& vocabulary, Index& index, std::string text, std::int64_t id, TokenKind kind, const std::string& where) {
  if (id < 0 || id >= kTokensMax) return fail(ErrorKind::invalid, fmt::format("token id {} is out of range", id), where);
  const auto at = static_cast<std::size_t>(id);
  if (at >= vocabulary.tokens.size()) {
    vocabulary.tokens.resize(at + 1);
    vocabulary.kinds.resize(at + 1, TokenKind::unused);
  }
  if (kind == TokenKind::normal && vocabulary.kinds[at] != TokenKind::unused) {
    return fail(ErrorKind::invalid, fmt::format("token id {} is given twice", id), where);
  }
  index.insert_or_assign(text, static_cast<std::int32_t>(id));
  std::string bytes = text;
  if (kind == TokenKind::normal) bytes = printable_to_bytes(text).value_or(text);
  vocabulary.tokens[at] = std::move(bytes);
  vocabulary.kinds[at] = kind;
  return {};
}

Result<void> read_vocab(const Fields& model, Vocabulary& vocabulary, Index& index) {
  const auto* vocab = model.object->if_contains("vocab");
  if (vocab == nullptr || !vocab->is_object()) return fail(ErrorKind::invalid, "model.vocab is missing or no object", model.where);
  // An id far beyond the count would make us allocate for nothing.
  const auto id_max = static_cast<std::int64_t>(vocab->get_object().size()) * 2 + 65536;
  for (const auto& member : vocab->get_object()) {
    if (!member.value().is_int64() || member.value().get_int64() > id_max) {
      return fail(ErrorKind::invalid, fmt::format("model.vocab['{}'] is no valid id", std::string_view(member.key())), model.where);
    }
    TRY(place(vocabulary, index, member.key(), member.value().get_int64(), TokenKind::normal, model.where));
  }
  return {};
}

Result<void> read_merges(const Fields& model, Vocabulary& vocabulary, const Index& index) {
  const auto* merges = model.object->if_contains("merges");
  if (merges == nullptr || !merges->is_array()) return fail(ErrorKind::invalid, "model.merges is missing or no array", model.where);
  for (const auto& item : merges->get_array()) {
    std::string left;
    std::string right;
    if (item.is_string()) {
      const std::string_view text = item.get_string();
      const auto space = text.find(' ');
      if (space == std::string_view::npos) return fail(ErrorKind::invalid, fmt::format("merge '{}' is no pair", text), model.where);
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else if (item.is_array() && item.get_array().size() == 2 && item.get_array()[0].is_string() && item.get_array()[1].is_string()) {
      left = item.get_array()[0].get_string();
      right = item.get_array()[1].get_string();
    } else {
      return fail(ErrorKind::invalid, "model.merges holds something that is no pair", model.where);
    }
    const auto a = index.find(left);
    const auto b = index.find(right);
    const auto joined = index.find(left + right);
    if (a == index.end() || b == index.end() || joined == index.end()) {
      return fail(ErrorKind::invalid, fmt::format("merge '{} {}' names a token that is not in the vocabulary", left, right), model.where);
    }
    vocabulary.merges.push_back({a->second, b->second, joined->second});
  }
  return {};
}

Result<void> read_added(const Fields& root, Vocabulary& vocabulary, Index& index) {
  if (!root.has("added_tokens")) return {};
  const auto& list = root.object->at("added_tokens");
  if (!list.is_array()) return fail(ErrorKind::invalid, "added_tokens is no array", root.where);
  for (const auto& item : list.get_array()) {
    TRY_ASSIGN(const auto fields, as_fields(item, root.where + ": added_tokens"));
    TRY_ASSIGN(const auto id, fields.integer("id", 0, static_cast<std::int64_t>(vocabulary.tokens.size()) + 65536));
    TRY_ASSIGN(auto content, fields.text("content"));
    TRY_ASSIGN(const bool special, fields.boolean_or("special", false));
    TRY(place(vocabulary, index, std::move(content), id, special ? TokenKind::control : TokenKind::added, root.where));
  }
  return {};
}

/// A token in tokenizer_config.json is a text, or an object with the text in "content".
std::optional<std::int32_t> special_id(const Fields& config, std::string_view name, const Index& index) {
  const auto* value = config.object->if_contains(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_object()) value = value->get_object().if_contains("content");
  if (value == nullptr || !value->is_string()) return std::nullopt;
  const auto found = index.find(std::string(value->get_string()));
  return found == index.end() ? std::nullopt : std::optional(found->second);
}

Result<void> read_config(std::string_view text, Vocabulary& vocabulary, const Index& index, const std::string& where) {
  TRY_ASSIGN(const auto value, parse_json(text, where));
  TRY_ASSIGN(const auto config, as_fields(value, where));
  vocabulary.bos = special_id(config, "bos_token", index);
  vocabulary.eos = special_id(config, "eos_token", index);
  vocabulary.unknown = special_id(config, "unk_token", index);
  TRY_ASSIGN(vocabulary.add_bos, config.boolean_or("add_bos_token", false));
  if (const auto* chat = config.object->if_contains("chat_template"); chat != nullptr && chat->is_string()) {
    vocabulary.chat_template = chat->get_string();
  }
  return {};
}

}  // namespace

Result<Vocabulary> vocabulary_from_json(std::string_view tokenizer_json, std::string_view tokenizer_config, const std::string& where) {
  TRY_ASSIGN(const auto value, parse_json(tokenizer_json, where));
  TRY_ASSIGN(const auto root, as_fields(value, where));
  if (!root.has("model")) return fail(ErrorKind::invalid, "field 'model' is missing", where, "is this a tokenizer.json?");
  TRY_ASSIGN(const auto model, as_fields(root.object->at("model"), where));
  TRY_ASSIGN(const auto type, model.text_or("type", "BPE"));
  if (type != "BPE") {
    return fail(ErrorKind::invalid, fmt::format("model.type '{}' is not supported", type), where, "use a byte-level BPE tokenizer");
  }
  Vocabulary vocabulary;
  Index index;
  TRY(read_normalizer(root));
  TRY(read_vocab(model, vocabulary, index));
  TRY_ASSIGN(vocabulary.ignore_merges, model.boolean_or("ignore_merges", false));
  TRY(read_merges(model, vocabulary, index));
  TRY(read_added(root, vocabulary, index));
  if (root.has("pre_tokenizer")) {
    TRY_ASSIGN(const auto pre, as_fields(root.object->at("pre_tokenizer"), where));
    TRY(read_pre_tokenizer(pre, vocabulary, 0));
  }
  if (!tokenizer_config.empty()) TRY(read_config(tokenizer_config, vocabulary, index, where));
  return vocabulary;
}

namespace {

std::string token_text(const Vocabulary& vocabulary, std::int32_t id) {
  const auto at = static_cast<std::size_t>(id);
  return vocabulary.kinds[at] == TokenKind::normal ? bytes_to_printable(vocabulary.tokens[at]) : vocabulary.tokens[at];
}

json::value pre_tokenizer_json(const Vocabulary& vocabulary) {
  const auto byte_level = [&](bool use_regex) {
    return json::object{
        {"type", "ByteLevel"}, {"add_prefix_space", vocabulary.add_prefix_space}, {"trim_offsets", true}, {"use_regex", use_regex}};
  };
  if (vocabulary.splits.size() == 1 && vocabulary.splits[0] == kGpt2Split) return byte_level(true);
  json::array list;
  for (const auto& split : vocabulary.splits) {
    list.push_back(json::object{{"type", "Split"}, {"pattern", {{"Regex", split}}}, {"behavior", "Isolated"}, {"invert", false}});
  }
  list.push_back(byte_level(false));
  return json::object{{"type", "Sequence"}, {"pretokenizers", std::move(list)}};
}

}  // namespace

std::string vocabulary_to_json(const Vocabulary& vocabulary) {
  json::array added;
  json::object vocab;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const auto kind = vocabulary.kinds[id];
    if (kind == TokenKind::normal) {
      vocab[bytes_to_printable(vocabulary.tokens[id])] = id;
    } else if (kind != TokenKind::unused) {
      added.push_back(json::object{{"id", id},
                                   {"content", vocabulary.tokens[id]},
                                   {"single_word", false},
                                   {"lstrip", false},
                                   {"rstrip", false},
                                   {"normalized", false},
                                   {"special", kind == TokenKind::control}});
    }
  }
  json::array merges;
  for (const auto& merge : vocabulary.merges) {
    merges.push_back(json::array{json::string(token_text(vocabulary, merge.left)), json::string(token_text(vocabulary, merge.right))});
  }
  const json::object decoder{{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  return json::serialize(json::object{{"version", "1.0"},
                                      {"truncation", nullptr},
                                      {"padding", nullptr},
                                      {"added_tokens", std::move(added)},
                                      {"normalizer", nullptr},
                                      {"pre_tokenizer", pre_tokenizer_json(vocabulary)},
                                      {"post_processor", nullptr},
                                      {"decoder", decoder},
                                      {"model",
                                       {{"type", "BPE"},
                                        {"dropout", nullptr},
                                        {"unk_token", nullptr},
                                        {"continuing_subword_prefix", nullptr},
                                        {"end_of_word_suffix", nullptr},
                                        {"fuse_unk", false},
                                        {"byte_fallback", false},
                                        {"ignore_merges", vocabulary.ignore_merges},
                                        {"vocab", std::move(vocab)},
                                        {"merges", std::move(merges)}}}}) +
         "\n";
}

std::string tokenizer_config_json(const Vocabulary& vocabulary, std::int64_t context) {
  json::object config{{"tokenizer_class", "PreTrainedTokenizerFast"},
                      {"model_max_length", context},
                      {"clean_up_tokenization_spaces", false},
                      {"add_bos_token", vocabulary.add_bos}};
  if (vocabulary.bos) config["bos_token"] = token_text(vocabulary, *vocabulary.bos);
  if (vocabulary.eos) config["eos_token"] = token_text(vocabulary, *vocabulary.eos);
  if (vocabulary.unknown) config["unk_token"] = token_text(vocabulary, *vocabulary.unknown);
  if (!vocabulary.chat_template.empty()) config["chat_template"] = vocabulary.chat_template;
  return pretty(config);
}

}  // namespace centrale::trainer
