// SPDX-License-Identifier: Apache-2.0
// AMD's ROCm SMI by its C interface (rocm.docs.amd.com, rocm_smi_lib); declared here because it is opened at run time and
// its header is not needed to build.
#include <fmt/format.h>

#include "operate/discover_probe.hpp"

namespace centrale::discovery {
namespace {

using RsmiStatus = int;
constexpr RsmiStatus kSuccess = 0;
constexpr int kMemoryVram = 0;  // RSMI_MEM_TYPE_VRAM
constexpr std::uint32_t kTemperatureEdge = 0, kTemperatureJunction = 1;
constexpr int kTemperatureCurrent = 0;  // RSMI_TEMP_CURRENT

struct Functions {
  RsmiStatus (*init)(std::uint64_t);
  RsmiStatus (*count)(std::uint32_t*);
  RsmiStatus (*name)(std::uint32_t, char*, std::size_t);
  RsmiStatus (*unique_id)(std::uint32_t, std::uint64_t*);
  RsmiStatus (*pci_id)(std::uint32_t, std::uint64_t*);
  RsmiStatus (*memory_total)(std::uint32_t, int, std::uint64_t*);
  RsmiStatus (*memory_used)(std::uint32_t, int, std::uint64_t*);
  RsmiStatus (*power_cap)(std::uint32_t, std::uint32_t, std::uint64_t*);
  RsmiStatus (*power)(std::uint32_t, std::uint64_t*, int*);                   // ROCm 6
  RsmiStatus (*power_average)(std::uint32_t, std::uint32_t, std::uint64_t*);  // ROCm 5
  RsmiStatus (*busy)(std::uint32_t, std::uint32_t*);
  RsmiStatus (*temperature)(std::uint32_t, std::uint32_t, int, std::int64_t*);
};

template <class Function, class... Arguments>
bool ask(Function* function, Arguments... arguments) {
  return function != nullptr && function(arguments...) == kSuccess;
}

class Rocm final : public VendorLibrary {
 public:
  explicit Rocm(const Functions& functions) : f_(functions) {}

  Result<std::vector<Device>> devices() override {
    std::uint32_t count = 0;
    if (const RsmiStatus code = f_.count(&count); code != kSuccess) {
      return fail(ErrorKind::io, fmt::format("cannot count the devices: status {}", code));
    }
    std::vector<Device> found;
    for (std::uint32_t i = 0; i < count && i < kDevicesMax; ++i) { found.push_back(describe(i)); }
    return found;
  }

 private:
  Device describe(std::uint32_t index) const {
    Device device;
    device.index = static_cast<int>(index);
    char text[256] = {};
    device.name = ask(f_.name, index, text, sizeof text - 1) ? text : "AMD GPU";
    std::uint64_t value = 0;
    if (ask(f_.unique_id, index, &value) && value != 0) {
      device.uuid = fmt::format("GPU-{:016x}", value);  // as ROCR_VISIBLE_DEVICES takes it
    }
    device.device = device.uuid.empty() ? std::to_string(index) : device.uuid;
    if (ask(f_.pci_id, index, &value)) {
      // Domain in the upper half; then 8 bits of bus, 5 of device, 3 of function.
      device.pci = pci_address(fmt::format("{:x}:{:x}:{:x}.{:x}", value >> 32 & 0xFFFF, value >> 8 & 0xFF, value >> 3 & 0x1F, value & 7));
    }
    if (ask(f_.memory_total, index, kMemoryVram, &value)) { device.memory_total = sane_bytes(static_cast<double>(value)); }
    if (ask(f_.memory_used, index, kMemoryVram, &value)) { device.memory_used = sane_bytes(static_cast<double>(value)); }
    if (ask(f_.power_cap, index, 0u, &value)) { device.power_limit = sane_power(static_cast<double>(value) * 1e-6); }
    int power_type = 0;
    if (ask(f_.power, index, &value, &power_type) || ask(f_.power_average, index, 0u, &value)) {
      device.power = sane_power(static_cast<double>(value) * 1e-6);
    }
    std::uint32_t percent = 0;
    if (ask(f_.busy, index, &percent)) { device.utilisation = sane_share(percent); }
    std::int64_t millidegrees = 0;
    if (ask(f_.temperature, index, kTemperatureJunction, kTemperatureCurrent, &millidegrees) ||
        ask(f_.temperature, index, kTemperatureEdge, kTemperatureCurrent, &millidegrees)) {
      device.temperature_c = sane_celsius(static_cast<double>(millidegrees) * 1e-3);
    }
    return device;
  }

  Functions f_;
};

}  // namespace

Result<std::unique_ptr<VendorLibrary>> open_rocm(const std::string& path) {
  TRY_ASSIGN(const SharedLibrary library, SharedLibrary::open(path));
  Functions f{};
  library.find(f.init, "rsmi_init");
  library.find(f.count, "rsmi_num_monitor_devices");
  library.find(f.name, "rsmi_dev_name_get");
  library.find(f.unique_id, "rsmi_dev_unique_id_get");
  library.find(f.pci_id, "rsmi_dev_pci_id_get");
  library.find(f.memory_total, "rsmi_dev_memory_total_get");
  library.find(f.memory_used, "rsmi_dev_memory_usage_get");
  library.find(f.power_cap, "rsmi_dev_power_cap_get");
  library.find(f.power, "rsmi_dev_power_get");
  library.find(f.power_average, "rsmi_dev_power_ave_get");
  library.find(f.busy, "rsmi_dev_busy_percent_get");
  library.find(f.temperature, "rsmi_dev_temp_metric_get");
  if (f.init == nullptr || f.count == nullptr) { return fail(ErrorKind::io, "this is not AMD's ROCm SMI library", path); }
  if (const RsmiStatus code = f.init(0); code != kSuccess) {
    return fail(ErrorKind::io, fmt::format("rsmi_init failed with {}", code), path, "is the amdgpu driver loaded?");
  }
  return std::make_unique<Rocm>(f);
}

}  // namespace centrale::discovery
