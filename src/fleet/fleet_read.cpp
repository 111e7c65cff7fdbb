// SPDX-License-Identifier: Apache-2.0
// Fleets from YAML.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/reflect.hpp"
#include "base/text.hpp"
#include "base/yaml.hpp"
#include "fleet/fleet.hpp"

namespace centrale {
namespace {

// As the file has it; rates are read from text below.
struct NetworkEntry {
  NetworkKind kind = NetworkKind::clos;
  std::string bandwidth;
  std::optional<Nanos> latency, hop;
  std::int64_t leaf = 0, spine = 0;
  double oversubscription = 1;
  bool in_network = false;
};
struct IslandEntry {
  std::string name, chip;
  std::int64_t chips = 0;
  std::optional<std::int64_t> chips_per_node, domain;
  NetworkEntry network;
};
struct LinkEntry {
  std::string from, to, bandwidth;
  Nanos latency;
};
struct FleetFile {
  std::string name;
  std::vector<IslandEntry> islands;
  std::vector<LinkEntry> links;
};

template <class V>
void describe(V& v, NetworkEntry& n) {
  v("kind", n.kind);
  v("bandwidth", n.bandwidth);
  v("latency", n.latency);
  v("hop", n.hop);
  v("leaf", n.leaf);
  v("spine", n.spine);
  v("oversubscription", n.oversubscription);
  v("in_network", n.in_network);
}
template <class V>
void describe(V& v, IslandEntry& i) {
  v("name", i.name);
  v("chip", i.chip);
  v("chips", i.chips);
  v("chips_per_node", i.chips_per_node);
  v("domain", i.domain);
  v("network", i.network);
}
template <class V>
void describe(V& v, LinkEntry& l) {
  v("from", l.from);
  v("to", l.to);
  v("bandwidth", l.bandwidth);
  v("latency", l.latency);
}
template <class V>
void describe(V& v, FleetFile& f) {
  v("name", f.name);
  v("islands", f.islands);
  v("links", f.links);
}

// Beyond these a number is a slip of a unit.
constexpr BytesPerSecond kChipBandwidthMax{1e13}, kLinkBandwidthMax{1e16};
constexpr Nanos kLatencyMax{1'000'000'000};
constexpr double kOversubscriptionMax = 1000;
constexpr std::int64_t kNodeChipsMax = 1024;

std::unexpected<Error> wrong(std::string what, std::string where, std::string remedy = {}) {
  return fail(ErrorKind::invalid, std::move(what), std::move(where), std::move(remedy));
}

/// Counts of one island, with what is not given filled in.
Result<void> check_counts(const IslandEntry& entry, const std::string& where) {
  if (entry.chips < 1 || entry.chips > kFleetChipsMax) {
    return wrong(fmt::format("island '{}' has {} chips", entry.name, entry.chips), where,
                 fmt::format("1 to {}", format_count(kFleetChipsMax)));
  }
  if (entry.chips_per_node && (*entry.chips_per_node < 1 || *entry.chips_per_node > kNodeChipsMax)) {
    return wrong(fmt::format("island '{}' has {} chips_per_node", entry.name, *entry.chips_per_node), where,
                 fmt::format("1 to {}", kNodeChipsMax));
  }
  return {};
}

Result<void> check_nodes(const Island& island, std::int64_t per_node, const std::string& where) {
  if (island.chips % per_node == 0) { return {}; }
  const std::int64_t below = island.chips / per_node * per_node;
  return wrong(
      fmt::format("island '{}': {} chips do not fill nodes of {}", island.name, island.chips, per_node), where,
      below > 0 ? fmt::format("{} or {} chips do", below, below + per_node) : fmt::format("give chips_per_node: {}", island.chips));
}

Result<void> set_domain(const IslandEntry& entry, const ChipType& chip, Island& island, const std::string& where) {
  const ScaleUp& fabric = chip.scale_up;
  const std::int64_t most = fabric.wiring == Wiring::none ? 1 : std::min(fabric.chips, island.chips);
  island.domain = fabric.wiring == Wiring::none ? 1 : domain_of(island.chips, island.chips_per_node, fabric.chips);
  if (entry.domain) {
    if (*entry.domain < 1 || *entry.domain > most) {
      return wrong(fmt::format("island '{}' has domains of {}", entry.name, *entry.domain), where,
                   fmt::format("the fabric of {} joins 1 to {}", chip.key, most));
    }
    island.domain = *entry.domain;
  }
  if (fabric.wiring == Wiring::torus) {
    island.chip.scale_up.torus = island.domain == fabric.chips ? fabric.torus : torus_slice(fabric.torus, island.domain);
  }
  return {};
}

Result<void> set_network(const IslandEntry& entry, Island& island, const std::string& where) {
  const NetworkEntry& given = entry.network;
  Network& network = island.network;
  if (!given.bandwidth.empty()) {
    const auto bandwidth = parse_bandwidth(given.bandwidth);
    if (!bandwidth || *bandwidth > kChipBandwidthMax) {
      return wrong(fmt::format("network bandwidth of island '{}': '{}' is not a chip's rate", entry.name, shorten(given.bandwidth, 40)),
                   where, "such as 50GB/s or 400Gb/s");
    }
    network.bandwidth = *bandwidth;
  }
  if (given.latency.value_or(Nanos{}) > kLatencyMax || given.hop.value_or(Nanos{}) > kLatencyMax) {
    return wrong(fmt::format("network latency of island '{}' is above a second", entry.name), where);
  }
  if (!(given.oversubscription >= 1 && given.oversubscription <= kOversubscriptionMax)) {
    return wrong(fmt::format("oversubscription of island '{}' is {}", entry.name, given.oversubscription), where,
                 fmt::format("1 (none) to {}", kOversubscriptionMax));
  }
  if (given.leaf < 0 || given.spine < 0 || (given.spine > 0 && given.kind != NetworkKind::rail && given.spine < given.leaf)) {
    return wrong(fmt::format("network of island '{}': leaf {} and spine {} are not sizes", entry.name, given.leaf, given.spine), where,
                 "chips below one switch, or 0 for all; a spine has at least a leaf");
  }
  network.kind = given.kind;
  if (given.latency) { network.latency = Seconds{to_seconds(*given.latency)}; }
  if (given.hop) { network.hop = Seconds{to_seconds(*given.hop)}; }
  network.leaf = given.leaf;
  network.spine = given.spine;
  network.oversubscription = given.oversubscription;
  network.in_network = given.in_network;
  if (island.chips > island.domain && network.bandwidth.value <= 0) {
    return wrong(fmt::format("island '{}' is larger than a domain, and the catalogue knows no network of {}", entry.name, island.chip.key),
                 where, "give network: {bandwidth: …}");
  }
  if (network.kind == NetworkKind::torus) {
    const std::int64_t domains = (island.chips + island.domain - 1) / island.domain;
    network.torus = torus_slice({domains, domains, domains}, domains);
  }
  return {};
}

Result<Island> read_island(const IslandEntry& entry, const Catalogue& catalogue, const std::string& where) {
  if (entry.name.empty()) { return wrong("an island has no name", where); }
  const ChipType* chip = catalogue.chip(entry.chip);
  if (chip == nullptr) { chip = catalogue.chip_printed_as(entry.chip); }
  if (chip == nullptr) {
    return wrong(fmt::format("chip '{}' is not in the catalogue", shorten(entry.chip, 60)), where, catalogue.nearest_key(entry.chip));
  }
  TRY(check_counts(entry, where));
  Island island = island_of(entry.name, *chip, entry.chips);
  // A part of one node is a node; more than one must be whole ones.
  const std::int64_t per_node = entry.chips_per_node.value_or(std::min(entry.chips, chip->chips_per_node));
  TRY(check_nodes(island, per_node, where));
  island.chips_per_node = per_node;
  TRY(set_domain(entry, *chip, island, where));
  TRY(set_network(entry, island, where));
  return island;
}

Result<std::size_t> link_end(std::string_view name, const Fleet& fleet, const std::string& where) {
  for (std::size_t i = 0; i < fleet.islands.size(); ++i) {
    if (fleet.islands[i].name == name) { return i; }
  }
  std::vector<std::string> names;
  for (const Island& island : fleet.islands) { names.push_back(island.name); }
  return wrong(fmt::format("'{}' is no island of the fleet", shorten(name, 60)), where, nearest_remedy(name, names));
}

Result<IslandLink> read_link(const LinkEntry& entry, const Fleet& fleet, const std::string& where) {
  IslandLink link;
  TRY_ASSIGN(link.from, link_end(entry.from, fleet, where));
  TRY_ASSIGN(link.to, link_end(entry.to, fleet, where));
  if (link.from == link.to) { return wrong(fmt::format("the link joins island '{}' to itself", entry.from), where); }
  const auto bandwidth = parse_bandwidth(entry.bandwidth);
  if (!bandwidth || *bandwidth > kLinkBandwidthMax) {
    return wrong(fmt::format("bandwidth of the link: '{}' is not a rate", shorten(entry.bandwidth, 40)), where,
                 "such as 400Gb/s or 50GB/s");
  }
  if (entry.latency > kLatencyMax) { return wrong("latency of the link is above a second", where); }
  link.bandwidth = *bandwidth;
  link.latency = Seconds{to_seconds(entry.latency)};
  return link;
}

/// The first island that cannot be reached from the first; the number of islands if there is none.
std::size_t first_unreached(const Fleet& fleet) {
  std::vector<bool> reached(fleet.islands.size(), false);
  reached[0] = true;
  for (std::size_t round = 1; round < fleet.islands.size(); ++round) {
    for (const IslandLink& link : fleet.links) {
      if (reached[link.from] || reached[link.to]) { reached[link.from] = reached[link.to] = true; }
    }
  }
  return static_cast<std::size_t>(std::find(reached.begin(), reached.end(), false) - reached.begin());
}

Result<void> check_joined(const Fleet& fleet, const YamlFile& parsed) {
  const std::size_t lost = first_unreached(fleet);
  if (lost == fleet.islands.size()) { return {}; }
  const auto touches = [](std::size_t island) { return [island](const IslandLink& l) { return l.from == island || l.to == island; }; };
  for (const std::size_t island : {lost, std::size_t{0}}) {
    if (std::none_of(fleet.links.begin(), fleet.links.end(), touches(island))) {
      return wrong(fmt::format("island '{}' is connected to nothing", fleet.islands[island].name), parsed.where(0, "islands", island),
                   "add a link");
    }
  }
  return wrong(fmt::format("no links lead from island '{}' to '{}'", fleet.islands[0].name, fleet.islands[lost].name),
               parsed.where(0, "islands", lost), "add a link");
}

}  // namespace

Result<Fleet> read_fleet(std::string_view yaml, std::string_view file, const Catalogue& catalogue) {
  TRY_ASSIGN(const YamlFile parsed, YamlFile::parse(yaml, file));
  if (parsed.documents() != 1) {
    return fail(ErrorKind::invalid, fmt::format("holds {} documents, wants one fleet", parsed.documents()), std::string(file));
  }
  FleetFile read;
  TRY(parsed.read(0, read));
  if (read.islands.empty() || read.islands.size() > kIslandsMax) {
    return wrong(fmt::format("the fleet has {} islands", read.islands.size()), parsed.where(0, "islands"),
                 fmt::format("1 to {}", kIslandsMax));
  }
  Fleet fleet;
  fleet.name = std::move(read.name);
  fleet.currency = catalogue.currency;
  for (std::size_t i = 0; i < read.islands.size(); ++i) {
    const std::string where = parsed.where(0, "islands", i);
    TRY_ASSIGN(Island island, read_island(read.islands[i], catalogue, where));
    if (link_end(island.name, fleet, where)) { return wrong(fmt::format("the fleet has two islands '{}'", island.name), where); }
    fleet.islands.push_back(std::move(island));
    if (fleet.chips() > kFleetChipsMax) {
      return wrong(fmt::format("the fleet has {} chips", fleet.chips()), where, fmt::format("at most {}", format_count(kFleetChipsMax)));
    }
  }
  for (std::size_t i = 0; i < read.links.size(); ++i) {
    TRY_ASSIGN(const IslandLink link, read_link(read.links[i], fleet, parsed.where(0, "links", i)));
    fleet.links.push_back(link);
  }
  TRY(check_joined(fleet, parsed));
  return fleet;
}

}  // namespace centrale
