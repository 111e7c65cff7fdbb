// SPDX-License-Identifier: Apache-2.0
#include "operate/journal.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/ensure.hpp"

namespace centrale {
namespace {

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

// Slicing by 8 (Kounavis and Berry, 2005): eight bytes a step without an instruction that not every chip has.
constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) { crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u); }
    tables[0][byte] = crc;
  }
  for (std::size_t slice = 1; slice < 8; ++slice) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[slice - 1][byte];
      tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xFF];
    }
  }
  return tables;
}
constexpr Tables kTables = make_tables();

std::uint32_t load_le32(const unsigned char* p) {
  return static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8 | static_cast<std::uint32_t>(p[2]) << 16 |
         static_cast<std::uint32_t>(p[3]) << 24;
}

void store_le64(char* to, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) { to[i] = static_cast<char>(value >> (8 * i)); }
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t crc) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t left = bytes.size();
  crc = ~crc;
  for (; left >= 8; p += 8, left -= 8) {
    const std::uint32_t low = load_le32(p) ^ crc;
    const std::uint32_t high = load_le32(p + 4);
    crc = kTables[7][low & 0xFF] ^ kTables[6][(low >> 8) & 0xFF] ^ kTables[5][(low >> 16) & 0xFF] ^ kTables[4][low >> 24] ^
          kTables[3][high & 0xFF] ^ kTables[2][(high >> 8) & 0xFF] ^ kTables[1][(high >> 16) & 0xFF] ^ kTables[0][high >> 24];
  }
  for (; left > 0; ++p, --left) { crc = (crc >> 8) ^ kTables[0][(crc ^ *p) & 0xFF]; }
  return ~crc;
}

std::uint32_t record_checksum(const Record& record) {
  char head[16];
  store_le64(head, record.sequence);
  store_le64(head + 8, static_cast<std::uint64_t>(record.time_ns));
  return crc32c(record.payload, crc32c({head, sizeof head}));
}

void ensure_appendable(std::span<const Record> batch, std::uint64_t last_sequence) {
  ensure(batch.size() <= kBatchRecordsMax);
  for (const Record& record : batch) {
    ensure(record.sequence == ++last_sequence);
    ensure(record.payload.size() <= kPayloadBytesMax);
  }
}

Retention retain(std::span<const std::uint64_t> snapshots, std::uint64_t first, std::uint64_t last, std::uint64_t history_max) {
  Retention result;
  if (snapshots.size() < 2) { return result; }
  // The newest two stay: the older one is there for the day the newest cannot be read.
  const std::size_t fallback = snapshots.size() - 2;
  std::size_t base = snapshots.size();  // none
  for (std::size_t i = 0; i <= fallback && last - snapshots[i] >= history_max; ++i) { base = i; }
  std::size_t next = 0;
  std::uint64_t start = first - 1;  // where a replay of the kept history can begin, so far
  if (base != snapshots.size()) {
    result.forget_events_through = snapshots[base];
    result.forget_snapshots.assign(snapshots.begin(), snapshots.begin() + static_cast<std::ptrdiff_t>(base));
    start = snapshots[base];
    next = base + 1;
  }
  // In between, a snapshot every quarter of the history is enough to start a replay from and to trim at.
  const std::uint64_t spacing = history_max / 4;
  for (; next < fallback; ++next) {
    if (snapshots[next] != start && snapshots[next + 1] - start <= spacing) {
      result.forget_snapshots.push_back(snapshots[next]);
    } else {
      start = snapshots[next];
    }
  }
  return result;
}

}  // namespace centrale
