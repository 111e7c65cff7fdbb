// SPDX-License-Identifier: Apache-2.0
// safetensors, as https://github.com/huggingface/safetensors#format describes it: 8 bytes of header length,
// a JSON header, then the tensors back to back. The file is not trusted: lengths, types, shapes, overlaps and
// holes are checked before a byte of data is used.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace centrale::trainer {

enum class Dtype : unsigned char { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

std::size_t dtype_bytes(Dtype type);
std::string_view dtype_name(Dtype type);  // "F32", as the header spells it

struct TensorEntry {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // from the start of the file
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // in the order of the data
  std::map<std::string, std::string> metadata;
};

/// `file` is the whole file; `where` names it in messages.
Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file, const std::string& where);

struct TensorToWrite {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

/// The file is on the disk when this returns; a failure leaves no file.
Result<void> write_safetensors(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors,
                               const std::map<std::string, std::string>& metadata);

}  // namespace centrale::trainer
