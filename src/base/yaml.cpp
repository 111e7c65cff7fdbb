// SPDX-License-Identifier: Apache-2.0
#include "base/yaml.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <sstream>

#include "base/text.hpp"

namespace centrale {
namespace {

constexpr std::size_t kShownMax = 40;  // of a value in an error message

/// Thrown inside this file only: yaml-cpp's parser cannot be stopped in another way.
struct Refused {
  std::uint32_t line;
  std::string what;
  std::string remedy;
};

/// Builds the flat tree and keeps the limits while yaml-cpp reads on.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::vector<YamlNode>& nodes) : nodes_(nodes) {}
  std::vector<std::uint32_t> roots;

  void OnDocumentStart(const YAML::Mark&) override { anchors_.clear(); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { leaf(mark, anchor, {}); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) { throw Refused{line(mark), "an alias stands inside of what it names", "write it out"}; }
    count(mark, found->second.nodes, found->second.text);
    attach(found->second.node);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    YamlNode node;
    node.kind = YamlNode::Kind::scalar;
    node.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (!node.quoted) { refuse_tag(mark, tag); }
    node.text = value;
    leaf(mark, anchor, std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::map);
  }
  void OnMapEnd() override {
    check_keys(nodes_[open_.back().node]);
    close();
  }

 private:
  struct Anchored {
    std::uint32_t node;
    std::size_t nodes, text;  // with all that is below it
  };
  struct Open {
    std::uint32_t node;
    YAML::anchor_t anchor;
    std::size_t nodes_before, text_before;
  };

  static std::uint32_t line(const YAML::Mark& mark) { return static_cast<std::uint32_t>(std::max(mark.line, 0)) + 1; }

  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?") {
      throw Refused{line(mark), fmt::format("tag '{}' is not supported", shorten(tag, kShownMax)), "leave it out"};
    }
  }
  void count(const YAML::Mark& mark, std::size_t nodes, std::size_t text) {
    node_count_ += nodes;
    text_count_ += text;
    if (node_count_ > kYamlNodesMax || text_count_ > kYamlTextMax) {
      throw Refused{line(mark), "too much for one file, aliases counted as what they stand for",
                    fmt::format("at most {} values", format_count(kYamlNodesMax))};
    }
  }
  std::uint32_t add(const YAML::Mark& mark, YamlNode node) {
    count(mark, 1, node.text.size());
    node.line = line(mark);
    nodes_.push_back(std::move(node));
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  }
  void attach(std::uint32_t node) {
    if (open_.empty()) {
      roots.push_back(node);
    } else {
      YamlNode& parent = nodes_[open_.back().node];
      // Where there is nothing, yaml-cpp says where it found out; people look at the key.
      if (parent.kind == YamlNode::Kind::map && parent.children.size() % 2 == 1 && nodes_[node].kind == YamlNode::Kind::null) {
        nodes_[node].line = nodes_[parent.children.back()].line;
      }
      parent.children.push_back(node);
    }
  }
  void leaf(const YAML::Mark& mark, YAML::anchor_t anchor, YamlNode node) {
    const std::size_t size = node.text.size();
    const std::uint32_t at = add(mark, std::move(node));
    attach(at);
    if (anchor != YAML::NullAnchor) { anchors_[anchor] = {at, 1, size}; }
  }
  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    refuse_tag(mark, tag);
    if (open_.size() >= kYamlDepthMax) { throw Refused{line(mark), "nested too deeply", fmt::format("at most {} levels", kYamlDepthMax)}; }
    const Open before{0, anchor, node_count_, text_count_};
    YamlNode node;
    node.kind = kind;
    const std::uint32_t at = add(mark, std::move(node));
    attach(at);
    open_.push_back(before);
    open_.back().node = at;
  }
  void close() {
    const Open& part = open_.back();
    if (part.anchor != YAML::NullAnchor) {
      anchors_[part.anchor] = {part.node, node_count_ - part.nodes_before, text_count_ - part.text_before};
    }
    open_.pop_back();
  }
  void check_keys(const YamlNode& map) const {
    std::vector<const YamlNode*> keys;
    for (std::size_t i = 0; i < map.children.size(); i += 2) {
      const YamlNode& key = nodes_[map.children[i]];
      if (key.kind != YamlNode::Kind::scalar) { throw Refused{key.line, "a key must be text", {}}; }
      keys.push_back(&key);
    }
    std::stable_sort(keys.begin(), keys.end(), [](const YamlNode* a, const YamlNode* b) { return a->text < b->text; });
    const auto twice =
        std::adjacent_find(keys.begin(), keys.end(), [](const YamlNode* a, const YamlNode* b) { return a->text == b->text; });
    if (twice != keys.end()) {
      throw Refused{(*std::next(twice))->line, fmt::format("key '{}' is given twice", shorten((*twice)->text, kShownMax)),
                    fmt::format("keep one; the other is in line {}", (*twice)->line)};
    }
  }

  std::vector<YamlNode>& nodes_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  std::size_t node_count_ = 0;
  std::size_t text_count_ = 0;
};

