// SPDX-License-Identifier: Apache-2.0
#include "formats/config.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "formats/json.hpp"

namespace centrale::trainer {
namespace {

// Generous: the largest published models have 16384 wide layers, 126 of them, and 262144 tokens.
constexpr std::int64_t kWidthMax = 1 << 20;
constexpr std::int64_t kLayersMax = 4096;
constexpr std::int64_t kVocabMax = 4'000'000;

Result<void> check_together(const ModelConfig& config, const std::string& where) {
  if (config.heads % config.kv_heads != 0) {
    return fail(ErrorKind::invalid,
                fmt::format("num_attention_heads ({}) is no multiple of num_key_value_heads ({})", config.heads, config.kv_heads), where);
  }
  if (config.head_dim % 2 != 0) {
    return fail(ErrorKind::invalid, fmt::format("head_dim ({}) is odd; rotary embedding needs pairs", config.head_dim), where);
  }
  return {};
}

Result<void> refuse_what_differs(const Fields& fields) {
  TRY_ASSIGN(const auto type, fields.text_or("model_type", "llama"));
  if (type != "llama") {
    return fail(ErrorKind::invalid, fmt::format("field 'model_type' is '{}'", type), fields.where, "this trainer knows 'llama'");
  }
  TRY_ASSIGN(const auto activation, fields.text_or("hidden_act", "silu"));
  if (activation != "silu") {
    return fail(ErrorKind::invalid, fmt::format("field 'hidden_act' is '{}'", activation), fields.where, "Llama has 'silu'");
  }
  for (const char* name : {"attention_bias", "mlp_bias"}) {
    TRY_ASSIGN(const bool bias, fields.boolean_or(name, false));
    if (bias) return fail(ErrorKind::invalid, fmt::format("field '{}' is true: biases are not supported", name), fields.where);
  }
  if (fields.has("rope_scaling")) {
    return fail(ErrorKind::invalid, "field 'rope_scaling' is set: only plain rotary embedding is supported", fields.where,
                "set it to null");
  }
  return {};
}

Result<std::optional<std::int64_t>> token_id(const Fields& fields, std::string_view name) {
  // Llama 3 gives a list of ends; the first one is the end of a text.
  const auto* value = fields.object->if_contains(name);
  if (value != nullptr && value->is_array() && !value->get_array().empty() && value->get_array()[0].is_int64()) {
    return value->get_array()[0].get_int64();
  }
  if (!fields.has(name)) return std::nullopt;
  TRY_ASSIGN(const auto id, fields.integer(name, 0, kVocabMax));
  return id;
}

}  // namespace

Result<ModelConfig> config_from_json(std::string_view text, const std::string& where) {
  TRY_ASSIGN(const auto value, parse_json(text, where));
  TRY_ASSIGN(const auto fields, as_fields(value, where));
  TRY(refuse_what_differs(fields));
  ModelConfig config;
  TRY_ASSIGN(config.vocab_size, fields.integer("vocab_size", 1, kVocabMax));
  TRY_ASSIGN(config.hidden_size, fields.integer("hidden_size", 2, kWidthMax));
  TRY_ASSIGN(config.intermediate_size, fields.integer("intermediate_size", 1, kWidthMax));
  TRY_ASSIGN(config.layers, fields.integer("num_hidden_layers", 1, kLayersMax));
  TRY_ASSIGN(config.heads, fields.integer("num_attention_heads", 1, kWidthMax));
  TRY_ASSIGN(config.kv_heads, fields.integer_or("num_key_value_heads", config.heads, 1, config.heads));
  if (!fields.has("head_dim") && config.hidden_size % config.heads != 0) {
    return fail(ErrorKind::invalid,
                fmt::format("hidden_size ({}) is no multiple of num_attention_heads ({})", config.hidden_size, config.heads), where,
                "correct one of them, or give head_dim");
  }
  TRY_ASSIGN(config.head_dim, fields.integer_or("head_dim", config.hidden_size / config.heads, 2, 4096));
  TRY_ASSIGN(config.context, fields.integer_or("max_position_embeddings", 2048, 1, std::int64_t{1} << 32));
  TRY_ASSIGN(config.rms_norm_eps, fields.number_or("rms_norm_eps", 1e-6, 0, 1));
  TRY_ASSIGN(config.initializer_range, fields.number_or("initializer_range", 0.02, 0, 10));
  TRY_ASSIGN(config.tied, fields.boolean_or("tie_word_embeddings", false));
  TRY_ASSIGN(config.rope_theta, fields.number_or("rope_theta", 10000, 1, 1e12));
  // Newer files keep rotary parameters in an object of their own.
  if (fields.has("rope_parameters")) {
    TRY_ASSIGN(const auto rope, as_fields(fields.object->at("rope_parameters"), where + ": rope_parameters"));
    TRY_ASSIGN(const auto kind, rope.text_or("rope_type", "default"));
    if (kind != "default") {
      return fail(ErrorKind::invalid, fmt::format("rope_type '{}' is not supported", kind), rope.where, "use 'default'");
    }
    TRY_ASSIGN(config.rope_theta, rope.number_or("rope_theta", config.rope_theta, 1, 1e12));
  }
  TRY_ASSIGN(config.bos, token_id(fields, "bos_token_id"));
  TRY_ASSIGN(config.eos, token_id(fields, "eos_token_id"));
  TRY(check_together(config, where));
  return config;
}

Result<ModelConfig> config_from_gguf(const Gguf& gguf) {
  TRY_ASSIGN(const auto architecture, gguf.text("general.architecture"));
  if (architecture != "llama") {
    return fail(ErrorKind::invalid, fmt::format("general.architecture is '{}'", architecture), gguf.where, "this trainer knows 'llama'");
  }
  ModelConfig config;
  TRY_ASSIGN(config.hidden_size, gguf.integer("llama.embedding_length", 2, kWidthMax));
  TRY_ASSIGN(config.intermediate_size, gguf.integer("llama.feed_forward_length", 1, kWidthMax));
  TRY_ASSIGN(config.layers, gguf.integer("llama.block_count", 1, kLayersMax));
  TRY_ASSIGN(config.heads, gguf.integer("llama.attention.head_count", 1, kWidthMax));
  config.kv_heads = config.heads;
  if (gguf.has("llama.attention.head_count_kv")) {
    TRY_ASSIGN(config.kv_heads, gguf.integer("llama.attention.head_count_kv", 1, config.heads));
  }
  if (config.hidden_size % config.heads != 0 && !gguf.has("llama.attention.key_length")) {
    return fail(ErrorKind::invalid, "embedding_length is no multiple of head_count", gguf.where);
  }
  config.head_dim = config.hidden_size / config.heads;
  if (gguf.has("llama.attention.key_length")) { TRY_ASSIGN(config.head_dim, gguf.integer("llama.attention.key_length", 2, 4096)); }
  if (gguf.has("llama.rope.dimension_count")) {
    TRY_ASSIGN(const auto rotated, gguf.integer("llama.rope.dimension_count", 0, 4096));
    if (rotated != config.head_dim) return fail(ErrorKind::invalid, "only a part of each head is rotated: not supported", gguf.where);
  }
  if (gguf.has("llama.rope.scaling.type")) {
    TRY_ASSIGN(const auto scaling, gguf.text("llama.rope.scaling.type"));
    if (scaling != "none") return fail(ErrorKind::invalid, "rope scaling is not supported", gguf.where);
  }
  TRY_ASSIGN(config.context, gguf.integer("llama.context_length", 1, std::int64_t{1} << 32));
  TRY_ASSIGN(config.rms_norm_eps, gguf.number("llama.attention.layer_norm_rms_epsilon"));
  if (gguf.has("llama.rope.freq_base")) { TRY_ASSIGN(config.rope_theta, gguf.number("llama.rope.freq_base")); }
  config.tied = true;
  for (const auto& tensor : gguf.tensors) {
    if (tensor.name == "output.weight") config.tied = false;
    if (tensor.name == "rope_freqs.weight") return fail(ErrorKind::invalid, "rope scaling is not supported", gguf.where);
    if (tensor.name == "token_embd.weight" && tensor.shape.size() == 2) config.vocab_size = tensor.shape[0];
  }
  if (config.vocab_size < 1) return fail(ErrorKind::invalid, "tensor 'token_embd.weight' is missing", gguf.where);
  if (const auto id = gguf.integer("tokenizer.ggml.bos_token_id", 0, kVocabMax)) config.bos = *id;
  if (const auto id = gguf.integer("tokenizer.ggml.eos_token_id", 0, kVocabMax)) config.eos = *id;
  TRY(check_together(config, gguf.where));
  return config;
}

std::string config_to_json(const ModelConfig& config) {
  json::object object{{"architectures", {"LlamaForCausalLM"}},
                      {"model_type", "llama"},
                      {"vocab_size", config.vocab_size},
                      {"hidden_size", config.hidden_size},
                      {"intermediate_size", config.intermediate_size},
                      {"num_hidden_layers", config.layers},
                      {"num_attention_heads", config.heads},
                      {"num_key_value_heads", config.kv_heads},
                      {"head_dim", config.head_dim},
                      {"max_position_embeddings", config.context},
                      {"hidden_act", "silu"},
                      {"rms_norm_eps", config.rms_norm_eps},
                      {"rope_theta", config.rope_theta},
                      {"initializer_range", config.initializer_range},
                      {"tie_word_embeddings", config.tied},
                      {"attention_bias", false},
                      {"mlp_bias", false},
                      {"torch_dtype", "float32"}};
  if (config.bos) object["bos_token_id"] = *config.bos;
  if (config.eos) object["eos_token_id"] = *config.eos;
  return pretty(object);
}

std::int64_t parameter_count(const ModelConfig& c) {
  const std::int64_t attention = c.hidden_size * c.head_dim * (2 * c.heads + 2 * c.kv_heads);
  const std::int64_t layer = attention + 3 * c.hidden_size * c.intermediate_size + 2 * c.hidden_size;
  return c.vocab_size * c.hidden_size * (c.tied ? 1 : 2) + c.layers * layer + c.hidden_size;
}

}  // namespace centrale::trainer
