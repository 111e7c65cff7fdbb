// SPDX-License-Identifier: Apache-2.0
// AMD's ROCm SMI as tests need it: one MI300X. FAKE_ROCM=fail makes it refuse to start.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int rsmi_init(uint64_t flags) {
  const char* set = getenv("FAKE_ROCM");
  (void)flags;
  return set != NULL && strcmp(set, "fail") == 0 ? 8 : 0;
}
int rsmi_num_monitor_devices(uint32_t* count) { return *count = 1, 0; }
int rsmi_dev_name_get(uint32_t index, char* name, size_t length) {
  (void)index;
  snprintf(name, length, "AMD Instinct MI300X");
  return 0;
}
int rsmi_dev_unique_id_get(uint32_t index, uint64_t* id) { return (void)index, *id = 0x1234abcd5678ull, 0; }
int rsmi_dev_pci_id_get(uint32_t index, uint64_t* id) { return (void)index, *id = 1ull << 32 | 0xC1ull << 8 | 2 << 3 | 1, 0; }
int rsmi_dev_memory_total_get(uint32_t index, int type, uint64_t* bytes) {
  (void)index;
  *bytes = 206141652992ull;
  return type == 0 ? 0 : 1;
}
int rsmi_dev_memory_usage_get(uint32_t index, int type, uint64_t* bytes) {
  (void)index;
  *bytes = 300000000ull;
  return type == 0 ? 0 : 1;
}
int rsmi_dev_power_cap_get(uint32_t index, uint32_t sensor, uint64_t* microwatts) {
  (void)index;
  *microwatts = 750000000ull;
  return sensor == 0 ? 0 : 1;
}
// No rsmi_dev_power_get: this is a library of ROCm 5.
int rsmi_dev_power_ave_get(uint32_t index, uint32_t sensor, uint64_t* microwatts) {
  (void)index;
  *microwatts = 141000000ull;
  return sensor == 0 ? 0 : 1;
}
int rsmi_dev_busy_percent_get(uint32_t index, uint32_t* percent) { return (void)index, *percent = 12, 0; }
int rsmi_dev_temp_metric_get(uint32_t index, uint32_t sensor, int metric, int64_t* millidegrees) {
  (void)index;
  *millidegrees = 41000;
  return sensor == 1 && metric == 0 ? 0 : 1;
}
