// SPDX-License-Identifier: Apache-2.0
// Precompiled: libtorch's headers take 20 s a translation unit.
#pragma once
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/cuda.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <torch/version.h>
