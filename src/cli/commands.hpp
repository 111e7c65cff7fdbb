// SPDX-License-Identifier: Apache-2.0
// What the commands do, apart from how they are spelled (command_line.cpp). Each returns the exit code.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/context.hpp"

namespace centrale::cli {

/// Whether a command stays until what it started is done.
enum class Stay : unsigned char {
  by_terminal,  // follow on a terminal, else leave at once
  leave,
  wait,    // say nothing until the end
  follow,  // show how it goes
};

struct SubmitOptions {
  std::vector<std::string> files;
  Stay stay = Stay::by_terminal;
  bool check_only = false;
};
int submit(Context& context, const SubmitOptions& options);

struct PsOptions {
  bool all = false;
  std::string state, tenant, name;
  std::int64_t limit = 100;
  bool watch = false;
};
int ps(Context& context, const PsOptions& options);

struct LogsOptions {
  std::string name;
  bool follow = false;
  bool err = false;
  std::int64_t rank = 0;     // of a job; of a service: the replica
  std::int64_t attempt = 0;  // 0: the latest
  std::int64_t tail = -1;    // lines; -1: all
};
int logs(Context& context, const LogsOptions& options);

int stop(Context& context, const std::vector<std::string>& names);
int why(Context& context, const std::string& job);

struct WaitOptions {
  std::vector<std::string> names;
  std::optional<double> timeout_s;
};
int wait_for_jobs(Context& context, const WaitOptions& options);

struct ServeOptions {
  std::vector<std::string> files;
  Stay stay = Stay::by_terminal;
  std::optional<double> timeout_s;
};
int serve(Context& context, const ServeOptions& options);
int services(Context& context);
int scale(Context& context, const std::string& name, std::int64_t replicas);

int nodes(Context& context, bool every_chip);
int drain_node(Context& context, const std::string& node);
int resume_node(Context& context, const std::string& node);

int usage(Context& context, const std::string& by);

int tenants(Context& context);
struct TenantOptions {
  std::string name;
  std::optional<std::int64_t> chips_max, tokens_per_day_max;  // 0: no limit; not given: as it is
};
int set_tenant(Context& context, const TenantOptions& options);
int keys(Context& context, bool revoked_too);
int add_key(Context& context, const std::string& tenant, const std::string& label, const std::string& role);
int revoke_key(Context& context, const std::string& id);

struct ChatOptions {
  std::string model, message, system;
  std::optional<std::int64_t> tokens_max;
  std::optional<double> temperature;
};
int chat(Context& context, const ChatOptions& options);

int version(Context& context);
int openapi(Context& context);
int schema(Context& context);

struct CalibrateOptions {
  std::string device, key, output;  // empty: as centrale-calibrate has them
  std::int64_t threads = 0, ranks = 0;
  bool quick = false;
};
/// Becomes centrale-calibrate; returns only when that cannot be started.
int calibrate(Context& context, const CalibrateOptions& options);
/// Its command line, the program's name first.
[[nodiscard]] std::vector<std::string> calibrate_words(const CalibrateOptions& options, bool json);

struct TopOptions {
  bool once = false;
};
int top(Context& context, const TopOptions& options);

}  // namespace centrale::cli
