// SPDX-License-Identifier: Apache-2.0
#include "gateway/request_text.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <vector>

#include "gateway/json_scan.hpp"
#include "http/answer.hpp"

namespace centrale::gateway {
namespace {

constexpr std::int64_t kBytesPerToken = 4;            // English text in the usual vocabularies
constexpr std::int64_t kCompletionTokensGuess = 512;  // when the request sets no limit
constexpr std::int64_t kTokensMax = 1'000'000'000;    // keeps every sum far from overflow
constexpr std::int64_t kAnswersMax = 128;             // as OpenAI has it
constexpr std::size_t kModelNameMax = 512;
constexpr std::size_t kMediaBytesMin = 2048;  // a shorter string is counted as text
constexpr std::int64_t kMediaTokens = 1000;   // of an image or a sound, in the order of magnitude

std::unexpected<Error> wrong(std::string what, std::string field) { return fail(ErrorKind::invalid, std::move(what), std::move(field)); }

Piece piece_of(std::string_view body, std::string_view part) {
  const auto begin = static_cast<std::size_t>(part.data() - body.data());
  return {begin, begin + part.size()};
}

/// The members that matter here, each at most once: of two, engines take the last and others the first, and the one that
/// was checked must be the one that is served.
struct Fields {
  enum Name : unsigned char {
    model,
    stream,
    stream_options,
    max_tokens,
    max_completion_tokens,
    n,
    best_of,
    messages,
    prompt,
    input,
    kCount
  };
  static constexpr std::array<std::string_view, kCount> kNames{"model", "stream",  "stream_options", "max_tokens", "max_completion_tokens",
                                                               "n",     "best_of", "messages",       "prompt",     "input"};

  std::array<std::string_view, kCount> value;  // empty: not there
  std::optional<std::string_view> repeated;

  void take(std::string_view key, std::string_view text) {
    const auto found = std::ranges::find(kNames, key);
    if (found == kNames.end()) { return; }
    auto& place = value.at(static_cast<std::size_t>(found - kNames.begin()));
    if (!place.empty()) { repeated = *found; }
    place = text;
  }
  [[nodiscard]] bool has(Name name) const { return !value.at(name).empty() && value.at(name) != "null"; }
};

Result<bool> read_bool(std::string_view value, std::string_view name) {
  if (value == "true" || value == "false") { return value == "true"; }
  return wrong("'" + std::string{name} + "' must be true or false", std::string{name});
}

Result<std::int64_t> read_number(const Fields& fields, Fields::Name name, std::int64_t fallback, std::int64_t least, std::int64_t most) {
  if (!fields.has(name)) { return fallback; }
  const auto value = whole_number(fields.value.at(name));
  const std::string field{Fields::kNames.at(name)};
  if (!value || *value < least) { return wrong("'" + field + "' must be a whole number of at least " + std::to_string(least), field); }
  if (*value > most) { return wrong("'" + field + "' must be at most " + std::to_string(most), field); }
  return *value;
}

/// Images and sounds travel as base64: their bytes are no measure of their tokens.
bool looks_like_media(std::string_view content) {
  return content.size() >= kMediaBytesMin && std::ranges::all_of(content.substr(0, 256), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  std::string_view{"+/=:;,.-_"}.find(c) != std::string_view::npos;
         });
}

/// A guess, of well-formed JSON: the bytes of its strings, media apart; of an array of token ids, their number.
std::int64_t guess_tokens(std::string_view json) {
  std::int64_t bytes = 0;
  std::int64_t tokens = 0;
  for (std::size_t at = 0; at < json.size(); ++at) {
    if (json[at] == '"') {
      const std::size_t end = *end_of_value(json, at);
      const std::string_view content = json.substr(at + 1, end - at - 2);
      if (looks_like_media(content)) {
        tokens += kMediaTokens;
      } else {
        bytes += static_cast<std::int64_t>(content.size());
      }
      at = end - 1;
    } else if (json[at] >= '0' && json[at] <= '9') {
      ++tokens;
      while (at + 1 < json.size() && json[at + 1] >= '0' && json[at + 1] <= '9') { ++at; }
    }
  }
  return tokens + (bytes + kBytesPerToken - 1) / kBytesPerToken;
}

/// How many prompts a completion request holds: "text", [1,2,3] are one; ["a","b"], [[1],[2]] are two.
std::int64_t count_prompts(std::string_view value) {
  std::int64_t several = 0;
  const bool is_array =
      each_element(value, [&](std::string_view element) { several += element.starts_with('"') || element.starts_with('[') ? 1 : 0; });
  return is_array && several > 0 ? several : 1;
}

Result<void> read_stream_options(const Fields& fields, std::string_view body, Ask& ask) {
  const std::string_view value = fields.value.at(Fields::stream_options);
  if (value.empty()) { return {}; }
  ask.stream_options = piece_of(body, value);
  if (value == "null") { return {}; }
  bool repeated = false;
  const bool is_object = each_member(value, [&](std::string_view key, std::string_view text) {
    if (key == "include_usage") {
      repeated = ask.include_usage.has_value();
      ask.include_usage = piece_of(body, text);
      ask.usage_wanted = text == "true";
    }
  });
  if (!is_object || repeated) { return wrong("'stream_options' must be an object with each name once", "stream_options"); }
  return {};
}

}  // namespace

