// SPDX-License-Identifier: Apache-2.0
// Where and in what precision a process computes.
#pragma once
#include <string>

#include "base/result.hpp"
#include "torch.hpp"

namespace centrale::trainer {

enum class Precision : unsigned char { fp32, bf16 };

struct Compute {
  at::Device device = at::kCPU;
  Precision precision = Precision::fp32;  // of matrix products; weights, norms and the loss stay in fp32
};

/// `dtype` is auto, fp32 or bf16; `local_rank` picks the chip; `threads` 0 leaves OMP_NUM_THREADS in force.
Result<Compute> open_compute(const std::string& dtype, int local_rank, int threads);
std::string describe(const Compute& compute);

}  // namespace centrale::trainer
