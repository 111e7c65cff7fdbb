// SPDX-License-Identifier: Apache-2.0
#include "task/reply.hpp"

#include <array>
#include <vector>

namespace centrale::task {
namespace {

constexpr std::array<std::string_view, 5> kNames{"started", "busy", "done", "spent", "error"};

void put_field(std::string& line, std::string_view text) {
  line += '\t';
  for (const char c : text) { line += c == '\t' || c == '\n' ? ' ' : c; }
}

}  // namespace

std::string to_line(const Reply& reply) {
  std::string line(kNames[static_cast<std::size_t>(reply.answer)]);
  put_field(line, std::to_string(static_cast<int>(reply.error.kind)));
  put_field(line, reply.error.what);
  put_field(line, reply.error.where);
  put_field(line, reply.error.remedy);
  return line + '\n';
}

std::optional<Reply> parse_reply(std::string_view line) {
  if (line.empty() || line.back() != '\n') { return std::nullopt; }
  line.remove_suffix(1);
  std::vector<std::string> fields;
  for (std::size_t at = 0; at <= line.size();) {
    const std::size_t end = std::min(line.find('\t', at), line.size());
    fields.emplace_back(line.substr(at, end - at));
    at = end + 1;
  }
  if (fields.size() != 5 || fields[1].size() != 1 || fields[1][0] < '0' || fields[1][0] > '0' + static_cast<char>(ErrorKind::io)) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (fields[0] == kNames[i]) {
      return Reply{static_cast<Answer>(i), {static_cast<ErrorKind>(fields[1][0] - '0'), fields[2], fields[3], fields[4]}};
    }
  }
  return std::nullopt;
}

}  // namespace centrale::task
