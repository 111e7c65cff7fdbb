// SPDX-License-Identifier: Apache-2.0
#include "api/metrics.hpp"

#include <charconv>
#include <optional>
#include <set>

#include "api/centre_testing.hpp"

namespace centrale::api {
namespace {

/// Reads the text format as strictly as its description (Prometheus, "Exposition formats") has it.
class Exposition {
 public:
  std::map<std::string, double> samples;  // by name and labels, as written
  std::map<std::string, std::string> types;

  /// The first thing that is wrong, or empty.
  std::string read(std::string_view text) {
    if (!text.ends_with('\n')) { return "the last line does not end"; }
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      if (std::string wrong = line(text.substr(0, end)); !wrong.empty()) { return wrong + ": " + std::string(text.substr(0, end)); }
      text.remove_prefix(end + 1);
    }
    return {};
  }

 private:
  static bool is_name(std::string_view name) {
    return !name.empty() &&
           std::all_of(name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }) &&
           !std::isdigit(static_cast<unsigned char>(name.front()));
  }

  std::string line(std::string_view text) {
    if (text.starts_with("# HELP ")) {
      const std::string_view rest = text.substr(7);
      help_ = rest.substr(0, rest.find(' '));
      return help_.size() + 1 < rest.size() ? "" : "no help";
    }
    if (text.starts_with("# TYPE ")) {
      const std::string_view rest = text.substr(7);
      family_ = rest.substr(0, rest.find(' '));
      const std::string type(rest.substr(family_.size() + 1));
      if (family_ != help_) { return "TYPE without its HELP"; }
      if (!types.emplace(family_, type).second) { return "a family twice"; }
      if (type != "counter" && type != "gauge") { return "unknown type"; }
      return (type == "counter") == family_.ends_with("_total") ? "" : "only counters end in _total";
    }
    return sample(text);
  }

  std::string sample(std::string_view text) {
    std::size_t at = text.find_first_of("{ ");
    if (at == std::string_view::npos) { return "no value"; }
    const std::string_view name = text.substr(0, at);
    if (name != family_ || !is_name(name) || !name.starts_with("centrale_")) { return "not of the family above"; }
    if (text[at] == '{') {
      const auto end = labels(text, at + 1);
      if (!end) { return "bad labels"; }
      at = *end;
    }
    if (at >= text.size() || text[at] != ' ') { return "no space before the value"; }
    double value = 0;
    const auto [stop, error] = std::from_chars(text.data() + at + 1, text.data() + text.size(), value);
    if (error != std::errc{} || stop != text.data() + text.size()) { return "bad value"; }
    return samples.emplace(std::string(text.substr(0, at)), value).second ? "" : "a sample twice";
  }

  static std::optional<std::size_t> labels(std::string_view text, std::size_t at) {
    std::set<std::string> names;
    while (true) {
      const std::size_t equals = text.find("=\"", at);
      if (equals == std::string_view::npos || !is_name(text.substr(at, equals - at)) ||
          !names.emplace(text.substr(at, equals - at)).second) {
        return std::nullopt;
      }
      at = equals + 2;
      while (at < text.size() && text[at] != '"') {
        if (text[at] == '\\' && (at + 1 == text.size() || std::string_view("\\\"n").find(text[at + 1]) == std::string_view::npos)) {
          return std::nullopt;
        }
        at += text[at] == '\\' ? 2U : 1U;
      }
      if (at + 1 >= text.size()) { return std::nullopt; }
      if (text[at + 1] == '}') { return at + 2; }
      if (text[at + 1] != ',') { return std::nullopt; }
      at += 2;
    }
  }

  std::string help_, family_;
};

