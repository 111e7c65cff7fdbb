// SPDX-License-Identifier: Apache-2.0
#include "base/json.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace centrale {
namespace {

namespace dom = simdjson::dom;

// simdjson's handles are a document and an index on its tape; ours hold the same two words, so that the header need not
// include simdjson.
static_assert(sizeof(JsonValue) == sizeof(dom::element) && std::is_trivially_copyable_v<dom::element>);
static_assert(sizeof(JsonValue) == sizeof(dom::object::iterator) && std::is_trivially_copyable_v<dom::object::iterator>);
static_assert(sizeof(JsonValue) == sizeof(dom::array::iterator) && std::is_trivially_copyable_v<dom::array::iterator>);

template <class Handle>
JsonValue pack(const Handle& handle) {
  return std::bit_cast<JsonValue>(handle);
}
dom::element element_of(JsonValue v) { return std::bit_cast<dom::element>(v); }
dom::object::iterator field_of(JsonValue v) { return std::bit_cast<dom::object::iterator>(v); }
dom::array::iterator item_of(JsonValue v) { return std::bit_cast<dom::array::iterator>(v); }

constexpr std::size_t kShownMax = 40;  // of a value in an error message

std::string shown(JsonValue value) {
  const dom::element element = element_of(value);
  switch (element.type()) {
    case dom::element_type::ARRAY: return "a list";
    case dom::element_type::OBJECT: return "an object";
    case dom::element_type::INT64: return fmt::format("{}", element.get_int64().value_unsafe());
    case dom::element_type::UINT64: return fmt::format("{}", element.get_uint64().value_unsafe());
    case dom::element_type::DOUBLE: return fmt::format("{}", element.get_double().value_unsafe());
    case dom::element_type::BOOL: return element.get_bool().value_unsafe() ? "true" : "false";
    case dom::element_type::NULL_VALUE: return "null";
    case dom::element_type::STRING: break;
  }
  return fmt::format("text \"{}\"", shorten(element.get_string().value_unsafe(), kShownMax));
}

std::string_view explain(simdjson::error_code code) {
  switch (code) {
    case simdjson::EMPTY: return "empty text is not JSON";
    case simdjson::DEPTH_ERROR: return "is nested too deeply";
    case simdjson::UTF8_ERROR: return "is not UTF-8";
    case simdjson::UNCLOSED_STRING: return "a string is not closed";
    case simdjson::UNESCAPED_CHARS: return "a string holds a control character that is not escaped";
    case simdjson::STRING_ERROR: return "a string has a wrong escape";
    case simdjson::NUMBER_ERROR: return "a number is not written as JSON wants it, or is too large";
    case simdjson::CAPACITY:
    case simdjson::MEMALLOC: return "is too large";
    default: return "is not JSON";
  }
}

}  // namespace

JsonWriter& JsonWriter::text(std::string_view value) {
  separate();
  out_ += '"';
  std::size_t copied = 0;  // everything before it is in out_
  for (std::size_t at = 0; at < value.size();) {
    const auto c = static_cast<unsigned char>(value[at]);
    if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
      ++at;
      continue;
    }
    const std::size_t start = at;
    if (c >= 0x80) {
      if (next_code_point(value, at) != 0xFFFD) { continue; }
      out_.append(value, copied, start - copied).append("\xEF\xBF\xBD");
    } else {
      out_.append(value, copied, start - copied);
      ++at;
      switch (c) {
        case '"': out_ += "\\\""; break;
        case '\\': out_ += "\\\\"; break;
        case '\n': out_ += "\\n"; break;
        case '\r': out_ += "\\r"; break;
        case '\t': out_ += "\\t"; break;
        default:
          out_ += "\\u00";
          out_ += "0123456789abcdef"[c >> 4];
          out_ += "0123456789abcdef"[c & 15];
      }
    }
    copied = at;
  }
  out_.append(value, copied);
  out_ += '"';
  return *this;
}

JsonWriter& JsonWriter::number(double value) {
  if (!std::isfinite(value)) { return null(); }
  if (value == 0 && std::signbit(value)) {
    return raw("-0.0");  // "-0" would be read as the integer
  }
  // Shortest may be all digits; beyond 64 bits a reader would take it for an integer that is too large.
  char digits[32];
  char* const end = digits + sizeof digits;
  const auto [last, code] =
      std::abs(value) < 1e15 ? std::to_chars(digits, end, value) : std::to_chars(digits, end, value, std::chars_format::scientific);
  return raw({digits, static_cast<std::size_t>(last - digits)});
}

