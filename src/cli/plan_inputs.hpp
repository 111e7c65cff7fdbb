// SPDX-License-Identifier: Apache-2.0
// What the plan commands are told: numbers as people write them, models, fleets and layouts by name or file.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/context.hpp"
#include "cli/plan.hpp"
#include "estimate/engine.hpp"
#include "estimate/layout.hpp"
#include "estimate/stack.hpp"
#include "fleet/catalogue.hpp"
#include "fleet/fleet.hpp"
#include "model/model.hpp"

namespace centrale::cli {

// A published config.json has a few KiB, one that lists a quantisation's exceptions some hundred.
inline constexpr std::size_t kPlanFileMax = std::size_t{16} * 1024 * 1024;

/// "15.6T", "16M", "8192", "8k", "1e12": suffixes are powers of 1000, in any case. Nothing for any other text and below 0.
[[nodiscard]] std::optional<double> parse_quantity(std::string_view text);
/// The value of an option that must be above 0; the error's exit code is that of a wrong command line.
[[nodiscard]] Outcome<double> quantity_of(std::string_view option, std::string_view text);
/// The same, whole, at most 2^53.
[[nodiscard]] Outcome<std::int64_t> count_of(std::string_view option, std::string_view text);
/// "500ms", "10m", in seconds.
[[nodiscard]] Outcome<double> seconds_of(std::string_view option, std::string_view text);
/// "200/s", "3/min", "10000/h": a second.
[[nodiscard]] Outcome<double> rate_of(std::string_view option, std::string_view text);

/// A batch of so many sequences.
struct Batch {
  std::int64_t sequences = 0;
  std::string note;  // how it was read, where that is not plain
};
/// "2048 sequences", or tokens. "16M" with sequences of 8,192 tokens is 2,048 of them: published batches are powers of two that are written
/// short, so where a suffix stands for 1000s that do not divide, 1024s that do are meant; else the nearest number of sequences.
[[nodiscard]] Outcome<Batch> batch_of(std::string_view text, std::int64_t sequence);

/// "bf16,fp8"
[[nodiscard]] Outcome<std::vector<Precision>> precisions_of(std::string_view text);

/// "1f1b,zero-bubble"; empty: what the stack is known to run. DualPipe is one stack's own.
[[nodiscard]] Outcome<std::vector<Schedule>> schedules_of(std::string_view text, const Stack& stack);

/// A layout as to_text() writes it: "tp8 pp16 dp128 v2 mb1 sp zero1 recompute=full bf16". Where `dp` is left out it is what `chips` leave.
/// "hall-2: tp8 …" names an island.
struct NamedLayout {
  std::string island;
  Layout layout;
};
[[nodiscard]] Outcome<NamedLayout> layout_of(std::string_view text, const Fleet& fleet, Precision precision);

/// A config.json, a folder that has one, a name of the catalogue, a Hugging Face id.
[[nodiscard]] Outcome<Model> model_of(const std::string& text);
/// A fleet file, or "h100x16384".
[[nodiscard]] Outcome<Fleet> fleet_from(const std::string& text, const Catalogue& catalogue);
[[nodiscard]] Outcome<Catalogue> catalogue_of(const KnownFiles& known);
/// Those of the file replace what is built in by key, and are added otherwise.
[[nodiscard]] Outcome<std::vector<Stack>> stacks_of(const KnownFiles& known);
[[nodiscard]] Outcome<std::vector<Engine>> engines_of(const KnownFiles& known);

}  // namespace centrale::cli
