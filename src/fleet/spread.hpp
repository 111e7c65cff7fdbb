// SPDX-License-Identifier: Apache-2.0
// How far apart the chips of a gang are.
#pragma once
#include <array>
#include <cstddef>
#include <string_view>

#include "base/reflect.hpp"

namespace centrale {

/// The highest level that the gang's traffic crosses.
enum class Spread : unsigned char { node, domain, leaf, spine, any };
inline constexpr std::size_t kSpreads = 5;
template <>
inline constexpr std::array<std::string_view, kSpreads> kEnumNames<Spread>{"node", "domain", "leaf", "spine", "any"};

}  // namespace centrale