std::string_view JsonSource::allow(Value root, std::string_view key) {
  allowed_at_ = root.index;
  allowed_ = key;
  std::string_view text;
  dom::element found;
  if (element_of(root).is_object() && element_of(root).at_key(key).get(found) == simdjson::SUCCESS && found.is_string()) {
    text = found.get_string().value_unsafe();
  }
  return text;
}

bool JsonSource::is_null(Value value) const { return element_of(value).is_null(); }

void JsonSource::fail_with(std::string what, std::string remedy) {
  if (!failed_) {
    failed_ = true;
    what_ = std::move(what);
    remedy_ = std::move(remedy);
  }
}

void JsonSource::wrong(Value value, std::string_view wanted) { fail_with(fmt::format("wants {}, found {}", wanted, shown(value))); }

void JsonSource::bad_name(Value, std::string_view name, std::span<const std::string_view> names, std::string_view what) {
  fail_with(fmt::format("unknown {} '{}'", what, shorten(name, kShownMax)), nearest_remedy(name, names));
}

void JsonSource::inside(std::string_view key) {
  const std::string part = shorten(key, kShownMax);
  path_ = path_.empty() ? part : path_.front() == '[' ? part + path_ : part + "." + path_;
}

void JsonSource::inside(std::size_t index) {
  const std::string part = fmt::format("[{}]", index);
  path_ = path_.empty() || path_.front() == '[' ? part + path_ : part + "." + path_;
}

Error JsonSource::error() && {
  return {ErrorKind::invalid, path_.empty() ? std::move(what_) : path_ + ": " + what_, {}, std::move(remedy_)};
}

void JsonSource::read(Value value, bool& out) {
  if (element_of(value).get(out) != simdjson::SUCCESS) { wrong(value, "true or false"); }
}

void JsonSource::read(Value value, std::int64_t& out) {
  const dom::element element = element_of(value);
  if (element.get(out) == simdjson::SUCCESS) { return; }
  double number = 0;  // 3.0 is a whole number too; beyond 2^53 a double no longer says which
  if (element.is_double() && element.get(number) == simdjson::SUCCESS && std::trunc(number) == number &&
      std::abs(number) <= 9007199254740992.0) {
    out = static_cast<std::int64_t>(number);
    return;
  }
  wrong(value, "a whole number");
}

void JsonSource::read(Value value, std::uint64_t& out) {
  if (element_of(value).get(out) == simdjson::SUCCESS) { return; }
  std::int64_t number = 0;
  const dom::element element = element_of(value);
  if (!element.is_double()) {
    wrong(value, "a whole number, not negative");
    return;
  }
  read(value, number);
  if (!failed_ && number < 0) { wrong(value, "a whole number, not negative"); }
  out = static_cast<std::uint64_t>(number);
}

void JsonSource::read(Value value, double& out) {
  const dom::element element = element_of(value);
  if (element.is_null()) {
    out = std::numeric_limits<double>::quiet_NaN();  // how non-finite numbers are written
    if (!strict_) { return; }
  }
  if (element.get(out) != simdjson::SUCCESS) { wrong(value, "a number"); }
}

void JsonSource::read(Value value, std::string& out) {
  std::string_view text;
  if (element_of(value).get(text) != simdjson::SUCCESS) {
    wrong(value, "text");
    return;
  }
  out.assign(text);
}

void JsonSource::read_span(Value value, Nanos& out) {
  if (!strict_) {
    read(value, out.value);
    return;
  }
  const dom::element element = element_of(value);
  std::string_view text;
  double number = 0;
  std::optional<Nanos> span;
  if (element.get(text) == simdjson::SUCCESS) {
    span = parse_duration(text);
  } else if (element.get(number) == simdjson::SUCCESS) {
    span = duration_of_seconds(number);
  }
  if (!span) {
    wrong(value, "a span such as \"30s\" or \"1h30m\", or seconds");
    return;
  }
  out = *span;
}

void JsonSource::read_size(Value value, Bytes& out) {
  if (!strict_) {
    read(value, out.value);
    return;
  }
  const dom::element element = element_of(value);
  std::string_view text;
  std::optional<Bytes> size;
  std::int64_t number = -1;
  if (element.get(text) == simdjson::SUCCESS) {
    size = parse_bytes(text);
  } else if (element.get(number) == simdjson::SUCCESS && number >= 0) {
    size = Bytes{number};
  }
  if (!size) {
    wrong(value, "a size such as \"2GiB\", or bytes");
    return;
  }
  out = *size;
}

