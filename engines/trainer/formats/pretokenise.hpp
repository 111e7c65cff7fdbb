// SPDX-License-Identifier: Apache-2.0
// Cuts a text into pieces by regular expressions (PCRE2, Unicode). Invalid UTF-8 is legal and stays as it is.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace centrale::trainer {

struct Patterns;  // compiled
struct PatternsDeleter {
  void operator()(Patterns* patterns) const;
};
using PatternsPtr = std::unique_ptr<Patterns, PatternsDeleter>;

Result<PatternsPtr> compile_patterns(const std::vector<std::string>& splits, const std::string& where);
/// Appends the pieces of `text`; a part that a pattern cannot match within its limits stays one piece.
void split_with(const Patterns& patterns, std::string_view text, std::vector<std::string_view>& pieces);

}  // namespace centrale::trainer
