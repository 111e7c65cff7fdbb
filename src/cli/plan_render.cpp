// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_render.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.hpp"

namespace centrale::cli {
namespace {

std::string or_unknown(double value, std::string (*format)(double), const Style& style) {
  return value == 0 ? unknown(style) : format(value);
}

Cell amount(double value, std::string (*format)(double), const Style& style, Tone tone = Tone::plain) {
  return {or_unknown(value, format, style), tone};
}

constexpr std::size_t kWidth = 120;  // of text where the terminal's is not known

/// In lines of at most `room` columns, broken between words; a longer word stands alone.
std::vector<std::string> wrapped(std::string_view text, std::size_t room) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    if (!lines.back().empty() && display_width(lines.back()) + 1 + display_width(word) > room) { lines.emplace_back(); }
    if (!word.empty()) { lines.back() += (lines.back().empty() ? "" : " ") + std::string(word); }
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return lines;
}

/// "hall-1: " where the fleet has several islands.
std::string place_of(const TrainRequest& request, const TrainPart& part) {
  return request.fleet.islands.size() > 1 ? printable(request.fleet.islands[part.island].name) + ": " : std::string{};
}

Table layouts_table(const TrainPage& page) {
  Table table{{{"#", Align::right},
               {"LAYOUT", Align::left, 24},
               {"CHIPS", Align::right},
               {"STEP", Align::right},
               {"MFU", Align::right},
               {"TOKENS/S", Align::right},
               {"DAYS", Align::right},
               {"MWH", Align::right},
               {"COST", Align::right}},
              {}};
  for (std::size_t i = 0; i < page.plans.size(); ++i) {
    const TrainPlan& plan = page.plans[i];
    const Tone tone = i == 0 ? Tone::bold : Tone::plain;
    for (std::size_t p = 0; p < plan.parts.size(); ++p) {
      const TrainPart& part = plan.parts[p];
      const bool first = p == 0;
      const auto of_plan = [&](double value, std::string (*format)(double)) {
        return first ? amount(value, format, page.style, tone) : Cell{};
      };
      std::string layout = place_of(page.request, part) + to_text(part.layout);
      if (plan.joined == Joined::data) { layout += fmt::format(" ({} sequences)", format_count(part.sequences)); }
      table.rows.push_back({{first ? std::to_string(i + 1) : "", tone},
                            {std::move(layout), tone},
                            {format_count(part.layout.chips()), tone},
                            of_plan(plan.step.value, &time_text),
                            of_plan(plan.mfu, &tight_percent),
                            of_plan(plan.tokens.value, &short_count),
                            of_plan(plan.days, &days_text),
                            of_plan(plan.mwh, &days_text),
                            of_plan(plan.cost, &short_count)});
    }
  }
  if (!page.request.fleet.currency.empty()) { table.columns.back().title += " " + page.request.fleet.currency; }
  return table;
}

Table time_table(const TrainPage& page) {
  Table table{{{"#", Align::right},
               {"COMPUTATION", Align::right},
               {"RECOMPUTED", Align::right},
               {"TP", Align::right},
               {"CP", Align::right},
               {"EP", Align::right},
               {"PP+BUBBLE", Align::right},
               {"DP", Align::right},
               {"OPTIMIZER", Align::right},
               {"OTHER", Align::right},
               {"STEP", Align::right}},
              {}};
  for (std::size_t i = 0; i < page.plans.size(); ++i) {
    const StepParts& p = page.plans[i].by_part;
    std::vector<Cell> row{{std::to_string(i + 1)}};
    for (const double seconds : {(p.forward + p.backward + p.head).value, p.recompute.value, p.tp.value, p.cp.value, p.ep.value,
                                 (p.pp + p.bubble).value, p.dp.value, p.optimizer.value, p.other.value, page.plans[i].step.value}) {
      row.push_back(amount(seconds, &time_text, page.style));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table memory_table(const TrainPage& page) {
  Table table{{{"#", Align::right},
               {"ISLAND"},
               {"WEIGHTS", Align::right},
               {"GRADIENTS", Align::right},
               {"OPTIMIZER", Align::right},
               {"ACTIVATIONS", Align::right},
               {"BUFFERS", Align::right},
               {"RESERVED", Align::right},
               {"TOTAL", Align::right},
               {"OF", Align::right}},
              {}};
  for (std::size_t i = 0; i < page.plans.size(); ++i) {
    for (const TrainPart& part : page.plans[i].parts) {
      const Memory& m = part.estimate.memory;
      const Island& island = page.request.fleet.islands[part.island];
      const double capacity = static_cast<double>(island.chip.memory.value.value);
      const bool fits = m.total().value <= capacity * (1 - page.request.memory_margin);
      std::vector<Cell> row{{&part == &page.plans[i].parts.front() ? std::to_string(i + 1) : ""},
                            {page.request.fleet.islands.size() > 1 ? printable(island.name) : unknown(page.style)}};
      for (const ByteCount bytes : {m.weights, m.gradients, m.optimizer, m.activations, m.buffers, m.reserved}) {
        row.push_back(amount(bytes.value, &memory_text, page.style));
      }
      row.push_back(amount(m.total().value, &memory_text, page.style, fits ? Tone::plain : Tone::red));
      row.push_back(amount(capacity, &memory_text, page.style, Tone::dim));
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

}  // namespace

std::string three_digits(double value) {
  const double size = std::abs(value);
  return fmt::format("{:.{}f}", value, size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}

std::string time_text(double seconds) {
  if (seconds == 0) { return "0"; }
  const double size = std::abs(seconds);
  if (size < 0.9995e-3) { return three_digits(seconds * 1e6) + " µs"; }
  if (size < 0.9995) { return three_digits(seconds * 1e3) + " ms"; }
  return size < 999.5 ? three_digits(seconds) + " s" : span_text(seconds);
}

std::string memory_text(double bytes) {
  const double size = std::abs(bytes);
  if (size < 0.9995 * 0x1p30) { return three_digits(bytes / 0x1p20) + " MiB"; }
  return size < 999.5 * 0x1p30 ? three_digits(bytes / 0x1p30) + " GiB" : three_digits(bytes / 0x1p40) + " TiB";
}

std::string short_count(double count) {
  struct Scale {
    double unit;
    std::string_view letter;
  };
  static constexpr std::array kScales{Scale{1e15, "P"}, Scale{1e12, "T"}, Scale{1e9, "G"}, Scale{1e6, "M"}, Scale{1e3, "k"}};
  for (const Scale& scale : kScales) {
    if (std::abs(count) >= 0.9995 * scale.unit) { return three_digits(count / scale.unit) + std::string(scale.letter); }
  }
  return three_digits(count);
}

std::string parameters_text(double count) {
  std::string text = short_count(count);
  if (text.ends_with('G')) { text.back() = 'B'; }
  return text;
}

std::string tight_percent(double fraction) { return fmt::format("{:.1f}%", fraction * 100); }

std::string days_text(double days) {
  if (days == 0) { return "0"; }
  return std::abs(days) < 99.95 ? three_digits(days) : format_count(std::llround(days));
}

std::string chips_text(const Fleet& fleet) {
  std::string text;
  for (const Island& island : fleet.islands) {
    text += fmt::format("{}{} x {}", text.empty() ? "" : " + ", format_count(island.chips), island.chip.name);
  }
  return text;
}

std::string remark(std::string_view name, std::string_view text, std::size_t width, const Style& style) {
  constexpr std::size_t kName = 12, kRoomMin = 24;
  const std::size_t room = std::max(kRoomMin, (width > 0 ? width : kWidth) - std::min(kName, width > 0 ? width : kWidth));
  std::string lines;
  for (const std::string& line : wrapped(text, room)) {
    // A name that is too long for its column stands apart all the same.
    const std::string first = pad(name, kName - 1) + " ";
    lines += (lines.empty() ? paint(first, Tone::dim, style) : std::string(kName, ' ')) + line + "\n";
  }
  return lines;
}

std::string train_tables(const TrainPage& page) {
  const auto title = [&](std::string_view text) { return "\n" + paint(text, Tone::bold, page.style) + "\n"; };
  return render(layouts_table(page), page.width, page.style) + title("Time of a step, on the chips that pace it") +
         render(time_table(page), page.width, page.style) + title("Memory of the fullest chip") +
         render(memory_table(page), page.width, page.style);
}

std::string explanation(const TrainPage& page, const TrainPart& part, const std::vector<TrainEstimator::Term>& terms) {
  std::vector<ExplainedTerm> lines;
  lines.reserve(terms.size());
  for (const TrainEstimator::Term& term : terms) { lines.push_back({term.name, term.value, term.source}); }
  return "\n" + paint("Where it comes from: " + place_of(page.request, part) + to_text(part.layout), Tone::bold, page.style) + "\n" +
         explanation(lines, page.width, page.style);
}

std::string explanation(const std::vector<ExplainedTerm>& terms, std::size_t width, const Style& style) {
  constexpr std::size_t kGap = 2, kSourceMin = 32;
  std::size_t names = 0, values = 0;
  for (const ExplainedTerm& term : terms) {
    names = std::max(names, display_width(term.name));
    values = std::max(values, display_width(term.value));
  }
  const std::size_t before = names + values + 2 * kGap;
  const std::size_t room = std::max(kSourceMin, (width > 0 ? width : kWidth) - std::min(before, width > 0 ? width : kWidth));
  std::string text;
  for (const ExplainedTerm& term : terms) {
    const Tone tone = term.name.ends_with("total") ? Tone::bold : Tone::plain;
    text += paint(pad(term.name, names), tone, style) + "  " + paint(pad(term.value, values, Align::right), tone, style) + "  ";
    const std::vector<std::string> source = wrapped(printable(term.source), room);
    for (std::size_t i = 0; i < source.size(); ++i) {
      text += (i > 0 ? std::string(before, ' ') : "") + paint(source[i], Tone::dim, style) + "\n";
    }
  }
  return text;
}

std::string train_remarks(const TrainPage& page) {
  const TrainPlan& best = page.plans.front();
  const auto line = [&](std::string_view name, std::string_view said) { return remark(name, said, page.width, page.style); };
  std::string text = line("bound by", best.bound_by);
  if (best.links.value > 0) { text += line("links", time_text(best.links.value) + " of the step are the links between islands"); }
  text += line("free", best.headroom.value >= 0
                           ? memory_text(best.headroom.value) + " on the fullest chip"
                           : fmt::format("it does not fit: {} too much on the fullest chip", memory_text(-best.headroom.value)));
  if (std::isfinite(best.goodput.mtbf.value)) {
    const Goodput& g = best.goodput;
    text += line("goodput",
                 fmt::format("{} of the wall clock: something fails every {}, a checkpoint of {} is taken every {} and stops all for {}",
                             tight_percent(g.fraction), time_text(g.mtbf.value), memory_text(g.checkpoint.value),
                             time_text(g.interval.value), time_text(g.pause.value)));
  }
  for (const std::string& note : best.notes) { text += line("note", printable(note)); }
  return text;
}

}  // namespace centrale::cli