JsonSource::Map JsonSource::open_map(Value value) {
  dom::object object;
  if (element_of(value).get(object) != simdjson::SUCCESS) {
    wrong(value, "an object");
    return {};
  }
  const JsonValue begin = pack(object.begin());
  return {begin, begin, pack(object.end()), 0};
}

bool JsonSource::take(Map& map, std::string_view key, Value& value) {
  if (failed_) { return false; }
  // We write in the order in which we read: the next key is nearly always the one wanted.
  const auto end = field_of(map.end);
  for (auto at = field_of(map.current); at != end; ++at) {
    if (at.key_equals(key)) {
      value = pack(at.value());
      map.current = pack(++at);
      ++map.taken;
      return true;
    }
  }
  for (auto at = field_of(map.begin), stop = field_of(map.current); at != stop; ++at) {
    if (at.key_equals(key)) {
      value = pack(at.value());
      map.current = pack(++at);
      ++map.taken;
      return true;
    }
  }
  return false;
}

bool JsonSource::next(Map& map, std::string_view& key, Value& value) {
  auto at = field_of(map.current);
  if (failed_ || !(at != field_of(map.end))) { return false; }
  key = at.key();
  value = pack(at.value());
  map.current = pack(++at);
  return true;
}

bool JsonSource::all_taken(const Map& map) const {
  std::size_t size = 0;
  const auto end = field_of(map.end);
  for (auto at = field_of(map.begin); at != end; ++at) { ++size; }
  return size == map.taken;
}

void JsonSource::no_repeats(const Map& map) {
  std::vector<std::string_view> keys;
  const auto end = field_of(map.end);
  for (auto at = field_of(map.begin); at != end; ++at) { keys.push_back(at.key()); }
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice != keys.end()) { fail_with(fmt::format("key '{}' is given twice", shorten(*twice, kShownMax)), "keep one"); }
}

void JsonSource::unknown(const Map& map, std::span<const std::string_view> keys) {
  std::vector<std::string_view> known(keys.begin(), keys.end());
  if (map.begin.index == allowed_at_ + 1) {  // the first key follows its object on the tape
    known.push_back(allowed_);
  }
  const auto end = field_of(map.end);
  for (auto at = field_of(map.begin); at != end; ++at) {
    if (std::find(known.begin(), known.end(), at.key()) == known.end()) {
      bad_name({}, at.key(), known, "key");
      return;
    }
  }
  no_repeats(map);
}

JsonSource::Seq JsonSource::open_seq(Value value) {
  dom::array array;
  if (element_of(value).get(array) != simdjson::SUCCESS) {
    wrong(value, "a list");
    return {};
  }
  return {pack(array.begin()), pack(array.end()), array.size()};
}

bool JsonSource::next(Seq& seq, Value& value) {
  auto at = item_of(seq.current);
  if (failed_ || !(at != item_of(seq.end))) { return false; }
  value = pack(*at);
  seq.current = pack(++at);
  return true;
}

struct JsonReader::Parser {
  dom::parser parser;
  std::vector<char> padded;
};

JsonReader::JsonReader() : parser_(std::make_unique<Parser>()) {}
JsonReader::~JsonReader() = default;
JsonReader::JsonReader(JsonReader&&) noexcept = default;
JsonReader& JsonReader::operator=(JsonReader&&) noexcept = default;

Result<JsonValue> JsonReader::parse(std::string_view text, JsonStrictness strictness) {
  if (strictness == JsonStrictness::strict && text.size() > kStrictJsonMax) {
    return fail(ErrorKind::invalid, fmt::format("is larger than {}", format_bytes({kStrictJsonMax})));
  }
  auto& [parser, padded] = *parser_;
  // simdjson reads past the end; its own copy into a padded buffer would be allocated anew each time.
  const std::size_t wanted = text.size() + simdjson::SIMDJSON_PADDING;
  if (padded.size() < wanted) { padded.resize(std::max(wanted, padded.size() * 2)); }
  std::copy(text.begin(), text.end(), padded.begin());
  simdjson::error_code code = simdjson::SUCCESS;
  if (parser.capacity() < text.size() || parser.max_depth() != kJsonDepthMax) {
    code = parser.allocate(std::max<std::size_t>(text.size(), 4096), kJsonDepthMax);
  }
  dom::element root;
  if (code == simdjson::SUCCESS) { code = parser.parse(padded.data(), text.size(), false).get(root); }
  if (code != simdjson::SUCCESS) { return fail(ErrorKind::invalid, std::string(explain(code))); }
  return pack(root);
}

}  // namespace centrale
