// SPDX-License-Identifier: Apache-2.0
// Power loss, not just kill -9: an SQLite VFS that knows what has been synced. At a random instant it leaves on disk what
// was synced and any part of the rest, torn at sectors; what append() acknowledged must be there. The same test on a
// disk that lies about syncing must fail, or it proves nothing.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <random>

#include "operate/journal_testing.hpp"
#include "operate/sqlite_journal.hpp"

namespace centrale {
namespace {

using journal_testing::append_next;
using journal_testing::recover_and_check;
using journal_testing::save_state;
using journal_testing::TempFolder;

constexpr std::size_t kSector = 512;

struct Write {
  std::size_t offset = 0;
  std::string bytes;
  bool truncates = false;  // to `offset`
};

void apply(std::string& content, const Write& write, std::size_t from, std::size_t to) {
  if (write.truncates) {
    content.resize(write.offset);
    return;
  }
  content.resize(std::max(content.size(), write.offset + to));
  content.replace(write.offset + from, to - from, write.bytes, from, to - from);
}

/// One file as the platters have it, and what is still on its way there.
struct DiskFile {
  std::string durable;
  std::vector<Write> pending;
};

struct Disk {
  std::map<std::string, DiskFile> files;
  std::mt19937 random;
  std::uint64_t operations_left = 0;
  bool lies = false;

  void sync(DiskFile& file) const {
    if (lies) { return; }
    for (const Write& write : file.pending) { apply(file.durable, write, 0, write.bytes.size()); }
    file.pending.clear();
  }

  [[noreturn]] void lose_power() {
    for (auto& [path, file] : files) {
      for (const Write& write : file.pending) {
        // None of it, all of it, or a run of sectors.
        const std::size_t sectors = write.bytes.size() / kSector;
        const std::size_t from = random() % 3 == 0 || sectors == 0 ? 0 : random() % sectors * kSector;
        const std::size_t run = random() % 3 == 0 ? write.bytes.size() : random() % (sectors + 1) * kSector;
        if (random() % 2 == 0) { apply(file.durable, write, from, std::min(from + run, write.bytes.size())); }
      }
      std::ofstream(path, std::ios::binary | std::ios::trunc) << file.durable;
    }
    ::_exit(0);
  }

