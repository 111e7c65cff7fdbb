// SPDX-License-Identifier: Apache-2.0
// NVIDIA's management library as tests need it: two H100s, and whatever misbehaviour FAKE_NVML names.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Fake* nvmlDevice_t;
typedef struct {
  unsigned long long total, free, used;
} nvmlMemory_t;
typedef struct {
  unsigned gpu, memory;
} nvmlUtilization_t;
typedef struct {
  char busIdLegacy[16];
  unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
  char busId[32];
} nvmlPciInfo_t;
struct Fake {
  unsigned index;
};
static struct Fake fakes[2] = {{0}, {1}};
static unsigned looks;

static int mode(const char* name) {
  const char* set = getenv("FAKE_NVML");
  return set != NULL && strcmp(set, name) == 0;
}

int nvmlInit_v2(void) {
  if (mode("crash")) { abort(); }
  if (mode("hang")) {
    for (;;) { pause(); }
  }
  return mode("no-driver") ? 9 : mode("mismatch") ? 18 : 0;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  if (mode("crash-later") && looks > 0) { abort(); }
  if (mode("hang-later") && looks > 0) {
    for (;;) { pause(); }
  }
  ++looks;
  *count = mode("many") ? 4000000000u : 2;
  return mode("no-count") ? 999 : 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t* device) {
  *device = &fakes[index % 2];
  return mode("lost") && index == 1 ? 15 : 0;
}
int nvmlDeviceGetName(nvmlDevice_t device, char* name, unsigned length) {
  (void)device;
  if (mode("garbage")) {
    memset(name, '\t', length);
    memcpy(name, "\x1b[31mevil\ndevice\t7\xff", 19);
    return 0;
  }
  snprintf(name, length, "NVIDIA H100 80GB HBM3");
  return 0;
}
int nvmlDeviceGetUUID(nvmlDevice_t device, char* uuid, unsigned length) {
  snprintf(uuid, length, "GPU-072b19bd-4ccf-63cf-6435-cf462aff833%u", device->index);
  return 0;
}
int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
  memory->total = mode("garbage") ? ~0ull : 85520809984ull;
  memory->used = 557056ull * 1024 * (device->index + 1);
  memory->free = memory->total - memory->used;
  return 0;
}
int nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  memset(pci, mode("garbage") ? 'z' : 0, sizeof *pci);
  if (!mode("garbage")) { snprintf(pci->busId, sizeof pci->busId, "00000000:%02X:00.0", 0x18 + device->index); }
  return 0;
}
int nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned* milliwatts) {
  (void)device;
  *milliwatts = mode("garbage") ? ~0u : 700000;
  return 0;
}
int nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned* milliwatts) {
  (void)device;
  *milliwatts = 70000 + looks * 1000;
  return 0;
}
int nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned* celsius) {
  (void)device;
  (void)sensor;
  *celsius = 34;
  return 0;
}
int nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t* utilization) {
  utilization->gpu = 50 + device->index;
  utilization->memory = 1;
  return mode("old") ? 3 : 0;
}
int nvmlDeviceGetComputeMode(nvmlDevice_t device, int* compute) {
  *compute = mode("prohibited") && device->index == 0 ? 2 : 0;
  return 0;
}
int nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned* current, unsigned* pending) {
  *current = *pending = mode("mig") && device->index == 0;
  return 0;
}
const char* nvmlErrorString(int code) {
  return code == 15 ? "GPU is lost" : code == 18 ? "Driver/library version mismatch" : "Unknown Error";
}
