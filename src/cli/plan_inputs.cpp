// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_inputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <utility>

#include "base/text.hpp"
#include "cli/spec_files.hpp"
#include "model/read.hpp"

namespace centrale::cli {
namespace fs = std::filesystem;
namespace {

Failure wrong_option(std::string_view option, std::string_view text, std::string remedy) {
  return {Error{ErrorKind::invalid, fmt::format("{} '{}' is not understood", option, shorten(text, 60)), {}, std::move(remedy)},
          kExitUsage};
}

/// What a file or a name holds is wrong, whatever the kind of the error.
Failure wrong_input(Error error) {
  const int code = error.kind == ErrorKind::io ? kExitFailed : kExitInput;
  return {std::move(error), code};
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') { text.remove_prefix(1); }
  while (!text.empty() && text.back() == ' ') { text.remove_suffix(1); }
  return text;
}

struct Suffixed {
  double number = 0;
  int thousands = 0;  // power of 1000 of the suffix
  std::string_view rest;
};

std::optional<Suffixed> suffixed(std::string_view text) {
  text = trimmed(text);
  Suffixed s;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), s.number);
  if (error != std::errc{} || !std::isfinite(s.number) || s.number < 0) { return std::nullopt; }
  s.rest = trimmed(text.substr(static_cast<std::size_t>(end - text.data())));
  constexpr std::string_view kLetters = "kKmMgGbBtTpPeE";
  if (!s.rest.empty()) {
    constexpr std::array<int, kLetters.size()> kPowers{1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6};
    // One letter: "8 m" is eight million, "8 min" is not.
    const std::size_t letter = kLetters.find(s.rest.front());
    if (letter != std::string_view::npos && (s.rest.size() == 1 || s.rest[1] == ' ')) {
      s.thousands = kPowers.at(letter);
      s.rest = trimmed(s.rest.substr(1));
    }
  }
  return s;
}

}  // namespace

std::optional<double> parse_quantity(std::string_view text) {
  const auto s = suffixed(text);
  if (!s || !s->rest.empty()) { return std::nullopt; }
  return s->number * std::pow(1000.0, s->thousands);
}

Outcome<double> quantity_of(std::string_view option, std::string_view text) {
  const auto value = parse_quantity(text);
  if (!value || !(*value > 0)) { return std::unexpected(wrong_option(option, text, "a number above 0, such as 8192, 16M or 15.6T")); }
  return *value;
}

Outcome<std::int64_t> count_of(std::string_view option, std::string_view text) {
  const auto value = parse_quantity(text);
  if (!value || !(*value >= 1) || *value > 0x1p53 || *value != std::floor(*value)) {
    return std::unexpected(wrong_option(option, text, "a whole number above 0, such as 8192 or 8k"));
  }
  return static_cast<std::int64_t>(*value);
}

Outcome<double> seconds_of(std::string_view option, std::string_view text) {
  const auto span = parse_duration(text);
  if (!span || span->value <= 0) { return std::unexpected(wrong_option(option, text, "a span of time, such as 40ms, 10m or 2h")); }
  return to_seconds(*span);
}

Outcome<double> rate_of(std::string_view option, std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view per = slash == std::string_view::npos ? "s" : trimmed(text.substr(slash + 1));
  const auto value = parse_quantity(text.substr(0, slash));
  const double seconds = per == "s" ? 1 : per == "min" || per == "m" ? 60 : per == "h" ? 3600 : per == "d" ? 86400 : 0;
  if (!value || !(*value > 0) || seconds == 0) { return std::unexpected(wrong_option(option, text, "such as 200/s, 50/min or 1M/d")); }
  return *value / seconds;
}

Outcome<Batch> batch_of(std::string_view text, std::int64_t sequence) {
  const auto s = suffixed(text);
  const auto wrong = [&] { return std::unexpected(wrong_option("--batch", text, "tokens such as 16M, or such as '2048 sequences'")); };
  if (!s || !(s->number > 0)) { return wrong(); }
  const double tokens = s->number * std::pow(1000.0, s->thousands);
  if (tokens > 0x1p53) { return wrong(); }
  const double length = static_cast<double>(sequence);
  Batch batch;
  if (s->rest == "sequences" || s->rest == "sequence" || s->rest == "seqs") {
    if (tokens < 1 || tokens != std::floor(tokens)) { return wrong(); }
    batch.sequences = static_cast<std::int64_t>(tokens);
    return batch;
  }
  if (!s->rest.empty() && s->rest != "tokens") { return wrong(); }
  const double binary = s->number * std::pow(1024.0, s->thousands);
  const auto divides = [&](double n) { return n >= length && std::fmod(n, length) == 0; };
  const double meant = divides(tokens) || !divides(binary) ? tokens : binary;
  if (meant < length) {
    return std::unexpected(Failure(Error{ErrorKind::invalid,
                                         fmt::format("a batch of {} tokens is less than one sequence of {}",
                                                     format_count(std::llround(meant)), format_count(sequence)),
                                         {},
                                         "give a larger --batch or a shorter --seq"},
                                   kExitInput));
  }
  batch.sequences = std::llround(meant / length);
  const std::int64_t whole = batch.sequences * sequence;
  if (static_cast<double>(whole) != tokens) {
    batch.note = fmt::format("a batch of {} was taken as {} sequences, {} tokens a step", trimmed(text), format_count(batch.sequences),
                             format_count(whole));
  }
  return batch;
}

