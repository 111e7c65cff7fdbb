// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "formats/file.hpp"
#include "formats/json.hpp"

namespace centrale::trainer {
namespace {

namespace fs = std::filesystem;
constexpr std::int64_t kFormat = 1;
constexpr std::size_t kStateMax = 1 << 20;
constexpr std::string_view kPartial = ".partial-";

/// The step of "step-000120", or nothing.
std::optional<std::int64_t> step_of(const fs::path& folder) {
  const auto name = folder.filename().string();
  constexpr std::string_view prefix = "step-";
  if (!name.starts_with(prefix)) return std::nullopt;
  std::int64_t step = 0;
  const auto [end, code] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
  return code == std::errc{} && end == name.data() + name.size() ? std::optional(step) : std::nullopt;
}

std::vector<fs::path> newest_first(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    if (step_of(entry.path())) found.push_back(entry.path());
  }
  std::ranges::sort(found, [](const fs::path& a, const fs::path& b) { return *step_of(a) > *step_of(b); });
  return found;
}

Result<std::string> file_mark(const fs::path& path) {
  TRY_ASSIGN(const auto file, MappedFile::open(path));
  return hex64(fingerprint(file.bytes()));
}

Result<std::uint64_t> hex_field(const Fields& fields, std::string_view name) {
  TRY_ASSIGN(const auto text, fields.text(name));
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (code != std::errc{} || end != text.data() + text.size()) {
    return fail(ErrorKind::invalid, fmt::format("field '{}' is not hexadecimal", name), fields.where);
  }
  return value;
}

std::string state_json(const RunState& state, const json::object& files) {
  return pretty(json::object{{"format", kFormat},
                             {"step", state.step},
                             {"sequences", state.sequences},
                             {"tokens", state.tokens},
                             {"seed", hex64(state.seed)},
                             {"batch", state.batch},
                             {"sequence_length", state.sequence_length},
                             {"eval_fraction", state.eval_fraction},
                             {"corpus", hex64(state.corpus_mark)},
                             {"loss_history", hex64(state.loss_history)},
                             {"precision", state.precision},
                             {"threads", state.threads},
                             {"workers", state.workers},
                             {"files", files}});
}

Result<RunState> read_state(const Fields& fields) {
  constexpr std::int64_t kMax = std::int64_t{1} << 60;
  RunState state;
  TRY_ASSIGN(const auto format, fields.integer("format", 0, kMax));
  if (format != kFormat) {
    return fail(ErrorKind::invalid, fmt::format("checkpoint format {}; this trainer knows {}", format, kFormat), fields.where,
                "use the trainer that wrote it, or start from its weights with --init");
  }
  TRY_ASSIGN(state.step, fields.integer("step", 0, kMax));
  TRY_ASSIGN(state.sequences, fields.integer("sequences", 0, kMax));
  TRY_ASSIGN(state.tokens, fields.integer("tokens", 0, kMax));
  TRY_ASSIGN(state.seed, hex_field(fields, "seed"));
  TRY_ASSIGN(state.batch, fields.integer("batch", 1, kMax));
  TRY_ASSIGN(state.sequence_length, fields.integer("sequence_length", 1, kMax));
  TRY_ASSIGN(state.eval_fraction, fields.number_or("eval_fraction", 0, 0, 1));
  TRY_ASSIGN(state.corpus_mark, hex_field(fields, "corpus"));
  TRY_ASSIGN(state.loss_history, hex_field(fields, "loss_history"));
  TRY_ASSIGN(state.precision, fields.text("precision"));
  TRY_ASSIGN(const auto threads, fields.integer("threads", 0, 1 << 20));
  TRY_ASSIGN(const auto workers, fields.integer("workers", 1, 1 << 20));
  state.threads = static_cast<int>(threads);
  state.workers = static_cast<int>(workers);
  return state;
}

Result<void> write_files(const fs::path& folder, const RunState& state, const Llama& model, const AdamW& optimizer,
                         const Vocabulary& vocabulary) {
  TRY(replace_text(folder / "config.json", config_to_json(model.config)));
  TRY(replace_text(folder / "tokenizer.json", vocabulary_to_json(vocabulary)));
  TRY(replace_text(folder / "tokenizer_config.json", tokenizer_config_json(vocabulary, model.config.context)));
  TRY(save_safetensors(model, folder / "model.safetensors"));
  std::vector<HostTensor> held;
  std::vector<TensorToWrite> tensors;
  for (const auto& parameter : model.parameters) {
    const auto offset = parameter.value.storage_offset();
    for (const auto& [prefix, moments] : {std::pair{"mean.", optimizer.mean}, std::pair{"variance.", optimizer.variance}}) {
      held.push_back(to_host(moments.narrow(0, offset, parameter.value.numel())));
      tensors.push_back({prefix + parameter.name, Dtype::f32, parameter.value.sizes().vec(), held.back().bytes()});
    }
  }
  TRY(write_safetensors(folder / "optimizer.safetensors", tensors, {}));
  json::object marks;
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "optimizer.safetensors"}) {
    TRY_ASSIGN(marks[name], file_mark(folder / name));
  }
  TRY(replace_text(folder / "state.json", state_json(state, marks)));
  return sync_folder(folder);
}

