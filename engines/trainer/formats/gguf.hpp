// SPDX-License-Identifier: Apache-2.0
// GGUF versions 2 and 3, as https://github.com/ggml-org/ggml/blob/master/docs/gguf.md describes it.
// Like safetensors, the file is not trusted.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"

namespace centrale::trainer {

/// The tensor types we read; the numbers are those of the file.
enum class GgmlType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  bf16 = 30,
};

struct GgmlBlock {
  GgmlType type;
  std::string_view name;
  std::uint32_t values;  // in a block
  std::uint32_t bytes;   // of a block
};
/// Null if we do not read this type.
const GgmlBlock* ggml_block(std::uint32_t type);

using GgufArray = std::variant<std::vector<std::int64_t>, std::vector<double>, std::vector<std::string>>;
using GgufValue = std::variant<std::int64_t, double, bool, std::string, GgufArray>;

struct GgufTensor {
  std::string name;
  std::vector<std::int64_t> shape;  // as PyTorch orders it: the last extent is contiguous (the file has the reverse)
  GgmlType type = GgmlType::f32;
  std::span<const std::byte> bytes;  // into the file
};

struct Gguf {
  std::map<std::string, GgufValue> metadata;
  std::vector<GgufTensor> tensors;
  std::string where;

  [[nodiscard]] Result<std::int64_t> integer(const std::string& key, std::int64_t min, std::int64_t max) const;
  [[nodiscard]] Result<double> number(const std::string& key) const;
  [[nodiscard]] Result<std::string> text(const std::string& key) const;
  template <class T>
  [[nodiscard]] const std::vector<T>* array(const std::string& key) const {
    const auto found = metadata.find(key);
    if (found == metadata.end()) return nullptr;
    const auto* list = std::get_if<GgufArray>(&found->second);
    return list == nullptr ? nullptr : std::get_if<std::vector<T>>(list);
  }
  [[nodiscard]] bool has(const std::string& key) const { return metadata.contains(key); }
};

/// The result points into `file`.
Result<Gguf> parse_gguf(std::span<const std::byte> file, const std::string& where);

/// `out` has as many floats as the tensor has values.
void dequantise(GgmlType type, std::span<const std::byte> bytes, std::span<float> out);

float half_to_float(std::uint16_t bits);
float bfloat_to_float(std::uint16_t bits);

/// Types of metadata as the writer needs them; readers of GGUF insist on the exact width.
struct U32 {
  std::uint32_t value;
};
struct F32 {
  float value;
};
using GgufField = std::variant<U32, F32, bool, std::string, std::vector<std::string>, std::vector<std::int32_t>>;

struct GgufToWrite {
  std::string name;
  std::vector<std::int64_t> shape;  // PyTorch order
  GgmlType type = GgmlType::f32;
  std::function<std::vector<std::byte>()> bytes;  // called once, in order, so that one tensor at a time is in memory
};
/// Writes through a temporary name and a rename.
Result<void> write_gguf(const std::filesystem::path& path, const std::vector<std::pair<std::string, GgufField>>& metadata,
                        const std::vector<GgufToWrite>& tensors);

}  // namespace centrale::trainer
