// SPDX-License-Identifier: Apache-2.0
#include "links.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>

#include "collective.hpp"
#include "machine.hpp"
#include "shapes.hpp"

namespace centrale::calibrate {
namespace {

using Clock = std::chrono::steady_clock;

Result<int> free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const plain = reinterpret_cast<sockaddr*>(&address);  // NOLINT: as the sockets API is
  const bool bound = socket >= 0 && ::bind(socket, plain, size) == 0 && ::getsockname(socket, plain, &size) == 0;
  if (socket >= 0) { ::close(socket); }
  if (!bound) { return fail(ErrorKind::io, "no loopback port is free for the ranks to meet on", "collectives"); }
  return ntohs(address.sin_port);
}

struct Rank {
  pid_t pid = -1;
  std::string text;  // what it printed
};

/// Starts this program as one rank, its output into `out`.
pid_t start_rank(const LinkPlan& plan, std::int64_t rank, std::int64_t count, int port, int out) {
  const pid_t pid = ::fork();
  if (pid != 0) { return pid; }
  ::setenv("RANK", std::to_string(rank).c_str(), 1);
  ::setenv("LOCAL_RANK", std::to_string(rank).c_str(), 1);
  ::setenv("WORLD_SIZE", std::to_string(count).c_str(), 1);
  ::setenv("MASTER_ADDR", "127.0.0.1", 1);
  ::setenv("MASTER_PORT", std::to_string(port).c_str(), 1);
  ::unsetenv("TORCHELASTIC_USE_AGENT_STORE");
  if (rank == 0) { ::dup2(out, STDOUT_FILENO); }
  ::execl("/proc/self/exe", "centrale-calibrate", "rank", "--device", plan.device.c_str(), plan.quick ? "--quick" : nullptr, nullptr);
  ::_exit(127);
}

std::string read_all(int file) {
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(file, buffer, sizeof buffer)) > 0;) { text.append(buffer, static_cast<std::size_t>(got)); }
  return text;
}

Result<std::vector<LinkSample>> measure_group(const LinkPlan& plan, std::int64_t count) {
  TRY_ASSIGN(const int port, free_port());
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) { return fail(ErrorKind::io, "no pipe can be made", "collectives"); }
  std::vector<pid_t> ranks;
  for (std::int64_t rank = 0; rank < count; ++rank) { ranks.push_back(start_rank(plan, rank, count, port, pipe[1])); }
  ::close(pipe[1]);
  std::istringstream lines(read_all(pipe[0]));
  ::close(pipe[0]);
  bool well = true;
  for (const pid_t pid : ranks) {
    int status = 1;
    well = pid > 0 && ::waitpid(pid, &status, 0) == pid && status == 0 && well;
  }
  std::vector<LinkSample> samples;
  LinkSample sample;
  sample.ranks = count;
  while (lines >> sample.bytes >> sample.time.seconds >> sample.time.spread >> sample.time.runs) { samples.push_back(sample); }
  if (!well || samples.empty()) {
    return fail(ErrorKind::unavailable, fmt::format("{} ranks could not sum up a vector", count), "collectives",
                "leave collectives out with --ranks 1");
  }
  return samples;
}

/// Every rank must sum equally often: the number follows from the size alone.
int repeats(std::int64_t bytes) { return static_cast<int>(std::clamp<std::int64_t>((8 << 20) / bytes, 2, 40)); }

}  // namespace

Result<std::vector<LinkSample>> measure_links(const LinkPlan& plan) {
  std::vector<LinkSample> samples;
  for (std::int64_t count = 2; count <= plan.ranks_max; count *= 2) {
    TRY_ASSIGN(const auto group, measure_group(plan, count));
    samples.insert(samples.end(), group.begin(), group.end());
  }
  return samples;
}

Result<void> run_rank(const LinkPlan& plan) {
  TRY_ASSIGN(const trainer::Ranks ranks, trainer::ranks_from_environment());
  TRY_ASSIGN(const at::Device device, open_device(plan.device == "cpu" ? "cpu" : fmt::format("cuda:{}", ranks.local_rank), 1));
  TRY_ASSIGN(auto group, trainer::Collective::join(ranks, device));
  for (const std::int64_t bytes : link_sizes({.quick = plan.quick})) {
    auto values = at::zeros({bytes / 4}, at::TensorOptions().dtype(at::kFloat).device(device));
    std::vector<double> seconds;
    for (int run = 0; run < (plan.quick ? 4 : 12); ++run) {
      synchronise(device);
      const auto start = Clock::now();
      for (int i = 0; i < repeats(bytes); ++i) { TRY(group.sum(values)); }
      synchronise(device);
      if (run > 0) { seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count() / repeats(bytes)); }
    }
    std::sort(seconds.begin(), seconds.end());
    const std::size_t n = seconds.size();
    if (ranks.rank == 0) {
      fmt::print("{} {} {} {}\n", bytes, seconds[n / 2], (seconds[3 * n / 4] - seconds[n / 4]) / 2 / seconds[n / 2], n);
      std::fflush(stdout);
    }
  }
  return {};
}

}  // namespace centrale::calibrate
