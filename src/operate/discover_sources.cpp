// SPDX-License-Identifier: Apache-2.0
#include "operate/discover_sources.hpp"

#include <fmt/format.h>

#include <utility>

namespace centrale::discovery {
namespace {

SourceAnswer problem(ChipSource source, const std::string& what) {
  return {.absent = false, .problems = {fmt::format("{}: {}", source_name(source), what)}, .devices = {}};
}

std::vector<std::string> probe_command(const DiscoverOptions& options, const char* which, const std::string& path) {
  std::vector<std::string> argv = options.probe;
  argv.insert(argv.end(), {which, path});
  return argv;
}

}  // namespace

std::string_view source_name(ChipSource source) {
  switch (source) {
    case ChipSource::cpu: return "CPU";
    case ChipSource::nvidia: return "NVIDIA (NVML)";
    case ChipSource::amd: return "AMD (ROCm SMI)";
    case ChipSource::ascend: return "Ascend (npu-smi)";
    case ChipSource::gaudi: return "Gaudi (hl-smi)";
  }
  return "";
}

VendorSource::VendorSource(const DiscoverOptions& options, ChipSource source) : source_(source) {
  switch (source) {
    case ChipSource::nvidia: argv_ = probe_command(options, "nvml", options.nvml_path); break;
    case ChipSource::amd: argv_ = probe_command(options, "rocm", options.rocm_path); break;
    case ChipSource::ascend: argv_ = {options.npu_smi, "info"}; break;
    case ChipSource::gaudi: argv_ = {options.hl_smi, "-Q", kHlSmiQuery, "-f", "csv,noheader,nounits"}; break;
    case ChipSource::cpu: break;
  }
  probe_ = source == ChipSource::nvidia || source == ChipSource::amd;
}

void VendorSource::ask() {
  if (child_ && probe_ && !stuck_ && child_->write("?\n")) { return; }
  if (child_ && stuck_ && !child_->ended()) {
    return;  // it hangs in its driver; a second one would hang there too
  }
  child_.reset();
  stuck_ = false;
  not_started_.reset();
  auto child = ChildProcess::start(argv_);
  if (child) {
    child_.emplace(std::move(*child));
  } else {
    not_started_ = child.error();
  }
}

SourceAnswer VendorSource::answer(Deadline deadline) {
  if (not_started_) {
    const bool absent = !probe_ && not_started_->kind == ErrorKind::not_found;
    return absent ? SourceAnswer{.absent = true, .problems = {}, .devices = {}} : problem(source_, not_started_->what);
  }
  if (stuck_ || !child_) { return problem(source_, "still hangs in its driver"); }
  return take(deadline);
}

SourceAnswer VendorSource::take(Deadline deadline) {
  const auto text = child_->read_until(probe_ ? kProbeEnd : std::string_view{}, deadline, kVendorTextMax);
  if (!text) {
    stuck_ = text.error().kind == ErrorKind::unavailable;
    child_->kill();
    return problem(source_, text.error().what);
  }
  if (probe_) {
    const auto parsed = parse_probe(*text);
    if (!parsed) { return problem(source_, parsed.error().what); }
    SourceAnswer answer{.absent = parsed->absent, .problems = {}, .devices = parsed->devices};
    for (const std::string& note : parsed->notes) { answer.problems.push_back(fmt::format("{}: {}", source_name(source_), note)); }
    return answer;
  }
  const std::optional<int> code = child_->exit_code(deadline);
  const auto parsed = source_ == ChipSource::ascend ? parse_npu_smi(*text) : parse_hl_smi(*text);
  if (!parsed) { return problem(source_, parsed.error().what); }
  SourceAnswer answer{.absent = false, .problems = {}, .devices = *parsed};
  if (answer.devices.empty()) {
    // A tool without a device says so in its own words and with its own code.
    answer.problems =
        problem(source_, fmt::format("lists no device (exit code {}): {}", code ? std::to_string(*code) : "unknown", clean_text(*text)))
            .problems;
  }
  return answer;
}

}  // namespace centrale::discovery
