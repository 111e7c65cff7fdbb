// SPDX-License-Identifier: Apache-2.0
#include "fleet/fleet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>

#include "base/ensure.hpp"
#include "base/text.hpp"

namespace centrale {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// What joins the islands of a fleet that is given as one line of text: halls of one centre.
constexpr BytesPerSecond kTextLinkBandwidth{400e9 / 8};
constexpr std::int64_t kTextLinkChips = 1024;  // of the smaller island, for each such link
constexpr Seconds kTextLinkLatency{100e-6};

/// The widest bandwidth that leads to each island from `from`: Dijkstra's algorithm with minimum for sum. Zero: no way.
std::vector<double> widest(const Fleet& fleet, std::size_t from) {
  std::vector<double> wide(fleet.islands.size(), 0);
  std::vector<bool> done(fleet.islands.size(), false);
  wide[from] = kInfinity;
  for (std::size_t round = 0; round < wide.size(); ++round) {
    std::size_t best = wide.size();
    for (std::size_t i = 0; i < wide.size(); ++i) {
      if (!done[i] && (best == wide.size() || wide[i] > wide[best])) { best = i; }
    }
    done[best] = true;
    for (const IslandLink& link : fleet.links) {
      if (link.from != best && link.to != best) { continue; }
      const std::size_t other = link.from == best ? link.to : link.from;
      wide[other] = std::max(wide[other], std::min(wide[best], link.bandwidth.value));
    }
  }
  return wide;
}

/// The least latency between two islands over links of at least `bandwidth`.
double nearest_way(const Fleet& fleet, std::size_t from, std::size_t to, double bandwidth) {
  std::vector<double> far(fleet.islands.size(), kInfinity);
  far[from] = 0;
  for (std::size_t round = 1; round < far.size(); ++round) {  // Bellman and Ford: few links, few rounds
    for (const IslandLink& link : fleet.links) {
      if (link.bandwidth.value < bandwidth) { continue; }
      far[link.to] = std::min(far[link.to], far[link.from] + link.latency.value);
      far[link.from] = std::min(far[link.from], far[link.to] + link.latency.value);
    }
  }
  return far[to];
}

struct TextPart {
  const ChipType* chip = nullptr;
  std::int64_t chips = 0;
};

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ')) { text.remove_prefix(1); }
  while (text.ends_with(' ')) { text.remove_suffix(1); }
  return text;
}

/// By key, printed name, loosely, or by a start that only one key has.
const ChipType* chip_meant(std::string_view text, const Catalogue& catalogue) {
  if (const ChipType* chip = catalogue.chip(text)) { return chip; }
  if (const ChipType* chip = catalogue.chip_printed_as(text)) { return chip; }
  if (const ChipType* chip = catalogue.chip_like(text)) { return chip; }
  const ChipType* only = nullptr;
  for (const ChipType& chip : catalogue.chips) {
    if (!chip.key.starts_with(text)) { continue; }
    if (only != nullptr) { return nullptr; }
    only = &chip;
  }
  return text.empty() ? nullptr : only;
}

/// "h100-sxm x 16384", "mi300xx8".
Result<TextPart> read_part(std::string_view part, const Catalogue& catalogue) {
  const std::size_t digits = part.find_last_not_of("0123456789");
  std::string_view count = digits == std::string_view::npos ? part : part.substr(digits + 1);
  std::string_view name = trim(part.substr(0, part.size() - count.size()));
  if (count.empty() || !name.ends_with('x')) {
    return fail(ErrorKind::invalid, fmt::format("'{}' does not say how many chips", shorten(part, 60)), {}, "write h100-sxm x 1024");
  }
  name = trim(name.substr(0, name.size() - 1));
  TextPart read;
  const auto parsed = std::from_chars(count.data(), count.data() + count.size(), read.chips);
  if (parsed.ec != std::errc{} || read.chips < 1 || read.chips > kFleetChipsMax) {
    return fail(ErrorKind::invalid, fmt::format("'{}': wants 1 to {} chips", shorten(part, 60), format_count(kFleetChipsMax)));
  }
  read.chip = chip_meant(name, catalogue);
  if (read.chip == nullptr) {
    return fail(ErrorKind::invalid, fmt::format("chip '{}' is not in the catalogue", shorten(name, 60)), {}, catalogue.nearest_key(name));
  }
  const std::int64_t per_node = read.chip->chips_per_node;
  if (read.chips > per_node && read.chips % per_node != 0) {
    return fail(ErrorKind::invalid, fmt::format("{} of {} do not fill nodes of {}", read.chips, read.chip->key, per_node), {},
                fmt::format("{} or {} do", read.chips / per_node * per_node, (read.chips / per_node + 1) * per_node));
  }
  return read;
}

std::string island_name(const Fleet& fleet, const std::string& key) {
  const auto taken = [&](const std::string& name) {
    return std::any_of(fleet.islands.begin(), fleet.islands.end(), [&](const Island& island) { return island.name == name; });
  };
  std::string name = key;
  for (std::size_t number = 2; taken(name); ++number) { name = fmt::format("{}-{}", key, number); }
  return name;
}

std::int64_t sum(const std::vector<std::int64_t>& sides) { return std::accumulate(sides.begin(), sides.end(), std::int64_t{0}); }

