# Compiler settings that hold for every target. Nothing here may depend on the build host's CPU:
# wider instruction sets are switched on per file, only below src/backend/cpu/.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

option(SLUICE_TESTS "Build the tests" ON)
option(SLUICE_BENCHMARKS "Build the developer benchmarks" OFF)
option(SLUICE_FUZZ "Build the libFuzzer targets (clang only)" OFF)
option(SLUICE_UNITY "Compile the files of a library several at a time (without ccache)" OFF)
set(SLUICE_SANITIZE "" CACHE STRING "Sanitizers, as given to -fsanitize= (address,undefined | thread)")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough)
# Results must not depend on whether the compiler fuses a multiply and an add: the reference decoders
# of the formats round after each step. Kernels that want a fused product ask for it by intrinsic.
add_compile_options(-ffp-contract=off)

if(SLUICE_SANITIZE)
  add_compile_options(-fsanitize=${SLUICE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SLUICE_SANITIZE})
  # GCC's own documentation: sanitizers make this warning wrong (std::regex shows it). The other builds keep it.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  # GCC warns of every fence because ThreadSanitizer does not see it. Asio's are the only ones here, and its queues have
  # locks as well.
  if(SLUICE_SANITIZE MATCHES "thread")
    add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  endif()
endif()
if(SLUICE_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "SLUICE_FUZZ needs clang (preset fuzz sets it)")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
