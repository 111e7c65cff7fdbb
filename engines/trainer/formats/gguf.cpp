// SPDX-License-Identifier: Apache-2.0
#include "formats/gguf.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <set>

#include "base/ensure.hpp"
#include "formats/file.hpp"

namespace centrale::trainer {
namespace {

constexpr std::uint64_t kCountMax = 1 << 20;    // tensors, and keys of metadata
constexpr std::uint64_t kStringMax = 16 << 20;  // chat templates are the longest
constexpr std::uint64_t kArrayMax = 16 << 20;   // entries; vocabularies have some 200,000
constexpr std::uint64_t kAlignmentMax = 1 << 16;
constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"

constexpr std::array<GgmlBlock, 11> kBlocks{{{GgmlType::f32, "F32", 1, 4},
                                             {GgmlType::f16, "F16", 1, 2},
                                             {GgmlType::bf16, "BF16", 1, 2},
                                             {GgmlType::q4_0, "Q4_0", 32, 18},
                                             {GgmlType::q4_1, "Q4_1", 32, 20},
                                             {GgmlType::q5_0, "Q5_0", 32, 22},
                                             {GgmlType::q5_1, "Q5_1", 32, 24},
                                             {GgmlType::q8_0, "Q8_0", 32, 34},
                                             {GgmlType::q4_k, "Q4_K", 256, 144},
                                             {GgmlType::q5_k, "Q5_K", 256, 176},
                                             {GgmlType::q6_k, "Q6_K", 256, 210}}};

enum class Kind : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
constexpr std::uint32_t kKindLast = static_cast<std::uint32_t>(Kind::f64);
constexpr std::array<std::uint8_t, 13> kKindBytes{1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};  // at least, for string and array

/// Reads forward and never past the end; the first failure sticks.
struct Cursor {
  std::span<const std::byte> file;
  std::size_t at = 0;
  bool failed = false;

