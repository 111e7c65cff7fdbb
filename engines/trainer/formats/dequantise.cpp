// SPDX-License-Identifier: Apache-2.0
// The block formats of ggml, as ggml-quants.c defines them. Each block holds one or two half-precision scales and
// small integers; see docs/training.md for what is lost by training on from a quantised file.
#include <bit>
#include <cmath>
#include <cstring>

#include "base/ensure.hpp"
#include "formats/gguf.hpp"

namespace centrale::trainer {
namespace {

std::uint8_t byte_at(const std::byte* block, std::size_t i) { return static_cast<std::uint8_t>(block[i]); }

float half_at(const std::byte* block, std::size_t i) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, block + i, sizeof bits);
  return half_to_float(bits);
}

int low(std::uint8_t byte) { return byte & 15; }
int high(std::uint8_t byte) { return byte >> 4; }
float as_float(int number) { return static_cast<float>(number); }

void q4_0(const std::byte* b, float* out) {
  const float d = half_at(b, 0);
  for (std::size_t i = 0; i < 16; ++i) {
    out[i] = as_float(low(byte_at(b, 2 + i)) - 8) * d;
    out[i + 16] = as_float(high(byte_at(b, 2 + i)) - 8) * d;
  }
}

void q4_1(const std::byte* b, float* out) {
  const float d = half_at(b, 0);
  const float m = half_at(b, 2);
  for (std::size_t i = 0; i < 16; ++i) {
    out[i] = as_float(low(byte_at(b, 4 + i))) * d + m;
    out[i + 16] = as_float(high(byte_at(b, 4 + i))) * d + m;
  }
}

// The fifth bit of value i is bit i of a 32-bit word.
int fifth_bit(const std::byte* word, std::size_t i) { return ((byte_at(word, i / 8) >> (i % 8)) & 1) << 4; }

void q5_0(const std::byte* b, float* out) {
  const float d = half_at(b, 0);
  for (std::size_t i = 0; i < 16; ++i) {
    out[i] = as_float((low(byte_at(b, 6 + i)) | fifth_bit(b + 2, i)) - 16) * d;
    out[i + 16] = as_float((high(byte_at(b, 6 + i)) | fifth_bit(b + 2, i + 16)) - 16) * d;
  }
}

void q5_1(const std::byte* b, float* out) {
  const float d = half_at(b, 0);
  const float m = half_at(b, 2);
  for (std::size_t i = 0; i < 16; ++i) {
    out[i] = as_float(low(byte_at(b, 8 + i)) | fifth_bit(b + 4, i)) * d + m;
    out[i + 16] = as_float(high(byte_at(b, 8 + i)) | fifth_bit(b + 4, i + 16)) * d + m;
  }
}

void q8_0(const std::byte* b, float* out) {
  const float d = half_at(b, 0);
  for (std::size_t i = 0; i < 32; ++i) out[i] = as_float(static_cast<std::int8_t>(byte_at(b, 2 + i))) * d;
}

struct ScaleMin {
  int scale;
  int min;
};
// Eight pairs of 6-bit numbers packed in 12 bytes: get_scale_min_k4 of ggml.
ScaleMin scale_min(const std::byte* scales, std::size_t j) {
  if (j < 4) return {byte_at(scales, j) & 63, byte_at(scales, j + 4) & 63};
  return {(byte_at(scales, j + 4) & 15) | ((byte_at(scales, j - 4) >> 6) << 4),
          (byte_at(scales, j + 4) >> 4) | ((byte_at(scales, j) >> 6) << 4)};
}

void q4_k(const std::byte* b, float* out) {
  const float d = half_at(b, 0);
  const float dmin = half_at(b, 2);
  const std::byte* quants = b + 16;
  for (std::size_t j = 0; j < 8; ++j) {
    const auto [scale, min] = scale_min(b + 4, j);
    const float ds = d * as_float(scale);
    const float m = dmin * as_float(min);
    for (std::size_t i = 0; i < 32; ++i) {
      const auto byte = byte_at(quants, j / 2 * 32 + i);
      out[j * 32 + i] = ds * as_float(j % 2 == 0 ? low(byte) : high(byte)) - m;
    }
  }
}

