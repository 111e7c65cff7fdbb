// SPDX-License-Identifier: Apache-2.0
// One job, one line: how far it is, how well it goes, how long it will take. Pure.
#pragma once
#include <string>

#include "cli/views.hpp"

namespace centrale::cli {

/// "██████▌     " of exactly `width` columns.
[[nodiscard]] std::string bar(double fraction, std::size_t width, const Style& style);

/// done / all steps in 0..1, if both are known.
[[nodiscard]] std::optional<double> fraction_done(const JobView& job);

/// "train-small  running  ██████▌      120/300  loss 2.914  9,120 tok/s  40 s left", at most `width` columns (0: no limit).
/// What matters least goes first when there is no room.
[[nodiscard]] std::string progress_line(const JobView& job, std::size_t name_width, std::size_t width, const Style& style);

/// The line for an array: its members counted by state.
[[nodiscard]] std::string array_line(const std::vector<JobView>& members, std::size_t name_width, std::size_t width, const Style& style);

/// The line for a service that is starting: "chat  starting  1/2 ready  replica 1: loading".
[[nodiscard]] std::string service_line(const ServiceView& service, std::size_t name_width, std::size_t width, const Style& style);

[[nodiscard]] Tone tone_of_state(std::string_view state);
/// Why a job is not running, in words: "waits for chips".
[[nodiscard]] std::string wait_text(const JobView& job);

}  // namespace centrale::cli