Result<Ask> read_ask(Operation operation, std::string_view body) {
  Fields fields;
  const bool well_formed = simdjson::validate_utf8(body.data(), body.size()) &&
                           each_member(body, [&](std::string_view key, std::string_view value) { fields.take(key, value); });
  if (!well_formed) { return wrong("the body is not one well-formed JSON object in UTF-8", ""); }
  if (fields.repeated) { return wrong("'" + std::string{*fields.repeated} + "' is given twice", std::string{*fields.repeated}); }
  Ask ask;
  auto model = unescape(fields.value.at(Fields::model));
  if (!model || model->empty() || model->size() > kModelNameMax) {
    return wrong("'model' must be the name of a model; GET /v1/models lists them", "model");
  }
  ask.model = *std::move(model);
  ask.model_value = piece_of(body, fields.value.at(Fields::model));

  const auto prompt_name = operation == Operation::chat         ? Fields::messages
                           : operation == Operation::completion ? Fields::prompt
                                                                : Fields::input;
  const std::string_view prompt = fields.value.at(prompt_name);
  ask.prompt_tokens = guess_tokens(prompt);
  if (operation == Operation::embedding) { return ask; }
  if (fields.has(Fields::stream)) { TRY_ASSIGN(ask.stream, read_bool(fields.value.at(Fields::stream), "stream")); }
  TRY(read_stream_options(fields, body, ask));
  TRY_ASSIGN(const auto old_max, read_number(fields, Fields::max_tokens, kCompletionTokensGuess, -1, kTokensMax));
  TRY_ASSIGN(const auto tokens_max, read_number(fields, Fields::max_completion_tokens, old_max, -1, kTokensMax));
  TRY_ASSIGN(const auto n, read_number(fields, Fields::n, 1, 1, kAnswersMax));
  TRY_ASSIGN(const auto best_of, read_number(fields, Fields::best_of, n, 1, kAnswersMax));
  const std::int64_t prompts = operation == Operation::completion ? count_prompts(prompt) : 1;
  // -1 is llama.cpp's "no limit".
  ask.completion_tokens_max = (tokens_max < 0 ? kCompletionTokensGuess : tokens_max) * std::max(n, best_of);
  ask.completion_tokens_max = std::min(ask.completion_tokens_max, kTokensMax * kAnswersMax) * std::min(prompts, std::int64_t{1} << 20);
  return ask;
}

std::string body_for_engine(const Ask& ask, std::string_view body, std::string_view engine_model) {
  struct Splice {
    Piece piece;
    std::string text;
  };
  std::vector<Splice> splices;
  if (engine_model != ask.model) { splices.push_back({ask.model_value, http::json_string(engine_model)}); }
  if (ask.stream && !ask.usage_wanted) {
    if (ask.include_usage) {
      splices.push_back({*ask.include_usage, "true"});
    } else if (!ask.stream_options) {
      const std::size_t after_brace = body.find('{') + 1;
      splices.push_back({{after_brace, after_brace}, R"("stream_options":{"include_usage":true},)"});
    } else if (body.substr(ask.stream_options->begin, 4) == "null") {
      splices.push_back({*ask.stream_options, R"({"include_usage":true})"});
    } else {
      const std::size_t after_brace = ask.stream_options->begin + 1;
      const bool is_empty = body.find_first_not_of(" \t\r\n", after_brace) == ask.stream_options->end - 1;
      splices.push_back({{after_brace, after_brace}, is_empty ? R"("include_usage":true)" : R"("include_usage":true,)"});
    }
  }
  std::ranges::sort(splices, {}, [](const Splice& s) { return s.piece.begin; });
  std::string out;
  out.reserve(body.size() + 64 + engine_model.size());
  std::size_t at = 0;
  for (const auto& [piece, text] : splices) {
    out += body.substr(at, piece.begin - at);
    out += text;
    at = piece.end;
  }
  out += body.substr(at);
  return out;
}

std::optional<StatedUsage> read_usage(std::string_view value) {
  StatedUsage usage;
  bool any = false;
  const bool is_object = each_member(value, [&](std::string_view key, std::string_view text) {
    const auto number = key == "prompt_tokens" || key == "completion_tokens" ? whole_number(text) : std::nullopt;
    if (number && *number >= 0 && *number <= kTokensMax) {
      any = true;
      (key == "prompt_tokens" ? usage.prompt_tokens : usage.completion_tokens) = *number;
    }
  });
  return is_object && any ? std::optional{usage} : std::nullopt;
}

std::optional<StatedUsage> usage_of_answer(std::string_view body) {
  std::optional<StatedUsage> usage;
  const bool well_formed = each_member(body, [&](std::string_view key, std::string_view value) {
    if (key == "usage") { usage = read_usage(value); }
  });
  return well_formed ? usage : std::nullopt;
}

}  // namespace centrale::gateway
