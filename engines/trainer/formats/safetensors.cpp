// SPDX-License-Identifier: Apache-2.0
#include "formats/safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/ensure.hpp"
#include "formats/file.hpp"
#include "formats/json.hpp"

namespace centrale::trainer {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor files are little-endian and are used in place");

constexpr std::uint64_t kHeaderMax = 100'000'000;  // the limit of the reference implementation
constexpr std::size_t kRankMax = 8;
constexpr std::size_t kTensorsMax = 1'000'000;

struct DtypeRow {
  Dtype type;
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<DtypeRow, 10> kDtypes{{{Dtype::f64, "F64", 8},
                                            {Dtype::f32, "F32", 4},
                                            {Dtype::f16, "F16", 2},
                                            {Dtype::bf16, "BF16", 2},
                                            {Dtype::i64, "I64", 8},
                                            {Dtype::i32, "I32", 4},
                                            {Dtype::i16, "I16", 2},
                                            {Dtype::i8, "I8", 1},
                                            {Dtype::u8, "U8", 1},
                                            {Dtype::boolean, "BOOL", 1}}};

const DtypeRow& row_of(Dtype type) {
  const auto row = std::ranges::find(kDtypes, type, &DtypeRow::type);
  ensure(row != kDtypes.end());
  return *row;
}

Result<std::vector<std::int64_t>> read_shape(const json::value* value, const std::string& name, const std::string& where) {
  const auto wrong = [&] { return fail(ErrorKind::invalid, fmt::format("tensor '{}' has no valid shape", name), where); };
  if (value == nullptr || !value->is_array() || value->get_array().size() > kRankMax) return wrong();
  std::vector<std::int64_t> shape;
  for (const auto& extent : value->get_array()) {
    if (!extent.is_int64() || extent.get_int64() < 0) return wrong();
    shape.push_back(extent.get_int64());
  }
  return shape;
}

Result<TensorEntry> read_entry(const std::string& name, const json::value& value, std::uint64_t data_size, std::uint64_t data_start,
                               const std::string& where) {
  TRY_ASSIGN(const auto fields, as_fields(value, where + ": tensor '" + name + "'"));
  TensorEntry entry;
  entry.name = name;
  TRY_ASSIGN(const auto type_name, fields.text("dtype"));
  const auto row = std::ranges::find(kDtypes, type_name, &DtypeRow::name);
  if (row == kDtypes.end()) {
    return fail(ErrorKind::invalid, fmt::format("tensor '{}' has the unknown type '{}'", name, type_name), where);
  }
  entry.dtype = row->type;
  TRY_ASSIGN(entry.shape, read_shape(fields.object->if_contains("shape"), name, where));
  std::uint64_t bytes = row->bytes;
  for (const auto extent : entry.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes)) {
      return fail(ErrorKind::invalid, fmt::format("the shape of tensor '{}' is too large", name), where);
    }
  }
  const auto* offsets = fields.object->if_contains("data_offsets");
  if (offsets == nullptr || !offsets->is_array() || offsets->get_array().size() != 2 || !offsets->get_array()[0].is_int64() ||
      !offsets->get_array()[1].is_int64()) {
    return fail(ErrorKind::invalid, fmt::format("tensor '{}' has no valid data_offsets", name), where);
  }
  const std::int64_t begin = offsets->get_array()[0].get_int64();
  const std::int64_t end = offsets->get_array()[1].get_int64();
  if (begin < 0 || end < begin || static_cast<std::uint64_t>(end) > data_size) {
    return fail(ErrorKind::invalid, fmt::format("tensor '{}' lies outside the file", name), where,
                "the file is cut short or damaged; fetch it again");
  }
  if (static_cast<std::uint64_t>(end - begin) != bytes) {
    return fail(ErrorKind::invalid, fmt::format("tensor '{}' has {} bytes; its shape and type need {}", name, end - begin, bytes), where);
  }
  entry.begin = data_start + static_cast<std::uint64_t>(begin);
  entry.end = data_start + static_cast<std::uint64_t>(end);
  return entry;
}

}  // namespace

std::size_t dtype_bytes(Dtype type) { return row_of(type).bytes; }
std::string_view dtype_name(Dtype type) { return row_of(type).name; }

Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file, const std::string& where) {
  std::uint64_t length = 0;
  if (file.size() < sizeof length) return fail(ErrorKind::invalid, "not a safetensors file: shorter than 8 bytes", where);
  std::memcpy(&length, file.data(), sizeof length);
  if (length > kHeaderMax || length > file.size() - sizeof length) {
    return fail(ErrorKind::invalid, fmt::format("not a safetensors file: a header of {} bytes is announced", length), where,
                "check that this is a .safetensors file and that it is whole");
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + sizeof length, length);
  TRY_ASSIGN(const auto value, parse_json(text, where));
  TRY_ASSIGN(const auto fields, as_fields(value, where));
  if (fields.object->size() > kTensorsMax) return fail(ErrorKind::invalid, "more than a million tensors", where);

  SafetensorsHeader header;
  const std::uint64_t data_start = sizeof length + length;
  const std::uint64_t data_size = file.size() - data_start;
  for (const auto& member : *fields.object) {
    const std::string name(member.key());
    if (name == "__metadata__") {
      if (!member.value().is_object()) return fail(ErrorKind::invalid, "__metadata__ is not an object", where);
      for (const auto& note : member.value().get_object()) {
        if (!note.value().is_string()) return fail(ErrorKind::invalid, "__metadata__ holds a value that is no text", where);
        header.metadata.emplace(note.key(), note.value().get_string());
      }
      continue;
    }
    TRY_ASSIGN(auto entry, read_entry(name, member.value(), data_size, data_start, where));
    header.tensors.push_back(std::move(entry));
  }
  std::ranges::sort(header.tensors, [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::uint64_t expected = data_start;
  for (const auto& entry : header.tensors) {
    if (entry.begin != expected) {
      return fail(ErrorKind::invalid,
                  fmt::format("tensor '{}' {}", entry.name, entry.begin < expected ? "overlaps another" : "follows a hole"), where);
    }
    expected = entry.end;
  }
  if (expected != file.size()) return fail(ErrorKind::invalid, "bytes follow the last tensor", where);
  return header;
}

Result<void> write_safetensors(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors,
                               const std::map<std::string, std::string>& metadata) {
  json::object header;
  if (!metadata.empty()) {
    json::object notes;
    for (const auto& [key, note] : metadata) notes[key] = note;
    header["__metadata__"] = std::move(notes);
  }
  std::uint64_t offset = 0;
  for (const auto& tensor : tensors) {
    std::uint64_t bytes = dtype_bytes(tensor.dtype);
    for (const auto extent : tensor.shape) bytes *= static_cast<std::uint64_t>(extent);
    ensure(bytes == tensor.bytes.size());
    ensure(!header.contains(tensor.name));
    header[tensor.name] = {{"dtype", dtype_name(tensor.dtype)},
                           {"shape", json::array(tensor.shape.begin(), tensor.shape.end())},
                           {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = json::serialize(header);
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data is aligned when mapped
  const std::uint64_t length = text.size();

  TRY_ASSIGN(auto file, DurableFile::create(path));
  TRY(file.write(std::as_bytes(std::span(&length, 1))));
  TRY(file.write(text));
  for (const auto& tensor : tensors) TRY(file.write(tensor.bytes));
  return file.finish();
}

}  // namespace centrale::trainer