std::string shown(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null: return "nothing";
    case YamlNode::Kind::list: return "a list";
    case YamlNode::Kind::map: return "keys and values";
    case YamlNode::Kind::scalar: break;
  }
  const std::string text = shorten(node.text, kShownMax);
  return node.quoted ? fmt::format("text \"{}\"", text) : fmt::format("'{}'", text);
}

/// The line of the first byte that must not be there; 0 if all is well.
std::uint32_t bad_text_line(std::string_view text) {
  std::uint32_t line = 1;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (c == 0 || (c == 0xFFFD && text.substr(start, at - start) != "\xEF\xBF\xBD")) { return line; }
    line += c == '\n' ? 1 : 0;
  }
  return 0;
}

template <class T>
bool whole_number(const YamlNode& node, T& out) {
  std::string_view text = node.text;
  if (node.kind != YamlNode::Kind::scalar || node.quoted) { return false; }
  if (text.starts_with('+')) { text.remove_prefix(1); }
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
  return code == std::errc() && end == text.data() + text.size();
}

}  // namespace

Result<YamlFile> YamlFile::parse(std::string_view text, std::string_view file) {
  const auto refuse = [&](std::uint32_t line, std::string what, std::string remedy = {}) {
    return fail(ErrorKind::invalid, std::move(what), fmt::format("{}:{}", file, line), std::move(remedy));
  };
  if (text.size() > kYamlSizeMax) {
    return fail(ErrorKind::invalid, fmt::format("is larger than {}", format_bytes({kYamlSizeMax})), std::string(file));
  }
  if (const std::uint32_t line = bad_text_line(text); line != 0) { return refuse(line, "is not UTF-8 text", "save the file as UTF-8"); }
  YamlFile result;
  result.file_ = file;
  TreeBuilder builder(result.nodes_);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {}
  } catch (const Refused& refused) { return refuse(refused.line, refused.what, refused.remedy); } catch (const YAML::Exception& e) {
    const std::uint32_t line = e.mark.line < 0 ? 1 : static_cast<std::uint32_t>(e.mark.line) + 1;
    return refuse(line, fmt::format("is not YAML: {}", e.msg));
  } catch (const std::exception& e) { return refuse(1, fmt::format("cannot be read: {}", e.what())); }
  for (const std::uint32_t root : builder.roots) {
    if (result.nodes_[root].kind != YamlNode::Kind::null) { result.roots_.push_back(root); }
  }
  return result;
}

const YamlNode* YamlFile::find(std::size_t document, std::string_view key, bool the_key) const {
  const YamlNode& root = nodes_[roots_[document]];
  for (std::size_t i = 0; root.kind == YamlNode::Kind::map && i < root.children.size(); i += 2) {
    if (nodes_[root.children[i]].text == key) { return &nodes_[root.children[the_key ? i : i + 1]]; }
  }
  return nullptr;
}

bool YamlFile::has(std::size_t document, std::string_view key) const { return find(document, key, true) != nullptr; }

std::string_view YamlFile::scalar(std::size_t document, std::string_view key) const {
  const YamlNode* node = find(document, key, false);
  return node != nullptr ? std::string_view(node->text) : std::string_view();
}

std::string YamlFile::where(std::size_t document, std::string_view key) const {
  const YamlNode* node = find(document, key, true);
  return fmt::format("{}:{}", file_, (node != nullptr ? *node : nodes_[roots_[document]]).line);
}

std::string YamlFile::where(std::size_t document, std::string_view key, std::size_t element) const {
  const YamlNode* node = find(document, key, false);
  if (node == nullptr || element >= node->children.size()) { return where(document, key); }
  return fmt::format("{}:{}", file_, nodes_[node->children[element]].line);
}

void YamlSource::fail_at(Value value, std::string what, std::string remedy) {
  if (!failed_) {
    failed_ = true;
    error_ = {ErrorKind::invalid, std::move(what), fmt::format("{}:{}", file_, nodes_[value].line), std::move(remedy)};
  }
}

void YamlSource::wrong(Value value, std::string_view wanted) {
  fail_at(value, fmt::format("wants {}, found {}", wanted, shown(nodes_[value])));
}

