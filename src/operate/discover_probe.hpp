// SPDX-License-Identifier: Apache-2.0
// Private to discovery: what runs inside a probe process, where a vendor's library may crash or hang as it likes.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "operate/discover_device.hpp"

namespace centrale::discovery {

/// A vendor's library, open.
class VendorLibrary {
 public:
  virtual ~VendorLibrary() = default;
  /// Every device as it is now.
  [[nodiscard]] virtual Result<std::vector<Device>> devices() = 0;
};

/// not_found: no such library, or it finds no driver: the machine has no such chip. io: it is there and does not work.
[[nodiscard]] Result<std::unique_ptr<VendorLibrary>> open_nvml(const std::string& path);
[[nodiscard]] Result<std::unique_ptr<VendorLibrary>> open_rocm(const std::string& path);

/// dlopen and dlsym as values.
class SharedLibrary {
 public:
  /// The first of `paths` (joined by colons) that is there.
  [[nodiscard]] static Result<SharedLibrary> open(const std::string& paths);
  /// Null where the library is older or newer than the function.
  template <class Function>
  void find(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(symbol(name));
  }

 private:
  explicit SharedLibrary(void* handle) : handle_(handle) {}
  [[nodiscard]] void* symbol(const char* name) const;
  void* handle_;  // never closed: drivers leave threads behind
};

}  // namespace centrale::discovery
