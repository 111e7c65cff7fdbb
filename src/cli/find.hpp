// SPDX-License-Identifier: Apache-2.0
// What a word on the command line names: an id says its kind, a name may be a job's or a service's.
#pragma once
#include <string>

#include "cli/context.hpp"
#include "cli/views.hpp"

namespace centrale::cli {

struct Target {
  enum class Kind : unsigned char { job, service };
  Kind kind = Kind::job;
  std::string id;
  std::string name;
};

/// Asks the centre. A name that both a job and a service have is an error that says their ids, unless the job has ended:
/// then nobody means it.
[[nodiscard]] Outcome<Target> find_target(Context& context, const std::string& word);
[[nodiscard]] Outcome<JobView> find_job(Context& context, const std::string& word);
[[nodiscard]] Outcome<ServiceView> find_service(Context& context, const std::string& word);

}  // namespace centrale::cli
