// SPDX-License-Identifier: Apache-2.0
// What failures and checkpoints leave of the time that a job holds its chips.
#pragma once
#include <cstdint>

#include "base/dimension.hpp"

namespace centrale {

/// How often things break and what it costs. Every number can be overridden.
struct Reliability {
  // Mean time between interruptions of one chip with its share of host and network. Llama 3 405B: 419 unexpected interruptions in 54 days
  // on 16,384 H100 (arXiv:2407.21783, section 3.3.4): 54 x 86,400 s x 16,384 / 419. 0: nothing ever fails.
  Seconds chip_mtbf{54.0 * 86400 * 16384 / 419};
  BytesPerSecond write_per_chip{0.5e9};  // of one chip to checkpoint storage, where the storage keeps up
  BytesPerSecond write_total{2e12};      // what the storage takes in all: Llama 3's Tectonic sustains 2 TB/s (section 3.3.1)
  bool asynchronous = true;              // chips go on as soon as their host has the copy
  BytesPerSecond copy_per_chip{20e9};    // of one chip to its host's memory, asynchronous only
  Seconds restart{600};                  // from the failure to the first step after it: noticing, replacing, loading
  Seconds interval{};                    // between checkpoints; 0: the best one
};

struct Goodput {
  Seconds mtbf;         // of the whole job; infinite where nothing fails
  Seconds pause;        // what one checkpoint stops the job for
  Seconds write;        // until a checkpoint is on storage: no shorter interval can be kept
  Seconds interval;     // computing between two checkpoints
  double fraction = 1;  // of the wall clock that ends up as steps that count
  ByteCount checkpoint;
};

/// The interval between checkpoints that loses least: J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart
/// dumps", Future Generation Computer Systems 22 (2006), equation 37. `pause` above 0.
[[nodiscard]] Seconds daly_interval(Seconds pause, Seconds mtbf);
/// Wall clock for `solve` seconds of work, failures exponential: Daly's complete model (same paper, equation 20).
[[nodiscard]] Seconds daly_wall(Seconds solve, Seconds interval, Seconds pause, Seconds restart, Seconds mtbf);
/// Of a job on `chips` chips whose checkpoint has so many bytes in all.
[[nodiscard]] Goodput goodput_of(const Reliability& reliability, std::int64_t chips, ByteCount checkpoint);

}  // namespace centrale
