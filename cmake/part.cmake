# SPDX-License-Identifier: Apache-2.0
# centrale_part(NAME [PURE] [USES part…] [LIBRARIES target…])
#
# One folder under src/ is one part: every *.cpp becomes the library, every *_test.cpp the test program
# NAME_test, every *_bench.cpp is left to bench/. USES is the dependency rule: tests/architecture_test.py reads the list
# written here and fails where an #include breaks it, or a PURE part touches clock, file, socket or thread.
set(CENTRALE_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
    -Woverloaded-virtual -Werror)
set_property(GLOBAL PROPERTY CENTRALE_PARTS "")

function(centrale_part name)
  cmake_parse_arguments(ARG "PURE" "" "USES;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz|main)\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  if(sources)
    add_library(centrale_${name} STATIC ${sources})
    set(scope PUBLIC)
    target_compile_options(centrale_${name} PRIVATE ${CENTRALE_WARNINGS})
    if(ARG_PURE)
      target_compile_options(centrale_${name} PRIVATE -ffp-contract=off)
    endif()
  else()
    add_library(centrale_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(centrale_${name} ${scope} ${PROJECT_SOURCE_DIR}/src)
  list(TRANSFORM ARG_USES PREPEND centrale_ OUTPUT_VARIABLE used)
  target_link_libraries(centrale_${name} ${scope} ${used} ${ARG_LIBRARIES} fmt::fmt)
  set_property(GLOBAL APPEND_STRING PROPERTY CENTRALE_PARTS "${name};${ARG_PURE};${ARG_USES}\n")
  if(CENTRALE_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_compile_options(${name}_test PRIVATE ${CENTRALE_WARNINGS})
    target_link_libraries(${name}_test PRIVATE centrale_${name} GTest::gtest GTest::gmock GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name}_test)
    set_tests_properties(${name} PROPERTIES TIMEOUT 300)
  endif()
endfunction()
