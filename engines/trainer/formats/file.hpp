// SPDX-License-Identifier: Apache-2.0
// Files: mapped for reading, durable when written. Every failure is a value that names the path.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace centrale::trainer {

/// A whole file, mapped read-only.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();
  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

Result<std::string> read_text(const std::filesystem::path& path, std::size_t size_max);

/// Writes a file whose content is on the disk when finish() returns; without finish() it is removed.
class DurableFile {
 public:
  static Result<DurableFile> create(const std::filesystem::path& path);
  DurableFile(DurableFile&& other) noexcept;
  DurableFile& operator=(DurableFile&&) = delete;
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;
  ~DurableFile();
  Result<void> write(std::span<const std::byte> bytes);
  Result<void> write(std::string_view text);
  Result<void> finish();
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  DurableFile() = default;
  std::FILE* file_ = nullptr;
  std::filesystem::path path_;
  std::uint64_t size_ = 0;
};

/// The same through a temporary name and a rename: readers see the old file or the new one.
Result<void> replace_text(const std::filesystem::path& path, std::string_view text);
Result<void> rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);
Result<void> sync_folder(const std::filesystem::path& path);
Result<void> make_folder(const std::filesystem::path& path);

/// 64 bits that tell contents apart, at several GB/s; it guards against damage and mistakes, not against forgery.
std::uint64_t fingerprint(std::span<const std::byte> bytes, std::uint64_t start = 0xcbf29ce484222325ULL);
std::string hex64(std::uint64_t value);

}  // namespace centrale::trainer
