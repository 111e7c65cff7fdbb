// SPDX-License-Identifier: Apache-2.0
#include "weights.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "formats/file.hpp"
#include "formats/json.hpp"

namespace centrale::trainer {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t kJsonMax = std::size_t{256} << 20;

/// Our name of a weight to GGUF's, as gguf-py's tensor_mapping has it.
std::string gguf_name(const std::string& name) {
  static const std::map<std::string, std::string> whole{
      {"model.embed_tokens.weight", "token_embd.weight"}, {"model.norm.weight", "output_norm.weight"}, {"lm_head.weight", "output.weight"}};
  static const std::map<std::string, std::string> part{
      {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},   {"self_attn.v_proj", "attn_v"},
      {"self_attn.o_proj", "attn_output"}, {"mlp.gate_proj", "ffn_gate"},    {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"},       {"input_layernorm", "attn_norm"}, {"post_attention_layernorm", "ffn_norm"}};
  if (const auto found = whole.find(name); found != whole.end()) return found->second;
  // model.layers.7.mlp.up_proj.weight
  const auto number = std::string_view("model.layers.").size();
  const auto dot = name.find('.', number);
  const auto end = name.rfind(".weight");
  return fmt::format("blk.{}.{}.weight", name.substr(number, dot - number), part.at(name.substr(dot + 1, end - dot - 1)));
}

std::int64_t heads_to_permute(const ModelConfig& config, const std::string& name) {
  if (name.ends_with("q_proj.weight")) return config.heads;
  if (name.ends_with("k_proj.weight")) return config.kv_heads;
  return 0;
}

Result<std::vector<fs::path>> shards_of(const fs::path& folder) {
  std::error_code code;
  if (fs::exists(folder / "model.safetensors", code)) return std::vector{folder / "model.safetensors"};
  const auto index = folder / "model.safetensors.index.json";
  if (!fs::exists(index, code)) return std::vector<fs::path>{};
  TRY_ASSIGN(const auto text, read_text(index, kJsonMax));
  TRY_ASSIGN(const auto value, parse_json(text, index.string()));
  TRY_ASSIGN(const auto root, as_fields(value, index.string()));
  if (!root.has("weight_map")) return fail(ErrorKind::invalid, "field 'weight_map' is missing", index.string());
  TRY_ASSIGN(const auto map, as_fields(root.object->at("weight_map"), index.string()));
  std::set<fs::path> files;
  for (const auto& member : *map.object) {
    TRY_ASSIGN(const auto file, map.text(member.key()));
    // A name from outside stays inside the folder.
    if (file.find('/') != std::string::npos || file == "..") {
      return fail(ErrorKind::invalid, fmt::format("shard '{}' is not in the folder", file), index.string());
    }
    files.insert(folder / file);
  }
  return std::vector<fs::path>(files.begin(), files.end());
}

Result<ModelFiles> open_gguf(const fs::path& path) {
  TRY_ASSIGN(const auto file, MappedFile::open(path));
  TRY_ASSIGN(const auto gguf, parse_gguf(file.bytes(), path.string()));
  ModelFiles files;
  files.gguf = path;
  TRY_ASSIGN(files.config, config_from_gguf(gguf));
  if (gguf.has("tokenizer.ggml.model")) {
    TRY_ASSIGN(auto vocabulary, vocabulary_from_gguf(gguf));
    files.vocabulary = std::move(vocabulary);
  }
  return files;
}

std::optional<fs::path> only_gguf(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    if (entry.path().extension() == ".gguf") found.push_back(entry.path());
  }
  return found.size() == 1 ? std::optional(found[0]) : std::nullopt;
}

at::ScalarType scalar_type(Dtype type) {
  switch (type) {
    case Dtype::f64: return at::kDouble;
    case Dtype::f32: return at::kFloat;
    case Dtype::f16: return at::kHalf;
    case Dtype::bf16: return at::kBFloat16;
    case Dtype::i64: return at::kLong;
    case Dtype::i32: return at::kInt;
    case Dtype::i16: return at::kShort;
    case Dtype::i8: return at::kChar;
    case Dtype::u8: return at::kByte;
    case Dtype::boolean: return at::kBool;
  }
  return at::kFloat;
}

Result<void> check_shape(const Parameter& parameter, at::IntArrayRef found, const std::string& where) {
  if (parameter.value.sizes() == found) return {};
  return fail(ErrorKind::invalid,
              fmt::format("tensor '{}' has the shape [{}]; the configuration needs [{}]", parameter.name, fmt::join(found, ", "),
                          fmt::join(parameter.value.sizes(), ", ")),
              where, "give the config.json that belongs to these weights");
}

Result<void> load_safetensors(const ModelFiles& files, Llama& model) {
  std::set<std::string> missing;
  for (const auto& parameter : model.parameters) missing.insert(parameter.name);
  at::NoGradGuard no_grad;
  for (const auto& path : files.safetensors) {
    TRY_ASSIGN(const auto file, MappedFile::open(path));
    TRY_ASSIGN(const auto header, parse_safetensors(file.bytes(), path.string()));
    for (const auto& entry : header.tensors) {
      const auto parameter = std::ranges::find(model.parameters, entry.name, &Parameter::name);
      if (parameter == model.parameters.end()) continue;  // rotary tables of old files, and a tied lm_head
      TRY(check_shape(*parameter, entry.shape, path.string()));
      if (entry.dtype != Dtype::f32 && entry.dtype != Dtype::f16 && entry.dtype != Dtype::bf16 && entry.dtype != Dtype::f64) {
        return fail(ErrorKind::invalid, fmt::format("tensor '{}' is {}: not a floating-point type", entry.name, dtype_name(entry.dtype)),
                    path.string());
      }
      // A copy: the file's data need not be aligned for its type.
      auto raw = at::empty(entry.shape, scalar_type(entry.dtype));
      std::memcpy(raw.data_ptr(), file.bytes().data() + entry.begin, entry.end - entry.begin);
      parameter->value.copy_(raw);
      missing.erase(entry.name);
    }
  }
  if (!missing.empty()) {
    return fail(ErrorKind::invalid, fmt::format("tensor '{}' is missing ({} in all)", *missing.begin(), missing.size()),
                files.safetensors.front().parent_path().string());
  }
  return {};
}

Result<void> load_gguf(const ModelFiles& files, Llama& model) {
  TRY_ASSIGN(const auto file, MappedFile::open(files.gguf));
  TRY_ASSIGN(const auto gguf, parse_gguf(file.bytes(), files.gguf.string()));
  at::NoGradGuard no_grad;
  for (const auto& parameter : model.parameters) {
    const auto tensor = std::ranges::find(gguf.tensors, gguf_name(parameter.name), &GgufTensor::name);
    if (tensor == gguf.tensors.end()) {
      return fail(ErrorKind::invalid, fmt::format("tensor '{}' is missing", gguf_name(parameter.name)), files.gguf.string());
    }
    TRY(check_shape(parameter, tensor->shape, files.gguf.string()));
    auto values = at::empty(tensor->shape, at::kFloat);
    dequantise(tensor->type, tensor->bytes, std::span(values.data_ptr<float>(), static_cast<std::size_t>(values.numel())));
    if (const auto heads = heads_to_permute(model.config, parameter.name); heads > 0) values = rows_from_gguf(values, heads);
    parameter.value.copy_(values);
  }
  return {};
}

}  // namespace

Result<Vocabulary> open_tokenizer(const fs::path& path) {
  std::error_code code;
  const auto file = fs::is_directory(path, code) ? path / "tokenizer.json" : path;
  TRY_ASSIGN(const auto text, read_text(file, kJsonMax));
  std::string config;
  if (const auto beside = file.parent_path() / "tokenizer_config.json"; fs::exists(beside, code)) {
    TRY_ASSIGN(config, read_text(beside, kJsonMax));
  }
  return vocabulary_from_json(text, config, file.string());
}

Result<ModelFiles> open_model(const fs::path& path) {
  std::error_code code;
  if (!fs::exists(path, code)) {
    return fail(ErrorKind::not_found, "no such file or folder", path.string(),
                "check the path; relative paths start at the current folder");
  }
  if (path.extension() == ".gguf") return open_gguf(path);
  const bool is_folder = fs::is_directory(path, code);
  const auto folder = is_folder ? path : path.parent_path();
  ModelFiles files;
  if (is_folder) {
    TRY_ASSIGN(files.safetensors, shards_of(folder));
    if (files.safetensors.empty()) {
      if (const auto gguf = only_gguf(folder)) return open_gguf(*gguf);
      return fail(ErrorKind::invalid, "the folder has neither model.safetensors nor exactly one *.gguf", folder.string());
    }
  } else if (path.extension() == ".safetensors") {
    files.safetensors.push_back(path);
  } else {
    return fail(ErrorKind::invalid, "not a model", path.string(), "give a folder with config.json, a .safetensors or a .gguf file");
  }
  TRY_ASSIGN(const auto config, read_text(folder / "config.json", kJsonMax));
  TRY_ASSIGN(files.config, config_from_json(config, (folder / "config.json").string()));
  if (fs::exists(folder / "tokenizer.json", code)) {
    TRY_ASSIGN(auto vocabulary, open_tokenizer(folder));
    files.vocabulary = std::move(vocabulary);
  }
  return files;
}

Result<void> load_weights(const ModelFiles& files, Llama& model) {
  return files.gguf.empty() ? load_safetensors(files, model) : load_gguf(files, model);
}

std::span<const std::byte> HostTensor::bytes() const {
  return {static_cast<const std::byte*>(held.data_ptr()), static_cast<std::size_t>(held.nbytes())};
}

HostTensor to_host(const at::Tensor& tensor) { return {tensor.detach().to(at::kCPU).contiguous()}; }

Result<void> save_safetensors(const Llama& model, const fs::path& path) {
  std::vector<HostTensor> held;
  std::vector<TensorToWrite> tensors;
  for (const auto& parameter : model.parameters) {
    held.push_back(to_host(parameter.value));
    tensors.push_back({parameter.name, Dtype::f32, parameter.value.sizes().vec(), held.back().bytes()});
  }
  return write_safetensors(path, tensors, {{"format", "pt"}});
}

at::Tensor rows_to_gguf(const at::Tensor& weight, std::int64_t heads) {
  const auto rows = weight.size(0);
  return weight.view({heads, 2, rows / heads / 2, -1}).transpose(1, 2).reshape_as(weight);
}

at::Tensor rows_from_gguf(const at::Tensor& weight, std::int64_t heads) {
  const auto rows = weight.size(0);
  return weight.view({heads, rows / heads / 2, 2, -1}).transpose(1, 2).reshape_as(weight);
}

Result<void> save_gguf(const Llama& model, const Vocabulary& vocabulary, GgufWeights type, const std::string& name, const fs::path& path) {
  const auto& c = model.config;
  const auto u32 = [](std::int64_t value) { return U32{static_cast<std::uint32_t>(value)}; };
  std::vector<std::pair<std::string, GgufField>> metadata{
      {"general.architecture", std::string("llama")},
      {"general.type", std::string("model")},
      {"general.name", name},
      {"general.file_type", u32(type == GgufWeights::f16 ? 1 : 0)},
      {"general.quantization_version", u32(2)},
      {"llama.block_count", u32(c.layers)},
      {"llama.context_length", u32(c.context)},
      {"llama.embedding_length", u32(c.hidden_size)},
      {"llama.feed_forward_length", u32(c.intermediate_size)},
      {"llama.attention.head_count", u32(c.heads)},
      {"llama.attention.head_count_kv", u32(c.kv_heads)},
      {"llama.attention.key_length", u32(c.head_dim)},
      {"llama.attention.value_length", u32(c.head_dim)},
      {"llama.attention.layer_norm_rms_epsilon", F32{static_cast<float>(c.rms_norm_eps)}},
      {"llama.rope.freq_base", F32{static_cast<float>(c.rope_theta)}},
      {"llama.rope.dimension_count", u32(c.head_dim)},
      {"llama.vocab_size", u32(c.vocab_size)}};
  TRY_ASSIGN(auto fields, vocabulary_to_gguf(vocabulary, c.vocab_size));
  metadata.insert(metadata.end(), std::make_move_iterator(fields.begin()), std::make_move_iterator(fields.end()));
  std::vector<GgufToWrite> tensors;
  for (const auto& parameter : model.parameters) {
    // llama.cpp adds and multiplies norms in F32 only.
    const bool half = type == GgufWeights::f16 && parameter.value.dim() == 2;
    const auto heads = heads_to_permute(c, parameter.name);
    tensors.push_back({gguf_name(parameter.name), parameter.value.sizes().vec(), half ? GgmlType::f16 : GgmlType::f32,
                       [value = parameter.value, half, heads] {
                         auto rows = value.detach().to(at::kCPU);
                         if (heads > 0) rows = rows_to_gguf(rows, heads);
                         const auto host = to_host(half ? rows.to(at::kHalf) : rows);
                         return std::vector<std::byte>(host.bytes().begin(), host.bytes().end());
                       }});
  }
  return write_gguf(path, metadata, tensors);
}

}  // namespace centrale::trainer
