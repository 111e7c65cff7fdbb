// SPDX-License-Identifier: Apache-2.0
// Counts the test program's allocations. In a file of its own, so that no compiler sees through it.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace centrale {
std::atomic<std::uint64_t> allocations_for_test{0};
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // those bring operators of their own
void* operator new(std::size_t size) {
  centrale::allocations_for_test.fetch_add(1, std::memory_order_relaxed);
  if (void* const p = std::malloc(size)) { return p; }
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
#endif
