// SPDX-License-Identifier: Apache-2.0
// What a word on the command line names: an id says its kind, a name may be a job's or a service's.
#pragma once
#include <string>
#include <vector>

#include "cli/context.hpp"
#include "cli/views.hpp"

namespace centrale::cli {

struct Target {
  enum class Kind : unsigned char { job, service };
  Kind kind = Kind::job;
  std::string id;
  std::string name;
  std::vector<std::string> members;  // of an array that was named, not numbered: the ids of all of it
};

/// Asks the centre. A name that both a job and a service have is an error that says their ids, unless the job has ended:
/// then nobody means it.
[[nodiscard]] Outcome<Target> find_target(Context& context, const std::string& word);
/// The ids of the array that this job is of, in order; its own if it is of none.
[[nodiscard]] std::vector<std::string> array_of(const JobView& job);
[[nodiscard]] Outcome<JobView> find_job(Context& context, const std::string& word);
[[nodiscard]] Outcome<ServiceView> find_service(Context& context, const std::string& word);

}  // namespace centrale::cli
