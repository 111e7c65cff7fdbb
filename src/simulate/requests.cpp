// SPDX-License-Identifier: Apache-2.0
#include "simulate/requests.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <unordered_set>

#include "base/json.hpp"
#include "base/random.hpp"
#include "base/text.hpp"

namespace centrale {

namespace {

/// A line of Mooncake's files, as it is written there.
struct MooncakeLine {
  double timestamp = -1;
  std::int64_t input_length = -1, output_length = -1;
  std::vector<std::uint64_t> hash_ids;
};
template <class V>
void describe(V& v, MooncakeLine& l) {
  v("timestamp", l.timestamp);
  v("input_length", l.input_length);
  v("output_length", l.output_length);
  v("hash_ids", l.hash_ids);
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  return first == std::string_view::npos ? std::string_view{} : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {}
  /// The next line that is not empty.
  std::optional<std::string_view> next() {
    while (at_ < text_.size()) {
      const std::size_t end = std::min(text_.find('\n', at_), text_.size());
      const std::string_view line = trimmed(text_.substr(at_, end - at_));
      at_ = end + 1;
      ++number_;
      if (!line.empty()) { return line; }
    }
    return std::nullopt;
  }
  std::size_t number() const { return number_; }

 private:
  std::string_view text_;
  std::size_t at_ = 0, number_ = 0;
};

/// How a table's columns are called, and what its times are.
struct Columns {
  std::string_view time, prompt, output, tenant, session;  // empty: there is none
  bool dates = false;
};
constexpr std::array<Columns, 3> kTables{{
    {.time = "TIMESTAMP", .prompt = "ContextTokens", .output = "GeneratedTokens", .tenant = "", .session = "", .dates = true},
    {.time = "Timestamp", .prompt = "Request tokens", .output = "Response tokens", .tenant = "Model", .session = "Session ID"},
    {.time = "", .prompt = "num_prefill_tokens", .output = "num_decode_tokens", .tenant = "", .session = ""},
}};

class Reader {
 public:
  Reader(std::string_view text, std::string_view file, const RequestOptions& options) : lines_(text), file_(file), options_(options) {
    trace_.name = file;
  }

  Result<RequestTrace> read() {
    TRY(check_options());
    const auto header = lines_.next();
    if (!header) { return fail(ErrorKind::invalid, "there are no requests", file_); }
    if (header->starts_with('{')) {
      TRY(mooncake(*header));
    } else {
      TRY(table(*header));
    }
    finish();
    if (trace_.requests.empty()) { return fail(ErrorKind::invalid, "no request is left", file_, "widen the window"); }
    return std::move(trace_);
  }

 private:
  Result<void> check_options() const {
    if (!(options_.rate_scale > 0) || !std::isfinite(options_.rate_scale)) {
      return fail(ErrorKind::invalid, "rate_scale must be above 0", file_);
    }
    if (!(options_.rate >= 0) || !std::isfinite(options_.rate)) { return fail(ErrorKind::invalid, "rate must not be negative", file_); }
    if (options_.from.value < 0 || options_.until.value < 0 || (options_.until.value > 0 && options_.until <= options_.from)) {
      return fail(ErrorKind::invalid, "the window ends before it starts", file_);
    }
    return {};
  }

  std::unexpected<Error> wrong(std::string what, std::string remedy = {}) const {
    return fail(ErrorKind::invalid, std::move(what), fmt::format("{}:{}", file_, lines_.number()), std::move(remedy));
  }

  Result<void> mooncake(std::string_view line) {
    JsonReader reader;
    for (std::optional<std::string_view> next = line; next; next = lines_.next()) {
      MooncakeLine l;
      if (auto read = reader.read(*next, l, JsonStrictness::lenient); !read) { return wrong(read.error().what); }
      if (l.input_length < 0) { return wrong("input_length: missing or negative"); }
      if (l.output_length < 0) { return wrong("output_length: missing or negative"); }
      if (!(l.timestamp >= 0)) { return wrong("timestamp: missing or negative"); }
      const auto arrival = duration_of_seconds(l.timestamp * 1e-3);
      if (!arrival) { return wrong("timestamp: too far away"); }
      const auto blocks = (l.input_length + kPrefixBlock - 1) / kPrefixBlock;
      if (!l.hash_ids.empty() && static_cast<std::int64_t>(l.hash_ids.size()) != blocks) {
        return wrong(
            fmt::format("hash_ids: {} blocks, but {} tokens are {} blocks of {}", l.hash_ids.size(), l.input_length, blocks, kPrefixBlock));
      }
      TraceRequest request{.arrival = {arrival->value},
                           .prompt = l.input_length,
                           .output = l.output_length,
                           .first_block = trace_.blocks.size(),
                           .blocks = static_cast<std::uint32_t>(l.hash_ids.size()),
                           .tenant = 0,
                           .session = 0};
      TRY(keep(request));
      if (kept_) { trace_.blocks.insert(trace_.blocks.end(), l.hash_ids.begin(), l.hash_ids.end()); }
    }
    return {};
  }

