// SPDX-License-Identifier: Apache-2.0
// Any bytes as a spec file: an answer, never a crash; and what is accepted survives a round trip through JSON.
// How to build and run: cmake/fuzz.cmake; the corpus is tests/corpus/spec/yaml.
#include <cstdint>

#include "base/ensure.hpp"
#include "spec/spec.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace centrale;
  const auto specs = read_specs({reinterpret_cast<const char*>(data), size}, "fuzz.yaml");
  if (!specs) {
    ensure(!specs.error().message().empty());
    return 0;
  }
  for (const Spec& spec : *specs) {
    if (const auto* job = std::get_if<JobSpec>(&spec)) {
      const auto back = job_from_json(to_json(*job));
      ensure(back && to_json(*back) == to_json(*job));
    } else {
      const auto& service = std::get<ServiceSpec>(spec);
      const auto back = service_from_json(to_json(service));
      ensure(back && to_json(*back) == to_json(service));
    }
  }
  return 0;
}
