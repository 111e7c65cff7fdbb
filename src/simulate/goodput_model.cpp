// SPDX-License-Identifier: Apache-2.0
#include "simulate/goodput_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <tuple>
#include <utility>

#include "base/csv.hpp"
#include "base/text.hpp"
#include "simulate/goodput_profile.hpp"

namespace centrale {

using goodput::Placement;
using goodput::Statistics;
using goodput::StepProfile;

namespace {

constexpr std::string_view kPrefix = "sia:";
constexpr double kNoticed = 0.02;             // relative change of a rate
constexpr std::size_t kBatches = 50;          // tried between the smallest and the largest, as Pollux does
constexpr std::size_t kRemembered = 100'000;  // placements; a centre asks for some hundred shapes of a few applications

struct Trained {
  GoodputApplication about;
  Statistics statistics;
  std::map<std::string, StepProfile, std::less<>> steps;  // by kind
};

/// One way to take a step.
struct Choice {
  std::int64_t chip_batch = 0, accumulate = 0;  // samples of a chip at a time, and how often before the step that exchanges
  double batch = 0;                             // samples of a step, all chips
  double seconds = 0;
};

/// Rates of one placement by epoch, useful samples a second, and how they are reached; empty: it does not run there.
struct Course {
  std::vector<double> rates;
  std::vector<Choice> choices;
};

std::int64_t ceil_of(double value) { return static_cast<std::int64_t>(std::ceil(value - 1e-8)); }

/// A step with about `batch` samples: more than fits a chip is accumulated. A single chip that goes beyond the initial batch accumulates
/// at least once, as gradient statistics need two parts (Pollux, section 3.1).
std::optional<Choice> choice_of(const Trained& app, const StepProfile& steps, const Placement& placement, double batch) {
  const std::int64_t chips = std::accumulate(placement.begin(), placement.end(), std::int64_t{0});
  const double most = steps.batch_max(placement);
  if (most <= 0) { return std::nullopt; }
  const auto first = static_cast<double>(app.statistics.batch_first());
  const double each = batch / static_cast<double>(chips);
  Choice choice;
  choice.accumulate = ceil_of(each / most) - 1;
  if (chips == 1 && batch > first + 1e-8) { choice.accumulate = std::max<std::int64_t>(choice.accumulate, 1); }
  const std::int64_t parts = chips * (choice.accumulate + 1);
  choice.chip_batch = std::min(ceil_of(each / static_cast<double>(choice.accumulate + 1)), app.statistics.batch_last() / parts);
  const auto step = steps.at(placement, static_cast<double>(choice.chip_batch));
  if (!step || choice.chip_batch < 1) { return std::nullopt; }
  choice.batch = static_cast<double>(choice.chip_batch * parts);
  choice.seconds = (step->seconds + static_cast<double>(choice.accumulate) * (step->seconds - step->sync)) * app.about.slowdown;
  return choice;
}

std::vector<Choice> choices_of(const Trained& app, const StepProfile& steps, const Placement& placement, std::int64_t batch) {
  std::vector<Choice> choices;
  const auto add = [&](double wanted) {
    if (const auto choice = choice_of(app, steps, placement, wanted)) { choices.push_back(*choice); }
  };
  if (batch > 0) {
    add(static_cast<double>(batch));
    return choices;
  }
  const auto chips = static_cast<double>(std::accumulate(placement.begin(), placement.end(), std::int64_t{0}));
  const double least = std::max(static_cast<double>(app.statistics.batch_first()), steps.batch_min() * chips);
  const auto most = static_cast<double>(app.statistics.batch_last());
  if (least > most) { return choices; }
  for (std::size_t i = 0; i < kBatches; ++i) {
    add(least * std::pow(most / least, static_cast<double>(i) / static_cast<double>(kBatches - 1)));
  }
  return choices;
}

Course course_of(const Trained& app, const StepProfile& steps, const Placement& placement, std::int64_t batch) {
  Course course;
  const auto choices = choices_of(app, steps, placement, batch);
  if (choices.empty()) { return course; }
  const auto initial = static_cast<double>(app.statistics.batch_first());
  for (std::size_t epoch = 0; epoch < app.statistics.epochs(); ++epoch) {
    const Choice* best = nullptr;
    double best_rate = 0;
    for (const Choice& choice : choices) {
      const double rate = initial * app.statistics.gain(choice.batch, epoch) / choice.seconds;
      if (rate > best_rate) { std::tie(best, best_rate) = std::pair(&choice, rate); }
    }
    if (best == nullptr) { return {}; }
    course.rates.push_back(best_rate);
    course.choices.push_back(*best);
  }
  return course;
}

/// Whole nodes, and the rest on one more.
Placement packed(std::int64_t chips, std::int64_t per_node) {
  Placement placement(static_cast<std::size_t>(chips / per_node), per_node);
  if (chips % per_node > 0) { placement.push_back(chips % per_node); }
  return placement;
}

}  // namespace

struct GoodputModel::Inside {
  using Key = std::tuple<const StepProfile*, std::int64_t, Placement>;
  std::map<std::string, Trained, std::less<>> applications;
  std::vector<std::string> notes;
  std::map<Key, Course> courses;  // what was asked before