  static void split(std::string_view line, std::vector<std::string_view>& cells) {
    cells.clear();
    for (std::size_t at = 0; at <= line.size();) {
      const std::size_t end = std::min(line.find(',', at), line.size());
      cells.push_back(trimmed(line.substr(at, end - at)));
      at = end + 1;
    }
  }

  Result<void> table(std::string_view header) {
    if (header.starts_with("\xEF\xBB\xBF")) { header.remove_prefix(3); }
    std::vector<std::string_view> names;
    split(header, names);
    const auto column = [&](std::string_view name) {
      const auto at = std::ranges::find(names, name);
      return name.empty() || at == names.end() ? names.size() : static_cast<std::size_t>(at - names.begin());
    };
    for (const Columns& c : kTables) {
      const std::size_t time = column(c.time), prompt = column(c.prompt), output = column(c.output);
      if (prompt == names.size() || output == names.size() || (time == names.size() && !c.time.empty())) { continue; }
      if (c.time.empty() && options_.rate <= 0) {
        return wrong("the file has lengths but no arrivals", "give a rate in requests a second, such as rate=2");
      }
      return rows(c, names.size(), {time, prompt, output, column(c.tenant), column(c.session)});
    }
    return wrong(fmt::format("no known columns in '{}'", shorten(header, 80)),
                 "known are TIMESTAMP,ContextTokens,GeneratedTokens (Azure); Timestamp,Model,Request tokens,Response tokens (BurstGPT); "
                 "num_prefill_tokens,num_decode_tokens (Vidur); JSON lines with timestamp,input_length,output_length (Mooncake)");
  }

  Result<void> rows(const Columns& columns, std::size_t width, const std::array<std::size_t, 5>& at) {
    std::vector<std::string_view> cells;
    Random random = Random(options_.seed).stream(1);
    double drawn = 0;
    if (!columns.tenant.empty()) { trace_.tenants.clear(); }
    while (const auto line = lines_.next()) {
      split(*line, cells);
      if (cells.size() != width) { return wrong(fmt::format("{} cells, but the header has {} columns", cells.size(), width)); }
      TraceRequest request;
      if (columns.time.empty()) {
        drawn += random.exponential() / options_.rate;
        const auto arrival = duration_of_seconds(drawn);
        if (!arrival) { return wrong("arrives too late", "give a higher rate"); }
        request.arrival = {arrival->value};
      } else {
        TRY_ASSIGN(request.arrival, columns.dates ? date(cells[at[0]]) : offset(cells[at[0]]));
      }
      TRY_ASSIGN(request.prompt, count(cells[at[1]], columns.prompt));
      TRY_ASSIGN(request.output, count(cells[at[2]], columns.output));
      if (at[3] < width) { request.tenant = tenant(cells[at[3]]); }
      if (at[4] < width && !cells[at[4]].empty()) {
        TRY_ASSIGN(const std::int64_t session, count(cells[at[4]], columns.session));
        request.session = static_cast<std::uint64_t>(session);
      }
      TRY(keep(request));
    }
    if (trace_.tenants.empty()) { trace_.tenants = {"default"}; }
    return {};
  }

  Result<std::int64_t> count(std::string_view cell, std::string_view name) const {
    double value = 0;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (error != std::errc{} || end != cell.data() + cell.size() || !(value >= 0) || value != std::floor(value) || value > 1e15) {
      return wrong(fmt::format("{}: '{}' is not a count", name, shorten(cell, 40)));
    }
    return static_cast<std::int64_t>(value);
  }

