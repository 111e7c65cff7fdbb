// SPDX-License-Identifier: Apache-2.0
// The tables that the commands print. Pure: views in, text out.
#pragma once
#include <string>
#include <vector>

#include "cli/table.hpp"
#include "cli/views.hpp"

namespace centrale::cli {

struct Paper {
  std::size_t width = 0;  // 0: no limit
  Style style;
  double now = 0;  // seconds since the epoch, for ages
  std::string currency;
};

/// The value as text, or what stands for an unknown one.
template <class Format>
[[nodiscard]] std::string shown(const Number& value, Format format, const Style& style) {
  return value ? format(*value) : std::string(unknown(style));
}
[[nodiscard]] std::string shown(std::string_view text, const Style& style);
/// "3m20s" since then.
[[nodiscard]] std::string age_text(std::string_view rfc3339, const Paper& paper);

[[nodiscard]] Table nodes_table(const std::vector<NodeView>& nodes, const Paper& paper);
[[nodiscard]] Table chips_table(const std::vector<NodeView>& nodes, const Paper& paper);
[[nodiscard]] Table jobs_table(const std::vector<JobView>& jobs, const Paper& paper);
[[nodiscard]] Table services_table(const std::vector<ServiceView>& services, const Paper& paper);
[[nodiscard]] Table replicas_table(const std::vector<ServiceView>& services, const Paper& paper);
[[nodiscard]] Table usage_table(const std::vector<UsageView>& lines, std::string_view what, const Paper& paper);
[[nodiscard]] Table tenants_table(const std::vector<TenantView>& tenants, const Paper& paper);
[[nodiscard]] Table keys_table(const std::vector<KeyView>& keys, const Paper& paper);

[[nodiscard]] inline std::string on_paper(const Table& table, const Paper& paper) { return render(table, paper.width, paper.style); }

}  // namespace centrale::cli