  [[nodiscard]] const Trained* find(std::string_view profile) const {
    if (!profile.starts_with(kPrefix)) { return nullptr; }
    const auto found = applications.find(profile.substr(kPrefix.size()));
    return found == applications.end() ? nullptr : &found->second;
  }

  /// Before a question, as answers point to what is remembered.
  void make_room() {
    if (courses.size() >= kRemembered) { courses.clear(); }
  }
  const Course& course(const Trained& app, const StepProfile& steps, std::span<const std::int64_t> placement, std::int64_t batch) {
    const auto [entry, is_new] = courses.try_emplace(Key{&steps, batch, goodput::canonical(placement)});
    if (is_new) { entry->second = course_of(app, steps, std::get<2>(entry->first), batch); }
    return entry->second;
  }
};

GoodputModel::GoodputModel(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
GoodputModel::GoodputModel(GoodputModel&&) noexcept = default;
GoodputModel& GoodputModel::operator=(GoodputModel&&) noexcept = default;
GoodputModel::~GoodputModel() = default;
const std::vector<std::string>& GoodputModel::notes() const { return inside_->notes; }

std::vector<GoodputApplication> sia_applications() {
  return {{.name = "bert", .epochs = 2, .slowdown = 1.2, .restart = seconds(120)},
          {.name = "cifar10", .epochs = 100, .slowdown = 1.8, .restart = seconds(50)},
          {.name = "deepspeech2", .epochs = 80, .slowdown = 1.2, .restart = seconds(25)},
          {.name = "imagenet", .epochs = 90, .slowdown = 1.2, .restart = seconds(250)},
          {.name = "ncf", .epochs = 10, .slowdown = 1.5, .restart = seconds(15)},
          {.name = "yolov3", .epochs = 50, .slowdown = 1.2, .restart = seconds(80)}};
}

std::vector<GoodputKind> sia_kinds() {
  return {{.suffix = "aws", .kind = "t4"},
          {.suffix = "rtx", .kind = "rtx-2080-ti"},
          {.suffix = "dgx-ext", .kind = "a100"},
          {.suffix = "quad", .kind = "quadro-rtx-6000"},
          {.suffix = "azure", .kind = "v100"}};
}

namespace {

/// "bert/placements-aws.csv": what it is of, what it holds, and what stands after the dash.
struct FileName {
  std::string_view application, content, suffix;
};
std::optional<FileName> file_name_of(std::string_view path) {
  if (!path.ends_with(".csv")) { return std::nullopt; }
  path.remove_suffix(4);
  const std::size_t slash = path.rfind('/');
  const std::size_t dash = path.find('-', slash == std::string_view::npos ? 0 : slash);
  if (slash == std::string_view::npos || dash == std::string_view::npos) { return std::nullopt; }
  const std::string_view folder = path.substr(0, slash);
  return FileName{.application = folder.substr(folder.rfind('/') + 1),
                  .content = path.substr(slash + 1, dash - slash - 1),
                  .suffix = path.substr(dash + 1)};
}

Result<void> read_into(Trained& app, const FileName& name, const std::string& kind, const GoodputFile& file) {
  TRY_ASSIGN(const CsvTable csv, read_csv(file.text, file.path));
  if (name.content == "placements") { return app.steps[kind].read_placements(csv); }
  if (name.content == "scalability") { return app.steps[kind].read_scalability(csv); }
  std::int64_t batch = 0;
  const auto [end, error] = std::from_chars(name.suffix.data(), name.suffix.data() + name.suffix.size(), batch);
  if (error != std::errc{} || end != name.suffix.data() + name.suffix.size() || batch < 1 || batch > 1'000'000'000) {
    return fail(ErrorKind::invalid, fmt::format("'{}' is no batch", shorten(name.suffix, 40)), file.path, "such as validation-128.csv");
  }
  return app.statistics.read(batch, csv);
}

}  // namespace

Result<GoodputModel> GoodputModel::read(std::span<const GoodputFile> files, std::span<const GoodputApplication> applications,
                                        std::span<const GoodputKind> kinds) {
  auto inside = std::make_unique<Inside>();
  std::int64_t left_out = 0;
  for (const GoodputFile& file : files) {
    const auto name = file_name_of(file.path);
    const auto about =
        std::find_if(applications.begin(), applications.end(), [&](const auto& a) { return name && a.name == name->application; });
    const bool is_validation = name && name->content == "validation";
    const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return name && k.suffix == name->suffix; });
    const bool is_profile = name && (name->content == "placements" || name->content == "scalability") && kind != kinds.end();
    if (about == applications.end() || (!is_validation && !is_profile)) {
      ++left_out;
      continue;
    }
    Trained& app = inside->applications[about->name];
    app.about = *about;
    TRY(read_into(app, *name, is_profile ? kind->kind : std::string(), file));
  }
  if (left_out > 0) { inside->notes.push_back(fmt::format("{} files of other applications or kinds were left out", left_out)); }
  for (auto& [name, app] : inside->applications) {
    if (app.statistics.empty() || app.steps.empty()) {
      return fail(ErrorKind::invalid, fmt::format("application '{}' has no {}", name, app.steps.empty() ? "placements" : "validation"),
                  name + "/", app.steps.empty() ? "placements-SUFFIX.csv for one of the kinds" : "validation-BATCH.csv");
    }
    app.statistics.set_epochs(app.about.epochs);
  }
  return GoodputModel(std::move(inside));
}

