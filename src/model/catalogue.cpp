// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <string>

#include "base/ensure.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "model/read.hpp"

namespace centrale {
namespace {

/// Letters and digits alone, in lower case: "meta-llama/Llama-3.1-405B" is "metallamallama31405b".
std::string folded(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if ((lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9')) { out += lower; }
  }
  return out;
}

struct Origin {
  std::string id;
};
template <class V>
void describe(V& v, Origin& o) {
  v("_name_or_path", o.id, "the Hugging Face id");
}

std::string id_of(const CatalogueModel& model) {
  Origin origin;
  ensure(read_json(model.config_json, origin, JsonStrictness::lenient).has_value());
  return origin.id;
}

}  // namespace

Result<Model> catalogue_model(std::string_view name) {
  const std::string wanted = folded(name.substr(0, 200));
  std::vector<std::string> known;
  for (const CatalogueModel& model : catalogue_models()) {
    const std::string id = id_of(model);
    if (!wanted.empty() && (wanted == folded(model.name) || wanted == folded(id) || wanted == folded(id.substr(id.find('/') + 1)))) {
      return read_model(model.config_json, fmt::format("catalogue/models/{}.json", model.name));
    }
    known.emplace_back(model.name);
  }
  const std::string close = nearest_remedy(name, known);
  return fail(ErrorKind::not_found, fmt::format("model '{}' is not in the catalogue", shorten(name, 60)), {},
              close.empty() ? "give the path of its config.json" : close + ", or give the path of its config.json");
}

}  // namespace centrale
