// SPDX-License-Identifier: Apache-2.0
#include "operate/discover_probe.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include "operate/discover.hpp"

namespace centrale::discovery {
namespace {

void say(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written <= 0) {
      ::_exit(0);  // nobody listens any more
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::string note(const Error& error) { return fmt::format("note\t{}\n", clean_text(error.message())); }

void say_devices(VendorLibrary& library) {
  const auto devices = library.devices();
  std::string text = devices ? "" : note(devices.error());
  for (const Device& device : devices.value_or(std::vector<Device>{})) { text += probe_line(device); }
  say(text + std::string(kProbeEnd));
}

}  // namespace

Result<SharedLibrary> SharedLibrary::open(const std::string& paths) {
  for (const std::string_view path : split(paths, ':')) {
    if (void* handle = ::dlopen(std::string(path).c_str(), RTLD_NOW | RTLD_LOCAL); handle != nullptr) { return SharedLibrary(handle); }
    const char* reason = ::dlerror();
    const std::string what = reason != nullptr ? reason : "dlopen failed";
    // The loader has no error numbers; a missing file is told by its words (glibc and musl).
    if (what.find("No such file") == std::string::npos) { return fail(ErrorKind::io, what, std::string(path)); }
  }
  return fail(ErrorKind::not_found, "there is no such library", paths);
}

void* SharedLibrary::symbol(const char* name) const { return ::dlsym(handle_, name); }

}  // namespace centrale::discovery

int centrale::probe_main(int argc, char** argv) {
  using namespace discovery;
  const std::string which = argc > 0 ? argv[0] : "";
  if (argc != 2 || (which != "nvml" && which != "rocm")) {
    return 64;  // EX_USAGE
  }
  auto library = which == "nvml" ? open_nvml(argv[1]) : open_rocm(argv[1]);
  if (!library) {
    const bool absent = library.error().kind == ErrorKind::not_found;
    say((absent ? "absent\n" : note(library.error())) + std::string(kProbeEnd));
    return 0;
  }
  say_devices(**library);
  // Whatever comes in asks for a new look; the end of input is the end of the centre that asked.
  char asked[64];
  while (::read(STDIN_FILENO, asked, sizeof asked) > 0) { say_devices(**library); }
  ::_exit(0);  // without the library's own exit handlers, which may hang as well
}
