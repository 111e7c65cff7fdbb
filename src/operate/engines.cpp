// SPDX-License-Identifier: Apache-2.0
#include "operate/engines.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

namespace centrale {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kEntriesMax = 10'000;  // of a folder that is searched for a model

/// Requests that one llama.cpp replica answers at the same time; they share its context.
constexpr std::int64_t kParallel = 4;

std::string job_folder(const EngineOptions& options, const char* kind, const Job& job) {
  return fmt::format("{}/{}/{}-{}", options.state, kind, to_string(job.id), job.spec.name);
}

Result<std::string> export_of(const EngineOptions& options, const Core& core, TenantId tenant, const std::string& name) {
  // A later job of that name may be under way: the newest that is done is what there is to use.
  const Job* newest = nullptr;
  bool any = false;
  core.each_job([&](const Job& job) {
    if (job.tenant == tenant && (job.spec.name == name || to_string(job.id) == name)) {
      any = true;
      if (job.state == JobState::done) { newest = &job; }
    }
  });
  if (newest == nullptr) {
    return any ? fail(ErrorKind::unavailable, fmt::format("job '{}' is not done yet", name), "job:" + name,
                      "wait for it: centrale wait " + name)
               : fail(ErrorKind::not_found, fmt::format("there is no job '{}'", name), "job:" + name,
                      "submit it first; centrale ps --all lists jobs");
  }
  return export_folder(options, *newest);
}

std::vector<fs::path> gguf_files(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  std::size_t seen = 0;
  for (fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error), end;
       !error && it != end && ++seen < kEntriesMax; it.increment(error)) {
    if (it->path().extension() == ".gguf" && it->is_regular_file(error)) { found.push_back(it->path()); }
  }
  std::ranges::sort(found);
  return found;
}

Result<std::string> only_gguf(const fs::path& folder, const std::string& where) {
  const std::vector<fs::path> found = gguf_files(folder);
  if (found.empty()) {
    return fail(ErrorKind::not_found, fmt::format("no GGUF file in {}", folder.string()), where,
                "the job must export one (centrale-trainer does), or name a file");
  }
  if (found.size() > 1) {
    return fail(ErrorKind::invalid, fmt::format("{} GGUF files in {}", found.size(), folder.string()), where,
                "name one of them: " + found.front().filename().string() + ", …");
  }
  return found.front().string();
}

Result<std::string> package_folder(const EngineOptions& options, std::string package) {
  std::ranges::replace(package, '-', '_');
  if (package.empty() || package.find('/') != std::string::npos || package.find("..") != std::string::npos) {
    return fail(ErrorKind::invalid, "that is no package's name", "pip:" + package);
  }
  std::error_code error;
  const fs::path library = fs::path(options.python).parent_path().parent_path() / "lib";
  for (fs::directory_iterator it(library, error), end; !error && it != end; it.increment(error)) {
    fs::path folder = it->path() / "site-packages" / package;
    if (fs::is_directory(folder, error)) { return folder.string(); }
  }
  return fail(ErrorKind::not_found, fmt::format("package '{}' is not installed", package), "pip:" + package,
              fmt::format("{} -m pip install --no-deps {}", options.python, package));
}

std::string on_path(const std::string& path, const std::string& program) {
  for (std::size_t from = 0; from < path.size();) {
    const std::size_t to = std::min(path.find(':', from), path.size());
    std::string candidate = path.substr(from, to - from) + "/" + program;
    if (::access(candidate.c_str(), X_OK) == 0) { return candidate; }
    from = to + 1;
  }
  return {};
}

}  // namespace

std::string checkpoint_folder(const EngineOptions& options, const Job& job) {
  return job.spec.checkpoints.empty() ? job_folder(options, "checkpoints", job) : job.spec.checkpoints;
}
std::string export_folder(const EngineOptions& options, const Job& job) { return job_folder(options, "exports", job); }

Result<std::vector<std::string>> fill_in_jobs(const EngineOptions& options, const Core& core, TenantId tenant,
                                              std::vector<std::string> command) {
  for (std::string& word : command) {
    for (std::size_t at = word.find("{job:"); at != std::string::npos; at = word.find("{job:", at)) {
      const std::size_t end = word.find('}', at);
      if (end == std::string::npos) {
        return fail(ErrorKind::invalid, fmt::format("'{}' opens a {{ that does not close", word), "command");
      }
      TRY_ASSIGN(const std::string folder, export_of(options, core, tenant, word.substr(at + 5, end - at - 5)));
      word.replace(at, end - at + 1, folder);
      at += folder.size();
    }
  }
  return command;
}

Result<std::string> find_model(const EngineOptions& options, const Core& core, TenantId tenant, const ServiceSpec& spec) {
  if (spec.model.starts_with("job:")) {
    TRY_ASSIGN(const std::string folder, export_of(options, core, tenant, spec.model.substr(4)));
    return only_gguf(folder, spec.model);
  }
  if (spec.model.starts_with("pip:")) {
    TRY_ASSIGN(const std::string folder, package_folder(options, spec.model.substr(4)));
    return only_gguf(folder, spec.model);
  }
  const fs::path path = fs::path(spec.workdir) / spec.model;  // an absolute model replaces the folder
  std::error_code error;
  if (fs::is_directory(path, error)) { return only_gguf(path, "model"); }
  if (!fs::is_regular_file(path, error)) {
    return fail(ErrorKind::not_found, fmt::format("there is no file {}", path.string()), "model",
                "a GGUF file, a folder with one, job:NAME or pip:PACKAGE");
  }
  return path.string();
}

Result<std::vector<std::string>> serving_command(const EngineOptions& options, const Core& core, TenantId tenant, const ServiceSpec& spec) {
  if (!spec.command.empty()) { return fill_in_jobs(options, core, tenant, spec.command); }
  TRY_ASSIGN(const std::string model, find_model(options, core, tenant, spec));
  std::vector<std::string> command;
  if (const std::string server = on_path(options.path, "llama-server"); !server.empty()) {
    command = {server};
  } else if (::access(options.python.c_str(), X_OK) == 0 && ::access(options.llama_script.c_str(), R_OK) == 0) {
    command = {options.python, options.llama_script};
  } else {
    return fail(ErrorKind::unavailable, "no llama.cpp server is here", "model",
                fmt::format("put llama-server on PATH, or install the engines: ./dev build (looked for {} and {})", options.python,
                            options.llama_script));
  }
  const std::string context = std::to_string(spec.context * kParallel);
  command.insert(command.end(), {"--model", model, "--host", "127.0.0.1", "--port", "{port}", "--ctx-size", context, "--parallel",
                                 std::to_string(kParallel), "--alias", spec.name, "--threads", "{threads}"});
  return command;
}

}  // namespace centrale
