// SPDX-License-Identifier: Apache-2.0
// The simplex behind allocate.hpp. A job's time is divided among columns: the kinds, and idle (rate 0, no chips). Each job has its own
// rows: its times add up to 1, and its rates to its level. All jobs meet in one row a kind. So a basis is two columns a job (its keys, one
// where its time is all that counts) and `kinds` others (extras): a working matrix of kinds x kinds is all that has to be inverted
// (generalised upper bounds: Dantzig and Van Slyke 1967). Water rises: every active job is at the level t, a column of its own that is an
// extra.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <span>
#include <utility>
#include <vector>

namespace centrale {

class ShareSimplex {
 public:
  struct Input {
    std::size_t jobs = 0, kinds = 0;
    std::vector<double> rate;      // level a job has with all its time there; 0: not allowed
    std::vector<double> chips;     // 0: the job gets nothing
    std::vector<double> capacity;  // chips
  };
  explicit ShareSimplex(Input input);

  /// Raises the water until every job is stopped; lexicographic. `price` guides the start (one for each kind, any positive), `level` is
  /// tried first.
  void fill(std::span<const double> price, double level);
  /// The most of sum value x (rates say only what is allowed).
  void earn(std::span<const double> value);

  [[nodiscard]] std::vector<double> x() const;
  [[nodiscard]] double first_level() const { return first_level_; }
  [[nodiscard]] const std::vector<double>& first_price() const { return first_price_; }
  [[nodiscard]] bool exact() const { return exact_; }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

 private:
  static constexpr int kNone = -1, kWater = -2;
  struct Job {
    std::array<int, 2> key{kNone, kNone};  // slower one first; with one row only the first
    int rows = 0;                          // 2: level and time; 1: time; 0: gets nothing
    int extras = 0;
    bool active = false;  // its level is t
    double level = 0;     // once it is not
    double top = 0;       // fastest rate
  };
  struct Extra {
    int job = kNone;  // kNone: slack of kind `column`; kWater: t
    int column = 0;
  };
  struct Block {  // what stops a step
    double limit = std::numeric_limits<double>::infinity();
    double rate = 0;
    int extra = kNone, job = kNone, key = 0;
    bool breakpoint = false;  // of a job without extras
  };

  [[nodiscard]] double rate(int job, int column) const {
    return column == static_cast<int>(kinds_) ? 0 : in_.rate[static_cast<std::size_t>(job) * kinds_ + static_cast<std::size_t>(column)];
  }
  [[nodiscard]] bool allowed(const Job& job, int index, int column) const;
  [[nodiscard]] double value(int job, int column) const {
    return value_.empty() || column == static_cast<int>(kinds_)
               ? 0
               : value_[static_cast<std::size_t>(job) * kinds_ + static_cast<std::size_t>(column)];
  }
  [[nodiscard]] double cost(int job, int column) const {  // of all its time there, at today's prices
    const auto m = static_cast<std::size_t>(job);
    return column == static_cast<int>(kinds_) ? 0 : in_.chips[m] * price_[static_cast<std::size_t>(column)] - value(job, column);
  }
  [[nodiscard]] std::array<double, 2> weights(int job, int column) const;
  [[nodiscard]] std::array<double, 2> key_values(int job) const;
  void column_of(const Extra& extra, std::vector<double>& out) const;
  void account(int job, double sign);
  void recount();
  void refactor();
  void settle();
  void prices();
  [[nodiscard]] bool find_entering(Extra& entering);
  [[nodiscard]] double best_gain(int job, int& column) const;
  [[nodiscard]] Block blocking(const Extra& entering);
  [[nodiscard]] double key_rate(int job, int key, const Extra& entering, double water) const;
  void step(const Extra& entering);
  void next_key(int job, int keep);
  void find_guide();
  [[nodiscard]] bool pinned(const Block& block, const Extra& entering);
  [[nodiscard]] bool water_stops(const Extra& entering);
  void pivot(const Block& block, const Extra& entering);
  void set_keys(int job, int a, int b);
  void start_at(double level, std::span<const double> price);
  void respond(int job, double level, std::span<const double> price);
  [[nodiscard]] bool fits() const;
  void freeze();
  void push(int job);
  [[nodiscard]] bool improve();

  Input in_;
  std::size_t kinds_;
  std::vector<Job> jobs_;
  std::vector<double> value_, fixed_, slope_, inverse_, held_, price_, guide_, mix_, first_price_;
  std::vector<double> direction_, entering_, scratch_;
  std::vector<Extra> extras_;
  std::priority_queue<std::pair<double, int>, std::vector<std::pair<double, int>>, std::greater<>> breakpoints_;
  std::size_t cursor_ = 0, active_ = 0;
  int water_ = kNone;  // place of t among the extras
  double t_ = 0, moved_ = 0, first_level_ = 0, least_gain_ = 0;
  bool have_first_ = false, exact_ = true;
  std::uint64_t steps_ = 0, steps_max_ = 0;
};

}  // namespace centrale
