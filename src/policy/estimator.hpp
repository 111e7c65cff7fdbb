// SPDX-License-Identifier: Apache-2.0
// The one place that says how fast a job runs on a placement: the planner for jobs that name a model, tables for others. What was
// observed corrects it, in the core. A job of which nothing is known is run as asked.
#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/reflect.hpp"
#include "policy/policy.hpp"
#include "spec/spec.hpp"
#include "spec/speed.hpp"

namespace centrale {

/// A kind of chip as a centre has it, and what it is in the catalogue's terms.
struct KindOffer {
  std::string kind;        // as `centrale nodes` prints it, and as SpeedRow::kind
  std::int64_t chips = 0;  // in the whole centre: no row asks for more
  std::int64_t chips_per_node = 0;
  std::int64_t domain = 0;  // chips that share the scale-up fabric
};

struct Estimate {
  Shared<Speeds> speeds;
  double until = std::numeric_limits<double>::infinity();  // work done by when the rates will have changed: ask again then
};

class Estimator {
 public:
  virtual ~Estimator() = default;
  /// What is known of the job when `work_done` of it is done; nothing: none of our business. Rates are useful work units a second
  /// (steps; for elastic jobs whose batch changes, steps of the batch that it was asked with), stops and waits not counted. Errors: the
  /// spec names a model, profile or kind that is not known.
  [[nodiscard]] virtual Result<std::optional<Estimate>> estimate(const JobSpec& spec, std::span<const KindOffer> kinds,
                                                                 double work_done) const = 0;
};

/// Several as one: the first that knows the job answers. That one does not know a profile or model is an error only where none does.
class Estimators : public Estimator {
 public:
  explicit Estimators(std::vector<std::shared_ptr<const Estimator>> chain) : chain_(std::move(chain)) {}
  [[nodiscard]] Result<std::optional<Estimate>> estimate(const JobSpec& spec, std::span<const KindOffer> kinds,
                                                         double work_done) const override;

 private:
  std::vector<std::shared_ptr<const Estimator>> chain_;
};

/// What observations of the job are filed under: its profile, else its model; empty: neither.
[[nodiscard]] std::string_view estimated_as(const JobSpec& spec);
/// Whether the job may be given chips of that kind.
[[nodiscard]] bool kind_will_do(const JobSpec& spec, std::string_view kind);

/// The numbers of workers that are worth knowing of one kind, ascending: as asked; or, of an elastic job, both bounds, what was asked and,
/// between them, all where they are few, else those with a power of two or whole nodes of chips. None has more chips than there are, and
/// none is given where a worker does not fit on a node.
[[nodiscard]] std::vector<std::int64_t> worker_counts(const JobSpec& spec, const KindOffer& offer);

/// Of one profile or model on one kind of chip: how much faster it was seen to run than was estimated.
struct Correction {
  std::string what;
  std::int64_t kind = 0;
  double log_ratio = 0;  // natural logarithm of observed / estimated
  std::int64_t count = 0;
};
template <class V>
void describe(V& v, Correction& c) {
  v("what", c.what);
  v("kind", c.kind);
  v("log_ratio", c.log_ratio);
  v("count", c.count);
}

// A factor beyond these says that the estimate was of something else: another unit, another model.
inline constexpr double kCorrectionMin = 0.2, kCorrectionMax = 5;
// What a new observation counts; the first few are averaged. Steps speed up and slow down within hours, so that old ones fade.
inline constexpr double kCorrectionWeight = 0.2;
// Names come from users. The one that was seen least makes room.
inline constexpr std::size_t kCorrectionsMax = 10'000;

/// What was observed against what was estimated: an exponentially weighted geometric mean, as ratios multiply. Plain data, part of the
/// core's state: the same observations in the same order give the same bytes.
struct Corrections {
  std::vector<Correction> rows;  // by what, then kind

  /// Rates in the same unit; one that is not above zero says nothing.
  void observe(std::string_view what, KindIndex kind, double observed, double estimated);
  /// On the estimate; 1: nothing was seen.
  [[nodiscard]] double factor(std::string_view what, KindIndex kind) const;
};
template <class V>
void describe(V& v, Corrections& c) {
  v("rows", c.rows);
}

/// The rows whose kind is one of `kind_names`, as policies read them, observed corrections of `what` included. Rows that cannot be (no
/// workers, no rate that is a number above zero inside a node) are left out.
[[nodiscard]] std::shared_ptr<const SpeedTable> compile(const Speeds& speeds, std::span<const std::string> kind_names,
                                                        const Corrections* corrections = nullptr, std::string_view what = {});
/// The fastest shape of that kind with just these workers and chips; null: none is known.
[[nodiscard]] const Shape* shape_as_asked(const SpeedTable& table, KindIndex kind, std::int64_t workers, std::int64_t chips);

}  // namespace centrale
