# SPDX-License-Identifier: Apache-2.0
# centrale_fuzzer(NAME USES part…) builds NAME.cpp, which defines LLVMFuzzerTestOneInput, where CENTRALE_FUZZ is on:
#
#   cmake -S . -B build/fuzz -G Ninja -DCENTRALE_FUZZ=ON -DCENTRALE_TRAINER=OFF -DCENTRALE_SANITIZE=address,undefined
#   ninja -C build/fuzz NAME && build/fuzz/NAME -max_total_time=60 build/fuzz/found tests/corpus/…
#
# Debian 12's clang cannot compile std::expected of its libstdc++. So GCC compiles, its trace-pc hook (fuzz_coverage.cpp)
# fills counters, and clang's libFuzzer, which only reads counters, does the rest.
if(CENTRALE_FUZZ)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    file(GLOB fuzzer_runtimes /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-${CMAKE_SYSTEM_PROCESSOR}.a)
    if(NOT fuzzer_runtimes)
      message(FATAL_ERROR "CENTRALE_FUZZ needs clang's libFuzzer: apt-get install libclang-rt-14-dev")
    endif()
    list(GET fuzzer_runtimes 0 CENTRALE_FUZZER_RUNTIME)
    # The runtime has an empty hook of that name; ours comes first and wins.
    list(APPEND CENTRALE_FUZZER_RUNTIME -Wl,--allow-multiple-definition)
    add_compile_options(-fsanitize-coverage=trace-pc,trace-cmp)
    add_library(fuzz_coverage OBJECT ${CMAKE_CURRENT_LIST_DIR}/fuzz_coverage.cpp)
    # Every program of this build is compiled with the hook, so every program needs it; only fuzzers have a libFuzzer to tell.
    link_libraries(fuzz_coverage)
  else()
    add_compile_options(-fsanitize=fuzzer-no-link)
    set(CENTRALE_FUZZER_RUNTIME -fsanitize=fuzzer)
  endif()
endif()

function(centrale_fuzzer name)
  cmake_parse_arguments(ARG "" "" "USES" ${ARGN})
  if(CENTRALE_FUZZ)
    list(TRANSFORM ARG_USES PREPEND centrale_)
    add_executable(${name} ${name}.cpp)
    target_compile_options(${name} PRIVATE ${CENTRALE_WARNINGS})
    target_link_libraries(${name} PRIVATE ${ARG_USES} ${CENTRALE_FUZZER_RUNTIME})
  endif()
endfunction()
