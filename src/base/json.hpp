// SPDX-License-Identifier: Apache-2.0
// JSON out of and into described structs (base/reflect.hpp). Compact, in the order of describe(); fast enough for a journal.
//
//   Id, Amount, Time   integers            enum               its name
//   TextMap            an object           optional           null, or the value
//   variant            {"<name>":{…}}      double             shortest that reads back; null if not finite
//
// Text that is not UTF-8 is written with U+FFFD for each bad part: what is read back is then not what was written, so
// clean it (to_utf8) where it comes in if that matters.
#pragma once
#include <charconv>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/read.hpp"
#include "base/reflect.hpp"
#include "base/result.hpp"
#include "base/text.hpp"

namespace centrale {

/// Appends JSON to a string of the caller's; commas come by themselves.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out), start_(out.size()) {}

  JsonWriter& begin_object() {
    separate();
    out_ += '{';
    return *this;
  }
  JsonWriter& end_object() {
    out_ += '}';
    return *this;
  }
  JsonWriter& begin_array() {
    separate();
    out_ += '[';
    return *this;
  }
  JsonWriter& end_array() {
    out_ += ']';
    return *this;
  }
  JsonWriter& key(std::string_view name) {
    text(name);
    out_ += ':';
    return *this;
  }
  JsonWriter& text(std::string_view value);
  JsonWriter& boolean(bool value) { return raw(value ? std::string_view("true") : std::string_view("false")); }
  JsonWriter& null() { return raw("null"); }
  JsonWriter& number(double value);
  template <class T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) JsonWriter& number(T value) {
    char digits[24];
    separate();
    out_.append(digits, static_cast<std::size_t>(std::to_chars(digits, digits + sizeof digits, value).ptr - digits));
    return *this;
  }
  /// Text that is JSON already.
  JsonWriter& raw(std::string_view json) {
    separate();
    out_ += json;
    return *this;
  }

  /// A key of a described struct: known to need no escapes.
  void plain_key(const char* name) {
    const std::size_t length = std::strlen(name);
    const bool comma = out_.back() != '{';
    const std::size_t at = out_.size();
    out_.resize(at + length + 3 + (comma ? 1 : 0));
    char* p = out_.data() + at;
    if (comma) { *p++ = ','; }
    *p++ = '"';
    std::memcpy(p, name, length);
    p[length] = '"';
    p[length + 1] = ':';
  }

 private:
  void separate() {
    if (out_.size() > start_) {
      const char last = out_.back();
      if (last != '{' && last != '[' && last != ':') { out_ += ','; }
    }
  }
  std::string& out_;
  std::size_t start_;
};

/// How spans and sizes are written: for programs (integers: ns, bytes), or as people write them ("30s", "2GiB").
enum class JsonUnits : unsigned char { integers, text };

template <JsonUnits kUnits, class T>
void write_value(JsonWriter& writer, const T& value);

template <JsonUnits kUnits>
struct FieldWriter {
  JsonWriter& writer;
  template <class T>
  void operator()(const char* name, T& field, const char* = "") {
    writer.plain_key(name);
    write_value<kUnits>(writer, field);
  }
};

template <JsonUnits kUnits, class T>
void write_value(JsonWriter& writer, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    writer.boolean(value);
  } else if constexpr (std::is_arithmetic_v<T>) {
    writer.number(value);
  } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>) {
    writer.text(value);
  } else if constexpr (std::is_enum_v<T>) {
    writer.text(enum_name(value));
  } else if constexpr (std::is_same_v<T, TextMap>) {
    writer.begin_object();
    for (const auto& [name, text] : value) { writer.key(name).text(text); }
    writer.end_object();
  } else if constexpr (is_vector<T>) {
    writer.begin_array();
    for (const auto& element : value) {
      if constexpr (std::is_same_v<T, std::vector<bool>>) {
        writer.boolean(element);
      } else {
        write_value<kUnits>(writer, element);
      }
    }
    writer.end_array();
  } else if constexpr (is_optional<T>) {
    if (value) {
      write_value<kUnits>(writer, *value);
    } else {
      writer.null();
    }
  } else if constexpr (is_shared<T>) {
    if (value) {
      write_value<kUnits>(writer, *value);
    } else {
      writer.null();
    }
  } else if constexpr (is_id<T>) {
    writer.number(value.value);
  } else if constexpr (std::is_same_v<T, Nanos> && kUnits == JsonUnits::text) {
    writer.text(exact_duration(value));
  } else if constexpr (std::is_same_v<T, Bytes> && kUnits == JsonUnits::text) {
    writer.text(exact_bytes(value));
  } else if constexpr (is_amount<T>) {
    writer.number(value.value);
  } else if constexpr (std::is_same_v<T, Time>) {
    writer.number(value.ns);
  } else if constexpr (is_variant<T>) {
    static_assert(kVariantNames<T>.size() == std::variant_size_v<T>, "specialise kVariantNames, one name an alternative");
    writer.begin_object();
    writer.plain_key(kVariantNames<T>[value.index()].data());  // of a literal, so it ends with NUL
    std::visit([&](const auto& alternative) { write_value<kUnits>(writer, alternative); }, value);
    writer.end_object();
  } else {
    static_assert(Described<T>, "give the type a describe(), or teach write_value about it");
    writer.begin_object();
    FieldWriter<kUnits> fields{writer};
    describe(fields, const_cast<T&>(value));  // FieldWriter only reads
    writer.end_object();
  }
}