  template <class T>
  T take() {
    T value{};
    if (failed || file.size() - at < sizeof value) {
      failed = true;
      return value;
    }
    std::memcpy(&value, file.data() + at, sizeof value);
    at += sizeof value;
    return value;
  }
  std::string take_string() {
    const auto length = take<std::uint64_t>();
    if (failed || length > kStringMax || length > file.size() - at) {
      failed = true;
      return {};
    }
    std::string text(reinterpret_cast<const char*>(file.data()) + at, length);
    at += length;
    return text;
  }
  std::int64_t take_integer(Kind kind) {
    switch (kind) {
      case Kind::u8: return take<std::uint8_t>();
      case Kind::i8: return take<std::int8_t>();
      case Kind::u16: return take<std::uint16_t>();
      case Kind::i16: return take<std::int16_t>();
      case Kind::u32: return take<std::uint32_t>();
      case Kind::i32: return take<std::int32_t>();
      case Kind::boolean: return take<std::uint8_t>() != 0 ? 1 : 0;
      case Kind::i64: return take<std::int64_t>();
      case Kind::u64: {
        const auto value = take<std::uint64_t>();
        if (value > static_cast<std::uint64_t>(INT64_MAX)) failed = true;
        return static_cast<std::int64_t>(value);
      }
      case Kind::f32:
      case Kind::f64:
      case Kind::string:
      case Kind::array: break;
    }
    failed = true;
    return 0;
  }
};

GgufArray take_array(Cursor& cursor) {
  const auto kind_number = cursor.take<std::uint32_t>();
  const auto count = cursor.take<std::uint64_t>();
  // A nested array is legal, but no model we read has one.
  if (cursor.failed || kind_number > kKindLast || static_cast<Kind>(kind_number) == Kind::array || count > kArrayMax ||
      count * kKindBytes[kind_number] > cursor.file.size() - cursor.at) {
    cursor.failed = true;
    return {};
  }
  const auto kind = static_cast<Kind>(kind_number);
  if (kind == Kind::string) {
    std::vector<std::string> list;
    for (std::uint64_t i = 0; i < count && !cursor.failed; ++i) list.push_back(cursor.take_string());
    return list;
  }
  if (kind == Kind::f32 || kind == Kind::f64) {
    std::vector<double> list;
    for (std::uint64_t i = 0; i < count && !cursor.failed; ++i) {
      list.push_back(kind == Kind::f32 ? static_cast<double>(cursor.take<float>()) : cursor.take<double>());
    }
    return list;
  }
  std::vector<std::int64_t> list;
  for (std::uint64_t i = 0; i < count && !cursor.failed; ++i) list.push_back(cursor.take_integer(kind));
  return list;
}

GgufValue take_value(Cursor& cursor) {
  const auto number = cursor.take<std::uint32_t>();
  if (number > kKindLast) {
    cursor.failed = true;
    return {};
  }
  switch (const auto kind = static_cast<Kind>(number)) {
    case Kind::string: return cursor.take_string();
    case Kind::array: return take_array(cursor);
    case Kind::f32: return static_cast<double>(cursor.take<float>());
    case Kind::f64: return cursor.take<double>();
    case Kind::boolean: return cursor.take<std::uint8_t>() != 0;
    default: return cursor.take_integer(kind);
  }
}

struct Placement {
  GgufTensor tensor;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

Result<Placement> take_tensor(Cursor& cursor, const std::string& where) {
  Placement placed;
  placed.tensor.name = cursor.take_string();
  const auto rank = cursor.take<std::uint32_t>();
  if (cursor.failed || rank > 4) return fail(ErrorKind::invalid, "the list of tensors is damaged", where);
  std::uint64_t values = 1;
  for (std::uint32_t i = 0; i < rank; ++i) {
    const auto extent = cursor.take<std::uint64_t>();
    if (extent > static_cast<std::uint64_t>(INT64_MAX) || __builtin_mul_overflow(values, extent, &values)) {
      return fail(ErrorKind::invalid, fmt::format("the shape of tensor '{}' is too large", placed.tensor.name), where);
    }
    placed.tensor.shape.insert(placed.tensor.shape.begin(), static_cast<std::int64_t>(extent));
  }
  const auto type = cursor.take<std::uint32_t>();
  placed.offset = cursor.take<std::uint64_t>();
  if (cursor.failed) return fail(ErrorKind::invalid, "the list of tensors is cut short", where);
  const auto* block = ggml_block(type);
  if (block == nullptr) {
    return fail(ErrorKind::invalid, fmt::format("tensor '{}' has the type number {}, which we do not read", placed.tensor.name, type),
                where, "use a file in F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K");
  }
  placed.tensor.type = block->type;
  const auto row = placed.tensor.shape.empty() ? 1U : static_cast<std::uint64_t>(placed.tensor.shape.back());
  if (row % block->values != 0 || __builtin_mul_overflow(values / block->values, std::uint64_t{block->bytes}, &placed.bytes)) {
    return fail(ErrorKind::invalid, fmt::format("a row of tensor '{}' is no multiple of its block", placed.tensor.name), where);
  }
  return placed;
}

Result<void> lay_out(std::vector<Placement>& placements, std::uint64_t data_start, std::uint64_t alignment, Gguf& gguf,
                     std::span<const std::byte> file) {
  std::ranges::sort(placements, {}, &Placement::offset);
  const std::uint64_t data_size = file.size() - data_start;
  std::uint64_t used = 0;
  std::set<std::string> names;
  for (auto& [tensor, offset, bytes] : placements) {
    if (offset % alignment != 0 || offset > data_size || bytes > data_size - offset) {
      return fail(ErrorKind::invalid, fmt::format("tensor '{}' lies outside the file", tensor.name), gguf.where,
                  "the file is cut short or damaged; fetch it again");
    }
    if (offset < used) return fail(ErrorKind::invalid, fmt::format("tensor '{}' overlaps another", tensor.name), gguf.where);
    used = offset + bytes;
    if (!names.insert(tensor.name).second) {
      return fail(ErrorKind::invalid, fmt::format("tensor '{}' is listed twice", tensor.name), gguf.where);
    }
    tensor.bytes = file.subspan(data_start + offset, bytes);
    gguf.tensors.push_back(std::move(tensor));
  }
  return {};
}

}  // namespace

const GgmlBlock* ggml_block(std::uint32_t type) {
  const auto found = std::ranges::find(kBlocks, static_cast<GgmlType>(type), &GgmlBlock::type);
  return found == kBlocks.end() ? nullptr : &*found;
}

Result<std::int64_t> Gguf::integer(const std::string& key, std::int64_t min, std::int64_t max) const {
  const auto found = metadata.find(key);
  const auto* value = found == metadata.end() ? nullptr : std::get_if<std::int64_t>(&found->second);
  if (value == nullptr || *value < min || *value > max) {
    return fail(ErrorKind::invalid, fmt::format("metadata '{}' is missing or not a number from {} to {}", key, min, max), where);
  }
  return *value;
}

Result<double> Gguf::number(const std::string& key) const {
  const auto found = metadata.find(key);
  const auto* value = found == metadata.end() ? nullptr : std::get_if<double>(&found->second);
  if (value == nullptr) return fail(ErrorKind::invalid, fmt::format("metadata '{}' is missing or not a number", key), where);
  return *value;
}

Result<std::string> Gguf::text(const std::string& key) const {
  const auto found = metadata.find(key);
  const auto* value = found == metadata.end() ? nullptr : std::get_if<std::string>(&found->second);
  if (value == nullptr) return fail(ErrorKind::invalid, fmt::format("metadata '{}' is missing or not a text", key), where);
  return *value;
}

Result<Gguf> parse_gguf(std::span<const std::byte> file, const std::string& where) {
  Cursor cursor{file};
  if (cursor.take<std::uint32_t>() != kMagic) { return fail(ErrorKind::invalid, "not a GGUF file: it does not start with 'GGUF'", where); }
  const auto version = cursor.take<std::uint32_t>();
  if (version != 2 && version != 3) {
    return fail(ErrorKind::invalid, fmt::format("GGUF version {} is not supported", version), where, "convert it to version 3");
  }
  const auto tensor_count = cursor.take<std::uint64_t>();
  const auto key_count = cursor.take<std::uint64_t>();
  if (cursor.failed || tensor_count > kCountMax || key_count > kCountMax) {
    return fail(ErrorKind::invalid, "the head of the GGUF file is damaged", where);
  }
  Gguf gguf;
  gguf.where = where;
  for (std::uint64_t i = 0; i < key_count; ++i) {
    auto key = cursor.take_string();
    auto value = take_value(cursor);
    if (cursor.failed) return fail(ErrorKind::invalid, fmt::format("metadata is damaged after key {} ('{}')", i, key), where);
    gguf.metadata.insert_or_assign(std::move(key), std::move(value));
  }
  std::vector<Placement> placements;
  for (std::uint64_t i = 0; i < tensor_count; ++i) {
    TRY_ASSIGN(auto placed, take_tensor(cursor, where));
    placements.push_back(std::move(placed));
  }
  std::uint64_t alignment = 32;
  if (gguf.has("general.alignment")) {
    TRY_ASSIGN(const auto wanted, gguf.integer("general.alignment", 1, kAlignmentMax));
    alignment = static_cast<std::uint64_t>(wanted);
    if (!std::has_single_bit(alignment)) return fail(ErrorKind::invalid, "general.alignment is no power of two", where);
  }
  const std::uint64_t data_start = (cursor.at + alignment - 1) / alignment * alignment;
  if (data_start > file.size()) {
    if (tensor_count > 0) return fail(ErrorKind::invalid, "the file ends before its tensors", where);
    return gguf;
  }
  TRY(lay_out(placements, data_start, alignment, gguf, file));
  return gguf;
}

}  // namespace centrale::trainer
