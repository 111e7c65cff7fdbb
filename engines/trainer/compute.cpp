// SPDX-License-Identifier: Apache-2.0
#include "compute.hpp"

#include <fmt/format.h>
#include <malloc.h>

#if __has_include(<ATen/cuda/CUDAContext.h>) && defined(TRAINER_WITH_CUDA)
#include <ATen/cuda/CUDAContext.h>
#define TRAINER_ASK_CUDA 1
#endif

namespace centrale::trainer {
namespace {

bool has_fast_bf16(const at::Device& device) {
  if (device.is_cuda()) {
#ifdef TRAINER_ASK_CUDA
    return at::cuda::getDeviceProperties(device.index())->major >= 8;
#else
    return false;
#endif
  }
#if defined(__x86_64__) && (__GNUC__ >= 12 || defined(__clang__))
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

}  // namespace

Result<Compute> open_compute(const std::string& dtype, int local_rank, int threads) {
  if (threads > 0) at::set_num_threads(threads);
  // Every step takes and gives back the same activations. glibc would return them to the kernel each time, and fresh pages cost several
  // times what writing them does; so it keeps them.
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TRIM_THRESHOLD, -1);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setBenchmarkCuDNN(false);
  Compute compute;
  if (torch::cuda::is_available()) {
    compute.device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(local_rank % static_cast<int>(torch::cuda::device_count())));
  }
  if (dtype == "bf16" || (dtype == "auto" && has_fast_bf16(compute.device))) {
    compute.precision = Precision::bf16;
  } else if (dtype != "fp32" && dtype != "auto") {
    return fail(ErrorKind::invalid, fmt::format("'{}' is no precision", dtype), "--dtype", "use auto, fp32 or bf16");
  }
  return compute;
}

std::string describe(const Compute& compute) {
  return fmt::format("{}, {}, {} threads", compute.device.str(), compute.precision == Precision::bf16 ? "bf16" : "fp32",
                     at::get_num_threads());
}

}  // namespace centrale::trainer
