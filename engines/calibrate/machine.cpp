// SPDX-License-Identifier: Apache-2.0
#include "machine.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>

#if __has_include(<ATen/cuda/CUDAContext.h>) && defined(CALIBRATE_WITH_CUDA)
#include <ATen/cuda/CUDAContext.h>
#define CALIBRATE_ASK_CUDA 1
#endif

namespace centrale::calibrate {
namespace {

/// The value of the first line "key : value" of a file of /proc; empty if there is none.
std::string first_value(const char* file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) { continue; }
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) { continue; }
    const std::size_t from = line.find_first_not_of(" \t", colon + 1);
    return from == std::string::npos ? std::string() : line.substr(from);
  }
  return {};
}

bool cpu_has(std::string_view flag) {
  const std::string flags = " " + first_value("/proc/cpuinfo", "flags") + " ";
  return flags.find(" " + std::string(flag) + " ") != std::string::npos;
}

#ifdef CALIBRATE_ASK_CUDA
const cudaDeviceProp& properties(const at::Device& device) { return *at::cuda::getDeviceProperties(device.index()); }
#endif

}  // namespace

Result<at::Device> open_device(const std::string& text, int threads) {
  if (threads > 0) { at::set_num_threads(threads); }
  // As centrale-trainer: blocks that were freed are kept, since fresh pages cost several times what writing them does.
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TRIM_THRESHOLD, -1);
  if (text == "cpu") { return at::Device(at::kCPU); }
  if (text == "cuda" || text.starts_with("cuda:")) {
    if (!torch::cuda::is_available()) {
      return fail(ErrorKind::not_found, "this libtorch sees no CUDA device", "--device", "use --device cpu, or a libtorch with CUDA");
    }
    const std::string digits = text.size() > 5 ? text.substr(5) : "0";
    const bool number = digits.find_first_not_of("0123456789") == std::string::npos && digits.size() < 4;
    if (number && std::stoul(digits) < torch::cuda::device_count()) {
      return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(std::stoi(digits)));
    }
    return fail(ErrorKind::not_found, fmt::format("there is no device '{}'", text), "--device",
                fmt::format("this machine has {}: cuda:0 and on", torch::cuda::device_count()));
  }
  return fail(ErrorKind::invalid, fmt::format("'{}' is no device", text), "--device", "use cpu, cuda:0, cuda:1 and so on");
}

Machine machine_of(const at::Device& device) {
  Machine m;
  m.device = device.str();
  m.library = fmt::format("libtorch {}", TORCH_VERSION);
  m.date = fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
  m.is_cpu = device.is_cpu();
  if (m.is_cpu) {
    m.name = first_value("/proc/cpuinfo", "model name");
    if (m.name.empty()) { m.name = "CPU"; }
    m.vendor = "any";
    m.units = at::get_num_threads();
    m.memory = static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
    return m;
  }
  m.vendor = "nvidia";
  m.name = "CUDA device";
  m.chips = static_cast<std::int64_t>(torch::cuda::device_count());
#ifdef CALIBRATE_ASK_CUDA
  m.name = properties(device).name;
  m.units = properties(device).multiProcessorCount;
  m.memory = static_cast<std::int64_t>(properties(device).totalGlobalMem);
#endif
  return m;
}

std::vector<Precision> precisions_of(const at::Device& device, std::vector<std::string>& notes) {
  std::vector<Precision> precisions{Precision::fp32};
  if (device.is_cpu()) {
    if (cpu_has("amx_bf16") || cpu_has("avx512_bf16")) {
      precisions.push_back(Precision::bf16);
    } else {
      notes.emplace_back("bf16 is left out: this processor has neither AMX nor AVX-512 BF16 and would emulate it");
    }
    notes.emplace_back("fp16, fp8 and fp4 are left out: libtorch has no products in them on a CPU");
    return precisions;
  }
  precisions.push_back(Precision::fp16);
#ifdef CALIBRATE_ASK_CUDA
  if (properties(device).major >= 8) {
    precisions.push_back(Precision::tf32);
    precisions.push_back(Precision::bf16);
  } else {
    notes.emplace_back("bf16 and tf32 are left out: devices before Ampere emulate them");
  }
#endif
  notes.emplace_back("fp8 and fp4 are left out: libtorch has no plain product in them");
  return precisions;
}

Load load_now() {
  // user nice system idle iowait irq softirq steal, in ticks (proc(5)).
  std::ifstream in("/proc/stat");
  std::string name;
  std::array<double, 8> ticks{};
  in >> name;
  for (double& t : ticks) { in >> t; }
  constexpr std::size_t kIdle = 3, kWaiting = 4;
  const auto second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  Load load;
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    load.all += ticks[i] / second;
    if (i != kIdle && i != kWaiting) { load.busy += ticks[i] / second; }
  }
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  load.own = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  return load;
}

double others_share(const Load& before, const Load& after) {
  const double all = after.all - before.all;
  return all <= 0 ? 0 : std::max(0.0, (after.busy - before.busy) - (after.own - before.own)) / all;
}

void synchronise(const at::Device& device) {
  if (device.is_cuda()) { torch::cuda::synchronize(device.index()); }
}

}  // namespace centrale::calibrate
