// SPDX-License-Identifier: Apache-2.0
// Private to discovery: the vendors' sources, each behind a child process, all asked at the same time.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "operate/discover.hpp"
#include "operate/discover_command.hpp"
#include "operate/discover_device.hpp"

namespace centrale::discovery {

inline constexpr std::array kVendorSources{ChipSource::nvidia, ChipSource::amd, ChipSource::ascend, ChipSource::gaudi};

/// What one source said.
struct SourceAnswer {
  bool absent = false;                // no library, no tool: the machine has no such chip
  std::vector<std::string> problems;  // in words for people
  std::vector<Device> devices;
};

/// One vendor's source. ask() starts the question, answer() takes what has come by the deadline.
class VendorSource {
 public:
  VendorSource(const DiscoverOptions& options, ChipSource source);
  [[nodiscard]] ChipSource source() const { return source_; }
  void ask();
  [[nodiscard]] SourceAnswer answer(Deadline deadline);

 private:
  [[nodiscard]] SourceAnswer take(Deadline deadline);
  ChipSource source_;
  bool probe_ = false;  // lives on and answers again; a tool is started for each question
  std::vector<std::string> argv_;
  std::optional<ChildProcess> child_;
  std::optional<Error> not_started_;
  bool stuck_ = false;  // was killed for not answering; no other is started before it is gone
};

[[nodiscard]] std::string_view source_name(ChipSource source);

}  // namespace centrale::discovery
