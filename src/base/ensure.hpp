// SPDX-License-Identifier: Apache-2.0
// What we believe. A broken belief stops the process, loudly; the journal makes that safe.
#pragma once
#include <cstdio>
#include <cstdlib>

namespace centrale {

[[noreturn]] inline void broken_belief(const char* what, const char* file, int line) {
  // stderr and abort are all that a broken process can be trusted with.
  std::fprintf(stderr, "centrale: broken invariant: %s (%s:%d)\n", what, file, line);
  std::abort();
}

}  // namespace centrale

#define ensure(condition) (static_cast<bool>(condition) ? static_cast<void>(0) : ::centrale::broken_belief(#condition, __FILE__, __LINE__))