namespace {

/// "a,b" as values of an enum, each once.
template <class Enum>
Outcome<std::vector<Enum>> list_of(std::string_view option, std::string_view text) {
  std::vector<Enum> all;
  const std::vector<std::string_view> names(kEnumNames<Enum>.begin(), kEnumNames<Enum>.end());
  while (true) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view name = trimmed(text.substr(0, comma));
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      std::string known;
      for (const std::string_view one : names) { known += (known.empty() ? "" : ", ") + std::string(one); }
      return std::unexpected(wrong_option(option, name, "one or more of: " + known));
    }
    const auto value = static_cast<Enum>(found - names.begin());
    if (std::find(all.begin(), all.end(), value) == all.end()) { all.push_back(value); }
    if (comma == text.size()) { return all; }
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

Outcome<std::vector<Precision>> precisions_of(std::string_view text) { return list_of<Precision>("--precision", text); }

Outcome<std::vector<Schedule>> schedules_of(std::string_view text, const Stack& stack) {
  if (!text.empty()) { return list_of<Schedule>("--schedule", text); }
  std::vector<Schedule> all{Schedule::one_f_one_b, Schedule::zero_bubble};
  if (stack.dual_pipe) { all.push_back(Schedule::dual_pipe); }
  return all;
}

Outcome<Model> model_of(const std::string& text) {
  std::error_code code;
  const fs::path path(text);
  const bool is_folder = fs::is_directory(path, code);
  if (is_folder && fs::exists(path / "config.json", code)) { return model_of((path / "config.json").string()); }
  if (text == "-" || text.ends_with(".json") || (!is_folder && fs::exists(path, code))) {
    auto json = read_text_file(text, kPlanFileMax);
    if (!json) {
      Error error = std::move(json).error();
      if (const auto known = catalogue_model(path.stem().string())) {
        error.remedy = "the catalogue has it: --model " + path.stem().string();
      }
      return std::unexpected(wrong_input(std::move(error)));
    }
    auto model = read_model(*json, text == "-" ? "standard input" : text);
    if (!model) { return std::unexpected(wrong_input(std::move(model).error())); }
    return *std::move(model);
  }
  auto model = catalogue_model(text);
  if (!model) { return std::unexpected(wrong_input(std::move(model).error())); }
  return *std::move(model);
}

Outcome<Fleet> fleet_from(const std::string& text, const Catalogue& catalogue) {
  std::error_code code;
  const bool is_file = text == "-" || text.ends_with(".yaml") || text.ends_with(".yml") || fs::exists(text, code);
  if (!is_file) {
    auto fleet = fleet_of(text, catalogue);
    if (!fleet) { return std::unexpected(wrong_input(std::move(fleet).error())); }
    return *std::move(fleet);
  }
  auto yaml = read_text_file(text, kPlanFileMax);
  if (!yaml) {
    Error error = std::move(yaml).error();
    const std::string stem = fs::path(text).stem().string();
    if (const auto named = fleet_of(stem, catalogue)) { error.remedy = "without a file: --fleet " + stem; }
    return std::unexpected(wrong_input(std::move(error)));
  }
  auto fleet = read_fleet(*yaml, text == "-" ? "standard input" : text, catalogue);
  if (!fleet) { return std::unexpected(wrong_input(std::move(fleet).error())); }
  return *std::move(fleet);
}

namespace {

/// Entries of a file over those built in, by key.
template <class Entry, class Read>
Outcome<std::vector<Entry>> laid_over(std::vector<Entry> lower, const std::string& file, Read read) {
  if (file.empty()) { return lower; }
  TRY_ASSIGN(const std::string yaml, read_text_file(file, kPlanFileMax));
  TRY_ASSIGN(std::vector<Entry> upper, read(yaml, file == "-" ? "standard input" : std::string_view(file)));
  for (Entry& entry : upper) {
    const auto same = std::find_if(lower.begin(), lower.end(), [&](const Entry& e) { return e.key == entry.key; });
    if (same != lower.end()) {
      *same = std::move(entry);
    } else {
      lower.push_back(std::move(entry));
    }
  }
  return lower;
}

}  // namespace

Outcome<Catalogue> catalogue_of(const KnownFiles& known) {
  if (known.catalogue.empty()) { return default_catalogue(); }
  TRY_ASSIGN(const std::string yaml, read_text_file(known.catalogue, kPlanFileMax));
  TRY_ASSIGN(const Catalogue upper, read_catalogue(yaml, known.catalogue == "-" ? "standard input" : std::string_view(known.catalogue)));
  TRY_ASSIGN(Catalogue both, overlay(default_catalogue(), upper));
  return both;
}

Outcome<std::vector<Stack>> stacks_of(const KnownFiles& known) { return laid_over(default_stacks(), known.stacks, &read_stacks); }
Outcome<std::vector<Engine>> engines_of(const KnownFiles& known) { return laid_over(default_engines(), known.engines, &read_engines); }

}  // namespace centrale::cli
