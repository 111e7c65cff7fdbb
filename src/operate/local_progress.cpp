// SPDX-License-Identifier: Apache-2.0
#include "operate/local_progress.hpp"

#include <simdjson.h>

#include <algorithm>
#include <cmath>

#include "task/logs.hpp"

namespace centrale::local {
namespace {

constexpr std::string_view kPrefix = "@centrale ";
constexpr std::size_t kLineMax = 4096;  // docs/task-contract.md
constexpr std::size_t kChunk = 256UL * 1024;
constexpr std::size_t kCheckpointNameMax = 1024;
constexpr std::size_t kCheckpointsMax = 64;             // named between two reports; the newest are kept
constexpr std::uint64_t kTail = 64UL * 1024;            // the newest line is here unless the program talks a lot
constexpr std::uint64_t kLongTail = 4UL * 1024 * 1024;  // checkpoints are rare; worth one long look
constexpr std::uint64_t kRestMax = 64UL * 1024 * 1024;

using simdjson::dom::element;
using simdjson::dom::object;

/// False when the field is there and is not a finite number >= `least`.
bool number(const object& from, const char* key, double least, std::optional<double>& into) {
  element value;
  if (from[key].get(value) != simdjson::SUCCESS) { return true; }
  double parsed = 0;
  if (value.get(parsed) != simdjson::SUCCESS || !std::isfinite(parsed) || parsed < least) { return false; }
  into = parsed;
  return true;
}

/// Whole numbers; also when they are written as 3e5 or 12.0, as many JSON writers do.
bool count(const object& from, const char* key, std::optional<std::int64_t>& into) {
  std::int64_t exact = 0;
  if (from[key].get(exact) == simdjson::SUCCESS) {
    into = exact;
    return exact >= 0;
  }
  std::optional<double> parsed;
  if (!number(from, key, 0, parsed) || parsed.value_or(0) > 9e15 || parsed.value_or(0) != std::floor(parsed.value_or(0))) { return false; }
  if (parsed) { into = static_cast<std::int64_t>(*parsed); }
  return true;
}

}  // namespace

LineKind read_progress_line(std::string_view line, Progress& progress) {
  if (!line.starts_with(kPrefix)) { return LineKind::other; }
  if (line.size() > kLineMax) { return LineKind::malformed; }
  thread_local simdjson::dom::parser parser;
  object fields;
  if (parser.parse(line.data() + kPrefix.size(), line.size() - kPrefix.size()).get(fields) != simdjson::SUCCESS) {
    return LineKind::malformed;
  }
  Progress next = progress;
  const double lowest = std::numeric_limits<double>::lowest();
  if (!count(fields, "step", next.step) || !count(fields, "steps", next.steps) || !count(fields, "tokens", next.tokens) ||
      !number(fields, "loss", lowest, next.loss) || !number(fields, "tokens_per_s", 0, next.tokens_per_s) ||
      !number(fields, "eta_s", 0, next.eta_s)) {
    return LineKind::malformed;
  }
  element checkpoint;
  if (fields["checkpoint"].get(checkpoint) == simdjson::SUCCESS) {
    std::string_view name;
    if (checkpoint.get(name) != simdjson::SUCCESS || name.empty() || name.size() > kCheckpointNameMax ||
        std::any_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
      return LineKind::malformed;
    }
    next.checkpoint = name;
  }
  progress = std::move(next);
  return LineKind::progress;
}

void ProgressFollower::take_line(std::string_view line) {
  known_.checkpoint.clear();
  const LineKind kind = read_progress_line(line, known_);
  known_.malformed += kind == LineKind::malformed ? 1 : 0;
  if (kind != LineKind::progress) { return; }
  changed_ = true;
  if (!known_.checkpoint.empty()) {
    checkpoints_.push_back(known_.checkpoint);
    if (checkpoints_.size() > kCheckpointsMax) { checkpoints_.pop_front(); }
  }
}

void ProgressFollower::take_bytes(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, newline);
    bytes.remove_prefix(newline == std::string_view::npos ? bytes.size() : newline + 1);
    if (!skipping_ && partial_.size() + piece.size() > kLineMax) {
      partial_.append(piece.substr(0, kPrefix.size()));
      known_.malformed += partial_.starts_with(kPrefix) ? 1 : 0;
      partial_.clear();
      skipping_ = true;
    }
    if (newline == std::string_view::npos) {
      if (!skipping_) { partial_ += piece; }
      return;
    }
    if (!skipping_ && partial_.empty()) {
      take_line(piece);
    } else if (!skipping_) {
      partial_ += piece;
      take_line(partial_);
    }
    partial_.clear();
    skipping_ = false;
  }
}

bool ProgressFollower::read(std::size_t bytes) {
  for (std::size_t done = 0; done < bytes;) {
    const Result<task::LogChunk> chunk = task::read_log_file(path_, offset_, std::min(kChunk, bytes - done));
    if (!chunk) {
      return false;  // asked again in a moment; a task is not harmed by a log that cannot be read
    }
    if (chunk->offset != offset_) {
      partial_.clear();
      skipping_ = chunk->offset != 0;
    }
    offset_ = chunk->next_offset;
    if (chunk->bytes.empty()) { return false; }
    take_bytes(chunk->bytes);
    done += chunk->bytes.size();
  }
  return true;
}

void ProgressFollower::begin_at_end() {
  const Result<task::LogChunk> whole = task::read_log_file(path_, 0, 0);
  const std::uint64_t size = whole ? whole->size : 0;
  for (const std::uint64_t window : {kTail, kLongTail}) {
    known_ = {};
    checkpoints_.clear();
    partial_.clear();
    // One byte more than the window: a line that starts exactly at its edge has its start seen.
    offset_ = size > window ? size - window - 1 : 0;
    skipping_ = offset_ != 0;
    read(static_cast<std::size_t>(size - offset_));
    if (!checkpoints_.empty() || size <= window) { break; }
  }
  if (checkpoints_.size() > 1) { checkpoints_.erase(checkpoints_.begin(), checkpoints_.end() - 1); }
}

void ProgressFollower::read_rest() {
  const Result<task::LogChunk> whole = task::read_log_file(path_, 0, 0);
  const std::uint64_t size = whole ? whole->size : 0;
  if (size > offset_ + kRestMax) {
    offset_ = size - kRestMax;
    partial_.clear();
    skipping_ = true;
  }
  while (read(kChunk)) {}
  if (!skipping_ && !partial_.empty()) {
    take_line(partial_);  // a program that is killed leaves no newline
  }
  partial_.clear();
}

std::vector<Progress> ProgressFollower::take(std::int64_t now_ns) {
  if (!changed_ || now_ns - reported_ns_ < kReportEvery) { return {}; }
  reported_ns_ = now_ns;
  return take_rest();
}

std::vector<Progress> ProgressFollower::take_rest() {
  std::vector<Progress> reports;
  if (!changed_) { return reports; }
  changed_ = false;
  known_.checkpoint.clear();
  for (std::string& name : checkpoints_) {
    reports.push_back(known_);
    reports.back().checkpoint = std::move(name);
  }
  checkpoints_.clear();
  if (reports.empty()) { reports.push_back(known_); }
  return reports;
}

}  // namespace centrale::local
