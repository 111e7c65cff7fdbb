// SPDX-License-Identifier: Apache-2.0
#include <span>

#include "base/ensure.hpp"
#include "formats/file.hpp"
#include "formats/gguf.hpp"

namespace centrale::trainer {
namespace {

constexpr std::uint64_t kAlignment = 32;

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_string(std::string& out, const std::string& text) {
  put<std::uint64_t>(out, text.size());
  out += text;
}

void put_field(std::string& out, const GgufField& field) {
  std::visit(Overloaded{[&](U32 number) {
                          put<std::uint32_t>(out, 4);
                          put(out, number.value);
                        },
                        [&](F32 number) {
                          put<std::uint32_t>(out, 6);
                          put(out, number.value);
                        },
                        [&](bool flag) {
                          put<std::uint32_t>(out, 7);
                          put<std::uint8_t>(out, flag ? 1 : 0);
                        },
                        [&](const std::string& text) {
                          put<std::uint32_t>(out, 8);
                          put_string(out, text);
                        },
                        [&](const std::vector<std::string>& list) {
                          put<std::uint32_t>(out, 9);
                          put<std::uint32_t>(out, 8);
                          put<std::uint64_t>(out, list.size());
                          for (const auto& text : list) put_string(out, text);
                        },
                        [&](const std::vector<std::int32_t>& list) {
                          put<std::uint32_t>(out, 9);
                          put<std::uint32_t>(out, 5);
                          put<std::uint64_t>(out, list.size());
                          for (const auto number : list) put(out, number);
                        }},
             field);
}

std::uint64_t padded(std::uint64_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

std::uint64_t tensor_bytes(const GgufToWrite& tensor) {
  const auto* block = ggml_block(static_cast<std::uint32_t>(tensor.type));
  ensure(block != nullptr);
  std::uint64_t values = 1;
  for (const auto extent : tensor.shape) values *= static_cast<std::uint64_t>(extent);
  ensure(values % block->values == 0);
  return values / block->values * block->bytes;
}

}  // namespace

Result<void> write_gguf(const std::filesystem::path& path, const std::vector<std::pair<std::string, GgufField>>& metadata,
                        const std::vector<GgufToWrite>& tensors) {
  std::string head;
  put<std::uint32_t>(head, 0x46554747);
  put<std::uint32_t>(head, 3);
  put<std::uint64_t>(head, tensors.size());
  put<std::uint64_t>(head, metadata.size());
  for (const auto& [key, field] : metadata) {
    put_string(head, key);
    put_field(head, field);
  }
  std::uint64_t offset = 0;
  for (const auto& tensor : tensors) {
    put_string(head, tensor.name);
    put<std::uint32_t>(head, static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto extent = tensor.shape.rbegin(); extent != tensor.shape.rend(); ++extent) {
      put<std::uint64_t>(head, static_cast<std::uint64_t>(*extent));
    }
    put<std::uint32_t>(head, static_cast<std::uint32_t>(tensor.type));
    put<std::uint64_t>(head, offset);
    offset += padded(tensor_bytes(tensor));
  }
  head.append(padded(head.size()) - head.size(), '\0');

  const std::filesystem::path partial = path.string() + ".partial";
  TRY_ASSIGN(auto file, DurableFile::create(partial));
  TRY(file.write(head));
  for (const auto& tensor : tensors) {
    const auto bytes = tensor.bytes();
    ensure(bytes.size() == tensor_bytes(tensor));
    TRY(file.write(bytes));
    TRY(file.write(std::string(padded(bytes.size()) - bytes.size(), '\0')));
  }
  TRY(file.finish());
  return rename_durably(partial, path);
}

}  // namespace centrale::trainer
