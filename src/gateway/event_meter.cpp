// SPDX-License-Identifier: Apache-2.0
#include "gateway/event_meter.hpp"

#include <algorithm>
#include <utility>

#include "gateway/json_scan.hpp"

namespace centrale::gateway {
namespace {

constexpr std::size_t kEventBytesMax = 4UL * 1024 * 1024;  // beyond it, bytes pass uninspected rather than pile up

/// The place behind the blank line that ends the first event of `text`, or npos. Lines end with LF or CR LF.
std::size_t end_of_event(std::string_view text, std::size_t from) {
  while (true) {
    const std::size_t newline = text.find('\n', from);
    if (newline == std::string_view::npos) { return newline; }
    if (newline + 1 < text.size() && text[newline + 1] == '\n') { return newline + 2; }
    if (newline + 2 < text.size() && text[newline + 1] == '\r' && text[newline + 2] == '\n') { return newline + 3; }
    from = newline + 1;
  }
}

bool has_text(std::string_view value) { return value != "null" && value != "\"\"" && value != "[]" && !value.empty(); }

/// Whether one choice of a chunk carries something that cost a token.
bool carries_text(std::string_view choice) {
  bool carries = false;
  const auto look = [&](std::string_view key, std::string_view value) {
    if (key == "text" || key == "content" || key == "reasoning_content" || key == "reasoning" || key == "tool_calls" || key == "refusal") {
      carries = carries || has_text(value);
    }
  };
  static_cast<void>(each_member(choice, [&](std::string_view key, std::string_view value) {
    look(key, value);
    if (key == "delta") { static_cast<void>(each_member(value, look)); }
  }));
  return carries;
}

}  // namespace

std::string EventMeter::feed(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  std::size_t start = 0;
  while (true) {
    const std::size_t end = end_of_event(pending_, std::max(start, searched_));
    if (end == std::string::npos) { break; }
    const std::string_view event = std::string_view{pending_}.substr(start, end - start);
    if (read_event(event)) { out += event; }
    start = end;
    searched_ = end;
  }
  pending_.erase(0, start);
  if (pending_.size() > kEventBytesMax) { out += std::exchange(pending_, {}); }
  // An end may straddle what comes next: look again from the last three bytes.
  searched_ = pending_.size() < 3 ? 0 : pending_.size() - 3;
  return out;
}

std::string EventMeter::finish() {
  std::string rest = std::exchange(pending_, {});
  searched_ = 0;
  return read_event(rest) ? rest : std::string{};
}

bool EventMeter::read_event(std::string_view event) {
  std::string data;
  bool any = false;
  bool is_error = false;
  while (!event.empty()) {
    const std::size_t newline = std::min(event.find('\n'), event.size());
    std::string_view line = event.substr(0, newline);
    event.remove_prefix(std::min(newline + 1, event.size()));
    if (line.ends_with('\r')) { line.remove_suffix(1); }
    const auto value_of = [&](std::string_view field) {
      std::string_view value = line.substr(field.size());
      if (value.starts_with(' ')) { value.remove_prefix(1); }
      return value;
    };
    if (line.starts_with("data:")) {
      if (any) { data += '\n'; }
      data += value_of("data:");
      any = true;
    } else if (line.starts_with("error:") || (line.starts_with("event:") && value_of("event:") == "error")) {
      is_error = true;  // llama.cpp has "error: {…}"
    }
  }
  failed_ = failed_ || is_error;
  return !any || read_data(data);
}

bool EventMeter::read_data(std::string_view data) {
  if (data == "[DONE]") {
    done_ = true;
    return true;
  }
  bool text = false;
  bool any_choice = false;
  bool has_choices = false;
  bool is_error = false;
  std::optional<StatedUsage> usage;
  const bool well_formed = each_member(data, [&](std::string_view key, std::string_view value) {
    if (key == "choices") {
      has_choices = each_element(value, [&](std::string_view choice) {
        any_choice = true;
        text = text || carries_text(choice);
      });
    } else if (key == "usage") {
      usage = read_usage(value);
    } else if (key == "error") {
      is_error = value != "null";
    }
  });
  if (!well_formed) { return true; }
  failed_ = failed_ || is_error;
  chunks_ += text ? 1 : 0;
  if (usage) { usage_ = usage; }
  return usage_wanted_ || !usage || any_choice || !has_choices;
}

}  // namespace centrale::gateway
