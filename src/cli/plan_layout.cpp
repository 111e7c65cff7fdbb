// SPDX-License-Identifier: Apache-2.0
// Layouts as people write them: the inverse of to_text().
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "base/text.hpp"
#include "cli/plan_inputs.hpp"

namespace centrale::cli {
namespace {

constexpr std::int64_t kDegreeMax = std::int64_t{1} << 30;

struct Degree {
  std::string_view name;
  std::int64_t Layout::*field;
};
constexpr std::array<Degree, 8> kDegrees{{{"tp", &Layout::tp},
                                          {"cp", &Layout::cp},
                                          {"dp", &Layout::dp},
                                          {"pp", &Layout::pp},
                                          {"ep", &Layout::ep},
                                          {"etp", &Layout::etp},
                                          {"v", &Layout::interleave},
                                          {"mb", &Layout::micro_batch}}};

std::optional<std::int64_t> whole(std::string_view text, std::int64_t least) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > kDegreeMax) { return std::nullopt; }
  return value;
}

template <class Enum>
bool named(std::string_view word, Enum& out) {
  const auto& names = kEnumNames<Enum>;
  const auto found = std::find(names.begin(), names.end(), word);
  if (found == names.end()) { return false; }
  out = static_cast<Enum>(found - names.begin());
  return true;
}

bool recompute(std::string_view value, Layout& l) {
  if (named(value, l.recompute)) { return true; }
  const auto layers = whole(value, 0);
  if (!layers) { return false; }
  l.recompute = Recompute::full;
  l.layers_recomputed = *layers;
  return true;
}

/// "zero1", "zero3/8": what is divided, and among how many ranks.
bool zero(std::string_view value, Layout& l) {
  const std::size_t slash = std::min(value.find('/'), value.size());
  const auto stage = whole(value.substr(0, slash), 0);
  if (!stage || *stage > 3) { return false; }
  l.zero = static_cast<Zero>(*stage);
  if (slash == value.size()) { return true; }
  const auto shard = whole(value.substr(slash + 1), 1);
  if (shard) { l.shard = *shard; }
  return shard.has_value();
}

bool word_into(std::string_view word, Layout& l, bool& dp_given) {
  for (const Degree& degree : kDegrees) {
    if (!word.starts_with(degree.name)) { continue; }
    std::string_view digits = word.substr(degree.name.size());
    if (digits.starts_with('=')) { digits.remove_prefix(1); }
    if (const auto value = whole(digits, 1)) {
      l.*degree.field = *value;
      dp_given = dp_given || degree.name == "dp";
      return true;
    }
  }
  if (word == "sp") {
    l.sequence_parallel = true;
    return true;
  }
  if (word == "fsdp") {
    l.zero = Zero::weights;
    return true;
  }
  if (word.starts_with("zero") && word != "zero-bubble") { return zero(word.substr(4), l); }
  if (word.starts_with("recompute=")) { return recompute(word.substr(10), l); }
  if (word.starts_with("offload=")) { return named(word.substr(8), l.offload); }
  return named(word, l.schedule) || named(word, l.precision);
}

}  // namespace

Outcome<NamedLayout> layout_of(std::string_view text, const Fleet& fleet, Precision precision) {
  NamedLayout out;
  out.layout.precision = precision;
  const auto wrong = [&](std::string what, std::string remedy) {
    return std::unexpected(Failure(Error{ErrorKind::invalid, std::move(what), "--layout", std::move(remedy)}, kExitUsage));
  };
  if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    out.island = std::string(text.substr(0, colon));
    text.remove_prefix(colon + 1);
  } else {
    out.island = fleet.islands.front().name;
  }
  const auto island = std::find_if(fleet.islands.begin(), fleet.islands.end(), [&](const Island& i) { return i.name == out.island; });
  if (island == fleet.islands.end()) {
    std::vector<std::string> names;
    for (const Island& i : fleet.islands) { names.push_back(i.name); }
    return wrong(fmt::format("the fleet has no island '{}'", shorten(out.island, 60)), nearest_remedy(out.island, names));
  }
  bool dp_given = false, any = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(" ,"), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    if (word.empty()) { continue; }
    any = true;
    if (!word_into(word, out.layout, dp_given)) {
      return wrong(fmt::format("'{}' is no part of a layout", shorten(word, 40)),
                   "such as: tp8 pp16 dp128 v2 mb1 sp zero1 recompute=full bf16");
    }
  }
  if (!any) { return wrong("is empty", "such as: tp8 pp16 dp128 v2 mb1 sp zero1 recompute=full bf16"); }
  Layout& l = out.layout;
  if (!dp_given) {
    const double rest = static_cast<double>(l.tp) * static_cast<double>(l.cp) * static_cast<double>(l.pp);
    l.dp = rest <= static_cast<double>(island->chips) ? island->chips / (l.tp * l.cp * l.pp) : 1;
  }
  return out;
}

}  // namespace centrale::cli
