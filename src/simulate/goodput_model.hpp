// SPDX-License-Identifier: Apache-2.0
// Jobs that train with any batch on any number of chips, from measured profiles: Pollux (OSDI'21) and Sia (SOSP'23). What counts is not
// how many samples a second they see but how many are useful, which falls as the batch grows, and less so the further they are trained.
//
// The unit of work is one sample's worth of progress at the initial batch. A job "sia:bert" is done when its recorded epochs are; its
// speeds say how much work that is.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "policy/estimator.hpp"

namespace centrale {

/// What the profiles themselves do not say.
struct GoodputApplication {
  std::string name;             // the folder's
  std::int64_t epochs = 0;      // until it is done
  double slowdown = 1;          // real steps over profiled ones
  Nanos restart = seconds(30);  // from a start to its first new step
};
/// As Sia's artifact has them (github.com/siasosp23/artifacts, sia-simulator: applications.py, simulator_config.py). Its pipeline-parallel
/// application, gpt_pmp, is none of them: its profiles are of another form.
[[nodiscard]] std::vector<GoodputApplication> sia_applications();

/// Which kind of chip a file's suffix means: placements-aws.csv.
struct GoodputKind {
  std::string suffix, kind;
};
/// "aws" is t4, "rtx" rtx-2080-ti, "dgx-ext" a100, "quad" quadro-rtx-6000, "azure" v100.
[[nodiscard]] std::vector<GoodputKind> sia_kinds();

/// A CSV file by its path from the folder of all applications: "bert/placements-aws.csv", "bert/validation-12.csv".
struct GoodputFile {
  std::string path, text;
};

/// How fast a placement is now, in useful samples a second, and the work done at which that will have changed.
struct GoodputRate {
  double rate = 0;
  double until = 0;
};

class GoodputModel : public Estimator {
 public:
  GoodputModel(GoodputModel&&) noexcept;
  GoodputModel& operator=(GoodputModel&&) noexcept;
  ~GoodputModel() override;

  /// Errors name file:line, or what an application lacks. Files of other applications and kinds are left out: notes() says which.
  [[nodiscard]] static Result<GoodputModel> read(std::span<const GoodputFile> files, std::span<const GoodputApplication> applications,
                                                 std::span<const GoodputKind> kinds);
  [[nodiscard]] const std::vector<std::string>& notes() const;

  /// Profiles "sia:APPLICATION"; others are none of its business. Elastic jobs, and those that give no batch, have the best batch and
  /// accumulation for each count, now; the others the `global_batch` that they were asked with. Gangs on whole nodes, the rest on one
  /// more; one that fits a node is also given split over two. `until` is the end of the epoch after which a rate has changed by more than
  /// 2%.
  [[nodiscard]] Result<std::optional<Estimate>> estimate(const JobSpec& spec, std::span<const KindOffer> kinds,
                                                         double work_done) const override;

  /// The truth for a twin: chips on each node, a batch of samples (0: the best at each epoch). Nothing: not profiled, or it does not fit.
  [[nodiscard]] std::optional<GoodputRate> true_rate(std::string_view profile, std::string_view kind,
                                                     std::span<const std::int64_t> placement, std::int64_t batch, double work_done) const;
  /// Useful samples until it is done; 0: an unknown profile.
  [[nodiscard]] double work_of(std::string_view profile) const;
  /// Null: an unknown profile.
  [[nodiscard]] const GoodputApplication* application(std::string_view profile) const;

 private:
  struct Inside;
  explicit GoodputModel(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace centrale
