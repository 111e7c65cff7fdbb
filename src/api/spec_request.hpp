// SPDX-License-Identifier: Apache-2.0
// Private to api/: specs as they come over HTTP.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "api/operations.hpp"
#include "base/result.hpp"
#include "spec/spec.hpp"

namespace centrale::api {

[[nodiscard]] Content job_spec_content();
[[nodiscard]] Content service_spec_content();

/// Makes every path of the spec absolute: relative ones start from `base`, which is absolute or empty. A working folder that is not given
/// is `base`. Errors: a relative path without a base.
[[nodiscard]] Result<void> resolve_paths(JobSpec& spec, std::string_view base);
[[nodiscard]] Result<void> resolve_paths(ServiceSpec& spec, std::string_view base);

}  // namespace centrale::api
