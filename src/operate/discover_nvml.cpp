// SPDX-License-Identifier: Apache-2.0
// NVIDIA's management library, by its stable C interface (NVML API reference, docs.nvidia.com/deploy/nvml-api); declared
// here because it is opened at run time and its header is not needed to build.
#include <fmt/format.h>

#include "operate/discover_probe.hpp"

namespace centrale::discovery {
namespace {

using NvmlReturn = int;
using NvmlDevice = struct NvmlDeviceOpaque*;
constexpr NvmlReturn kSuccess = 0, kDriverNotLoaded = 9, kLibraryNotFound = 12;
constexpr int kTemperatureGpu = 0, kComputeModeProhibited = 2, kMigEnabled = 1;

struct NvmlMemory {
  unsigned long long total, free, used;
};
struct NvmlUtilization {
  unsigned gpu, memory;
};
struct NvmlPciInfo {
  char bus_id_legacy[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
};

struct Functions {
  NvmlReturn (*init)();
  NvmlReturn (*count)(unsigned*);
  NvmlReturn (*by_index)(unsigned, NvmlDevice*);
  NvmlReturn (*name)(NvmlDevice, char*, unsigned);
  NvmlReturn (*uuid)(NvmlDevice, char*, unsigned);
  NvmlReturn (*memory)(NvmlDevice, NvmlMemory*);
  NvmlReturn (*pci)(NvmlDevice, NvmlPciInfo*);
  NvmlReturn (*power_limit)(NvmlDevice, unsigned*);
  NvmlReturn (*power)(NvmlDevice, unsigned*);
  NvmlReturn (*temperature)(NvmlDevice, int, unsigned*);
  NvmlReturn (*utilization)(NvmlDevice, NvmlUtilization*);
  NvmlReturn (*compute_mode)(NvmlDevice, int*);
  NvmlReturn (*mig_mode)(NvmlDevice, unsigned*, unsigned*);
  const char* (*error_string)(NvmlReturn);
};

/// Calls a function that the library may lack.
template <class Function, class... Arguments>
bool ask(Function* function, Arguments... arguments) {
  return function != nullptr && function(arguments...) == kSuccess;
}

class Nvml final : public VendorLibrary {
 public:
  explicit Nvml(const Functions& functions) : f_(functions) {}

  Result<std::vector<Device>> devices() override {
    unsigned count = 0;
    if (const NvmlReturn code = f_.count(&count); code != kSuccess) {
      return fail(ErrorKind::io, "cannot count the devices: " + words(code));
    }
    std::vector<Device> found;
    for (unsigned i = 0; i < count && i < kDevicesMax; ++i) { found.push_back(describe(i)); }
    return found;
  }

 private:
  [[nodiscard]] std::string words(NvmlReturn code) const {
    const char* text = f_.error_string != nullptr ? f_.error_string(code) : nullptr;
    return text != nullptr ? text : fmt::format("NVML error {}", code);
  }

  Device describe(unsigned index) const {
    Device device;
    device.index = static_cast<int>(index);
    NvmlDevice handle{};
    if (const NvmlReturn code = f_.by_index(index, &handle); code != kSuccess) {
      device.name = "NVIDIA GPU";
      device.reason = words(code);  // "GPU is lost"
      return device;
    }
    // Buffers are larger than NVML's documented sizes (96 and 80), and their last byte stays zero.
    char text[256] = {};
    device.name = ask(f_.name, handle, text, unsigned{sizeof text - 1}) ? text : "NVIDIA GPU";
    char uuid[256] = {};
    device.uuid = ask(f_.uuid, handle, uuid, unsigned{sizeof uuid - 1}) ? uuid : "";
    // By uuid: CUDA's own numbering is by speed unless told otherwise, NVML's is by PCI address.
    device.device = device.uuid.empty() ? std::to_string(index) : device.uuid;
    NvmlPciInfo pci{};
    if (ask(f_.pci, handle, &pci)) {
      pci.bus_id[sizeof pci.bus_id - 1] = '\0';
      device.pci = pci_address(pci.bus_id);
    }
    NvmlMemory memory{};
    if (ask(f_.memory, handle, &memory)) {
      device.memory_total = sane_bytes(static_cast<double>(memory.total));
      device.memory_used = sane_bytes(static_cast<double>(memory.used));
    }
    unsigned milliwatts = 0;
    if (ask(f_.power_limit, handle, &milliwatts)) { device.power_limit = sane_power(milliwatts * 1e-3); }
    if (ask(f_.power, handle, &milliwatts)) { device.power = sane_power(milliwatts * 1e-3); }
    unsigned celsius = 0;
    if (ask(f_.temperature, handle, kTemperatureGpu, &celsius)) { device.temperature_c = sane_celsius(celsius); }
    NvmlUtilization utilization{};
    if (ask(f_.utilization, handle, &utilization)) { device.utilisation = sane_share(utilization.gpu); }
    int mode = 0;
    unsigned mig = 0, pending = 0;
    if (ask(f_.compute_mode, handle, &mode) && mode == kComputeModeProhibited) {
      device.reason = "its compute mode is 'prohibited' (nvidia-smi -c DEFAULT)";
    } else if (ask(f_.mig_mode, handle, &mig, &pending) && mig == kMigEnabled) {
      device.reason = "it is partitioned (MIG); whole chips only (nvidia-smi -mig 0)";
    }
    return device;
  }

  Functions f_;
};

}  // namespace

Result<std::unique_ptr<VendorLibrary>> open_nvml(const std::string& path) {
  TRY_ASSIGN(const SharedLibrary library, SharedLibrary::open(path));
  Functions f{};
  library.find(f.init, "nvmlInit_v2");
  library.find(f.count, "nvmlDeviceGetCount_v2");
  library.find(f.by_index, "nvmlDeviceGetHandleByIndex_v2");
  library.find(f.name, "nvmlDeviceGetName");
  library.find(f.uuid, "nvmlDeviceGetUUID");
  library.find(f.memory, "nvmlDeviceGetMemoryInfo");
  library.find(f.pci, "nvmlDeviceGetPciInfo_v3");
  library.find(f.power_limit, "nvmlDeviceGetEnforcedPowerLimit");
  library.find(f.power, "nvmlDeviceGetPowerUsage");
  library.find(f.temperature, "nvmlDeviceGetTemperature");
  library.find(f.utilization, "nvmlDeviceGetUtilizationRates");
  library.find(f.compute_mode, "nvmlDeviceGetComputeMode");
  library.find(f.mig_mode, "nvmlDeviceGetMigMode");
  library.find(f.error_string, "nvmlErrorString");
  if (f.init == nullptr || f.count == nullptr || f.by_index == nullptr) {
    return fail(ErrorKind::io, "this is not NVIDIA's management library", path);
  }
  if (const NvmlReturn code = f.init(); code != kSuccess) {
    const bool no_driver = code == kDriverNotLoaded || code == kLibraryNotFound;
    const char* words = f.error_string != nullptr ? f.error_string(code) : nullptr;
    return fail(no_driver ? ErrorKind::not_found : ErrorKind::io, words != nullptr ? words : fmt::format("NVML error {}", code), path);
  }
  return std::make_unique<Nvml>(f);
}

}  // namespace centrale::discovery