/// The shapes of `chips` chips over the dimensions from `at` on, none shorter than `least`; keeps the most even one: of the least sum.
void find_shape(std::vector<std::int64_t>& shape, std::size_t at, std::int64_t chips, std::int64_t least,
                const std::vector<std::int64_t>& limits, std::vector<std::int64_t>& best) {
  if (at + 1 == limits.size()) {
    if (chips < least || chips > limits[at]) { return; }
    shape[at] = chips;
    if (best.empty() || sum(shape) < sum(best)) { best = shape; }
    return;
  }
  for (std::int64_t side = least; side <= limits[at] && side * side <= chips; ++side) {  // the rest are no shorter
    if (chips % side != 0) { continue; }
    shape[at] = side;
    find_shape(shape, at + 1, chips / side, side, limits, best);
  }
}

}  // namespace

std::int64_t Fleet::chips() const {
  return std::accumulate(islands.begin(), islands.end(), std::int64_t{0}, [](std::int64_t sum, const Island& i) { return sum + i.chips; });
}

IslandLink Fleet::path(std::size_t from, std::size_t to) const {
  ensure(from < islands.size() && to < islands.size());
  if (from == to) {
    const Island& island = islands[from];
    return {from, to, island.network.bandwidth * static_cast<double>(island.chips), island.network.latency};
  }
  const double bandwidth = widest(*this, from)[to];
  ensure(bandwidth > 0);  // read_fleet and fleet_of let no other pass
  return {from, to, BytesPerSecond{bandwidth}, Seconds{nearest_way(*this, from, to, bandwidth)}};
}

std::int64_t domain_of(std::int64_t chips, std::int64_t chips_per_node, std::int64_t full) {
  if (chips <= full || chips % full == 0) { return std::min(chips, full); }
  for (std::int64_t domain = full; domain * 2 >= full; --domain) {
    if (chips % domain == 0 && (domain % chips_per_node == 0 || chips_per_node > full)) { return domain; }
  }
  return full;
}

std::vector<std::int64_t> torus_slice(const std::vector<std::int64_t>& torus, std::int64_t chips) {
  std::vector<std::int64_t> limits = torus;
  std::sort(limits.begin(), limits.end());
  std::vector<std::int64_t> shape(limits.size());
  std::vector<std::int64_t> best;
  if (!limits.empty()) { find_shape(shape, 0, chips, 1, limits, best); }
  return best.empty() ? std::vector<std::int64_t>{chips} : best;
}

Island island_of(std::string name, const ChipType& chip, std::int64_t chips) {
  ensure(chips > 0);
  Island island;
  island.name = std::move(name);
  island.chip = chip;
  island.chips = chips;
  island.chips_per_node = std::min(chips, chip.chips_per_node);
  while (chips % island.chips_per_node != 0) { --island.chips_per_node; }
  const bool joined = chip.scale_up.wiring != Wiring::none;
  island.domain = joined ? domain_of(chips, island.chips_per_node, chip.scale_up.chips) : 1;
  if (chip.scale_up.wiring == Wiring::torus && island.domain != chip.scale_up.chips) {
    island.chip.scale_up.torus = torus_slice(chip.scale_up.torus, island.domain);
  }
  island.network.bandwidth = chip.scale_out.bandwidth.value;
  island.network.latency = chip.scale_out.latency;
  return island;
}

Result<Fleet> fleet_of(std::string_view text, const Catalogue& catalogue) {
  Fleet fleet;
  fleet.name = std::string(trim(text));
  fleet.currency = catalogue.currency;
  std::string_view rest = text;
  for (bool more = true; more;) {
    const std::size_t comma = rest.find(',');
    more = comma != std::string_view::npos;
    TRY_ASSIGN(const TextPart part, read_part(trim(rest.substr(0, comma)), catalogue));
    if (fleet.islands.size() == kIslandsMax) {
      return fail(ErrorKind::invalid, "the fleet has too many islands", {}, fmt::format("at most {}", kIslandsMax));
    }
    if (fleet.chips() + part.chips > kFleetChipsMax) {
      return fail(ErrorKind::invalid, "the fleet has too many chips", {}, fmt::format("at most {}", format_count(kFleetChipsMax)));
    }
    Island island = island_of(island_name(fleet, part.chip->key), *part.chip, part.chips);
    for (std::size_t other = 0; other < fleet.islands.size(); ++other) {
      const std::int64_t smaller = std::min(island.chips, fleet.islands[other].chips);
      const std::int64_t whole_links = (smaller + kTextLinkChips - 1) / kTextLinkChips;
      const auto links = static_cast<double>(whole_links);
      fleet.links.push_back({other, fleet.islands.size(), kTextLinkBandwidth * links, kTextLinkLatency});
    }
    fleet.islands.push_back(std::move(island));
    if (more) { rest.remove_prefix(comma + 1); }
  }
  return fleet;
}

Fleet fleet_of(const ChipType& chip, std::int64_t chips, const Catalogue& catalogue) {
  Fleet fleet;
  fleet.name = fmt::format("{} x {}", chip.key, chips);
  fleet.currency = catalogue.currency;
  fleet.islands.push_back(island_of(chip.key, chip, chips));
  return fleet;
}

}  // namespace centrale
