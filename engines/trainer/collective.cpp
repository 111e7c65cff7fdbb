// SPDX-License-Identifier: Apache-2.0
#include "collective.hpp"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>

#if __has_include(<torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>)
#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO 1
#endif
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif
#else
#error "this libtorch has no c10d with Gloo: install libtorch-dev and libgloo-dev, or PyTorch's libtorch"
#endif

namespace centrale::trainer {
namespace {

constexpr std::chrono::milliseconds kTimeout = std::chrono::minutes(5);
// Long messages stall the stop flag of slow links and double the memory of a sum; 64 MiB saturates any network.
constexpr std::int64_t kBucket = 16 << 20;

Result<int> integer_variable(const char* name, int fallback, int min, int max) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return fallback;
  int value = 0;
  const auto [end, code] = std::from_chars(text, text + std::strlen(text), value);
  if (code != std::errc{} || *end != '\0' || value < min || value > max) {
    return fail(ErrorKind::conflict, fmt::format("'{}' is not a number from {} to {}", text, min, max), name,
                "the launcher sets it; unset it for a run on one worker");
  }
  return value;
}

Error lost(const std::exception& cause) {
  std::string text = cause.what();
  if (const auto line = text.find('\n'); line != std::string::npos) text.resize(line);
  return {ErrorKind::unavailable, "another worker has gone: " + text, "data parallel",
          "start the job again; it goes on from its checkpoint"};
}

}  // namespace

Result<Ranks> ranks_from_environment() {
  Ranks ranks;
  TRY_ASSIGN(ranks.count, integer_variable("WORLD_SIZE", 1, 1, 1 << 20));
  TRY_ASSIGN(ranks.rank, integer_variable("RANK", 0, 0, (1 << 20) - 1));
  TRY_ASSIGN(ranks.local_rank, integer_variable("LOCAL_RANK", 0, 0, 1 << 16));
  TRY_ASSIGN(ranks.port, integer_variable("MASTER_PORT", 29500, 1, 65535));
  if (const char* address = std::getenv("MASTER_ADDR"); address != nullptr && *address != '\0') ranks.address = address;
  if (const char* agent = std::getenv("TORCHELASTIC_USE_AGENT_STORE")) ranks.agent_has_store = std::strcmp(agent, "True") == 0;
  if (ranks.rank >= ranks.count) {
    return fail(ErrorKind::conflict, fmt::format("RANK is {} but WORLD_SIZE is {}", ranks.rank, ranks.count), "RANK");
  }
  return ranks;
}

struct Collective::Group {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
#ifdef USE_C10D_NCCL
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> nccl;
#endif

  template <class Use>
  void each_bucket(at::Tensor& values, Use use) {
    auto flat = values.view({-1});
    for (std::int64_t at = 0; at < flat.numel(); at += kBucket) {
      std::vector<at::Tensor> bucket{flat.narrow(0, at, std::min(kBucket, flat.numel() - at))};
#ifdef USE_C10D_NCCL
      if (nccl && values.is_cuda()) {
        use(*nccl, bucket);
        continue;
      }
#endif
      use(*gloo, bucket);
    }
  }
};

Collective::Collective() = default;
Collective::~Collective() = default;
Collective::Collective(Collective&&) noexcept = default;
Collective& Collective::operator=(Collective&&) noexcept = default;

Result<Collective> Collective::join(const Ranks& ranks, [[maybe_unused]] const at::Device& device) {
  Collective collective;
  collective.ranks_ = ranks;
  if (ranks.count == 1) return collective;
  try {
    auto group = std::make_unique<Group>();
    c10d::TCPStoreOptions options;
    options.port = static_cast<std::uint16_t>(ranks.port);
    options.isServer = ranks.rank == 0 && !ranks.agent_has_store;
    options.timeout = kTimeout;
    options.waitWorkers = !ranks.agent_has_store;
    if (options.waitWorkers) options.numWorkers = static_cast<std::size_t>(ranks.count);
    group->store = c10::make_intrusive<c10d::TCPStore>(ranks.address, options);
    auto gloo = c10d::ProcessGroupGloo::Options::create();
    gloo->timeout = kTimeout;
    const bool loopback = ranks.address == "127.0.0.1" || ranks.address == "localhost" || ranks.address == "::1";
    if (const char* interface = std::getenv("GLOO_SOCKET_IFNAME")) {
      gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(interface));
    } else if (loopback) {
      gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
    } else {
      gloo->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
    }
    group->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(group->store, ranks.rank, ranks.count, gloo);
#ifdef USE_C10D_NCCL
    if (device.is_cuda()) group->nccl = c10::make_intrusive<c10d::ProcessGroupNCCL>(group->store, ranks.rank, ranks.count);
#endif
    collective.group_ = std::move(group);
  } catch (const std::exception& cause) {
    auto error = lost(cause);
    error.what =
        fmt::format("rank {} of {} cannot meet the others at {}:{}: {}", ranks.rank, ranks.count, ranks.address, ranks.port, error.what);
    return std::unexpected(error);
  }
  return collective;
}

Result<void> Collective::sum(at::Tensor& values) {
  if (!group_) return {};
  try {
    group_->each_bucket(values, [](auto& group, std::vector<at::Tensor>& bucket) { group.allreduce(bucket)->wait(); });
  } catch (const std::exception& cause) { return std::unexpected(lost(cause)); }
  return {};
}

Result<void> Collective::broadcast(at::Tensor& values) {
  if (!group_) return {};
  try {
    group_->each_bucket(values, [](auto& group, std::vector<at::Tensor>& bucket) { group.broadcast(bucket)->wait(); });
  } catch (const std::exception& cause) { return std::unexpected(lost(cause)); }
  return {};
}

Result<std::string> Collective::share(const std::string& name, const std::string& text) {
  if (!group_) return text;
  try {
    if (ranks_.rank == 0) {
      group_->store->set(name, std::vector<std::uint8_t>(text.begin(), text.end()));
      return text;
    }
    const auto bytes = group_->store->get(name);
    return std::string(bytes.begin(), bytes.end());
  } catch (const std::exception& cause) { return std::unexpected(lost(cause)); }
}

}  // namespace centrale::trainer