TEST(Metrics, AreSoundAndTrue) {
  TestCentre centre;
  ASSERT_EQ(centre.post("/api/v1/jobs", kSleepJob).status, 201);
  ASSERT_EQ(centre.post("/api/v1/jobs", R"({"name":"wide","command":["a"],"chips":4})").status, 201);
  ASSERT_EQ(centre.call("PUT", "/api/v1/services", kChatService).status, 201);
  centre.settle();
  centre.host->fact(TokensMetered{
      .tenant = TenantId{1}, .service = ServiceId{1}, .requests = 2, .prompt_tokens = 30, .completion_tokens = 40, .estimated_tokens = 0});
  centre.clock.now_ns += seconds(10).value;
  centre.settle();
  const Reply reply = centre.get("/metrics");
  EXPECT_EQ(reply.headers.at("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  Exposition read;
  ASSERT_EQ(read.read(reply.body), "");
  const auto value = [&](const std::string& sample) {
    const auto found = read.samples.find("centrale_" + sample);
    EXPECT_NE(found, read.samples.end()) << sample << "\n" << reply.body;
    return found == read.samples.end() ? -1 : found->second;
  };
  EXPECT_EQ(value(R"(chips{kind="cpu-core",state="busy"})"), 3);
  EXPECT_EQ(value(R"(chips{kind="cpu-core",state="free"})"), 1);
  EXPECT_EQ(value(R"(nodes{state="up"})"), 1);
  EXPECT_EQ(value(R"(jobs{state="running"})"), 1);
  EXPECT_EQ(value(R"(jobs{state="queued"})"), 1);
  EXPECT_EQ(value("queue_length"), 1);
  EXPECT_EQ(value("services_ready"), 1);
  EXPECT_EQ(value(R"(service_replicas_ready{service="chat"})"), 2);
  EXPECT_EQ(value(R"(tenant_device_seconds_total{tenant="default"})"), 30);
  EXPECT_EQ(value(R"(tenant_energy_joules_total{tenant="default"})"), 300);
  EXPECT_NEAR(value(R"(tenant_cost_total{tenant="default",currency="EUR"})"), 30 * 0.036 / 3600, 1e-9);
  EXPECT_EQ(value(R"(tenant_tokens_total{tenant="default",direction="prompt"})"), 30);
  EXPECT_EQ(value(R"(tenant_tokens_total{tenant="default",direction="completion"})"), 40);
  EXPECT_EQ(value(R"(tenant_requests_total{tenant="default"})"), 2);
  EXPECT_EQ(value(R"(chip_utilisation_ratio{node="alpha",kind="cpu-core",index="0"})"), 0.5);
  EXPECT_EQ(value(R"(chip_power_watts{node="alpha",kind="cpu-core",index="0"})"), 12.5);
  EXPECT_EQ(value("gateway_requests_total"), 7);
  EXPECT_EQ(value("gateway_in_flight"), 1);
  EXPECT_EQ(value(R"(api_answers_total{operation="submitJob",status="201"})"), 2);
  EXPECT_EQ(value("journal_ok"), 1);
  EXPECT_GE(value("journal_sequence"), 5);
  EXPECT_GE(value("journal_commits_total"), 1);
  EXPECT_GE(value("http_connections"), 1);
  EXPECT_GT(value("process_resident_memory_bytes"), 1e6);
  EXPECT_GT(value("process_cpu_seconds_total"), 0);
  EXPECT_GT(value("process_open_fds"), 3);
  EXPECT_EQ(value(R"(build_info{version="1.2.3"})"), 1);
}

TEST(Metrics, LabelsAreEscaped) {
  EXPECT_EQ(escape_label("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
  EXPECT_EQ(escape_label("\xff"), "\xEF\xBF\xBD");
  TestCentre centre;
  centre.make(TenantDefined{.name = "odd \"name\" \\ with\nall", .quota = {}});
  centre.settle();
  Exposition read;
  EXPECT_EQ(read.read(centre.get("/metrics").body), "");
  EXPECT_TRUE(read.samples.contains(R"(centrale_tenant_requests_total{tenant="odd \"name\" \\ with\nall"})"));
}

TEST(Metrics, CheckerNoticesWhatIsWrong) {
  for (const char* wrong :
       {"centrale_x 1\n", "# HELP centrale_x h\n# TYPE centrale_x gauge\ncentrale_x{a=\"b} 1\n",
        "# HELP centrale_x h\n# TYPE centrale_x gauge\ncentrale_x one\n",
        "# HELP centrale_x h\n# TYPE centrale_x gauge\ncentrale_x 1\ncentrale_x 1\n", "# HELP centrale_x h\n# TYPE centrale_x counter\n",
        "# HELP centrale_x h\n# TYPE centrale_x gauge\ncentrale_x{a=\"\\d\"} 1\n",
        "# HELP centrale_x h\n# TYPE centrale_x gauge\ncentrale_x 1"}) {
    EXPECT_NE(Exposition().read(wrong), "") << wrong;
  }
}

}  // namespace
}  // namespace centrale::api