void prune(const fs::path& folder, int keep, const fs::path& newest) {
  int kept = 0;
  std::error_code ignored;  // an old checkpoint that cannot be removed costs space, not the run
  for (const auto& old : newest_first(folder)) {
    // A step above the newest one is a leftover of another life of this folder; resuming from it would be wrong.
    if (*step_of(old) > *step_of(newest))
      fs::remove_all(old, ignored);
    else if (++kept > keep)
      fs::remove_all(old, ignored);
  }
}

}  // namespace

std::string checkpoint_name(std::int64_t step) { return fmt::format("step-{:06}", step); }

Result<Checkpoint> open_checkpoint(const fs::path& folder) {
  Checkpoint checkpoint;
  checkpoint.folder = folder;
  const auto path = (folder / "state.json");
  TRY_ASSIGN(const auto text, read_text(path, kStateMax));
  TRY_ASSIGN(const auto value, parse_json(text, path.string()));
  TRY_ASSIGN(const auto fields, as_fields(value, path.string()));
  TRY_ASSIGN(checkpoint.state, read_state(fields));
  if (!fields.has("files")) return fail(ErrorKind::invalid, "field 'files' is missing", path.string());
  TRY_ASSIGN(const auto files, as_fields(fields.object->at("files"), path.string()));
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "optimizer.safetensors"}) {
    TRY_ASSIGN(const auto expected, files.text(name));
    TRY_ASSIGN(const auto found, file_mark(folder / name));
    if (found != expected) return fail(ErrorKind::invalid, "the file is damaged: its fingerprint differs", (folder / name).string());
  }
  TRY_ASSIGN(checkpoint.files, open_model(folder));
  if (!checkpoint.files.vocabulary) return fail(ErrorKind::invalid, "tokenizer.json is missing", folder.string());
  return checkpoint;
}

Result<std::optional<Checkpoint>> newest_checkpoint(const fs::path& folder, const Warn& warn) {
  std::error_code code;
  if (!fs::exists(folder, code)) return std::nullopt;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    if (entry.path().filename().string().starts_with(kPartial)) {
      warn(fmt::format("{}: a checkpoint that was never finished; removed", entry.path().string()));
      std::error_code ignored;
      fs::remove_all(entry.path(), ignored);
    }
  }
  const auto candidates = newest_first(folder);
  for (const auto& candidate : candidates) {
    auto checkpoint = open_checkpoint(candidate);
    if (checkpoint) return std::optional(std::move(*checkpoint));
    warn(fmt::format("checkpoint {} is passed over: {}", candidate.filename().string(), checkpoint.error().message()));
  }
  if (candidates.empty()) return std::nullopt;
  // A kill cannot damage them all, a disk can; to begin at step 0 again without a word could cost weeks.
  return fail(ErrorKind::conflict, fmt::format("none of the {} checkpoints is whole", candidates.size()), folder.string(),
              "restore one from a backup, or remove the folder to start anew");
}

Result<void> load_checkpoint(const Checkpoint& checkpoint, Llama& model, AdamW& optimizer) {
  TRY(load_weights(checkpoint.files, model));
  const auto path = checkpoint.folder / "optimizer.safetensors";
  TRY_ASSIGN(const auto file, MappedFile::open(path));
  TRY_ASSIGN(const auto header, parse_safetensors(file.bytes(), path.string()));
  for (const auto& parameter : model.parameters) {
    for (const auto& [prefix, moments] : {std::pair{"mean.", optimizer.mean}, std::pair{"variance.", optimizer.variance}}) {
      const auto entry = std::ranges::find(header.tensors, prefix + parameter.name, &TensorEntry::name);
      if (entry == header.tensors.end() || entry->dtype != Dtype::f32 || parameter.value.sizes() != at::IntArrayRef(entry->shape)) {
        return fail(ErrorKind::invalid, fmt::format("tensor '{}{}' is missing or has another shape", prefix, parameter.name),
                    path.string());
      }
      auto values = at::empty({parameter.value.numel()}, at::kFloat);
      std::memcpy(values.data_ptr(), file.bytes().data() + entry->begin, entry->end - entry->begin);
      moments.narrow(0, parameter.value.storage_offset(), parameter.value.numel()).copy_(values);
    }
  }
  optimizer.updates = checkpoint.state.step;
  return {};
}

Result<std::string> save_checkpoint(const fs::path& folder, const RunState& state, const Llama& model, const AdamW& optimizer,
                                    const Vocabulary& vocabulary, int keep) {
  const auto name = checkpoint_name(state.step);
  const auto partial = folder / (std::string(kPartial) + name);
  const auto whole = folder / name;
  TRY(make_folder(folder));
  std::error_code ignored;
  fs::remove_all(partial, ignored);
  TRY(make_folder(partial));
  if (auto written = write_files(partial, state, model, optimizer, vocabulary); !written) {
    fs::remove_all(partial, ignored);  // gives the space back, and leaves the last good one alone
    return std::unexpected(written.error());
  }
  // A folder of this name is damaged, or it would have been resumed from.
  fs::remove_all(whole, ignored);
  TRY(rename_durably(partial, whole));
  prune(folder, keep, whole);
  return name;
}

}  // namespace centrale::trainer
