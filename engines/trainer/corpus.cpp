// SPDX-License-Identifier: Apache-2.0
#include "corpus.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"
#include "formats/file.hpp"

namespace centrale::trainer {
namespace {
constexpr std::size_t kTextMax = std::size_t{8} << 30;  // the tokens are held in memory, on each rank
constexpr std::size_t kDocumentsMax = 100'000;
}  // namespace

Result<std::vector<std::string>> read_documents(const std::filesystem::path& path) {
  std::vector<std::filesystem::path> files;
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) {
    for (const auto& entry : std::filesystem::directory_iterator(path, code)) {
      if (entry.path().extension() == ".txt") files.push_back(entry.path());
    }
    if (files.empty()) return fail(ErrorKind::invalid, "the folder has no *.txt", path.string());
    if (files.size() > kDocumentsMax) return fail(ErrorKind::invalid, "more than 100,000 files", path.string(), "join them");
    std::ranges::sort(files);
  } else {
    files.push_back(path);
  }
  std::vector<std::string> documents;
  std::size_t total = 0;
  for (const auto& file : files) {
    TRY_ASSIGN(auto text, read_text(file, kTextMax - total));
    total += text.size();
    documents.push_back(std::move(text));
  }
  if (total == 0) return fail(ErrorKind::invalid, "the training text is empty", path.string());
  return documents;
}

Corpus tokenise(const std::vector<std::string>& documents, const Tokenizer& tokenizer) {
  Corpus corpus;
  for (const auto& document : documents) {
    if (!corpus.tokens.empty() && tokenizer.vocabulary().eos) corpus.tokens.push_back(*tokenizer.vocabulary().eos);
    const auto ids = tokenizer.encode(document, Specials::plain);
    corpus.tokens.insert(corpus.tokens.end(), ids.begin(), ids.end());
    corpus.bytes += document.size();
  }
  corpus.mark = fingerprint(std::as_bytes(std::span(corpus.tokens)));
  return corpus;
}

Result<Sequences> cut(const Corpus& corpus, std::int64_t length, double eval_fraction, const std::string& where) {
  Sequences sequences;
  sequences.length = length;
  // The last sequence needs one token more, its last target.
  const auto count = (static_cast<std::int64_t>(corpus.tokens.size()) - 1) / length;
  sequences.held_out = static_cast<std::int64_t>(std::floor(static_cast<double>(count) * eval_fraction));
  if (eval_fraction > 0 && sequences.held_out == 0 && count > 1) sequences.held_out = 1;
  sequences.training = count - sequences.held_out;
  if (sequences.training < 1) {
    return fail(ErrorKind::invalid, fmt::format("the text has {} tokens; one sequence needs {}", corpus.tokens.size(), length + 1), where,
                "give a longer text or a smaller --seq");
  }
  return sequences;
}

Batch make_batch(const Corpus& corpus, const Sequences& sequences, const std::vector<std::int64_t>& indices, const at::Device& device) {
  const auto rows = static_cast<std::int64_t>(indices.size());
  auto ids = at::empty({rows, sequences.length}, at::kLong);
  auto targets = at::empty({rows, sequences.length}, at::kLong);
  auto* id = ids.data_ptr<std::int64_t>();
  auto* target = targets.data_ptr<std::int64_t>();
  for (const auto index : indices) {
    const auto start = static_cast<std::size_t>(index * sequences.length);
    ensure(start + static_cast<std::size_t>(sequences.length) < corpus.tokens.size());
    for (std::size_t i = 0; i < static_cast<std::size_t>(sequences.length); ++i) {
      *id++ = corpus.tokens[start + i];
      *target++ = corpus.tokens[start + i + 1];
    }
  }
  return {ids.to(device), targets.to(device)};
}

}  // namespace centrale::trainer
