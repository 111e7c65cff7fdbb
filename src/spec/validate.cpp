// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "spec/limits.hpp"
#include "spec/spec.hpp"

namespace centrale {
namespace {

constexpr std::size_t kShownMax = 60;  // of a value in an error message

bool is_env_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && name.size() <= 256 && letter(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

/// Letters, digits and "-._", a letter or digit first: chip kinds, packages.
bool is_plain_word(std::string_view word) {
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
  return !word.empty() && word.size() <= 128 && alphanumeric(word.front()) &&
         std::all_of(word.begin(), word.end(), [&](char c) { return alphanumeric(c) || c == '-' || c == '.' || c == '_'; });
}

/// The nearest name that would do; empty if nothing of it is left.
std::string as_name(std::string_view text) {
  std::string name;
  for (const char c : text.substr(0, kNameMax)) {
    const char low = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool fits = (low >= 'a' && low <= 'z') || (low >= '0' && low <= '9');
    if (fits || (!name.empty() && name.back() != '-')) { name += fits ? low : '-'; }
  }
  while (name.ends_with('-')) { name.pop_back(); }
  return name;
}

/// Visits a spec's fields and keeps the first thing that is wrong.
struct FieldCheck {
  std::optional<SpecProblem> problem;
  std::size_t arguments = 0;  // bytes of command and env

  void say(std::string_view key, std::string what, std::string remedy = {}) {
    if (!problem) { problem = {std::string(key), std::move(what), std::move(remedy)}; }
  }

  void check_text(std::string_view key, std::string_view text, std::size_t most) {
    if (text.size() > most) {
      say(key, fmt::format("holds a text of {} bytes", format_count(static_cast<std::int64_t>(text.size()))),
          fmt::format("at most {}", format_bytes({static_cast<std::int64_t>(most)})));
    } else if (text.find('\0') != std::string_view::npos) {
      say(key, "holds a NUL byte", "no program can be given one");
    } else if (!is_utf8(text)) {
      say(key, "is not UTF-8");
    }
  }

  void operator()(std::string_view key, const std::string& text, const char* = "") {
    check_text(key, text, key == "health" || key == "workdir" || key == "checkpoints" || key == "model" ? 4096 : kTextMax);
    if (key != "name" || is_valid_name(text)) { return; }
    if (text.empty()) {
      say(key, "is missing", "a-z, 0-9 and '-'");
      return;
    }
    const std::string better = as_name(text);
    say(key,
        fmt::format("'{}' is not a name: a-z, 0-9 and '-', at most {}, a letter or digit first and last", shorten(text, kShownMax),
                    kNameMax),
        better.empty() ? std::string() : fmt::format("such as {}", better));
  }

  void operator()(std::string_view key, const std::int64_t& count, const char* = "") {
    const CountLimit* limit = limit_of(kCountLimits, key);
    if (limit != nullptr && (count < limit->least || count > limit->most)) {
      say(key, fmt::format("is {}", count), fmt::format("from {} to {}", limit->least, format_count(limit->most)));
    }
  }

  void operator()(std::string_view, const bool&, const char* = "") {}

  void operator()(std::string_view key, const double& amount, const char* = "") {
    if (!(amount >= 0) || amount > kBidMax) { say(key, fmt::format("is {}", amount), fmt::format("from 0 to {}", kBidMax)); }
  }

  void operator()(std::string_view key, const Nanos& span, const char* = "") {
    if (span < Nanos{} || span > kSpanMax) { say(key, fmt::format("is {}", format_duration(span)), "from 0s to 3650d"); }
  }

  void operator()(std::string_view key, const Bytes& size, const char* = "") {
    if (size < Bytes{} || size > kMemoryMax) {
      say(key, fmt::format("is {}", format_bytes(size)), fmt::format("from 0 to {}", exact_bytes(kMemoryMax)));
    }
  }

  void operator()(std::string_view key, const std::vector<std::string>& words, const char* = "") {
    const ListLimit* limit = limit_of(kListLimits, key);
    if (limit != nullptr && words.size() > limit->most) {
      say(key, fmt::format("has {} entries", words.size()), fmt::format("at most {}", limit->most));
    }
    for (const std::string& word : words) { check_text(key, word, kTextMax); }
    if (key == "command") {
      check_command(words);
    } else {
      check_set(key, words);
    }
  }

  void check_command(const std::vector<std::string>& words) {
    if (!words.empty() && words.front().empty()) { say("command", "starts with an empty word", "the first word is the program"); }
    for (const std::string& word : words) { add_arguments(word.size() + 1); }
  }

  void check_set(std::string_view key, const std::vector<std::string>& words) {
    for (auto word = words.begin(); word != words.end(); ++word) {
      if (key == "chip_kinds" ? !is_plain_word(*word) : !is_valid_name(*word)) {
        say(key, fmt::format("'{}' is not {}", shorten(*word, kShownMax), key == "chip_kinds" ? "a chip kind" : "a job's name or id"));
      } else if (std::find(words.begin(), word, *word) != word) {
        say(key, fmt::format("'{}' is given twice", *word), "keep one");
      }
    }
  }

  void operator()(std::string_view key, const TextMap& pairs, const char* = "") {
    if (pairs.size() > kEnvMax) {
      say(key, fmt::format("has {} variables", pairs.size()), fmt::format("at most {}", kEnvMax));
      return;
    }
    std::vector<std::string_view> names;
    for (const auto& [name, text] : pairs) {
      if (!is_env_name(name)) {
        say(key, fmt::format("'{}' is not a variable's name: letters, digits and '_', no digit first", shorten(name, kShownMax)));
      }
      check_text(fmt::format("{}.{}", key, shorten(name, kShownMax)), text, kTextMax);
      names.push_back(name);
      add_arguments(name.size() + text.size() + 2);
    }
    std::sort(names.begin(), names.end());
    if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end()) {
      say(key, fmt::format("'{}' is given twice", *twice), "keep one");
    }
  }

  void add_arguments(std::size_t bytes) {
    arguments += bytes;
    if (arguments > kArgumentsMax) {
      say("command", "is too long, command and env together", fmt::format("at most {}", format_bytes({kArgumentsMax})));
    }
  }
};

template <class Spec>
FieldCheck check_fields(const Spec& spec) {
  FieldCheck check;
  describe(check, const_cast<Spec&>(spec));  // FieldCheck only reads
  return check;
}

void check_model(FieldCheck& check, std::string_view model) {
  if (model.starts_with("job:") && !is_valid_name(model.substr(4))) {
    check.say("model", fmt::format("'{}' does not name a job", shorten(model, kShownMax)),
              "job:NAME, the name of a job that exports a model");
  } else if (model.starts_with("pip:") && !is_plain_word(model.substr(4))) {
    check.say("model", fmt::format("'{}' does not name a package", shorten(model, kShownMax)), "pip:PACKAGE");
  }
}

template <class Spec>
void check_share(FieldCheck& check, const Spec& spec) {
  if (spec.share_milli < 1000 && spec.chips != 1) {
    check.say("share_milli", fmt::format("is a share of one chip, and chips is {}", spec.chips), "chips: 1");
  }
}

template <class Spec>
Result<void> result_of(const Spec& spec) {
  auto problem = first_problem(spec);
  if (!problem) { return {}; }
  return fail(ErrorKind::invalid, fmt::format("{}: {}", problem->key, problem->what), {}, std::move(problem->remedy));
}

}  // namespace

std::optional<SpecProblem> first_problem(const JobSpec& spec) {
  FieldCheck check = check_fields(spec);
  if (spec.command.empty()) { check.say("command", "is missing", "the program and its arguments, such as [python3, train.py]"); }
  if (std::find(spec.after.begin(), spec.after.end(), spec.name) != spec.after.end()) { check.say("after", "names the job itself"); }
  if (spec.workers_max < spec.workers_min) {
    check.say("workers_max", fmt::format("is {}, below workers_min", spec.workers_max), fmt::format("at least {}", spec.workers_min));
  } else if (spec.workers_max > 0 && (spec.workers < spec.workers_min || spec.workers > spec.workers_max)) {
    check.say("workers", fmt::format("is {}", spec.workers),
              fmt::format("from workers_min to workers_max: {} to {}", spec.workers_min, spec.workers_max));
  }
  check_share(check, spec);
  return std::move(check.problem);
}

std::optional<SpecProblem> first_problem(const ServiceSpec& spec) {
  FieldCheck check = check_fields(spec);
  if (spec.model.empty() && spec.command.empty()) {
    check.say("model", "is missing, and there is no command", "what to serve (model), or how (command)");
  }
  check_model(check, spec.model);
  const bool printable = std::all_of(spec.health.begin(), spec.health.end(), [](char c) { return c > ' ' && c < 0x7F; });
  if (!spec.health.starts_with('/') || !printable) {
    check.say("health", fmt::format("'{}' is not a path", shorten(spec.health, kShownMax)), "such as /health");
  }
  if (spec.replicas_max < spec.replicas_min) {
    check.say("replicas_max", fmt::format("is {}, below replicas_min", spec.replicas_max), fmt::format("at least {}", spec.replicas_min));
  } else if (spec.replicas_max > 0 && spec.tokens_per_s == 0) {
    check.say("tokens_per_s", "is missing, and replicas are to follow the load", "what one replica serves: centrale plan serve says it");
  }
  check_share(check, spec);
  if (spec.start_timeout == Nanos{}) { check.say("start_timeout", "is 0", "no replica is ready at once"); }
  return std::move(check.problem);
}

Result<void> validate(const JobSpec& spec) { return result_of(spec); }
Result<void> validate(const ServiceSpec& spec) { return result_of(spec); }

}  // namespace centrale
