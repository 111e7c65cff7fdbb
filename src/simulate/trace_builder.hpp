// SPDX-License-Identifier: Apache-2.0
// What every reader feeds: takes one row's job, holds it against the options, counts what is left out, and makes the Workload.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "simulate/trace.hpp"
#include "simulate/trace_rows.hpp"

namespace centrale {

/// Why a row was left out or changed; each is one note.
enum class TraceRemark : unsigned char {
  no_submit,
  no_start,
  no_end,
  negative,
  never_ran,
  cpu_only,
  failed,
  too_large,
  partial,
  outside,
  // changed, and played
  zero_length,
  shrunk,
  uneven,
  many_attempts,
  rounded_share,
  any_old_kind,
  deadline,
};
inline constexpr std::size_t kTraceRemarks = 17;

/// Text to index, in order of first use. The map is only asked, never walked.
class TraceNames {
 public:
  explicit TraceNames(std::vector<std::string>& names) : names_(names) { rebuild(); }
  [[nodiscard]] std::uint32_t index(std::string_view name);
  void rebuild();  // after the names were set by hand

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::vector<std::string>& names_;
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> index_;
};

/// Where time 0 is: as the trace says, or at its first submit.
enum class TraceOrigin : unsigned char { as_written, first_submit };

class TraceBuilder {
 public:
  TraceBuilder(std::string_view file, const TraceOptions& options);

  [[nodiscard]] std::uint32_t tenant(std::string_view name) { return tenants_.index(name); }
  [[nodiscard]] std::uint32_t profile(std::string_view name) { return profiles_.index(name); }
  /// Kinds separated by '|'; empty: any.
  [[nodiscard]] std::uint32_t kinds(std::string_view names);

  void remark(TraceRemark what, std::uint32_t line);
  void note(std::string text) { workload_.notes.push_back(std::move(text)); }
  /// `job.submit` and `job.run` as the row says; times that are not known are kNoNumber. Leaves it out, or keeps it. An error where it
  /// asks for more than anybody has.
  [[nodiscard]] Result<void> add(TraceJob job, std::uint32_t line);
  /// A gang of `chips` in all, on `nodes` nodes where the trace says so (else 0).
  void shape(TraceJob& job, std::int64_t chips, std::int64_t nodes, std::uint32_t line);
  [[nodiscard]] Result<Workload> finish(TraceOrigin origin);
  [[nodiscard]] const TraceOptions& options() const { return options_; }
  [[nodiscard]] Workload& workload() { return workload_; }
  /// After the tables of `workload` were set by hand.
  void index_tables();
  /// Jobs without chips belong to this trace, whatever the options say: our own CSV, and orders of arrival.
  void keep_cpu_jobs() { keep_cpu_jobs_ = true; }

 private:
  [[nodiscard]] bool left_out(const TraceJob& job, std::uint32_t line);
  [[nodiscard]] bool fit(TraceJob& job, std::uint32_t line);
  void window();
  [[nodiscard]] Result<void> scale_arrivals();
  void write_notes();

  std::string file_;
  const TraceOptions& options_;
  bool keep_cpu_jobs_;
  Workload workload_;
  std::vector<std::string> kind_texts_{""};
  TraceNames tenants_, profiles_, kinds_;
  struct Count {
    std::int64_t rows = 0;
    std::uint32_t first_line = 0;
  };
  std::array<Count, kTraceRemarks> counts_{};
};

/// COMPLETED, Pass, Terminated …; what is not known to have gone wrong is done.
[[nodiscard]] RecordedEnd recorded_end(std::string_view state);

// One reader a format; `rows` stands before the first row.
[[nodiscard]] Result<Workload> read_csv_trace(std::string_view text, TraceBuilder& builder, std::string_view file);
[[nodiscard]] Result<Workload> read_swf(std::string_view text, TraceBuilder& builder, std::string_view file);
[[nodiscard]] Result<Workload> read_philly(std::string_view text, TraceBuilder& builder, std::string_view file);
[[nodiscard]] Result<Workload> read_philly_short(std::string_view text, TraceBuilder& builder, std::string_view file);
[[nodiscard]] Result<Workload> read_slurm(std::string_view text, TraceBuilder& builder, std::string_view file);  // Helios and Acme
[[nodiscard]] Result<Workload> read_alibaba_2020(std::string_view text, TraceBuilder& builder, std::string_view file);
[[nodiscard]] Result<Workload> read_alibaba_2023(std::string_view text, TraceBuilder& builder, std::string_view file);  // and orders
[[nodiscard]] Result<Workload> read_gavel(std::string_view text, TraceBuilder& builder, std::string_view file);
[[nodiscard]] Result<Workload> read_sia(std::string_view text, TraceBuilder& builder, std::string_view file);
[[nodiscard]] Result<Workload> read_tiresias(std::string_view text, TraceBuilder& builder, std::string_view file);

/// The header row, which must have each of `needed`.
[[nodiscard]] Result<TraceColumns> read_trace_header(TraceRows& rows, std::initializer_list<std::string_view> needed);

}  // namespace centrale
