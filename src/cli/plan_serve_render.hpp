// SPDX-License-Identifier: Apache-2.0
// Serving plans as text and as JSON. Pure.
#pragma once
#include <string>
#include <vector>

#include "cli/table.hpp"
#include "plan/serve.hpp"

namespace centrale::cli {

struct ServePage {
  const ServeRequest& request;
  const ServePlans& plans;
  const std::vector<Engine>& engines;
  double seconds = 0;     // that the search took
  std::size_t width = 0;  // 0: no limit
  Style style;
};
[[nodiscard]] std::string serve_text(const ServePage& page);
[[nodiscard]] std::string serve_json(const ServePage& page, bool explain);

}  // namespace centrale::cli
