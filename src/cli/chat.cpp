// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <csignal>

#include "cli/commands.hpp"
#include "cli/sse.hpp"
#include "cli/views.hpp"
#include "http/answer.hpp"

namespace centrale::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kSilenceMax = 120s;  // a large model on a slow chip reads a long prompt before its first token

std::string question(const ChatOptions& options, bool streams) {
  const auto said = [](std::string_view role, const std::string& text) {
    return fmt::format(R"({{"role":"{}","content":{}}})", role, http::json_string(text));
  };
  std::string body = fmt::format(R"({{"model":{},"messages":[)", http::json_string(options.model));
  body += options.system.empty() ? "" : said("system", options.system) + ",";
  body += said("user", options.message) + "]";
  body += options.tokens_max ? fmt::format(R"(,"max_tokens":{})", *options.tokens_max) : "";
  body += options.temperature ? fmt::format(R"(,"temperature":{})", *options.temperature) : "";
  return body + (streams ? R"(,"stream":true})" : "}");
}

Outcome<int> speak(Context& context, const ChatOptions& options) {
  if (context.json) {
    TRY_ASSIGN(const std::string body, ask(context, "POST", "/v1/chat/completions", question(options, false)));
    print(context, body);
    return kExitOk;
  }
  Signals signals({SIGINT, SIGTERM, SIGHUP});
  auto stream = context.api->stream("POST", "/v1/chat/completions", question(options, true));
  if (!stream) { return std::unexpected(Failure(std::move(stream).error(), kExitUnreachable)); }
  const bool refused = (*stream)->status() >= 400;
  std::string refusal;
  SseReader reader;
  bool at_line_start = true;
  bool complete = false;
  auto last = std::chrono::steady_clock::now();
  while (true) {
    const Part part = (*stream)->next(kSilenceMax, signals.fd());
    if (signals.told_to_end()) {
      context.out << '\n' << std::flush;
      return kExitInterrupted;
    }
    if (part.kind == Part::Kind::quiet && std::chrono::steady_clock::now() >= last + kSilenceMax) {
      return std::unexpected(Failure(Error{ErrorKind::unavailable,
                                           fmt::format("'{}' said nothing for {} s", options.model, kSilenceMax.count()),
                                           {},
                                           "how is it? centrale services"}));
    }
    if (part.kind == Part::Kind::end) { break; }
    if (part.kind == Part::Kind::bytes) { last = std::chrono::steady_clock::now(); }
    if (refused) {
      refusal += refusal.size() < std::size_t{64} * 1024 ? part.bytes : "";
      continue;
    }
    reader.feed(part.bytes);
    while (const auto event = reader.next()) {
      if (const auto error = read_stream_error(event->data)) { return std::unexpected(Failure(*error)); }
      complete = complete || event->data == "[DONE]";
      const std::string delta = read_chat_delta(event->data);
      if (!delta.empty()) {
        context.out << delta << std::flush;
        at_line_start = delta.ends_with('\n');
      }
    }
  }
  if (refused) { return std::unexpected(Failure(api_error((*stream)->status(), refusal, context.api->url()))); }
  context.out << (at_line_start ? "" : "\n") << std::flush;
  if (!complete) {
    return std::unexpected(Failure(Error{ErrorKind::unavailable, "the answer broke off", {}, "how is it? centrale services"}));
  }
  return kExitOk;
}

}  // namespace

int chat(Context& context, const ChatOptions& options) { return finish(context, speak(context, options)); }

}  // namespace centrale::cli
