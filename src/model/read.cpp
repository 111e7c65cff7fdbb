// SPDX-License-Identifier: Apache-2.0
#include "model/read.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "model/blocks.hpp"
#include "model/family.hpp"
#include "model/fields.hpp"

namespace centrale {
namespace {

constexpr double kParametersMax = 1e16;  // a thousand times the largest model there is; sums stay far below 63 bits
constexpr std::int64_t kMtpMax = 64;
constexpr std::size_t kNameMax = 200;

std::string stem(std::string_view file) {
  file.remove_prefix(std::min(file.size(), file.find_last_of('/') + 1));
  return std::string(file.ends_with(".json") ? file.substr(0, file.size() - 5) : file);
}

/// Of a model of several senses, the part that reads and writes text.
Fields text_part(const Fields& top) {
  for (const std::string_view name : {"text_config", "llm_config", "language_config"}) {
    if (auto inner = top.inner(name)) { return *inner; }
  }
  return top;
}

void read_outer(Model& model, const Fields& top, const Fields& fields, const Family& family) {
  model.hidden = fields.count({"hidden_size", "n_embd", "d_model", "hidden_dim"}, kHiddenMax);
  const Fields::Names vocab{"padded_vocab_size", "vocab_size"};
  model.vocab =
      family.vocab > 0 ? fields.count_or(vocab, family.vocab, kVocabMax) : fields.count({"vocab_size", "padded_vocab_size"}, kVocabMax);
  // ChatGLM names both; the embedding is as large as the padded one.
  if (family.form == Form::chatglm) { model.vocab = fields.count(vocab, kVocabMax); }
  model.context = fields.amount_or({"max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "n_ctx"}, 0,
                                   kContextMax);
  if (family.positions_more >= 0) {
    model.positions =
        std::min(kVocabMax, fields.count({"n_positions", "max_position_embeddings", "n_ctx"}, kVocabMax) + family.positions_more);
  }
  if (family.form == Form::mpt) {
    const auto attention = fields.inner("attn_config");
    const bool other = attention && (attention->flag_or({"alibi"}, false) || attention->flag_or({"rope"}, false));
    if (!other && fields.flag_or({"learned_pos_emb"}, true)) {
      model.positions = std::min(kVocabMax, fields.count({"max_seq_len"}, kVocabMax));
    }
  }
  if (family.type == "opt" && fields.count_or({"word_embed_proj_dim"}, model.hidden, kHiddenMax) != model.hidden) {
    fields.fault("word_embed_proj_dim", "an embedding of another width than the blocks is not supported", "choose another size of OPT");
  }
  model.tied = fields.flag_or({"tie_word_embeddings"}, top.flag_or({"tie_word_embeddings"}, family.tied));
  model.norm_bias = family.norm_bias && !(family.form == Form::mpt);
  model.embedding_norm = family.type == "bloom";
  model.output_bias = family.output_matrix_bias;
  model.dropout = fields.share_or({"resid_pdrop", "hidden_dropout", "residual_dropout", "dropout", "resid_dropout"}, 0);
  model.activation = fields.text_or({"hidden_act", "hidden_activation", "activation_function", "activation", "mlp_hidden_act"},
                                    family.gated ? "silu" : "gelu");
  model.activation = shorten(model.activation, kNameMax);
  model.mtp_layers = fields.amount_or({"num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules"}, 0, kMtpMax);
}

double elements(const std::vector<Weight>& weights) {
  double sum = 0;
  for (const Weight& w : weights) { sum += static_cast<double>(w.outputs) * static_cast<double>(w.inputs) * static_cast<double>(w.copies); }
  return sum;
}

/// In doubles, before anybody sums integers.
void check_size(const Model& model, Faults& faults) {
  std::vector<double> of_kind;
  for (const Block& block : model.kinds) { of_kind.push_back(elements(weights_of(model, block))); }
  double sum = elements(outer_weights(model));
  for (const std::uint8_t kind : model.layers) { sum += of_kind[kind]; }
  if (sum > kParametersMax) {
    faults.add(fmt::format("has {:.3g} parameters, {:.0e} at most", sum, kParametersMax), "look for a number with digits too many");
  }
}

const Family& choose_family(const Fields& top, const Fields& fields, Faults& faults) {
  const std::string inner = fields.text_or({"model_type"}, ""), outer = top.text_or({"model_type"}, "");
  for (const std::string& type : {inner, outer}) {
    if (const Family* known = family_of(type)) {
      faults.remedy = "add it as the model's publisher has it";
      return *known;
    }
  }
  const std::string& type = inner.empty() ? outer : inner;
  if (type.empty()) { faults.add("model_type: is missing", "add it as the model's publisher has it, such as \"llama\""); }
  const std::string close = nearest_remedy(type, family_names());
  faults.remedy = fmt::format("model_type '{}' is not known{}, so it is read as llama's, which needs this field", shorten(type, 40),
                              close.empty() ? "" : " (" + close + ")");
  return llama_family();
}

}  // namespace

Result<Model> read_model(std::string_view config_json, std::string_view file) {
  const std::string remedy = "give the config.json of a Hugging Face model";
  if (config_json.size() > kStrictJsonMax) { return fail(ErrorKind::invalid, "is larger than 8 MiB", std::string(file), remedy); }
  JsonReader reader;
  const auto root = reader.parse(config_json, JsonStrictness::lenient);
  if (!root) { return fail(ErrorKind::invalid, root.error().what, std::string(file), remedy); }
  JsonSource source(JsonStrictness::lenient);
  (void)source.open_map(*root);
  if (source.failed()) { return fail(ErrorKind::invalid, std::move(source).error().what, std::string(file), remedy); }

  Faults faults{file, {}, {}};
  const Fields top(*root, "", faults);
  const Fields fields = text_part(top);
  const Family& family = choose_family(top, fields, faults);
  if (fields.flag_or({"is_encoder_decoder"}, false)) {
    fields.fault("is_encoder_decoder", "models of an encoder and a decoder are not supported", "give a model of a decoder alone");
  }
  Model model;
  model.name = to_utf8(shorten(top.text_or({"_name_or_path"}, ""), kNameMax));
  if (model.name.empty()) { model.name = stem(file); }
  read_outer(model, top, fields, family);
  if (family.form == Form::nemotron_h) {
    add_hybrid_layers(model, fields, family);
  } else {
    add_layers(model, fields, family);
  }
  if (!faults.first) { check_size(model, faults); }
  if (faults.first) { return std::unexpected(std::move(*faults.first)); }
  return model;
}

}  // namespace centrale