namespace {

SpeedRow row_of(const KindOffer& offer, const JobSpec& spec, std::int64_t workers, const Course& together, const Course* split,
                std::size_t epoch) {
  SpeedRow row{.kind = offer.kind, .workers = workers, .chips = spec.chips, .rates = {together.rates[epoch]}, .layout = {}};
  if (split != nullptr) { row.rates.push_back(split->rates.empty() ? 0 : split->rates[epoch]); }
  const Choice& choice = together.choices[epoch];
  row.layout = fmt::format("mb{}", choice.chip_batch);
  if (choice.accumulate > 0) { row.layout += fmt::format(" accumulate={}", choice.accumulate); }
  return row;
}

bool has_changed(double before, double after) { return std::abs(after - before) > kNoticed * before; }

}  // namespace

Result<std::optional<Estimate>> GoodputModel::estimate(const JobSpec& spec, std::span<const KindOffer> kinds, double work_done) const {
  if (!spec.profile.starts_with(kPrefix)) { return std::optional<Estimate>{}; }
  const Trained* app = inside_->find(spec.profile);
  if (app == nullptr) {
    std::vector<std::string> names;
    for (const auto& [name, known] : inside_->applications) { names.push_back(std::string(kPrefix) + name); }
    return fail(ErrorKind::not_found, fmt::format("no profile '{}' was read", shorten(spec.profile, 80)), {},
                nearest_remedy(spec.profile, names));
  }
  const auto initial = static_cast<double>(app->statistics.batch_first());
  const std::size_t epochs = app->statistics.epochs();
  const std::size_t epoch = app->statistics.epoch_at(work_done / initial);
  const std::int64_t batch = spec.workers_max > 0 ? 0 : spec.global_batch;
  inside_->make_room();
  std::size_t next = epochs;
  Speeds speeds;
  for (const KindOffer& offer : kinds) {
    const auto steps = app->steps.find(offer.kind);
    if (steps == app->steps.end() || !kind_will_do(spec, offer.kind)) { continue; }
    for (const std::int64_t workers : worker_counts(spec, offer)) {
      const std::int64_t chips = workers * spec.chips;
      const Course& together = inside_->course(*app, steps->second, packed(chips, offer.chips_per_node), batch);
      if (together.rates.empty()) { continue; }
      const bool can_split = chips <= offer.chips_per_node && workers > 1;
      const Placement halves{workers / 2 * spec.chips, (workers + 1) / 2 * spec.chips};
      const Course* split = can_split ? &inside_->course(*app, steps->second, halves, batch) : nullptr;
      speeds.rows.push_back(row_of(offer, spec, workers, together, split, epoch));
      for (std::size_t e = epoch + 1; e < next; ++e) {
        if (has_changed(together.rates[epoch], together.rates[e])) { next = e; }
      }
    }
  }
  if (speeds.rows.empty()) { return std::optional<Estimate>{}; }
  speeds.work = work_of(spec.profile);
  speeds.source = "goodput of " + spec.profile;
  const double until = next < epochs ? app->statistics.end_of(next - 1) * initial : std::numeric_limits<double>::infinity();
  return std::optional<Estimate>{Estimate{.speeds = share(std::move(speeds)), .until = until}};
}

std::optional<GoodputRate> GoodputModel::true_rate(std::string_view profile, std::string_view kind, std::span<const std::int64_t> placement,
                                                   std::int64_t batch, double work_done) const {
  const Trained* app = inside_->find(profile);
  if (app == nullptr) { return std::nullopt; }
  const auto steps = app->steps.find(kind);
  if (steps == app->steps.end()) { return std::nullopt; }
  inside_->make_room();
  const Course& course = inside_->course(*app, steps->second, placement, batch);
  if (course.rates.empty()) { return std::nullopt; }
  const auto initial = static_cast<double>(app->statistics.batch_first());
  const std::size_t epoch = app->statistics.epoch_at(work_done / initial);
  return GoodputRate{.rate = course.rates[epoch], .until = app->statistics.end_of(epoch) * initial};
}

double GoodputModel::work_of(std::string_view profile) const {
  const Trained* app = inside_->find(profile);
  if (app == nullptr) { return 0; }
  return app->statistics.end_of(app->statistics.epochs() - 1) * static_cast<double>(app->statistics.batch_first());
}

const GoodputApplication* GoodputModel::application(std::string_view profile) const {
  const Trained* app = inside_->find(profile);
  return app == nullptr ? nullptr : &app->about;
}

}  // namespace centrale
