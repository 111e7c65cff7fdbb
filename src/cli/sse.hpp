// SPDX-License-Identifier: Apache-2.0
// Server-sent events, read as they come (WHATWG HTML, section 9.2). Pure.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace centrale::cli {

struct SseEvent {
  std::string type;  // "message" if none was named
  std::string data;
  std::string id;
};

class SseReader {
 public:
  /// An event that grows beyond this is dropped whole: one view of a large fleet stays well below.
  static constexpr std::size_t kEventBytesMax = std::size_t{32} * 1024 * 1024;
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  /// The next complete event, if there is one.
  [[nodiscard]] std::optional<SseEvent> next();

 private:
  void take_line(std::string_view line);
  std::string buffer_;
  std::size_t read_ = 0;
  SseEvent event_;
  bool has_data_ = false;
  bool too_large_ = false;
};

}  // namespace centrale::cli
