// SPDX-License-Identifier: Apache-2.0
#include "cli/spec_files.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

namespace centrale::cli {
namespace fs = std::filesystem;
namespace {

std::string absolute(const std::string& path, const std::string& folder) { return (fs::path(folder) / path).lexically_normal().string(); }

/// "model: weights/x.gguf" is a path; "job:NAME", "pip:PACKAGE" and plain names are not.
bool is_relative_path(const std::string& model) {
  const bool has_scheme = model.starts_with("job:") || model.starts_with("pip:");
  return !has_scheme && !model.starts_with('/') && (model.find('/') != std::string::npos || model.ends_with(".gguf"));
}

}  // namespace

Result<std::string> read_text_file(const std::string& path, std::size_t bytes_max) {
  std::ifstream file;
  const bool is_stdin = path == "-";
  if (!is_stdin) {
    std::error_code code;
    if (fs::is_directory(path, code)) { return fail(ErrorKind::invalid, "is a folder", path, "name a file in it"); }
    file.open(path, std::ios::binary);
    if (!file) { return fail(ErrorKind::invalid, std::string("cannot be read: ") + std::strerror(errno), path); }
  }
  std::istream& in = is_stdin ? std::cin : file;
  std::string text;
  std::array<char, 64 * 1024> buffer;  // NOLINT: filled by read
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > bytes_max) {
      return fail(ErrorKind::invalid, "is larger than " + std::to_string(bytes_max / 1024) + " KiB", is_stdin ? "standard input" : path,
                  "is this the right file?");
    }
  }
  return text;
}

void resolve_paths(Spec& spec, const std::string& folder) {
  std::visit([&](auto& s) { s.workdir = s.workdir.empty() ? folder : absolute(s.workdir, folder); }, spec);
  if (auto* job = std::get_if<JobSpec>(&spec); job != nullptr && !job->checkpoints.empty()) {
    job->checkpoints = absolute(job->checkpoints, folder);
  }
  if (auto* service = std::get_if<ServiceSpec>(&spec); service != nullptr && is_relative_path(service->model)) {
    service->model = absolute(service->model, folder);
  }
}

Outcome<std::vector<Spec>> read_spec_files(const std::vector<std::string>& files) {
  std::vector<Spec> all;
  for (const std::string& file : files) {
    const std::string shown_name = file == "-" ? "standard input" : file;
    TRY_ASSIGN(const std::string text, read_text_file(file, kSpecFileMax));
    TRY_ASSIGN(std::vector<Spec> specs, read_specs(text, shown_name));
    const fs::path path = file == "-" ? fs::current_path() / "-" : fs::absolute(file);
    const std::string folder = path.lexically_normal().parent_path().string();
    for (Spec& spec : specs) {
      const Result<void> right = std::visit([](const auto& s) { return validate(s); }, spec);
      if (!right) {
        Error error = right.error();
        error.where = error.where.empty() ? shown_name : error.where;
        return std::unexpected(Failure(std::move(error)));
      }
      resolve_paths(spec, folder);
      all.push_back(std::move(spec));
    }
  }
  return all;
}

}  // namespace centrale::cli