void q5_k(const std::byte* b, float* out) {
  const float d = half_at(b, 0);
  const float dmin = half_at(b, 2);
  const std::byte* high_bits = b + 16;
  const std::byte* quants = b + 48;
  for (std::size_t j = 0; j < 8; ++j) {
    const auto [scale, min] = scale_min(b + 4, j);
    const float ds = d * as_float(scale);
    const float m = dmin * as_float(min);
    for (std::size_t i = 0; i < 32; ++i) {
      const auto byte = byte_at(quants, j / 2 * 32 + i);
      const int fifth = ((byte_at(high_bits, i) >> j) & 1) << 4;
      out[j * 32 + i] = ds * as_float((j % 2 == 0 ? low(byte) : high(byte)) | fifth) - m;
    }
  }
}

void q6_k(const std::byte* b, float* out) {
  const float d = half_at(b, 208);
  for (std::size_t half = 0; half < 2; ++half) {
    const std::byte* ql = b + half * 64;
    const std::byte* qh = b + 128 + half * 32;
    const std::byte* scales = b + 192 + half * 8;
    for (std::size_t quarter = 0; quarter < 4; ++quarter) {
      for (std::size_t i = 0; i < 32; ++i) {
        const auto byte = byte_at(ql, (quarter % 2) * 32 + i);
        const int four = quarter < 2 ? low(byte) : high(byte);
        const int two = (byte_at(qh, i) >> (2 * quarter)) & 3;
        const auto scale = static_cast<std::int8_t>(byte_at(scales, quarter * 2 + i / 16));
        out[half * 128 + quarter * 32 + i] = d * as_float(scale) * as_float((four | (two << 4)) - 32);
      }
    }
  }
}

void one_half(const std::byte* b, float* out) { *out = half_at(b, 0); }
void one_float(const std::byte* b, float* out) { std::memcpy(out, b, sizeof *out); }
void one_bfloat(const std::byte* b, float* out) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, b, sizeof bits);
  *out = bfloat_to_float(bits);
}

using Unpack = void (*)(const std::byte*, float*);
Unpack unpack_of(GgmlType type) {
  switch (type) {
    case GgmlType::f32: return one_float;
    case GgmlType::f16: return one_half;
    case GgmlType::bf16: return one_bfloat;
    case GgmlType::q4_0: return q4_0;
    case GgmlType::q4_1: return q4_1;
    case GgmlType::q5_0: return q5_0;
    case GgmlType::q5_1: return q5_1;
    case GgmlType::q8_0: return q8_0;
    case GgmlType::q4_k: return q4_k;
    case GgmlType::q5_k: return q5_k;
    case GgmlType::q6_k: return q6_k;
  }
  broken_belief("a tensor type that the reader let through", __FILE__, __LINE__);
}

}  // namespace

float half_to_float(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  float value = 0;
  if (exponent == 0)
    value = std::ldexp(as_float(fraction), -24);
  else if (exponent == 31)
    value = fraction == 0 ? HUGE_VALF : NAN;
  else
    value = std::ldexp(as_float(fraction | 1024), exponent - 25);
  return (bits & 0x8000) != 0 ? -value : value;
}

float bfloat_to_float(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

void dequantise(GgmlType type, std::span<const std::byte> bytes, std::span<float> out) {
  const auto* block = ggml_block(static_cast<std::uint32_t>(type));
  ensure(block != nullptr);
  ensure(out.size() % block->values == 0);
  const std::size_t blocks = out.size() / block->values;
  ensure(bytes.size() == blocks * block->bytes);
  const Unpack unpack = unpack_of(type);
  for (std::size_t i = 0; i < blocks; ++i) unpack(bytes.data() + i * block->bytes, out.data() + i * block->values);
}

}  // namespace centrale::trainer
