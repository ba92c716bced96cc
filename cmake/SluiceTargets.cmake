# Files of a target are compiled eight at a time: their headers, more than half of the work, are read once. `...` are files
# that do not go with the others, because both have the same name in an unnamed namespace. Not with ccache, which gains more;
# its builds, and those of the presets without SLUICE_UNITY (CI's sanitized one is among them), show an include that is
# missing and a name that hides another.
function(sluice_compile_together target)
  if(NOT SLUICE_UNITY OR CCACHE_PROGRAM)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  # A local name may be another file's, and what a file keeps to itself does not stand in the file that is compiled.
  target_compile_options(${target} PRIVATE -Wno-shadow $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# sluice_library(NAME SOURCES... DEPENDS targets... [APART sources...] [SEPARATE]): one static library per folder of src/.
# APART: see sluice_compile_together; SEPARATE: all of them.
function(sluice_library name)
  cmake_parse_arguments(ARG "SEPARATE" "" "SOURCES;DEPENDS;APART" ${ARGN})
  if(ARG_SOURCES)
    add_library(sluice_${name} STATIC ${ARG_SOURCES})
    target_include_directories(sluice_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(sluice_${name} PUBLIC ${ARG_DEPENDS})
    sluice_precompile_library(sluice_${name})
    if(NOT ARG_SEPARATE)
      sluice_compile_together(sluice_${name} ${ARG_APART})
    endif()
  else()
    add_library(sluice_${name} INTERFACE)
    target_include_directories(sluice_${name} INTERFACE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(sluice_${name} INTERFACE ${ARG_DEPENDS})
  endif()
endfunction()

# sluice_test_library(NAME SOURCES... DEPENDS targets...): what several test programs share, compiled once.
function(sluice_test_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_compile_options(${name} PRIVATE -O0)
  target_link_libraries(${name} PUBLIC ${ARG_DEPENDS} sluice_test_support GTest::gmock)
endfunction()

# Headers that most files of many targets read are compiled once. With GCC only in unoptimised programs: from a precompiled
# header GCC 12 takes its false alarms inside the standard library, which come with optimisation, for ours. Not with ccache,
# which gains more and cannot cache what a precompiled header went into; its builds also show an include that is missing.
function(sluice_precompile_library target)
  if(CCACHE_PROGRAM OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    return()
  endif()
  if(NOT TARGET sluice_library_headers)
    add_library(sluice_library_headers STATIC ${PROJECT_SOURCE_DIR}/cmake/library_headers.cc)
    target_link_libraries(sluice_library_headers PRIVATE fmt::fmt)
    target_precompile_headers(sluice_library_headers PRIVATE <algorithm> <functional> <map> <memory> <optional> <string>
                              <vector> <fmt/format.h>)
  endif()
  target_precompile_headers(${target} REUSE_FROM sluice_library_headers)
endfunction()

function(sluice_precompile_test target)
  if(CCACHE_PROGRAM)
    return()
  endif()
  if(NOT TARGET sluice_test_headers)
    add_executable(sluice_test_headers ${PROJECT_SOURCE_DIR}/tests/support/test_headers.cc)
    target_compile_options(sluice_test_headers PRIVATE -O0)
    target_link_libraries(sluice_test_headers PRIVATE GTest::gmock)
    target_precompile_headers(sluice_test_headers PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
  endif()
  target_precompile_headers(${target} REUSE_FROM sluice_test_headers)
endfunction()

# sluice_test(NAME SOURCES... DEPENDS targets... [LABELS ...] [OPTIMISED] [OWN_HEADERS]): one GoogleTest program, one ctest
# entry.
# Tests see SLUICE_SOURCE_DIR (the checkout) and find ../shared through tests/support/paths.h.
function(sluice_test name)
  cmake_parse_arguments(ARG "OPTIMISED;OWN_HEADERS" "" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE SLUICE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # GCC 12 at -O3 invents overlapping copies in "literal" + std::string (its bug 105651).
  target_compile_options(${name} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
  # Expectations cost the compiler minutes and the processor nothing, so they are not optimised. OPTIMISED is for
  # programs that compute their own references in long loops; OWN_HEADERS for those whose libraries define macros that change
  # the standard library (LibTorch), which a precompiled header cannot follow.
  if(ARG_OPTIMISED)
    target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O2>)
  else()
    target_compile_options(${name} PRIVATE -O0)
    if(NOT ARG_OWN_HEADERS)
      sluice_precompile_test(${name})
    endif()
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} sluice_test_support GTest::gmock GTest::gtest_main)
  if(NOT "suite" IN_LIST ARG_LABELS AND TARGET unit_tests)
    add_dependencies(unit_tests ${name})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS "${ARG_LABELS}")
endfunction()

# sluice_fuzz(NAME SOURCES... DEPENDS targets...): a libFuzzer program, only with SLUICE_FUZZ.
function(sluice_fuzz name)
  if(NOT SLUICE_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_property(GLOBAL APPEND PROPERTY SLUICE_FUZZ_TARGETS ${name})
endfunction()