  /// "2023-11-16 18:17:03.9799600", perhaps with an offset from UTC.
  Result<Time> date(std::string_view cell) const {
    std::string text(cell);
    if (const auto space = text.find(' '); space != std::string::npos) { text[space] = 'T'; }
    constexpr std::size_t kClock = 11;  // where the time of day starts: only there can a sign be an offset's
    const bool zoned = text.ends_with('Z') || (text.size() > kClock && text.find_first_of("+-", kClock) != std::string::npos);
    if (!zoned) { text += 'Z'; }
    const auto time = parse_time_rfc3339(text);
    if (!time) { return wrong(fmt::format("TIMESTAMP: '{}' is not a time", shorten(cell, 40)), "such as 2023-11-16 18:17:03.9799600"); }
    return *time;
  }
  Result<Time> offset(std::string_view cell) const {
    double value = 0;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    const auto span = duration_of_seconds(value);
    if (error != std::errc{} || end != cell.data() + cell.size() || !span) {
      return wrong(fmt::format("Timestamp: '{}' is not a number of seconds", shorten(cell, 40)));
    }
    return Time{span->value};
  }

  std::uint32_t tenant(std::string_view name) {
    const auto at = std::ranges::find(trace_.tenants, name);
    if (at != trace_.tenants.end()) { return static_cast<std::uint32_t>(at - trace_.tenants.begin()); }
    trace_.tenants.emplace_back(name);
    return static_cast<std::uint32_t>(trace_.tenants.size() - 1);
  }

  Result<void> keep(const TraceRequest& request) {
    kept_ = false;
    if (request.prompt > kRequestTokensMax || request.output > kRequestTokensMax) {
      return wrong(fmt::format("a request of more than {} tokens", format_count(kRequestTokensMax)));
    }
    if (request.output == 0 || request.prompt == 0) {
      ++empty_;
      return {};
    }
    if (trace_.requests.size() == kRequestsMax) { return wrong(fmt::format("more than {} requests", format_count(kRequestsMax))); }
    trace_.requests.push_back(request);
    kept_ = true;
    return {};
  }

  /// Puts requests in order, cuts the window out, and moves and scales arrivals.
  void finish() {
    auto& requests = trace_.requests;
    if (empty_ > 0) { trace_.notes.push_back(fmt::format("{} requests without a prompt or an answer are left out", format_count(empty_))); }
    if (!std::ranges::is_sorted(requests, {}, &TraceRequest::arrival)) {
      trace_.notes.emplace_back("requests were not in order of arrival: sorted");
      std::ranges::stable_sort(requests, {}, &TraceRequest::arrival);
    }
    if (requests.empty()) { return; }
    const Time origin = requests.front().arrival, start = origin + options_.from;
    const std::size_t before = requests.size();
    std::erase_if(requests, [&](const TraceRequest& r) {
      return r.arrival < start || (options_.until.value > 0 && r.arrival - origin >= options_.until);
    });
    if (options_.limit > 0 && requests.size() > options_.limit) { requests.resize(options_.limit); }
    if (requests.size() < before) {
      trace_.notes.push_back(fmt::format("{} of {} requests are in the window", format_count(static_cast<std::int64_t>(requests.size())),
                                         format_count(static_cast<std::int64_t>(before))));
    }
    for (TraceRequest& r : requests) { r.arrival = {std::llround(static_cast<double>((r.arrival - start).value) / options_.rate_scale)}; }
  }

  Lines lines_;
  std::string file_;
  const RequestOptions& options_;
  RequestTrace trace_;
  std::int64_t empty_ = 0;
  bool kept_ = false;
};

}  // namespace

Result<RequestTrace> read_requests(std::string_view text, std::string_view file, const RequestOptions& options) {
  return Reader(text, file, options).read();
}

double reusable_blocks(const RequestTrace& trace) {
  std::unordered_set<std::uint64_t> seen;
  std::size_t hits = 0, all = 0;
  for (const TraceRequest& request : trace.requests) {
    bool prefix = true;
    for (const std::uint64_t block : trace.blocks_of(request)) {
      prefix = !seen.insert(block).second && prefix;
      hits += prefix ? 1 : 0;
      ++all;
    }
  }
  return all == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(all);
}

}  // namespace centrale
