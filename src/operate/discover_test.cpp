// SPDX-License-Identifier: Apache-2.0
// This machine and machines made up in a folder; vendors' libraries stood in for by tests/fake_vendor.
#include "operate/discover.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <thread>

#include "operate/discover_system.hpp"
#include "operate/journal_testing.hpp"

namespace centrale {
namespace {

namespace fs = std::filesystem;
using journal_testing::TempFolder;
using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

fs::path fake_vendor(const char* name) { return fs::read_symlink("/proc/self/exe").parent_path() / "fake_vendor" / name; }

/// Sets an environment variable for one test: the probe inherits it.
class EnvironmentVariable {
 public:
  EnvironmentVariable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~EnvironmentVariable() { ::unsetenv(name_); }
  EnvironmentVariable(const EnvironmentVariable&) = delete;
  EnvironmentVariable& operator=(const EnvironmentVariable&) = delete;

 private:
  const char* name_;
};

/// No vendor at all, whatever this machine has.
DiscoverOptions no_vendor() {
  DiscoverOptions options;
  options.time_limit = milliseconds(20'000);
  options.probe = {fake_vendor("fake_vendor_probe").string()};
  options.nvml_path = options.rocm_path = "/nonexistent/lib.so";
  options.npu_smi = options.hl_smi = "/nonexistent/smi";
  return options;
}

DiscoverOptions fake_nvml() {
  DiscoverOptions options = no_vendor();
  options.nvml_path = fake_vendor("libnvidia-ml.so.1").string();
  return options;
}

void write_file(const fs::path& path, std::string_view text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

std::string script(const TempFolder& folder, const char* name, std::string_view body) {
  const fs::path path = folder / name;
  write_file(path, "#!/bin/sh\n" + std::string(body));
  ::chmod(path.c_str(), 0700);
  return path.string();
}

std::vector<ChipReport> accelerators(const MachineReport& report) {
  std::vector<ChipReport> chips = report.chips;
  std::erase_if(chips, [](const ChipReport& chip) { return chip.source == ChipSource::cpu; });
  return chips;
}

std::size_t core_count(const MachineReport& report) { return report.chips.size() - accelerators(report).size(); }

TEST(Discover, FindsThisMachinesCores) {
  const auto report = discover(no_vendor());
  ASSERT_TRUE(report.has_value()) << report.error().message();
  EXPECT_FALSE(report->hostname.empty());
  EXPECT_THAT(report->kernel, HasSubstr("Linux"));
  EXPECT_GT(report->memory.value, 64 << 20);
  EXPECT_THAT(accelerators(*report), IsEmpty());
  EXPECT_THAT(report->notes, Not(Contains(HasSubstr("NVML")))) << "no library is a normal answer";

  // Each core has hardware threads that this process may run on, and no two cores share one.
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
  std::vector<int> pus;
  std::int64_t memory = 0;
  for (const ChipReport& chip : report->chips) {
    EXPECT_EQ(chip.kind, "cpu-core");
    EXPECT_FALSE(chip.model.empty());
    EXPECT_FALSE(chip.pus.empty());
    memory += chip.memory.value;
    pus.insert(pus.end(), chip.pus.begin(), chip.pus.end());
  }
  EXPECT_LE(memory, report->memory.value);
  EXPECT_GT(memory, report->memory.value / 2);
  std::ranges::sort(pus);
  EXPECT_EQ(std::ranges::adjacent_find(pus), pus.end());
  for (const int pu : pus) { EXPECT_TRUE(CPU_ISSET(static_cast<std::size_t>(pu), &allowed)) << pu; }
}

TEST(Discover, OffersOnlyCoresOfItsAffinity) {
  cpu_set_t before, one;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  std::size_t last = 0;
  for (std::size_t i = 0; i < CPU_SETSIZE; ++i) { last = CPU_ISSET(i, &before) ? i : last; }
  CPU_ZERO(&one);
  CPU_SET(last, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const auto report = discover(no_vendor());
  ::sched_setaffinity(0, sizeof before, &before);
  ASSERT_TRUE(report.has_value());
  ASSERT_EQ(report->chips.size(), 1u);
  EXPECT_THAT(report->chips[0].pus, ElementsAre(static_cast<int>(last)));
}

/// Two sockets, two NUMA nodes each of 64 GiB, eight cores of two threads in each.
DiscoverOptions big_machine(const TempFolder& root) {
  DiscoverOptions options = no_vendor();
  options.root = root.path().string();
  options.synthetic_cpus = "package:2 [numa(memory=68719476736)] l3:1(size=33554432) l2:8(size=1048576) core:1 pu:2";
  return options;
}

TEST(Discover, DescribesABigMachine) {
  const TempFolder root;
  const auto report = discover(big_machine(root));
  ASSERT_TRUE(report.has_value()) << report.error().message();
  EXPECT_EQ(report->packages, 2);
  ASSERT_EQ(report->chips.size(), 16u);
  ASSERT_EQ(report->numa.size(), 2u);
  EXPECT_EQ(report->numa[1].memory.value, 64ll << 30);
  EXPECT_EQ(report->memory.value, 128ll << 30);
  EXPECT_EQ(report->caches.l3.value, 32 << 20);
  EXPECT_EQ(report->chips[0].pus.size(), 2u);
  EXPECT_EQ(report->chips[0].numa, 0);
  EXPECT_EQ(report->chips[15].numa, 1);
  EXPECT_EQ(report->chips[15].package, 1);
  EXPECT_EQ(report->chips[15].index, 15);
  EXPECT_EQ(report->chips[15].memory.value, 8ll << 30);
}

TEST(Discover, KeepsToAContainersLimits) {
  const TempFolder root;
  write_file(root / "proc/self/cgroup", "0::/kube/pod7/box\n");
  write_file(root / "sys/fs/cgroup/kube/pod7/box/cpu.max", "max 100000\n");
  write_file(root / "sys/fs/cgroup/kube/pod7/cpu.max", "450000 100000\n");
  write_file(root / "sys/fs/cgroup/kube/pod7/box/memory.max", "max\n");
  write_file(root / "sys/fs/cgroup/kube/memory.max", "17179869184\n");
  const auto report = discover(big_machine(root));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->chips.size(), 2u) << "4.5 CPUs of time pay for two cores of two threads";
  EXPECT_EQ(report->memory.value, 16ll << 30);
  EXPECT_EQ(report->chips[0].memory.value, 8ll << 30);
  EXPECT_THAT(report->notes, Contains(HasSubstr("4.5 CPUs")));
}

TEST(Discover, KeepsToTheLimitsOfTheFirstCgroups) {
  const TempFolder root;
  write_file(root / "proc/self/cgroup", "4:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f\n9:name=systemd:/\n0::/\n");
  write_file(root / "sys/fs/cgroup/memory/memory.limit_in_bytes", "8589934592\n");  // the path leads nowhere in a container
  write_file(root / "sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes", "9223372036854771712\n");
  write_file(root / "sys/fs/cgroup/cpu,cpuacct/docker/1f/cpu.cfs_quota_us", "50000\n");
  write_file(root / "sys/fs/cgroup/cpu,cpuacct/docker/1f/cpu.cfs_period_us", "100000\n");
  const auto report = discover(big_machine(root));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->chips.size(), 1u) << "never none";
  EXPECT_EQ(report->memory.value, 8ll << 30);
}

TEST(Discover, IsNotLedOutOfTheCgroupFolder) {
  const TempFolder root;
  write_file(root / "proc/self/cgroup", "0::/../../../etc\n");
  write_file(root / "sys/fs/cgroup/memory.max", "1073741824\n");
  EXPECT_EQ(discovery::read_cgroup_limits(root.path().string()).memory->value, 1 << 30);
}

TEST(Discover, FindsNvidiaChips) {
  const TempFolder root;
  DiscoverOptions options = fake_nvml();
  options.root = root.path().string();
  options.synthetic_cpus = "pu:2";
  write_file(root / "sys/bus/pci/devices/0000:19:00.0/numa_node", "1\n");
  const auto report = discover(options);
  ASSERT_TRUE(report.has_value());
  EXPECT_THAT(report->notes, IsEmpty());
  const auto chips = accelerators(*report);
  ASSERT_EQ(chips.size(), 2u);
  EXPECT_EQ(chips[1].kind, "h100-sxm");
  EXPECT_EQ(chips[1].vendor, "NVIDIA");
  EXPECT_EQ(chips[1].index, 1);
  EXPECT_EQ(chips[1].device, "GPU-072b19bd-4ccf-63cf-6435-cf462aff8331");
  EXPECT_EQ(chips[1].memory.value, 85520809984);
  EXPECT_EQ(chips[1].power_limit.value, 700'000);
  EXPECT_EQ(chips[1].pci, "0000:19:00.0");
  EXPECT_EQ(chips[1].numa, 1);
  EXPECT_EQ(chips[0].numa, -1);
  EXPECT_EQ(visible_devices_variable(chips[0].source), "CUDA_VISIBLE_DEVICES");
}

TEST(Discover, FindsAmdChips) {
  DiscoverOptions options = no_vendor();
  options.rocm_path = "/nonexistent/librocm_smi64.so:" + fake_vendor("librocm_smi64.so").string();
  const auto report = discover(options);
  ASSERT_TRUE(report.has_value());
  const auto chips = accelerators(*report);
  ASSERT_EQ(chips.size(), 1u);
  EXPECT_EQ(chips[0].kind, "mi300x");
  EXPECT_EQ(chips[0].device, "GPU-00001234abcd5678");
  EXPECT_EQ(chips[0].pci, "0001:c1:02.1");
  EXPECT_EQ(chips[0].power_limit.value, 750'000);

  const MachineSample sample = Sampler(options, *report).sample();
  EXPECT_EQ(sample.chips.back().power->value, 141'000);
  EXPECT_EQ(sample.chips.back().temperature_c, 41);
  EXPECT_EQ(sample.chips.back().utilisation, 0.12);

  const EnvironmentVariable failing("FAKE_ROCM", "fail");
  const auto without = discover(options);
  EXPECT_THAT(accelerators(*without), IsEmpty());
  EXPECT_THAT(without->notes, Contains(HasSubstr("rsmi_init failed with 8")));
}

TEST(Discover, FindsAscendAndGaudiChips) {
  const TempFolder folder;
  DiscoverOptions options = no_vendor();
  options.npu_smi = script(folder, "npu-smi", R"(test "$1" = info || exit 1
cat <<'END'
| 0     910B3               | OK            | 93.6        40                0    / 0             |
| 0                         | 0000:C1:00.0  | 17          0    / 0          4159 / 65536         |
END
)");
  options.hl_smi = script(folder, "hl-smi", R"(test "$1" = -Q && test "$3" = -f || exit 1
echo '0, 3, HL-325L, 01P4-HL3000A0, 0000:19:00.0, 131072, 672, 210, 4, 27'
)");
  const auto report = discover(options);
  ASSERT_TRUE(report.has_value());
  const auto chips = accelerators(*report);
  ASSERT_EQ(chips.size(), 2u);
  EXPECT_EQ(chips[0].kind, "ascend-910b3");
  EXPECT_EQ(visible_devices_variable(chips[0].source), "ASCEND_RT_VISIBLE_DEVICES");
  EXPECT_EQ(chips[1].kind, "gaudi3");
  EXPECT_EQ(chips[1].device, "3");

  Sampler sampler(options, *report);
  const MachineSample sample = sampler.sample();
  ASSERT_EQ(sample.chips.size(), report->chips.size());
  const auto& ascend = sample.chips[sample.chips.size() - 2];
  EXPECT_EQ(ascend.utilisation, 0.17);
  EXPECT_EQ(*ascend.memory_used, mebibytes(4159));
  EXPECT_EQ(sample.chips.back().power->value, 210'000);
}

TEST(Discover, SaysWhyAToolListsNothing) {
  const TempFolder folder;
  DiscoverOptions options = no_vendor();
  options.npu_smi = script(folder, "npu-smi", "echo 'dcmi model initialized failed. ret is -8020'; exit 8\n");
  options.hl_smi = script(folder, "hl-smi", "yes '0, 3, HL-325L'\n");
  const auto report = discover(options);
  EXPECT_THAT(report->notes, Contains(HasSubstr("exit code 8): dcmi model initialized failed")));
  EXPECT_THAT(report->notes, Contains(HasSubstr("more than can be true")));
}

TEST(Discover, OutlivesBrokenLibraries) {
  const TempFolder folder;
  const auto notes_with = [](const DiscoverOptions& options, const char* mode) {
    const EnvironmentVariable set("FAKE_NVML", mode);
    const auto report = discover(options);
    EXPECT_TRUE(report.has_value());
    EXPECT_THAT(accelerators(*report), IsEmpty()) << mode;
    EXPECT_GT(core_count(*report), 0u);
    return report->notes.empty() ? std::string() : report->notes.back();
  };
  EXPECT_THAT(notes_with(fake_nvml(), "crash"), HasSubstr("ended without an answer"));
  EXPECT_THAT(notes_with(fake_nvml(), "mismatch"), HasSubstr("Driver/library version mismatch"));
  EXPECT_THAT(notes_with(fake_nvml(), "no-count"), HasSubstr("cannot count"));
  EXPECT_EQ(notes_with(fake_nvml(), "no-driver"), "") << "a library without a driver is a machine without a chip";

  DiscoverOptions options = no_vendor();
  write_file(folder / "libtext.so", "not a library");
  options.nvml_path = (folder / "libtext.so").string();
  EXPECT_THAT(notes_with(options, ""), HasSubstr("libtext.so"));
  options.nvml_path = fake_vendor("librocm_smi64.so").string();
  EXPECT_THAT(notes_with(options, ""), HasSubstr("not NVIDIA's management library"));
  options.probe = {"/bin/false"};
  EXPECT_THAT(notes_with(options, ""), HasSubstr("ended without an answer"));
}

TEST(Discover, DoesNotWaitForAHangingDriver) {
  const TempFolder folder;
  DiscoverOptions options = fake_nvml();
  options.time_limit = milliseconds(300);
  options.hl_smi = script(folder, "hl-smi", "trap '' TERM; while :; do sleep 1; done\n");
  const EnvironmentVariable hanging("FAKE_NVML", "hang");
  const auto before = std::chrono::steady_clock::now();
  const auto report = discover(options);
  // Far from the limit on purpose: only "for ever" is wrong.
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(60));
  ASSERT_TRUE(report.has_value());
  EXPECT_THAT(report->notes, Contains("NVIDIA (NVML): it did not answer in time"));
  EXPECT_THAT(report->notes, Contains("Gaudi (hl-smi): it did not answer in time"));
}

TEST(Discover, BelievesNothingThatCannotBeTrue) {
  {
    const EnvironmentVariable garbage("FAKE_NVML", "garbage");
    const auto chips = accelerators(*discover(fake_nvml()));
    ASSERT_EQ(chips.size(), 2u);
    EXPECT_EQ(chips[0].model, "[31mevil device 7");
    EXPECT_EQ(chips[0].memory.value, 0);
    EXPECT_EQ(chips[0].power_limit.value, 0);
    EXPECT_EQ(chips[0].pci, "");
  }
  const EnvironmentVariable many("FAKE_NVML", "many");
  EXPECT_LE(accelerators(*discover(fake_nvml())).size(), 1024u);
}

TEST(Discover, SaysWhyAChipCannotBeUsed) {
  const auto reason_with = [](const char* mode) {
    const EnvironmentVariable set("FAKE_NVML", mode);
    const auto report = discover(fake_nvml());
    EXPECT_EQ(accelerators(*report).size(), 1u) << mode;
    return report->unusable.size() == 1 ? report->unusable[0].reason : "none";
  };
  EXPECT_EQ(reason_with("lost"), "GPU is lost");
  EXPECT_THAT(reason_with("mig"), HasSubstr("MIG"));
  EXPECT_THAT(reason_with("prohibited"), HasSubstr("prohibited"));
}

TEST(Discover, ListsAcceleratorsWithoutADriver) {
  const TempFolder root;
  const auto device = [&](const char* address, const char* type, const char* vendor, const char* id, const char* driver) {
    const fs::path folder = root / "sys/bus/pci/devices" / address;
    write_file(folder / "class", std::string(type) + "\n");
    write_file(folder / "vendor", std::string(vendor) + "\n");
    write_file(folder / "device", std::string(id) + "\n");
    if (*driver != '\0') { fs::create_directory_symlink(std::string("../../../bus/pci/drivers/") + driver, folder / "driver"); }
  };
  device("0000:03:00.0", "0x030000", "0x1a03", "0x2000", "ast");     // the board's own VGA
  device("0000:18:00.0", "0x030200", "0x10de", "0x2330", "nvidia");  // listed by NVML
  device("0000:1a:00.0", "0x030200", "0x10de", "0x2330", "");
  device("0000:1b:00.0", "0x030200", "0x10de", "0x20b2", "vfio-pci");
  device("0000:1c:00.0", "0x120000", "0x1da3", "0x1060", "habanalabs");
  device("0000:1d:00.0", "0x068000", "0x10de", "0x22a3", "nvidia-nvswitch");  // a bridge
  write_file(root / "usr/share/misc/pci.ids",
             "1002  AMD\n\t2330  Wrong vendor\n10de  NVIDIA Corporation\n\t20b2  GA100\n\t2330  GH100 [H100 SXM5 80GB]\n");
  DiscoverOptions options = fake_nvml();
  options.root = root.path().string();
  options.synthetic_cpus = "pu:2";
  const auto report = discover(options);
  ASSERT_TRUE(report.has_value());
  std::vector<std::string> seen;
  for (const UnusableChip& chip : report->unusable) {
    seen.push_back(chip.pci + " " + chip.vendor + " " + chip.model + ": " + chip.reason);
  }
  EXPECT_THAT(seen, ElementsAre("0000:1a:00.0 NVIDIA GH100 [H100 SXM5 80GB]: present, no driver",
                                "0000:1b:00.0 NVIDIA GA100: present, given to virtual machines (vfio-pci)",
                                "0000:1c:00.0 Intel Habana device 1060: present with driver 'habanalabs', but "
                                "Gaudi (hl-smi) does not list it"));
}

TEST(Sampler, SeesABusyCore) {
  const DiscoverOptions options = no_vendor();
  const auto report = discover(options);
  ASSERT_TRUE(report.has_value());
  Sampler sampler(options, *report);
  const auto stop = std::chrono::steady_clock::now() + milliseconds(400);
  while (std::chrono::steady_clock::now() < stop) {}
  const MachineSample sample = sampler.sample();
  ASSERT_EQ(sample.chips.size(), report->chips.size());
  double total = 0;
  for (const ChipSample& chip : sample.chips) {
    EXPECT_FALSE(chip.memory_used.has_value());
    total += chip.utilisation.value_or(0);
  }
  EXPECT_GT(total, 0.0);
  EXPECT_GT(sample.memory_used.value, 0);
}

TEST(Sampler, ReadsTimesAndEnergyOfAMachineInAFolder) {
  const TempFolder root;
  DiscoverOptions options = big_machine(root);
  const auto rapl = [&](int package, const char* energy) {
    const fs::path folder = root / "sys/class/powercap" / fmt::format("intel-rapl:{}", package);
    write_file(folder / "name", fmt::format("package-{}\n", package));
    write_file(folder / "energy_uj", energy);
    write_file(folder / "max_energy_range_uj", "262143328850\n");
    write_file(folder / "constraint_0_power_limit_uw", "320000000\n");
  };
  for (int cpu = 0; cpu < 32; ++cpu) {
    write_file(root / "sys/devices/system/cpu" / fmt::format("cpu{}", cpu) / "topology/physical_package_id", cpu < 16 ? "0\n" : "1\n");
  }
  rapl(0, "1000000\n");
  rapl(1, "262143328850\n");
  write_file(root / "proc/stat", "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 0 0 900 0 0 0 0 0 0\ncpu1 0 0 0 1000 0 0 0 0 0 0\nintr 1\n");
  write_file(root / "proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n");
  const auto report = discover(options);
  ASSERT_TRUE(report.has_value()) << report.error().message();
  EXPECT_EQ(report->chips[0].power_limit.value, 40'000) << "320 W over eight cores";

  Sampler sampler(options, *report);
  std::this_thread::sleep_for(milliseconds(20));
  write_file(root / "proc/stat", "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 150 10 20 910 10 0 0 0 0 0\ncpu1 0 0 0 1100 0 0 0 0 0 0\nintr 1\n");
  rapl(0, "3000000\n");
  rapl(1, "5\n");  // it wrapped around
  const MachineSample sample = sampler.sample();
  EXPECT_EQ(sample.chips[0].utilisation, 0.4) << "80 of 100 ticks on one thread, none on the other";
  EXPECT_FALSE(sample.chips[1].utilisation.has_value()) << "its threads are not in /proc/stat";
  ASSERT_TRUE(sample.chips[0].power.has_value());
  EXPECT_GT(sample.chips[0].power->value, 0);
  EXPECT_GE(sample.chips[15].power->value, 0);
  EXPECT_LT(sample.chips[15].power->value, sample.chips[0].power->value);
  EXPECT_EQ(sample.memory_used.value, 600 * 1024);
}

TEST(Sampler, AsksALibraryAgainAndAgain) {
  const DiscoverOptions options = fake_nvml();
  const auto report = discover(options);
  ASSERT_TRUE(report.has_value());
  Sampler sampler(options, *report);
  std::vector<std::int64_t> watts;
  for (int i = 0; i < 3; ++i) {
    const MachineSample sample = sampler.sample();
    ASSERT_TRUE(sample.chips.back().power.has_value());
    EXPECT_EQ(sample.chips.back().utilisation, 0.51);
    EXPECT_EQ(sample.chips.back().memory_used->value, 2ll * 557056 * 1024);
    watts.push_back(sample.chips.back().power->value / 1000);
  }
  EXPECT_THAT(watts, ElementsAre(71, 72, 73)) << "one library that lives on, not a new one each time";
}

TEST(Sampler, GoesOnWithoutALibraryThatCrashesOrHangs) {
  DiscoverOptions options = fake_nvml();
  const auto report = discover(options);
  ASSERT_TRUE(report.has_value());
  for (const char* mode : {"crash-later", "hang-later"}) {
    const EnvironmentVariable set("FAKE_NVML", mode);
    options.time_limit = milliseconds(mode == std::string_view("hang-later") ? 500 : 20'000);
    Sampler sampler(options, *report);
    int with = 0, without = 0;
    // A loaded machine may be too slow for a first answer in time, so more than once.
    for (int i = 0; i < 40 && (with == 0 || without == 0); ++i) {
      const MachineSample sample = sampler.sample();
      EXPECT_EQ(sample.chips.size(), report->chips.size());
      ++(sample.chips.back().power ? with : without);
    }
    EXPECT_GT(with, 0) << mode;
    EXPECT_GT(without, 0) << mode;
  }
}

TEST(Probe, KnowsItsWords) {
  char nvml[] = "nvml", other[] = "other", path[] = "/nonexistent";
  char* wrong[] = {other, path, nullptr};
  EXPECT_EQ(probe_main(2, wrong), 64);
  char* few[] = {nvml, nullptr};
  EXPECT_EQ(probe_main(1, few), 64);
}

}  // namespace
}  // namespace centrale