/// Appends `value`.
template <class T>
void write_json(std::string& out, const T& value) {
  JsonWriter writer(out);
  write_value<JsonUnits::integers>(writer, value);
}
/// As write_json, with spans and sizes as text: what strict reading takes.
template <class T>
void write_spec_json(std::string& out, const T& value) {
  JsonWriter writer(out);
  write_value<JsonUnits::text>(writer, value);
}

enum class JsonStrictness : unsigned char {
  lenient,  // what we wrote ourselves, perhaps long ago: unknown keys are ignored; spans and sizes are integers
  strict,   // what others write: an unknown or repeated key is an error; spans in seconds or as text, sizes in bytes or as text
};

inline constexpr std::size_t kJsonDepthMax = 64;
inline constexpr std::size_t kStrictJsonMax = 8 * 1024 * 1024;  // a request's body is smaller still

/// A value inside a parsed document; valid until the reader's next parse.
struct JsonValue {
  const void* document = nullptr;
  std::size_t index = 0;
};

/// The rules of base/read.hpp over a parsed document.
class JsonSource {
 public:
  using Value = JsonValue;
  struct Map {
    JsonValue begin, current, end;
    std::size_t taken = 0;
  };
  struct Seq {
    JsonValue current, end;
    std::size_t size = 0;
  };

  explicit JsonSource(JsonStrictness strictness) : strict_(strictness == JsonStrictness::strict) {}
  /// `key` at the top of `root` is somebody else's to read. Returns its text: empty if it is not there, or not text.
  std::string_view allow(Value root, std::string_view key);

  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] bool strict() const { return strict_; }
  [[nodiscard]] bool null_is_default() const { return false; }
  [[nodiscard]] bool is_null(Value value) const;
  void element(Value) {}
  void read(Value value, bool& out);
  void read(Value value, std::int64_t& out);
  void read(Value value, std::uint64_t& out);
  void read(Value value, double& out);
  void read(Value value, std::string& out);
  void read_span(Value value, Nanos& out);
  void read_size(Value value, Bytes& out);
  [[nodiscard]] Map open_map(Value value);
  [[nodiscard]] bool take(Map& map, std::string_view key, Value& value);
  [[nodiscard]] bool next(Map& map, std::string_view& key, Value& value);
  [[nodiscard]] bool all_taken(const Map& map) const;
  void no_repeats(const Map& map);
  void unknown(const Map& map, std::span<const std::string_view> keys);
  [[nodiscard]] Seq open_seq(Value value);
  [[nodiscard]] std::size_t size(const Seq& seq) const { return seq.size; }
  [[nodiscard]] bool next(Seq& seq, Value& value);
  void wrong(Value value, std::string_view wanted);
  void bad_name(Value value, std::string_view name, std::span<const std::string_view> names, std::string_view what);
  void inside(std::string_view key);
  void inside(std::size_t index);
  [[nodiscard]] Error error() &&;

 private:
  void fail_with(std::string what, std::string remedy = {});
  bool failed_ = false;
  bool strict_;
  std::size_t allowed_at_ = 0;  // 0: nowhere; a root's index is 1
  std::string_view allowed_;
  std::string path_;
  std::string what_;
  std::string remedy_;
};

/// Parses and reads; keeps its buffers, so that reading many small texts allocates nothing of its own.
class JsonReader {
 public:
  JsonReader();
  ~JsonReader();
  JsonReader(JsonReader&&) noexcept;
  JsonReader& operator=(JsonReader&&) noexcept;

  /// Fields that the text does not name keep the values they have in `out`. After an error `out` is half-read: throw it away.
  /// The error's `what` starts with the path: "env.FOO: wants text, found 12".
  template <class T>
  [[nodiscard]] Result<void> read(std::string_view text, T& out, JsonStrictness strictness) {
    TRY_ASSIGN(const JsonValue root, parse(text, strictness));
    JsonSource source(strictness);
    read_value(source, root, out);
    if (source.failed()) { return std::unexpected(std::move(source).error()); }
    return {};
  }
  /// For those who read by hand, with a JsonSource.
  [[nodiscard]] Result<JsonValue> parse(std::string_view text, JsonStrictness strictness);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

/// One text. For many, keep a JsonReader.
template <class T>
[[nodiscard]] Result<void> read_json(std::string_view text, T& out, JsonStrictness strictness) {
  JsonReader reader;
  return reader.read(text, out, strictness);
}

}  // namespace centrale
