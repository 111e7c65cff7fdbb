// SPDX-License-Identifier: Apache-2.0
// The first byte picks the function; the rest is what a client or an engine might send.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/ensure.hpp"
#include "gateway/event_meter.hpp"
#include "gateway/json_scan.hpp"
#include "gateway/request_text.hpp"

namespace {

using namespace centrale::gateway;

void fuzz_request(Operation operation, std::string_view body) {
  const auto ask = read_ask(operation, body);
  if (!ask) { return; }
  ensure(ask->prompt_tokens >= 0 && ask->completion_tokens_max >= 0);
  const std::string same = body_for_engine(*ask, body, ask->model);
  ensure(ask->stream || same == body);
  // What goes to the engine is still well-formed, says the engine's model, and asks for usage.
  const std::string other = body_for_engine(*ask, body, "engine \"x\"");
  const auto again = read_ask(operation, other);
  ensure(again && again->model == "engine \"x\"");
  ensure(again->stream == ask->stream && (!ask->stream || again->usage_wanted));
  ensure(again->completion_tokens_max == ask->completion_tokens_max);
}

void fuzz_events(std::string_view bytes) {
  EventMeter whole{false};
  std::string at_once = whole.feed(bytes);
  at_once += whole.finish();
  EventMeter cut{false};
  std::string in_pieces;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t n = 1 + at % 7;
    in_pieces += cut.feed(bytes.substr(at, n));
    at += n;
  }
  in_pieces += cut.finish();
  ensure(at_once == in_pieces);
  ensure(whole.chunks() == cut.chunks() && whole.done() == cut.done() && whole.failed() == cut.failed());
  EventMeter open{true};
  std::string all = open.feed(bytes);
  all += open.finish();
  ensure(all == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) { return 0; }
  const std::string_view rest{reinterpret_cast<const char*>(data) + 1, size - 1};
  switch (data[0] % 4) {
    case 0: fuzz_request(Operation::chat, rest); break;
    case 1: fuzz_request(Operation::completion, rest); break;
    case 2: fuzz_events(rest); break;
    default: static_cast<void>(usage_of_answer(rest)); break;
  }
  return 0;
}
