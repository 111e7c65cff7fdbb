// SPDX-License-Identifier: Apache-2.0
// Any bytes as a fleet file, as a fleet in one line and as the name of a chip: an answer, never a crash; and every fleet that is accepted
// is whole. How to build and run: cmake/fuzz.cmake.
#include <cstdint>

#include "base/ensure.hpp"
#include "fleet/fleet.hpp"

namespace {

void check(const centrale::Result<centrale::Fleet>& fleet) {
  using namespace centrale;
  if (!fleet) {
    ensure(!fleet.error().message().empty());
    return;
  }
  ensure(!fleet->islands.empty() && fleet->islands.size() <= kIslandsMax && fleet->chips() <= kFleetChipsMax);
  for (std::size_t i = 0; i < fleet->islands.size(); ++i) {
    const Island& island = fleet->islands[i];
    ensure(island.chips > 0 && island.chips_per_node > 0 && island.chips % island.chips_per_node == 0);
    ensure(island.domain > 0 && island.domain <= island.chips);
    ensure(fleet->path(0, i).latency.value >= 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace centrale;
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const Catalogue& catalogue = default_catalogue();
  check(read_fleet(text, "fuzz.yaml", catalogue));
  check(fleet_of(text, catalogue));
  static_cast<void>(catalogue.chip_like(text));
  return 0;
}
