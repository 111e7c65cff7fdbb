// SPDX-License-Identifier: Apache-2.0
#include "task/launch.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <simdjson.h>
#include <string.h>

namespace centrale::task {
namespace {

constexpr int kSavedNotFinished = 75;  // EX_TEMPFAIL, docs/task-contract.md
// Limits of what a user may ask for. The kernel's own: 128 KiB a string, a quarter of the stack (2 MiB) in all.
constexpr std::size_t kTextMax = 127UL * 1024;
constexpr std::size_t kAllTextMax = 1536UL * 1024;
constexpr std::size_t kRanksMax = 1024;
constexpr std::size_t kCpusMax = 8192;

void put_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  out += '"';
}

void put_key(std::string& out, std::string_view key) {
  out += out.back() == '{' ? "\n  " : ",\n  ";
  put_string(out, key);
  out += ": ";
}
void put(std::string& out, std::string_view key, std::string_view value) {
  put_key(out, key);
  put_string(out, value);
}
void put(std::string& out, std::string_view key, std::int64_t value) {
  put_key(out, key);
  out += std::to_string(value);
}
void put_flag(std::string& out, std::string_view key, bool value) {
  put_key(out, key);
  out += value ? "true" : "false";
}

void put_strings(std::string& out, const std::vector<std::string>& texts) {
  out += '[';
  for (std::size_t i = 0; i < texts.size(); ++i) {
    out += i == 0 ? "" : ", ";
    put_string(out, texts[i]);
  }
  out += ']';
}

void put_environment(std::string& out, std::string_view key, const Environment& environment) {
  put_key(out, key);
  out += '[';  // pairs, not an object: order and doubles are kept as they were given
  for (std::size_t i = 0; i < environment.size(); ++i) {
    out += i == 0 ? "" : ", ";
    put_strings(out, {environment[i].first, environment[i].second});
  }
  out += ']';
}

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

/// Reads the members of an object; the first that is missing or of another type is remembered.
class Members {
 public:
  explicit Members(const object& from) : from_(from) {}

  template <class T>
  T get(const char* key) {
    T value{};
    if (from_[key].get(value) != simdjson::SUCCESS && missing.empty()) { missing = key; }
    return value;
  }
  std::string text(const char* key) { return std::string(get<std::string_view>(key)); }
  std::int64_t number(const char* key) { return get<std::int64_t>(key); }
  int small(const char* key) { return static_cast<int>(get<std::int64_t>(key)); }

  /// simdjson's default array must not be walked; a vector may be empty.
  std::vector<element> list(const char* key) {
    array value;
    if (from_[key].get(value) != simdjson::SUCCESS) {
      missing = missing.empty() ? key : missing;
      return {};
    }
    return {value.begin(), value.end()};
  }
  std::vector<std::string> texts(const char* key) { return texts_of(list(key), key); }
  std::vector<std::string> texts_of(const std::vector<element>& from, const char* key) {
    std::vector<std::string> all;
    for (const element& each : from) {
      std::string_view value;
      if (each.get(value) != simdjson::SUCCESS) { missing = key; }
      all.emplace_back(value);
    }
    return all;
  }
  Environment environment(const char* key) {
    Environment all;
    for (const element& each : list(key)) {
      array pair;
      if (each.get(pair) != simdjson::SUCCESS || pair.size() != 2) {
        missing = key;
        continue;
      }
      std::vector<std::string> both = texts_of({pair.begin(), pair.end()}, key);
      all.emplace_back(std::move(both[0]), std::move(both[1]));
    }
    return all;
  }

  std::string missing;

 private:
  object from_;
};

Result<object> root_of(simdjson::dom::parser& parser, std::string_view text, const char* what) {
  object root;
  if (parser.parse(text.data(), text.size()).get(root) != simdjson::SUCCESS) {
    return fail(ErrorKind::invalid, fmt::format("{} is not a JSON object", what));
  }
  std::int64_t version = 0;
  if (root["version"].get(version) != simdjson::SUCCESS || version != 1) {
    return fail(ErrorKind::invalid, fmt::format("{} has no version that this program knows (1)", what), {},
                "it was written by a newer Centrale; upgrade");
  }
  return root;
}

std::vector<RankSpec> ranks_of(Members& launch) {
  std::vector<RankSpec> ranks;
  for (const element& each : launch.list("ranks")) {
    object one;
    if (each.get(one) != simdjson::SUCCESS) {
      launch.missing = "ranks";
      return {};
    }
    Members members(one);
    RankSpec rank;
    rank.visible_variable = members.text("visible_variable");
    rank.visible_devices = members.texts("visible_devices");
    for (const element& cpu : members.list("cpus")) {
      std::int64_t number = -1;
      if (cpu.get(number) != simdjson::SUCCESS || number < 0) { members.missing = "cpus"; }
      rank.cpus.push_back(static_cast<int>(number));
    }
    if (!members.missing.empty()) { launch.missing = "ranks." + members.missing; }
    ranks.push_back(std::move(rank));
  }
  return ranks;
}

}  // namespace

