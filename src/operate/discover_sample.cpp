// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "operate/discover.hpp"
#include "operate/discover_sources.hpp"
#include "operate/discover_system.hpp"

namespace centrale {

using namespace discovery;

namespace {

using std::chrono::steady_clock;

/// What a package has used since the last look, per hardware thread.
struct PackagePower {
  int package = -1;
  Milliwatts of_thread;
};

std::vector<PackagePower> package_power(const std::vector<EnergyCounter>& before, const std::vector<EnergyCounter>& now, double seconds) {
  std::vector<PackagePower> result;
  for (const EnergyCounter& counter : now) {
    const auto last = std::ranges::find(before, counter.package, &EnergyCounter::package);
    if (last == before.end() || counter.threads == 0 || seconds <= 0) { continue; }
    std::int64_t used = counter.microjoules - last->microjoules;
    used += used < 0 ? counter.wraps_at : 0;
    if (used >= 0) {
      const double milliwatts = static_cast<double>(used) * 1e-3 / seconds / counter.threads;
      result.push_back({counter.package, Milliwatts{static_cast<std::int64_t>(milliwatts)}});
    }
  }
  return result;
}

/// The mean over a core's threads.
std::optional<double> utilisation_of(const std::vector<int>& pus, const std::vector<CpuTimes>& before, const std::vector<CpuTimes>& now) {
  CpuTimes spent;
  for (const int pu : pus) {
    const auto i = static_cast<std::size_t>(pu);
    if (i < before.size() && i < now.size()) {
      spent.busy += now[i].busy - before[i].busy;
      spent.total += now[i].total - before[i].total;
    }
  }
  return spent.total > 0 ? std::optional(std::clamp(static_cast<double>(spent.busy) / static_cast<double>(spent.total), 0.0, 1.0))
                         : std::nullopt;
}

}  // namespace

struct Sampler::State {
  DiscoverOptions options;
  std::vector<ChipReport> chips;
  std::vector<VendorSource> sources;  // only those that the report has chips of
  std::vector<CpuTimes> cpu_times;
  std::vector<EnergyCounter> counters;
  steady_clock::time_point looked;

  void sample_cpus(std::vector<ChipSample>& samples) {
    const auto times = read_cpu_times(options.root);
    const auto energy = read_energy_counters(options.root);
    const auto now = steady_clock::now();
    const auto powers = package_power(counters, energy, std::chrono::duration<double>(now - looked).count());
    for (std::size_t i = 0; i < chips.size(); ++i) {
      if (chips[i].source != ChipSource::cpu) { continue; }
      samples[i].utilisation = utilisation_of(chips[i].pus, cpu_times, times);
      if (const auto power = std::ranges::find(powers, chips[i].package, &PackagePower::package); power != powers.end()) {
        samples[i].power = power->of_thread * static_cast<std::int64_t>(chips[i].pus.size());
      }
    }
    cpu_times = times;
    counters = energy;
    looked = now;
  }

  void sample_devices(const VendorSource& source, const std::vector<Device>& devices, std::vector<ChipSample>& samples) const {
    for (std::size_t i = 0; i < chips.size(); ++i) {
      const auto device = std::ranges::find(devices, chips[i].index, &Device::index);
      if (chips[i].source == source.source() && device != devices.end()) {
        samples[i] = {device->utilisation, device->power, device->memory_used, device->temperature_c};
      }
    }
  }
};

Sampler::Sampler(DiscoverOptions options, const MachineReport& report) : state_(std::make_unique<State>()) {
  state_->options = std::move(options);
  state_->chips = report.chips;
  for (const ChipSource source : kVendorSources) {
    if (std::ranges::find(report.chips, source, &ChipReport::source) != report.chips.end()) {
      state_->sources.emplace_back(state_->options, source);
    }
  }
  state_->cpu_times = read_cpu_times(state_->options.root);
  state_->counters = read_energy_counters(state_->options.root);
  state_->looked = steady_clock::now();
}

Sampler::~Sampler() = default;

MachineSample Sampler::sample() {
  State& state = *state_;
  const Deadline deadline = steady_clock::now() + state.options.time_limit;
  for (VendorSource& source : state.sources) { source.ask(); }
  MachineSample sample;
  sample.chips.resize(state.chips.size());
  state.sample_cpus(sample.chips);
  for (VendorSource& source : state.sources) { state.sample_devices(source, source.answer(deadline).devices, sample.chips); }
  const auto total = meminfo(state.options.root, "MemTotal"), available = meminfo(state.options.root, "MemAvailable");
  if (total && available && *total >= *available) { sample.memory_used = *total - *available; }
  return sample;
}

}  // namespace centrale
