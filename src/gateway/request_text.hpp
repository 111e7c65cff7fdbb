// SPDX-License-Identifier: Apache-2.0
// What the gateway reads out of a request's body, and the little that it writes into it. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace centrale::gateway {

enum class Operation : unsigned char { chat, completion, embedding };

/// A piece of the body.
struct Piece {
  std::size_t begin = 0, end = 0;
};

struct Ask {
  std::string model;
  bool stream = false;
  bool usage_wanted = false;               // the client itself asked for usage at the end of the stream
  std::int64_t completion_tokens_max = 0;  // of all answers together, as far as the request says; a guess if it does not
  std::int64_t prompt_tokens = 0;          // a guess: 4 bytes a token
  Piece model_value;                       // quotes included
  std::optional<Piece> stream_options;     // its value
  std::optional<Piece> include_usage;      // its value, inside stream_options
};

/// Reads a body. Errors (invalid) say which field is wrong; `where` names it.
[[nodiscard]] Result<Ask> read_ask(Operation operation, std::string_view body);

/// The body for an engine: its own name for the model, and usage at the end of a stream. All else stays byte for byte.
[[nodiscard]] std::string body_for_engine(const Ask& ask, std::string_view body, std::string_view engine_model);

/// The usage that an answer (or the last event of a stream) states.
struct StatedUsage {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
};
/// From the value of a "usage" member; nothing if it is null or not an object with numbers.
[[nodiscard]] std::optional<StatedUsage> read_usage(std::string_view value);
/// From a whole answer; nothing if it states none.
[[nodiscard]] std::optional<StatedUsage> usage_of_answer(std::string_view body);

}  // namespace centrale::gateway