std::string to_json(const Launch& launch) {
  const LaunchSpec& spec = launch.spec;
  std::string out = "{";
  put(out, "version", 1);
  put(out, "task", static_cast<std::int64_t>(spec.task.value));
  put(out, "label", spec.label);
  put_key(out, "argv");
  put_strings(out, spec.argv);
  put_environment(out, "env", spec.env);
  put(out, "work_dir", spec.work_dir);
  put(out, "checkpoint_dir", spec.checkpoint_dir);
  put_key(out, "ranks");
  out += '[';
  for (std::size_t i = 0; i < spec.ranks.size(); ++i) {
    const RankSpec& rank = spec.ranks[i];
    out += fmt::format("{}{{\"cpus\": [{}], \"visible_variable\": ", i == 0 ? "" : ", ", fmt::join(rank.cpus, ", "));
    put_string(out, rank.visible_variable);
    out += ", \"visible_devices\": ";
    put_strings(out, rank.visible_devices);
    out += '}';
  }
  out += ']';
  put(out, "memory_max", spec.memory_max.value);
  put(out, "grace_ns", spec.grace.value);
  put_flag(out, "wants_port", spec.wants_port);
  put(out, "job", spec.job);
  put(out, "attempt", spec.attempt);
  if (spec.array_index) { put(out, "array_index", *spec.array_index); }
  put_environment(out, "base_env", launch.base_env);
  put(out, "port", launch.port);
  put(out, "master_port", launch.master_port);
  put(out, "mark", launch.mark);
  put(out, "cgroup", launch.cgroup);
  put(out, "log_max", launch.log_max.value);
  return out + "\n}\n";
}

Result<Launch> parse_launch(std::string_view text) {
  simdjson::dom::parser parser;
  TRY_ASSIGN(const object root, root_of(parser, text, "task.json"));
  Members members(root);
  Launch launch;
  LaunchSpec& spec = launch.spec;
  spec.task = {members.get<std::uint64_t>("task")};
  spec.label = members.text("label");
  spec.argv = members.texts("argv");
  spec.env = members.environment("env");
  spec.work_dir = members.text("work_dir");
  spec.checkpoint_dir = members.text("checkpoint_dir");
  spec.ranks = ranks_of(members);
  spec.memory_max = {members.number("memory_max")};
  spec.grace = {members.number("grace_ns")};
  spec.wants_port = members.get<bool>("wants_port");
  spec.job = members.text("job");
  spec.attempt = members.small("attempt");
  std::int64_t index = 0;
  if (root["array_index"].get(index) == simdjson::SUCCESS) { spec.array_index = index; }
  launch.base_env = members.environment("base_env");
  launch.port = members.small("port");
  launch.master_port = members.small("master_port");
  launch.mark = members.text("mark");
  launch.cgroup = members.text("cgroup");
  launch.log_max = {members.number("log_max")};
  if (!members.missing.empty()) {
    return fail(ErrorKind::invalid, fmt::format("task.json: '{}' is missing or of another type", members.missing));
  }
  TRY(check(spec));
  return launch;
}

std::string to_json(const ExitReport& report) {
  std::string out = "{";
  put(out, "version", 1);
  put(out, "task", static_cast<std::int64_t>(report.task.value));
  put_flag(out, "started", report.started);
  put_flag(out, "lost", report.lost);
  put_flag(out, "stop_requested", report.stop_requested);
  put(out, "code", report.code);
  put(out, "signal", report.signal);
  put(out, "failed_rank", report.failed_rank);
  put(out, "message", report.message);
  put(out, "error", static_cast<std::int64_t>(report.error));
  put(out, "remedy", report.remedy);
  put(out, "began_ns", report.began.ns);
  put(out, "ended_ns", report.ended.ns);
  put(out, "max_rss", report.max_rss.value);
  put(out, "cpu_ns", report.cpu.value);
  return out + "\n}\n";
}

