// SPDX-License-Identifier: Apache-2.0
#include "cli/sse.hpp"

#include <utility>

namespace centrale::cli {

void SseReader::take_line(std::string_view line) {
  if (line.starts_with(':')) {
    return;  // a comment: keep-alive
  }
  const std::size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
  if (value.starts_with(' ')) { value.remove_prefix(1); }
  if (field == "data") {
    too_large_ = too_large_ || event_.data.size() + value.size() > kEventBytesMax;
    if (!too_large_) {
      if (has_data_) { event_.data += '\n'; }
      event_.data += value;
    }
    has_data_ = true;
  } else if (field == "event") {
    event_.type = value;
  } else if (field == "id") {
    event_.id = value;
  }
}

std::optional<SseEvent> SseReader::next() {
  while (true) {
    const std::size_t end = buffer_.find('\n', read_);
    if (end == std::string::npos) {
      buffer_.erase(0, read_);
      read_ = 0;
      if (buffer_.size() > kEventBytesMax) {
        buffer_ = "data";  // a line without end: forget it, and the event that it belongs to
        too_large_ = true;
      }
      return std::nullopt;
    }
    std::string_view line(buffer_.data() + read_, end - read_);
    if (line.ends_with('\r')) { line.remove_suffix(1); }
    const bool complete = line.empty();
    take_line(line);
    read_ = end + 1;
    if (!complete) { continue; }
    SseEvent event = std::exchange(event_, {});
    const bool has_data = std::exchange(has_data_, false);
    const bool dropped = std::exchange(too_large_, false);
    if (has_data && !dropped) {
      if (event.type.empty()) { event.type = "message"; }
      return event;
    }
  }
}

}  // namespace centrale::cli
