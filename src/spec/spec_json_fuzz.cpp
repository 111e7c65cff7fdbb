// SPDX-License-Identifier: Apache-2.0
// Any bytes as a request's body: an answer, never a crash; and what is accepted is written and read back the same. How to build and run:
// cmake/fuzz.cmake; the corpus is tests/corpus/spec/json.
#include <cstdint>

#include "base/ensure.hpp"
#include "base/json.hpp"
#include "spec/spec.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace centrale;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto job = job_from_json(text)) {
    const auto back = job_from_json(to_json(*job));
    ensure(back && to_json(*back) == to_json(*job));
  }
  if (const auto service = service_from_json(text)) {
    const auto back = service_from_json(to_json(*service));
    ensure(back && to_json(*back) == to_json(*service));
  }
  // The journal's way of reading: nothing is checked but the form.
  JobSpec lenient;
  if (read_json(text, lenient, JsonStrictness::lenient)) {
    std::string written;
    write_json(written, lenient);
    JobSpec back;
    std::string again;
    ensure(read_json(written, back, JsonStrictness::lenient).has_value());
    write_json(again, back);
    ensure(again == written);
  }
  return 0;
}