Result<ExitReport> parse_exit(std::string_view text) {
  simdjson::dom::parser parser;
  TRY_ASSIGN(const object root, root_of(parser, text, "exit.json"));
  Members members(root);
  ExitReport report;
  report.task = {members.get<std::uint64_t>("task")};
  report.started = members.get<bool>("started");
  report.lost = members.get<bool>("lost");
  report.stop_requested = members.get<bool>("stop_requested");
  report.code = members.small("code");
  report.signal = members.small("signal");
  report.failed_rank = members.small("failed_rank");
  report.message = members.text("message");
  const std::int64_t kind = members.number("error");
  report.error = kind >= 0 && kind <= static_cast<int>(ErrorKind::io) ? static_cast<ErrorKind>(kind) : ErrorKind::io;
  report.remedy = members.text("remedy");
  report.began = {members.number("began_ns")};
  report.ended = {members.number("ended_ns")};
  report.max_rss = {members.number("max_rss")};
  report.cpu = {members.number("cpu_ns")};
  if (!members.missing.empty()) {
    return fail(ErrorKind::invalid, fmt::format("exit.json: '{}' is missing or of another type", members.missing));
  }
  return report;
}

Result<void> check(const LaunchSpec& spec) {
  std::size_t all = 0;
  std::string wrong;
  const auto look = [&](std::string_view text, std::string_view name) {
    all += text.size() + 1;
    if (wrong.empty() && text.find('\0') != std::string_view::npos) {
      wrong = fmt::format("{} holds a NUL byte", name);
    } else if (wrong.empty() && text.size() > kTextMax) {
      wrong = fmt::format("{} is longer than {} KiB", name, kTextMax / 1024);
    } else if (wrong.empty() && !simdjson::validate_utf8(text.data(), text.size())) {
      wrong = fmt::format("{} is not UTF-8", name);
    }
  };
  for (const std::string& word : spec.argv) { look(word, "a word of the command"); }
  for (const auto& [name, value] : spec.env) {
    look(name, "the name of an environment variable");
    look(value, "the environment variable " + name.substr(0, 64));
    if (wrong.empty() && (name.empty() || name.find('=') != std::string::npos)) {
      wrong = fmt::format("'{}' is not a name of an environment variable", name);
    }
  }
  look(spec.label, "the label");
  look(spec.work_dir, "the working folder");
  look(spec.checkpoint_dir, "the checkpoint folder");
  look(spec.job, "the job");
  for (const RankSpec& rank : spec.ranks) {
    look(rank.visible_variable, "the name of the device variable");
    for (const std::string& device : rank.visible_devices) { look(device, "a device"); }
    if (rank.cpus.size() > kCpusMax) { wrong = fmt::format("a rank is bound to more than {} cores", kCpusMax); }
  }
  if (wrong.empty() && (spec.argv.empty() || spec.argv.front().empty())) {
    wrong = "the command is empty";
  } else if (wrong.empty() && (spec.ranks.empty() || spec.ranks.size() > kRanksMax)) {
    wrong = fmt::format("a task has 1 to {} ranks, not {}", kRanksMax, spec.ranks.size());
  } else if (wrong.empty() && all > kAllTextMax) {
    wrong = fmt::format("command and environment are longer than {} KiB", kAllTextMax / 1024);
  } else if (wrong.empty() && (spec.memory_max.value < 0 || spec.grace.value < 0 || !spec.task)) {
    wrong = "the task has no id, or a negative memory limit or grace period";
  }
  return wrong.empty() ? Result<void>{} : fail(ErrorKind::invalid, wrong);
}

void summarize(ExitReport& report, const std::vector<RankEnd>& ends) {
  report.code = 0;
  report.signal = 0;
  report.failed_rank = -1;
  bool saved = false;
  bool terminated = false;
  for (const RankEnd& end : ends) {
    if (report.stop_requested && end.signal == SIGTERM) {
      terminated = true;  // a rank without a handler; rank 0 may still have saved
      continue;
    }
    if (end.code == kSavedNotFinished) {
      saved = true;
    } else if ((end.code != 0 || end.signal != 0) && report.failed_rank < 0) {
      report.failed_rank = end.rank;
      report.code = end.signal != 0 ? -1 : end.code;
      report.signal = end.signal;
    }
    // Without a request, the first end that is not 0 is the cause and the rest follow from it.
    if (!report.stop_requested && (saved || report.failed_rank >= 0)) { break; }
  }
  if (report.failed_rank >= 0) {
    // Code and signal say the rest.
    report.message = ends.size() > 1 ? fmt::format("rank {} of {} failed first", report.failed_rank, ends.size()) : "";
  } else if (saved) {
    report.code = kSavedNotFinished;
  } else if (terminated) {
    report.code = -1;
    report.signal = SIGTERM;
  }
}

}  // namespace centrale::task
