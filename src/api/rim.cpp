// SPDX-License-Identifier: Apache-2.0
#include "api/rim.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>

namespace centrale::api {

Rim make_rim(boost::asio::io_context& context) {
  return {.post = [&context](std::function<void()> work) { boost::asio::post(context, std::move(work)); },
          .after =
              [&context](std::chrono::milliseconds delay, std::function<void()> work) {
                auto timer = std::make_shared<boost::asio::steady_timer>(context, delay);
                timer->async_wait([timer, work = std::move(work)](const boost::system::error_code& error) {
                  if (!error) { work(); }
                });
              }};
}

}  // namespace centrale::api
