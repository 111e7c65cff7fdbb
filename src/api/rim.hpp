// SPDX-License-Identifier: Apache-2.0
// The thread that answers: how to get a piece of work onto it, now or later.
#pragma once
#include <chrono>
#include <functional>

namespace boost::asio {
class io_context;
}

namespace centrale::api {

struct Rim {
  std::function<void(std::function<void()>)> post;                              // from any thread; in order
  std::function<void(std::chrono::milliseconds, std::function<void()>)> after;  // from the rim thread
};

/// The context must outlive every call of what is returned.
[[nodiscard]] Rim make_rim(boost::asio::io_context& context);

}  // namespace centrale::api
