// SPDX-License-Identifier: Apache-2.0
#include "formats/file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace centrale::trainer {
namespace {

Error system_error(std::string_view doing, const std::filesystem::path& path, int code) {
  Error error{
      code == ENOENT ? ErrorKind::not_found : ErrorKind::io, fmt::format("cannot {}: {}", doing, std::strerror(code)), path.string(), {}};
  if (code == ENOSPC || code == EDQUOT) error.remedy = "free some space, or choose a folder on another disk";
  if (code == ENOENT) error.remedy = "check the path; relative paths start at the current folder";
  if (code == EACCES || code == EROFS) error.remedy = "check the permissions of the file and its folder";
  return error;
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::unexpected(system_error("open", path, errno));
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(fd);
    return fail(ErrorKind::invalid, "not a regular file", path.string());
  }
  MappedFile file;
  file.size_ = static_cast<std::size_t>(status.st_size);
  if (file.size_ > 0) {
    void* data = ::mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const int code = errno;
    ::close(fd);
    if (data == MAP_FAILED) {
      file.size_ = 0;
      return std::unexpected(system_error("map", path, code));
    }
    file.data_ = static_cast<const std::byte*>(data);
  } else {
    ::close(fd);
  }
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

Result<std::string> read_text(const std::filesystem::path& path, std::size_t size_max) {
  TRY_ASSIGN(const auto file, MappedFile::open(path));
  const auto bytes = file.bytes();
  if (bytes.size() > size_max) {
    return fail(ErrorKind::invalid, fmt::format("the file has {} bytes; the limit is {}", bytes.size(), size_max), path.string());
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<DurableFile> DurableFile::create(const std::filesystem::path& path) {
  DurableFile file;
  file.path_ = path;
  file.file_ = std::fopen(path.c_str(), "wbe");
  if (file.file_ == nullptr) return std::unexpected(system_error("create", path, errno));
  return file;
}

DurableFile::DurableFile(DurableFile&& other) noexcept
    : file_(std::exchange(other.file_, nullptr)), path_(std::move(other.path_)), size_(other.size_) {}

DurableFile::~DurableFile() {
  if (file_ == nullptr) return;
  struct stat status {};
  const bool regular = ::fstat(::fileno(file_), &status) == 0 && S_ISREG(status.st_mode);
  std::fclose(file_);
  if (regular) ::unlink(path_.c_str());  // never a device
}

Result<void> DurableFile::write(std::span<const std::byte> bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) { return std::unexpected(system_error("write", path_, errno)); }
  size_ += bytes.size();
  return {};
}

Result<void> DurableFile::write(std::string_view text) { return write(std::as_bytes(std::span(text))); }

Result<void> DurableFile::finish() {
  if (std::fflush(file_) != 0 || ::fsync(::fileno(file_)) != 0) { return std::unexpected(system_error("write", path_, errno)); }
  if (std::fclose(std::exchange(file_, nullptr)) != 0) {
    const int code = errno;
    ::unlink(path_.c_str());
    return std::unexpected(system_error("write", path_, code));
  }
  return {};
}

Result<void> replace_text(const std::filesystem::path& path, std::string_view text) {
  const std::filesystem::path partial = path.string() + ".partial";
  TRY_ASSIGN(auto file, DurableFile::create(partial));
  TRY(file.write(text));
  TRY(file.finish());
  return rename_durably(partial, path);
}

Result<void> rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return std::unexpected(system_error("rename to", to, errno));
  return sync_folder(to.parent_path().empty() ? "." : to.parent_path());
}

Result<void> sync_folder(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return std::unexpected(system_error("open the folder", path, errno));
  const int outcome = ::fsync(fd);
  const int code = errno;
  ::close(fd);
  // Some network file systems cannot sync a folder; their rename is durable by itself.
  if (outcome != 0 && code != EINVAL) return std::unexpected(system_error("sync the folder", path, code));
  return {};
}

Result<void> make_folder(const std::filesystem::path& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code) return std::unexpected(system_error("create the folder", path, code.value()));
  return {};
}

std::uint64_t fingerprint(std::span<const std::byte> bytes, std::uint64_t start) {
  std::uint64_t hash = start;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min(sizeof word, bytes.size() - at));
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    hash ^= hash >> 32;
  }
  return hash ^ bytes.size();
}

std::string hex64(std::uint64_t value) { return fmt::format("{:016x}", value); }

}  // namespace centrale::trainer
