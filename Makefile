# The two commands of the README, and the steps they are made of. The build itself is CMake (CMakePresets.json).
JOBS ?= $(shell nproc)

.PHONY: all demo test build package asan tsan fuzz clean

all: build

build:
	@scripts/install_packages.sh test
	@cmake --preset release >build-release.log 2>&1 || { cat build-release.log; exit 1; }
	@rm -f build-release.log
	cmake --build --preset release --parallel $(JOBS)

# Builds, then answers with the model that ships with sluice.
demo: build
	scripts/demo.sh

# All tests, with their counts.
test: build
	scripts/run_tests.sh release

# Unit tests under AddressSanitizer and UndefinedBehaviorSanitizer: all of them, or the programs that ASAN_TESTS names.
# The long suites (label "suite") by hand. ASAN_PRESET=fuzz takes clang's build, which `make fuzz` needs anyway.
ASAN_TESTS ?=
ASAN_PRESET ?= asan
asan:
	@scripts/install_packages.sh test $(ASAN_PRESET)
	cmake --preset $(ASAN_PRESET) >/dev/null
	cmake --build --preset $(ASAN_PRESET) --parallel $(JOBS) --target $(or $(ASAN_TESTS),unit_tests)
	scripts/run_tests.sh $(ASAN_PRESET) $(if $(ASAN_TESTS),-R "^($$(echo $(ASAN_TESTS) | tr ' ' '|'))$$",-LE suite)

# The tests with threads under ThreadSanitizer.
TSAN_TESTS := base_test cpu_backend_test tokenizer_test runtime_parts_test engine_test http_test server_core_test protocols_test
tsan:
	@scripts/install_packages.sh test
	cmake --preset tsan >/dev/null
	cmake --build --preset tsan --parallel $(JOBS) --target $(TSAN_TESTS)
	scripts/run_tests.sh tsan -R "^($$(echo $(TSAN_TESTS) | tr ' ' '|'))$$"

# FUZZ_SECONDS in all, shared by the targets, two at a time.
FUZZ_SECONDS ?= 360
fuzz:
	@scripts/install_packages.sh fuzz
	scripts/fuzz.sh $(FUZZ_SECONDS)

package: build
	cd build/release && cpack -G DEB

clean:
	rm -rf build