  void count() {
    if (operations_left-- == 0) { lose_power(); }
  }
};
Disk* disk = nullptr;  // of the child process

/// The wrapped file, after SQLite's own header; the real one follows it in the same allocation.
struct ShimFile {
  sqlite3_file base;
  DiskFile* on_disk;  // null: a temporary file
};
sqlite3_file* real(sqlite3_file* file) { return reinterpret_cast<sqlite3_file*>(reinterpret_cast<ShimFile*>(file) + 1); }
DiskFile* on_disk(sqlite3_file* file) { return reinterpret_cast<ShimFile*>(file)->on_disk; }
#define FORWARD(method, parameters, arguments) +[] parameters { return real(file)->pMethods->method arguments; }

int shim_write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
  if (DiskFile* written = on_disk(file)) {
    disk->count();
    const auto* first = static_cast<const char*>(bytes);
    written->pending.push_back({static_cast<std::size_t>(offset), std::string(first, first + size)});
  }
  return real(file)->pMethods->xWrite(real(file), bytes, size, offset);
}
int shim_truncate(sqlite3_file* file, sqlite3_int64 size) {
  if (DiskFile* written = on_disk(file)) {
    disk->count();
    written->pending.push_back({static_cast<std::size_t>(size), "", true});
  }
  return real(file)->pMethods->xTruncate(real(file), size);
}
int shim_sync(sqlite3_file* file, int) {
  if (DiskFile* written = on_disk(file)) {
    disk->count();
    disk->sync(*written);
    disk->count();
  }
  return SQLITE_OK;  // nothing real needs to reach a real disk here
}

const sqlite3_io_methods kShimMethods = {
    .iVersion = 2,
    .xClose = FORWARD(xClose, (sqlite3_file * file), (real(file))),
    .xRead = FORWARD(xRead, (sqlite3_file * file, void* to, int size, sqlite3_int64 at), (real(file), to, size, at)),
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = FORWARD(xFileSize, (sqlite3_file * file, sqlite3_int64* size), (real(file), size)),
    .xLock = FORWARD(xLock, (sqlite3_file * file, int level), (real(file), level)),
    .xUnlock = FORWARD(xUnlock, (sqlite3_file * file, int level), (real(file), level)),
    .xCheckReservedLock = FORWARD(xCheckReservedLock, (sqlite3_file * file, int* held), (real(file), held)),
    .xFileControl = FORWARD(xFileControl, (sqlite3_file * file, int op, void* data), (real(file), op, data)),
    .xSectorSize = +[](sqlite3_file*) { return static_cast<int>(kSector); },
    // No promise of atomic or ordered writes.
    .xDeviceCharacteristics = +[](sqlite3_file*) { return 0; },
    .xShmMap =
        FORWARD(xShmMap, (sqlite3_file * file, int page, int size, int extend, void volatile** to), (real(file), page, size, extend, to)),
    .xShmLock = FORWARD(xShmLock, (sqlite3_file * file, int offset, int n, int flags), (real(file), offset, n, flags)),
    .xShmBarrier = FORWARD(xShmBarrier, (sqlite3_file * file), (real(file))),
    .xShmUnmap = FORWARD(xShmUnmap, (sqlite3_file * file, int remove), (real(file), remove)),
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

sqlite3_vfs* real_vfs = nullptr;

int shim_open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  auto* shim = reinterpret_cast<ShimFile*>(file);
  shim->base.pMethods = nullptr;
  shim->on_disk = nullptr;
  const int code = real_vfs->xOpen(real_vfs, name, real(file), flags, out_flags);
  if (code != SQLITE_OK) { return code; }
  shim->base.pMethods = &kShimMethods;
  if (name != nullptr) {
    const auto [entry, is_new] = disk->files.try_emplace(name);
    if (is_new) {
      std::ifstream content(name, std::ios::binary);
      entry->second.durable.assign(std::istreambuf_iterator<char>(content), {});
    }
    shim->on_disk = &entry->second;
  }
  return SQLITE_OK;
}

void use_shim_vfs() {
  real_vfs = sqlite3_vfs_find(nullptr);
  static sqlite3_vfs shim;
  shim = *real_vfs;
  shim.zName = "losing-power";
  shim.szOsFile = static_cast<int>(sizeof(ShimFile)) + real_vfs->szOsFile;
  shim.xOpen = shim_open;
  sqlite3_vfs_register(&shim, 1);
}

/// Writes until the power goes, then says what had been acknowledged.
std::uint64_t write_until_power_goes(const std::filesystem::path& path, unsigned seed, bool disk_lies) {
  auto* acknowledged =
      static_cast<std::uint64_t*>(::mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const pid_t child = ::fork();
  if (child == 0) {
    static Disk of_child;
    disk = &of_child;
    of_child.random.seed(seed);
    of_child.operations_left = of_child.random() % 6'000;
    of_child.lies = disk_lies;
    use_shim_vfs();
    const auto journal = SqliteJournal::open(path, {.history_max = 2'000});
    while (journal && append_next(**journal, 1 + of_child.random() % 30)) {
      *acknowledged = (*journal)->last_sequence();
      if (of_child.random() % 30 == 0 && !save_state(**journal)) { break; }
    }
    ::_exit(1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the power never went";
  const std::uint64_t result = *acknowledged;
  ::munmap(acknowledged, sizeof(std::uint64_t));
  std::error_code ignored;
  std::filesystem::remove(path.string() + "-shm", ignored);
  return result;
}

/// What is left on the disk holds all that was acknowledged.
bool is_whole(const std::filesystem::path& path, std::uint64_t acknowledged, std::string& why) {
  const auto journal = SqliteJournal::open(path);
  const auto recovered = journal ? recover_and_check(**journal) : std::unexpected(journal.error());
  why = !recovered ? recovered.error().message()
                   : fmt::format("{} acknowledged, {} recovered; {}", acknowledged, recovered->last_sequence, recovered->warning);
  return recovered && recovered->last_sequence >= acknowledged && recovered->warning.empty();
}

TEST(SqliteJournal, LosesNothingThatWasAcknowledgedWhenThePowerGoes) {
  const TempFolder folder;
  ASSERT_TRUE(SqliteJournal::open(folder / "journal").has_value());
  std::uint64_t reached = 0;
  for (unsigned round = 0; round < 30; ++round) {
    const std::uint64_t acknowledged = std::max(reached, write_until_power_goes(folder / "journal", round, false));
    std::string why;
    ASSERT_TRUE(is_whole(folder / "journal", acknowledged, why)) << "seed " << round << ": " << why;
    reached = acknowledged;
  }
  EXPECT_GT(reached, 10'000u);
}

TEST(SqliteJournal, ThePowerTestNoticesADiskThatLies) {
  int noticed = 0;
  for (unsigned round = 0; round < 5; ++round) {
    const TempFolder folder;
    ASSERT_TRUE(SqliteJournal::open(folder / "journal").has_value());
    std::string why;
    noticed += is_whole(folder / "journal", write_until_power_goes(folder / "journal", round, true), why) ? 0 : 1;
  }
  EXPECT_GE(noticed, 4);
}

}  // namespace
}  // namespace centrale
