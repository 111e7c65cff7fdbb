// SPDX-License-Identifier: Apache-2.0
// Strict YAML into described structs (base/reflect.hpp). Errors say file:line and the nearest right key. Plain scalars such as 12 or yes
// are text where text is wanted; quoted ones are never numbers. `key:` with nothing after it means "not given".
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/read.hpp"
#include "base/reflect.hpp"
#include "base/result.hpp"

namespace centrale {

// What a person writes stays far below these; what a machine sends to hurt us does not.
inline constexpr std::size_t kYamlSizeMax = 1024 * 1024;
inline constexpr std::size_t kYamlDepthMax = 32;
inline constexpr std::size_t kYamlNodesMax = 100'000;          // aliases count as what they stand for
inline constexpr std::size_t kYamlTextMax = 4 * kYamlSizeMax;  // of all scalars, aliases included

struct YamlNode {
  enum class Kind : unsigned char { null, scalar, list, map } kind = Kind::null;
  bool quoted = false;
  std::uint32_t line = 0;               // from 1
  std::string text;                     // of a scalar
  std::vector<std::uint32_t> children;  // of a list: elements; of a map: key, value, key, value …
};

/// The rules of base/read.hpp over a parsed file.
class YamlSource {
 public:
  using Value = std::uint32_t;
  struct Map {
    std::uint32_t node = 0;
    std::size_t at = 0;
    std::size_t taken = 0;
  };
  struct Seq {
    std::uint32_t node = 0;
    std::size_t at = 0;
  };

  YamlSource(const std::vector<YamlNode>& nodes, std::string_view file) : nodes_(nodes), file_(file) {}
  /// `key` at the top of `root` is somebody else's to read.
  void allow(Value root, std::string_view key) {
    allowed_at_ = root;
    allowed_ = key;
  }

  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] bool strict() const { return true; }
  [[nodiscard]] bool null_is_default() const { return true; }
  [[nodiscard]] bool is_null(Value value) const { return nodes_[value].kind == YamlNode::Kind::null; }
  void element(Value value);
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
  void no_repeats(const Map&) {}  // refused when parsed
  void unknown(const Map& map, std::span<const std::string_view> keys);
  [[nodiscard]] Seq open_seq(Value value);
  [[nodiscard]] std::size_t size(const Seq& seq) const { return failed_ ? 0 : nodes_[seq.node].children.size(); }
  [[nodiscard]] bool next(Seq& seq, Value& value);
  void wrong(Value value, std::string_view wanted);
  void bad_name(Value value, std::string_view name, std::span<const std::string_view> names, std::string_view what);
  void inside(std::string_view key);
  void inside(std::size_t index);
  [[nodiscard]] Error error() &&;

 private:
  void fail_at(Value value, std::string what, std::string remedy = {});
  const std::vector<YamlNode>& nodes_;
  std::string_view file_;
  Value allowed_at_ = 0;
  std::string_view allowed_;
  bool failed_ = false;
  std::string path_;
  Error error_;
};

/// One text with any number of documents (`---`).
class YamlFile {
 public:
  /// `file` is what errors call it. No exception leaves.
  [[nodiscard]] static Result<YamlFile> parse(std::string_view text, std::string_view file);

  /// Documents that hold something.
  [[nodiscard]] std::size_t documents() const { return roots_.size(); }
  [[nodiscard]] bool is_map(std::size_t document) const { return nodes_[roots_[document]].kind == YamlNode::Kind::map; }
  /// Whether `key` stands at the top of the document.
  [[nodiscard]] bool has(std::size_t document, std::string_view key) const;
  /// The scalar under `key` at the top of the document; empty if there is none.
  [[nodiscard]] std::string_view scalar(std::size_t document, std::string_view key) const;
  /// "file:line" of `key` at the top of the document; of the document if there is none.
  [[nodiscard]] std::string where(std::size_t document, std::string_view key) const;
  /// "file:line" of an element of the list under `key` at the top of the document; of the key if there is no such element.
  [[nodiscard]] std::string where(std::size_t document, std::string_view key, std::size_t element) const;

  /// Keys that the document does not name keep the values they have in `out`; a key that `out` does not have is an error, but for
  /// `allowed`. After an error `out` is half-read: throw it away.
  template <class T>
  [[nodiscard]] Result<void> read(std::size_t document, T& out, std::string_view allowed = {}) const {
    YamlSource source(nodes_, file_);
    source.allow(roots_[document], allowed);
    read_value(source, roots_[document], out);
    if (source.failed()) { return std::unexpected(std::move(source).error()); }
    return {};
  }

 private:
  [[nodiscard]] const YamlNode* find(std::size_t document, std::string_view key, bool the_key) const;
  std::vector<YamlNode> nodes_;
  std::vector<std::uint32_t> roots_;
  std::string file_;
};

}  // namespace centrale
