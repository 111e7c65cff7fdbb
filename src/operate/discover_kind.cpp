// SPDX-License-Identifier: Apache-2.0
// From the name a vendor's driver reports to the key under which the catalogue knows the chip.
#include <array>
#include <cctype>

#include "operate/discover_device.hpp"

namespace centrale::discovery {
namespace {

struct Naming {
  std::string_view key;
  std::array<std::string_view, 3> words;  // all must occur in the name, in lower case
  std::int64_t gib_min = 0;               // of device memory, where one name is sold with several
};

// The first that matches, so the more special one comes first. Names as drivers report them: NVML's device name, rsmi's
// market name, "Ascend " and npu-smi's name, "Intel Gaudi " and hl-smi's.
constexpr std::array kNamings = {
    Naming{"gb300", {"gb300"}},
    Naming{"b300-sxm", {"b300"}},
    Naming{"gb200", {"gb200"}},
    Naming{"b200-sxm", {"b200"}},
    Naming{"gh200", {"gh200"}},
    Naming{"h200-nvl", {"h200", "nvl"}},
    Naming{"h200-sxm", {"h200"}},
    Naming{"h100-nvl", {"h100", "nvl"}},
    Naming{"h100-pcie", {"h100", "pcie"}},
    Naming{"h100-sxm", {"h100"}},
    Naming{"h800-pcie", {"h800", "pcie"}},
    Naming{"h800-sxm", {"h800"}},
    Naming{"h20", {"h20"}},
    Naming{"a100-pcie-80gb", {"a100", "pcie"}, 60},
    Naming{"a100-pcie-40gb", {"a100", "pcie"}},
    Naming{"a100-sxm-80gb", {"a100"}, 60},
    Naming{"a100-sxm-40gb", {"a100"}},
    Naming{"a800-pcie-80gb", {"a800", "pcie"}},
    Naming{"a800-sxm-80gb", {"a800"}},
    Naming{"rtx-pro-6000", {"rtx pro 6000"}},
    Naming{"rtx-6000-ada", {"rtx 6000 ada"}},
    Naming{"l40s", {"l40s"}},
    Naming{"l40", {"l40"}},
    Naming{"l20", {"l20"}},
    Naming{"l4", {"nvidia l4"}},
    Naming{"a10g", {"a10g"}},
    Naming{"a40", {"a40"}},
    Naming{"a30", {"a30"}},
    Naming{"a10", {"nvidia a10"}},
    Naming{"t4", {"tesla t4"}},
    Naming{"v100-sxm-32gb", {"v100", "sxm"}, 24},
    Naming{"v100-sxm-16gb", {"v100", "sxm"}},
    Naming{"v100-pcie-32gb", {"v100", "pcie"}, 24},
    Naming{"v100-pcie-16gb", {"v100", "pcie"}},
    Naming{"rtx-5090", {"rtx 5090"}},
    Naming{"rtx-4090", {"rtx 4090"}},
    Naming{"rtx-3090", {"rtx 3090"}},
    Naming{"mi355x", {"mi355x"}},
    Naming{"mi350x", {"mi350x"}},
    Naming{"mi325x", {"mi325x"}},
    Naming{"mi300x", {"mi300x"}},
    Naming{"mi300a", {"mi300a"}},
    Naming{"mi250x", {"mi250x"}},
    Naming{"mi250", {"mi250"}},
    Naming{"mi210", {"mi210"}},
    Naming{"mi100", {"mi100"}},
    Naming{"ascend-910b4", {"ascend", "910b4"}},
    Naming{"ascend-910b3", {"ascend", "910b3"}},
    Naming{"ascend-910b2", {"ascend", "910b2"}},
    Naming{"ascend-910b1", {"ascend", "910b1"}},
    // npu-smi calls each die of a 910C (Atlas A3) plain "Ascend910", with 64 GB; the first 910's have 32 GB.
    Naming{"ascend-910c", {"ascend910"}, 48},
    Naming{"ascend-910c", {"ascend", "910_93"}},
    Naming{"ascend-910", {"ascend", "910"}},
    Naming{"ascend-310p", {"ascend", "310p"}},
    Naming{"ascend-310", {"ascend", "310"}},
    // Intel's board numbers: HL-3xx is Gaudi 3, HL-225 and its like Gaudi 2, HL-205 the first.
    Naming{"gaudi3", {"hl-3"}},
    Naming{"gaudi3", {"gaudi3"}},
    Naming{"gaudi2", {"hl-22"}},
    Naming{"gaudi2", {"hl-28"}},
    Naming{"gaudi2", {"gaudi2"}},
    Naming{"gaudi", {"hl-20"}},
};

bool letter_or_digit(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

/// `word` occurs and no digit or letter goes on after a word that ends in one: "a10" is not in "a100".
bool occurs(std::string_view name, std::string_view word) {
  for (auto at = name.find(word); at != std::string_view::npos; at = name.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    const bool open_ended = word.starts_with("hl-") || word == "310p" || word == "310" || word == "910";
    if (open_ended || end == name.size() || !letter_or_digit(name[end])) { return true; }
  }
  return false;
}

/// "NVIDIA GeForce RTX 2080 Ti" becomes "geforce-rtx-2080-ti".
std::string normalised(std::string_view name) {
  std::string key;
  for (const char c : name) {
    if (letter_or_digit(c)) {
      key += c;
    } else if (!key.empty() && key.back() != '-') {
      key += '-';
    }
  }
  while (!key.empty() && key.back() == '-') { key.pop_back(); }
  for (const std::string_view vendor : {"nvidia-", "amd-", "tesla-", "instinct-", "intel-"}) {
    if (key.starts_with(vendor)) { key.erase(0, vendor.size()); }
  }
  return key.empty() ? "unknown" : key;
}

}  // namespace

std::string chip_kind(std::string_view name_in, Bytes memory) {
  std::string name;
  for (const char c : name_in.substr(0, 256)) { name += static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }
  for (const Naming& naming : kNamings) {
    bool all = memory.value >= naming.gib_min << 30;
    for (const std::string_view word : naming.words) { all = all && (word.empty() || occurs(name, word)); }
    if (all) { return std::string(naming.key); }
  }
  return normalised(name);
}

}  // namespace centrale::discovery
