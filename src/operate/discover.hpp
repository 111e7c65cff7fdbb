// SPDX-License-Identifier: Apache-2.0
// What this machine has, found by asking it: hwloc for CPUs, the vendors' own libraries and tools for accelerators. Vendor
// code never runs in this process: a library is opened by a probe (a process of our own), a tool is a command, and both
// have a time limit, so a broken or hanging driver costs a note in the report. No accelerator is a normal answer.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"

namespace centrale {

enum class ChipSource : unsigned char { cpu, nvidia, amd, ascend, gaudi };

/// One chip that tasks can be given. For CPUs a chip is a physical core.
struct ChipReport {
  std::string kind;  // the catalogue's key ("cpu-core", "h100-sxm"), or the model's name in that style
  ChipSource source = ChipSource::cpu;
  std::string vendor, model;
  int index = 0;           // in the vendor's own numbering
  std::string device;      // what visible_devices_variable() takes for this chip; empty for a CPU core
  std::string uuid;        // empty: the vendor gives none
  Bytes memory;            // the device's own; a CPU core's share of the machine's
  std::vector<int> pus;    // CPU core: its hardware threads, as the kernel numbers them
  int package = -1;        // CPU core: its socket
  int numa = -1;           // the NUMA node it sits at; -1: unknown
  std::string pci;         // "0000:c1:00.0"; empty for a CPU core
  Milliwatts power_limit;  // 0: unknown
};

/// An accelerator that is there but cannot be given to anybody, and why.
struct UnusableChip {
  std::string vendor, model, pci, reason;
};

struct NumaReport {
  int index = 0;
  Bytes memory;
  std::vector<int> pus;
};

struct MachineReport {
  std::string hostname, os, kernel, cpu_model;
  Bytes memory;  // what this process may use: the machine's, or its container's limit
  int packages = 0;
  std::vector<NumaReport> numa;
  struct Caches {
    Bytes l1d, l2, l3;  // of one core, of one core, shared; 0: none or unknown
  } caches;
  std::vector<ChipReport> chips;  // CPU cores first, then by vendor and index: the same order each time
  std::vector<UnusableChip> unusable;
  std::vector<std::string> notes;  // what was asked and did not answer; limits of a container
};

struct DiscoverOptions {
  // Of all sources together: they are asked at the same time. Cold NVIDIA drivers without persistence take seconds.
  std::chrono::milliseconds time_limit{10'000};
  // How a probe is started; the words "nvml PATH" or "rocm PATH" follow. The program's main must hand over to probe_main.
  std::vector<std::string> probe{"/proc/self/exe", "__probe"};
  // As dlopen takes them; several joined by colons are tried in order.
  std::string nvml_path = "libnvidia-ml.so.1";
  std::string rocm_path = "librocm_smi64.so:librocm_smi64.so.7:librocm_smi64.so.6:/opt/rocm/lib/librocm_smi64.so";
  std::string npu_smi = "npu-smi";
  std::string hl_smi = "hl-smi";
  std::string root;            // in front of /sys, /proc and /etc; tests only
  std::string synthetic_cpus;  // an hwloc synthetic topology instead of this machine's; tests only
};

/// Errors: only when not even the CPUs can be read. All else that fails becomes a note.
[[nodiscard]] Result<MachineReport> discover(const DiscoverOptions& options = {});

/// "CUDA_VISIBLE_DEVICES"; empty for CPUs. Set it to the chips' `device` words, joined by commas.
[[nodiscard]] std::string_view visible_devices_variable(ChipSource source);

// What is not measured is empty, never 0.
struct ChipSample {
  std::optional<double> utilisation;  // 0 … 1, since the last sample (CPU) or as the vendor means it
  std::optional<Milliwatts> power;    // a CPU core's is its equal share of the package's
  std::optional<Bytes> memory_used;   // of the device; a CPU core has none of its own
  std::optional<double> temperature_c;
};

struct MachineSample {
  std::vector<ChipSample> chips;  // in the order of MachineReport::chips
  Bytes memory_used;              // of the machine
};

/// Measures the chips of a report, again and again. sample() may block up to the time limit: not for the core's thread.
/// Vendor sources that hang are left out until they come back. One thread at a time.
class Sampler {
 public:
  Sampler(DiscoverOptions options, const MachineReport& report);
  ~Sampler();
  [[nodiscard]] MachineSample sample();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The probe's main: `argv` is {"nvml" or "rocm", library path}. Prints the devices, then again for each line on stdin.
int probe_main(int argc, char** argv);

}  // namespace centrale