void YamlSource::bad_name(Value value, std::string_view name, std::span<const std::string_view> names, std::string_view what) {
  fail_at(value, fmt::format("unknown {} '{}'", what, shorten(name, kShownMax)), nearest_remedy(name, names));
}

void YamlSource::inside(std::string_view key) {
  const std::string part = shorten(key, kShownMax);
  path_ = path_.empty() ? part : path_.front() == '[' ? part + path_ : part + "." + path_;
}

void YamlSource::inside(std::size_t index) {
  const std::string part = fmt::format("[{}]", index);
  path_ = path_.empty() || path_.front() == '[' ? part + path_ : part + "." + path_;
}

Error YamlSource::error() && {
  if (!path_.empty()) { error_.what = path_ + ": " + error_.what; }
  return std::move(error_);
}

void YamlSource::element(Value value) {
  if (is_null(value)) { wrong(value, "a value"); }
}

void YamlSource::read(Value value, bool& out) {
  const YamlNode& node = nodes_[value];
  const bool plain = node.kind == YamlNode::Kind::scalar && !node.quoted;
  if (plain && (node.text == "true" || node.text == "True" || node.text == "TRUE")) {
    out = true;
  } else if (plain && (node.text == "false" || node.text == "False" || node.text == "FALSE")) {
    out = false;
  } else {
    wrong(value, "true or false");
  }
}

void YamlSource::read(Value value, std::int64_t& out) {
  if (!whole_number(nodes_[value], out)) { wrong(value, "a whole number"); }
}

void YamlSource::read(Value value, std::uint64_t& out) {
  if (!whole_number(nodes_[value], out)) { wrong(value, "a whole number, not negative"); }
}

void YamlSource::read(Value value, double& out) {
  if (!whole_number(nodes_[value], out) || !std::isfinite(out)) { wrong(value, "a number"); }
}

void YamlSource::read(Value value, std::string& out) {
  const YamlNode& node = nodes_[value];
  if (node.kind != YamlNode::Kind::scalar) {
    wrong(value, "text");
    return;
  }
  out = node.text;
}

void YamlSource::read_span(Value value, Nanos& out) {
  const YamlNode& node = nodes_[value];
  const auto span = node.kind == YamlNode::Kind::scalar ? parse_duration(node.text) : std::nullopt;
  if (!span) {
    wrong(value, "a span such as 30s or 1h30m, or seconds");
    return;
  }
  out = *span;
}

void YamlSource::read_size(Value value, Bytes& out) {
  const YamlNode& node = nodes_[value];
  const auto size = node.kind == YamlNode::Kind::scalar ? parse_bytes(node.text) : std::nullopt;
  if (!size) {
    wrong(value, "a size such as 2GiB, or bytes");
    return;
  }
  out = *size;
}

YamlSource::Map YamlSource::open_map(Value value) {
  if (nodes_[value].kind != YamlNode::Kind::map) { wrong(value, "keys and values"); }
  return {value, 0, 0};
}

bool YamlSource::take(Map& map, std::string_view key, Value& value) {
  const auto& children = nodes_[map.node].children;
  for (std::size_t i = 0; !failed_ && i < children.size(); i += 2) {
    if (nodes_[children[i]].text == key) {
      value = children[i + 1];
      ++map.taken;
      return true;
    }
  }
  return false;
}

bool YamlSource::next(Map& map, std::string_view& key, Value& value) {
  const auto& children = nodes_[map.node].children;
  if (failed_ || map.at >= children.size()) { return false; }
  key = nodes_[children[map.at]].text;
  value = children[map.at + 1];
  map.at += 2;
  return true;
}

bool YamlSource::all_taken(const Map& map) const { return map.taken * 2 == nodes_[map.node].children.size(); }

void YamlSource::unknown(const Map& map, std::span<const std::string_view> keys) {
  std::vector<std::string_view> known(keys.begin(), keys.end());
  if (map.node == allowed_at_ && !allowed_.empty()) { known.push_back(allowed_); }
  const auto& children = nodes_[map.node].children;
  for (std::size_t i = 0; i < children.size(); i += 2) {
    if (std::find(known.begin(), known.end(), nodes_[children[i]].text) == known.end()) {
      bad_name(children[i], nodes_[children[i]].text, known, "key");
      return;
    }
  }
}

YamlSource::Seq YamlSource::open_seq(Value value) {
  if (nodes_[value].kind != YamlNode::Kind::list) { wrong(value, "a list"); }
  return {value, 0};
}

bool YamlSource::next(Seq& seq, Value& value) {
  const auto& children = nodes_[seq.node].children;
  if (failed_ || seq.at >= children.size()) { return false; }
  value = children[seq.at++];
  return true;
}

}  // namespace centrale
