// SPDX-License-Identifier: Apache-2.0
#include "model/fields.hpp"

#include <fmt/format.h>

#include <utility>

namespace centrale {

void Faults::add(std::string what, std::string how) {
  if (!first) { first = Error{ErrorKind::invalid, std::move(what), std::string(file), std::move(how)}; }
}

std::optional<Fields::Found> Fields::find(Names names) const {
  if (!sound()) { return {}; }
  JsonSource source(JsonStrictness::lenient);
  JsonSource::Map map = source.open_map(object_);
  for (const std::string_view name : names) {
    JsonValue value;
    if (source.take(map, name, value) && !source.is_null(value)) { return Found{name, value}; }
  }
  return {};
}

void Fields::fault(std::string_view field, std::string what, std::string remedy) const {
  faults_->add(fmt::format("{}{}: {}", path_, field, what), std::move(remedy));
}

template <class T>
T Fields::read(const Found& found, T fallback) const {
  JsonSource source(JsonStrictness::lenient);
  source.read(found.value, fallback);
  if (source.failed()) { fault(found.name, std::move(source).error().what, "write it as the model's publisher has it"); }
  return fallback;
}

std::int64_t Fields::in_range(const Found& found, std::int64_t least, std::int64_t most) const {
  const auto number = read<std::int64_t>(found, least);
  if (number < least || number > most) {
    fault(found.name, fmt::format("wants {} to {}, found {}", least, most, number), "write it as the model's publisher has it");
    return least;
  }
  return number;
}

std::int64_t Fields::count(Names names, std::int64_t most) const {
  const auto found = find(names);
  if (found) { return in_range(*found, 1, most); }
  fault(*names.begin(), "is missing", faults_->remedy);
  return 1;
}

std::int64_t Fields::count_or(Names names, std::int64_t fallback, std::int64_t most) const {
  const auto found = find(names);
  return found ? in_range(*found, 1, most) : fallback;
}

std::int64_t Fields::amount_or(Names names, std::int64_t fallback, std::int64_t most) const {
  const auto found = find(names);
  return found ? in_range(*found, 0, most) : fallback;
}

bool Fields::flag_or(Names names, bool fallback) const {
  const auto found = find(names);
  return found ? read(*found, fallback) : fallback;
}

double Fields::share_or(Names names, double fallback) const {
  const auto found = find(names);
  if (!found) { return fallback; }
  const auto number = read(*found, fallback);
  if (number >= 0 && number <= 1) { return number; }
  fault(found->name, fmt::format("wants 0 to 1, found {}", number), "write a probability");
  return fallback;
}

std::string Fields::text_or(Names names, std::string_view fallback) const {
  const auto found = find(names);
  return found ? read(*found, std::string(fallback)) : std::string(fallback);
}

template <class T>
std::vector<T> Fields::list(Names names) const {
  const auto found = find(names);
  if (!found) { return {}; }
  JsonSource source(JsonStrictness::lenient);
  JsonSource::Seq seq = source.open_seq(found->value);
  if (!source.failed() && source.size(seq) > static_cast<std::size_t>(kLayersMax)) {
    fault(found->name, fmt::format("lists {}, {} at most", source.size(seq), kLayersMax), "list one a layer");
    return {};
  }
  std::vector<T> out;
  JsonValue value;
  while (source.next(seq, value)) { source.read(value, out.emplace_back()); }
  if (source.failed()) {
    fault(found->name, std::move(source).error().what, "write it as the model's publisher has it");
    return {};
  }
  return out;
}

std::vector<std::string> Fields::texts(Names names) const { return list<std::string>(names); }
std::vector<std::int64_t> Fields::amounts(Names names) const { return list<std::int64_t>(names); }

std::optional<Fields> Fields::inner(std::string_view name) const {
  const auto found = find({name});
  if (!found) { return {}; }
  JsonSource source(JsonStrictness::lenient);
  (void)source.open_map(found->value);
  if (source.failed()) {
    fault(name, std::move(source).error().what, "write it as the model's publisher has it");
    return {};
  }
  return Fields(found->value, path_ + std::string(name) + ".", *faults_);
}

}  // namespace centrale
