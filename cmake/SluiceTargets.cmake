# No precompiled headers: from one, GCC 12 reports its false alarms inside the standard library as ours.
# sluice_library(NAME SOURCES... DEPENDS targets...): one static library per folder of src/.
function(sluice_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  if(ARG_SOURCES)
    add_library(sluice_${name} STATIC ${ARG_SOURCES})
    target_include_directories(sluice_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(sluice_${name} PUBLIC ${ARG_DEPENDS})
  else()
    add_library(sluice_${name} INTERFACE)
    target_include_directories(sluice_${name} INTERFACE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(sluice_${name} INTERFACE ${ARG_DEPENDS})
  endif()
endfunction()

# sluice_test(NAME SOURCES... DEPENDS targets... [LABELS ...]): one GoogleTest program, one ctest entry.
# Tests see SLUICE_SOURCE_DIR (the checkout) and find ../shared through tests/support/paths.h.
function(sluice_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE SLUICE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # GCC 12 at -O3 invents overlapping copies in "literal" + std::string (its bug 105651).
  target_compile_options(${name} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
  # Checks of single things spend their time in the compiler, not in loops; suites do the opposite.
  # Under sanitizers the libraries are what is examined, and the expectations themselves take minutes to optimise.
  if(NOT "suite" IN_LIST ARG_LABELS)
    target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
    if(SLUICE_SANITIZE)
      target_compile_options(${name} PRIVATE -O0)
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
