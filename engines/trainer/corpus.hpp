// SPDX-License-Identifier: Apache-2.0
// The training text as tokens, cut into sequences of one length.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "formats/tokenizer.hpp"
#include "torch.hpp"

namespace centrale::trainer {

/// A text file, or all *.txt of a folder in the order of their names.
Result<std::vector<std::string>> read_documents(const std::filesystem::path& path);

struct Corpus {
  std::vector<std::int32_t> tokens;
  std::uint64_t bytes = 0;
  std::uint64_t mark = 0;  // tells texts apart, so that a run is not resumed on another one
};
/// An end-of-text token stands between two documents.
Corpus tokenise(const std::vector<std::string>& documents, const Tokenizer& tokenizer);

/// How the corpus is cut: the first sequences are for training, the last ones are held out.
struct Sequences {
  std::int64_t length = 0;
  std::int64_t training = 0;
  std::int64_t held_out = 0;
};
Result<Sequences> cut(const Corpus& corpus, std::int64_t length, double eval_fraction, const std::string& where);

struct Batch {
  at::Tensor ids;      // [sequences, length]
  at::Tensor targets;  // the same, one token on
};
Batch make_batch(const Corpus& corpus, const Sequences& sequences, const std::vector<std::int64_t>& indices, const at::Device& device);

}  // namespace centrale::trainer
