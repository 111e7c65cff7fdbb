// SPDX-License-Identifier: Apache-2.0
// The control API as the commands see it: one narrow interface, so that tests hold a centre in memory.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace centrale::cli {

struct Answer {
  int status = 0;
  std::string body;
};

/// A part of a streamed answer.
struct Part {
  enum class Kind : unsigned char {
    bytes,
    quiet,  // nothing came in time, or the wake descriptor became readable
    end,    // the answer is complete, or the connection is gone
  };
  Kind kind = Kind::end;
  std::string bytes;
};

class Stream {
 public:
  virtual ~Stream() = default;
  [[nodiscard]] virtual int status() const = 0;
  /// Waits for more, at most this long, or until `wake_fd` (if not -1) is readable.
  [[nodiscard]] virtual Part next(std::chrono::milliseconds wait_max, int wake_fd) = 0;
};

class Api {
 public:
  virtual ~Api() = default;
  /// The whole answer, whatever its status. An error means that no centre answered.
  [[nodiscard]] virtual Result<Answer> call(std::string_view method, std::string_view target, std::string_view body) = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<Stream>> stream(std::string_view method, std::string_view target, std::string_view body) = 0;
  /// "http://127.0.0.1:7070"
  [[nodiscard]] virtual const std::string& url() const = 0;
};

}  // namespace centrale::cli
