// SPDX-License-Identifier: Apache-2.0
// Server-sent events that pass through: cut into whole events, counted, and the usage at the end taken out where the client
// did not ask for it. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/request_text.hpp"

namespace centrale::gateway {

class EventMeter {
 public:
  explicit EventMeter(bool usage_wanted) : usage_wanted_(usage_wanted) {}

  /// Takes the next bytes and returns the whole events that may go to the client now, byte for byte as they came.
  [[nodiscard]] std::string feed(std::string_view bytes);
  /// The stream has ended in good order: what is left, though no blank line closed it.
  [[nodiscard]] std::string finish();

  /// Chunks that carried text: an estimate of the tokens where no usage is stated.
  [[nodiscard]] std::int64_t chunks() const { return chunks_; }
  [[nodiscard]] const std::optional<StatedUsage>& usage() const { return usage_; }
  [[nodiscard]] bool done() const { return done_; }      // "data: [DONE]" came
  [[nodiscard]] bool failed() const { return failed_; }  // the engine told an error of its own

 private:
  /// False if it is to be kept from the client.
  [[nodiscard]] bool read_event(std::string_view event);
  [[nodiscard]] bool read_data(std::string_view data);

  bool usage_wanted_;
  std::string pending_;       // an event whose end has not come
  std::size_t searched_ = 0;  // no end of an event before this place of pending_
  std::int64_t chunks_ = 0;
  std::optional<StatedUsage> usage_;
  bool done_ = false;
  bool failed_ = false;
};

}  // namespace centrale::gateway
