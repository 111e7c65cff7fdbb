// SPDX-License-Identifier: Apache-2.0
// Which program serves a model, and where the model is. Asks the file system, never the network.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "centre/core.hpp"

namespace centrale {

struct EngineOptions {
  std::string state;         // the centre's folder: exports/ is in it
  std::string python;        // of the virtual environment with xllamacpp and the model packages
  std::string llama_script;  // engines/llama/llama_server.py
  std::string path;          // PATH, to look for llama-server in
};

/// Folders of one job, the same for all its attempts.
[[nodiscard]] std::string checkpoint_folder(const EngineOptions& options, const Job& job);
[[nodiscard]] std::string export_folder(const EngineOptions& options, const Job& job);

/// The command with every `{job:NAME}` replaced by that job's export folder. Errors: no such job, or it is not done.
[[nodiscard]] Result<std::vector<std::string>> fill_in_jobs(const EngineOptions& options, const Core& core, TenantId tenant,
                                                            std::vector<std::string> command);

/// The GGUF file that `model:` names: a file, a folder with one, job:NAME or pip:PACKAGE. Errors say what is missing; unavailable:
/// it may be there later (a job that is not done yet).
[[nodiscard]] Result<std::string> find_model(const EngineOptions& options, const Core& core, TenantId tenant, const ServiceSpec& spec);

/// The command that serves `spec` with `{port}` in it: its own, or llama.cpp's server (llama-server on PATH first, else the
/// one in xllamacpp).
[[nodiscard]] Result<std::vector<std::string>> serving_command(const EngineOptions& options, const Core& core, TenantId tenant,
                                                               const ServiceSpec& spec);

}  // namespace centrale
